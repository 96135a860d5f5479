const response = await fetch(`/ai/generated-images?dataset_id=${datasetId}`);
const { images } = await response.json();

// Show all images generated using this dataset
