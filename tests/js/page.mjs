// `fetch` as a page of one origin has it towards a server of another: preflights are sent and checked, answers without
// leave are withheld, and only the headers that the server exposes can be read. (The Fetch standard, section "CORS protocol".)

const SAFE_METHODS = new Set(['GET', 'HEAD', 'POST']);
const SAFE_REQUEST_HEADERS = new Set(['accept', 'accept-language', 'content-language', 'range']);
const SAFE_CONTENT_TYPES = new Set(['application/x-www-form-urlencoded', 'multipart/form-data', 'text/plain']);
const SAFE_RESPONSE_HEADERS = [
  'cache-control',
  'content-language',
  'content-length',
  'content-type',
  'expires',
  'last-modified',
  'pragma',
];

/**
 * A page of `origin` whose `<base>` is `baseUrl`. `onRequest` is told of each exchange, preflights too.
 * @param {{origin: string, baseUrl: string, onRequest?: (exchange: object) => void}} page
 */
export function pageFetch({ origin, baseUrl, onRequest = () => {} }) {
  return async function fetch(input, init = {}) {
    const url = new URL(input, baseUrl);
    const method = (init.method ?? 'GET').toUpperCase();
    const headers = new Headers(init.headers);
    if (typeof init.body === 'string' && !headers.has('content-type')) {
      headers.set('content-type', 'text/plain;charset=UTF-8');
    }
    const unsafe = unsafeHeaders(headers);
    if (unsafe.length > 0 || !SAFE_METHODS.has(method)) {
      await preflight({ url, method, unsafe, origin, onRequest });
    }
    headers.set('origin', origin);
    const answer = await globalThis.fetch(url, { ...init, method, headers });
    onRequest({ method, url: url.href, status: answer.status });
    requireLeave(answer, origin);
    return new Response(answer.body, {
      status: answer.status,
      statusText: answer.statusText,
      headers: readableHeaders(answer.headers),
    });
  };
}

/** Names of the headers that a page may send only with the server's leave, as a browser lists them. */
function unsafeHeaders(headers) {
  const unsafe = [];
  for (const [name, value] of headers) {
    const contentType = value.split(';')[0].trim().toLowerCase();
    const safe = name === 'content-type' ? SAFE_CONTENT_TYPES.has(contentType) : SAFE_REQUEST_HEADERS.has(name);
    if (!safe) unsafe.push(name);
  }
  return unsafe.sort();
}

async function preflight({ url, method, unsafe, origin, onRequest }) {
  const headers = { accept: '*/*', origin, 'access-control-request-method': method };
  if (unsafe.length > 0) headers['access-control-request-headers'] = unsafe.join(',');
  const answer = await globalThis.fetch(url, { method: 'OPTIONS', headers, redirect: 'manual' });
  await answer.arrayBuffer();
  onRequest({ method: 'OPTIONS', url: url.href, status: answer.status, for: method, headers: unsafe });
  requireLeave(answer, origin);
  if (!answer.ok) throw blocked(`the preflight was answered with ${answer.status}`);
  const methods = listed(answer.headers, 'access-control-allow-methods');
  if (!SAFE_METHODS.has(method) && !methods.includes(method) && !methods.includes('*')) {
    throw blocked(`the method ${method} is not allowed`);
  }
  const allowed = listed(answer.headers, 'access-control-allow-headers').map((name) => name.toLowerCase());
  for (const name of unsafe) {
    // A wildcard stands for every header but this one.
    const byWildcard = allowed.includes('*') && name !== 'authorization';
    if (!allowed.includes(name) && !byWildcard) throw blocked(`the header ${name} is not allowed`);
  }
}

function requireLeave(answer, origin) {
  const leave = answer.headers.get('access-control-allow-origin');
  if (leave !== '*' && leave !== origin) {
    throw blocked(`Access-Control-Allow-Origin is ${leave ?? 'missing'} (status ${answer.status})`);
  }
}

function readableHeaders(headers) {
  const exposed = listed(headers, 'access-control-expose-headers').map((name) => name.toLowerCase());
  const readable = new Set([...SAFE_RESPONSE_HEADERS, ...exposed]);
  return [...headers].filter(([name]) => readable.has(name) || exposed.includes('*'));
}

function listed(headers, name) {
  const values = (headers.get(name) ?? '').split(',');
  return values.map((value) => value.trim()).filter(Boolean);
}

function blocked(reason) {
  return new TypeError(`Failed to fetch: blocked by CORS: ${reason}`);
}
