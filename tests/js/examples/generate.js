const response = await fetch('/ai/generate', {
  method: 'POST',
  headers: {
    'Authorization': `Bearer ${token}`,
    'Content-Type': 'application/json',
    'Idempotency-Key': crypto.randomUUID(),
    'Prefer': 'wait=60'
  },
  body: JSON.stringify({ prompt })
});

const image = await response.json();
