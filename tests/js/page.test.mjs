import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { test } from 'node:test';

import { pageFetch } from './page.mjs';

const ORIGIN = 'http://app.example';
const OPEN = { 'access-control-allow-origin': '*' };
const OPEN_WITH_TOKEN = { ...OPEN, 'access-control-allow-headers': 'Authorization, content-type' };

/** Serves `headers` on every answer, calls `use`, and returns what was asked. */
async function served(headers, status, use) {
  const asked = [];
  const server = createServer((request, response) => {
    asked.push(request);
    const preflight = request.method === 'OPTIONS';
    response.writeHead(preflight ? status : 200, { ...headers, 'content-type': 'application/json', 'x-secret': '1', etag: '"1"' });
    response.end(preflight ? '' : '{}');
  });
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  const fetch = pageFetch({ origin: ORIGIN, baseUrl: `http://127.0.0.1:${server.address().port}` });
  try {
    await use(fetch);
  } finally {
    server.closeAllConnections();
    server.close();
  }
  return asked;
}

const withToken = { headers: { Authorization: 'Bearer t' } };

for (const [what, headers, status, init, reason] of [
  ['no leave at all', {}, 204, {}, /missing/],
  ['leave for another origin', { 'access-control-allow-origin': 'http://other.example' }, 204, {}, /other/],
  ['a header without leave', OPEN, 204, withToken, /authorization/],
  ['a wildcard for Authorization', { ...OPEN, 'access-control-allow-headers': '*' }, 204, withToken, /authorization/],
  ['a preflight that fails', OPEN_WITH_TOKEN, 404, withToken, /404/],
  ['a method without leave', OPEN_WITH_TOKEN, 204, { method: 'PUT' }, /PUT/],
  ['a JSON body without leave', OPEN, 204, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '{}' }, /content-type/],
]) {
  test(`${what} is blocked`, async () => {
    await served(headers, status, (fetch) => assert.rejects(fetch('/a', init), reason));
  });
}

test('with leave, the page reads the body and the exposed headers', async () => {
  const headers = { ...OPEN_WITH_TOKEN, 'access-control-expose-headers': 'ETag' };
  const asked = await served(headers, 204, async (fetch) => {
    const response = await fetch('/a?b=1', withToken);
    assert.deepEqual(await response.json(), {});
    assert.equal(response.headers.get('etag'), '"1"');
    assert.equal(response.headers.get('x-secret'), null);
  });
  assert.deepEqual(asked.map(({ method }) => method), ['OPTIONS', 'GET']);
  assert.equal(asked[0].headers['access-control-request-headers'], 'authorization');
  assert.equal(asked[0].headers.authorization, undefined);
  assert.equal(asked[1].headers.origin, ORIGIN);
  assert.equal(asked[1].headers.authorization, 'Bearer t');
});

test('a simple request has no preflight', async () => {
  const asked = await served({ 'access-control-allow-origin': ORIGIN }, 204, (fetch) => fetch('/a', { method: 'POST', body: 'text' }));
  assert.deepEqual(asked.map(({ method }) => method), ['POST']);
});
