const response = await fetch('/ai/generated-images?limit=20&offset=0', {
  headers: {
    'Authorization': `Bearer ${token}`
  }
});

const { images } = await response.json();

images.forEach(img => {
  console.log(`Prompt: ${img.prompt}`);
  console.log(`Image: ${img.image_url}`);
  console.log(`Generated: ${img.created_at}`);
});
