// The examples in a real browser: a page served here, at an origin of its own, whose `<base>` is the API.

import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const TIME_LIMIT_MS = 120_000;

/** What the page does: run each example and send its outcome home. */
async function runInPage(examples, names, home) {
  const AsyncFunction = (async () => {}).constructor;
  for (const { name, body } of examples) {
    const logged = [];
    const console = { log: (...values) => logged.push(values.join(' ')) };
    let line;
    try {
      const run = new AsyncFunction('console', ...Object.keys(names), body);
      line = { event: 'result', example: name, ...(await run(console, ...Object.values(names))), logged };
    } catch (error) {
      line = { event: 'error', example: name, message: String(error) };
    }
    await fetch(`${home}/line`, { method: 'POST', body: JSON.stringify(line) });
  }
  await fetch(`${home}/end`, { method: 'POST' });
}

/** Text that cannot end the script element it stands in. */
function embedded(value) {
  return JSON.stringify(value).replaceAll('<', '\\u003c');
}

export async function inBrowser({ browser, baseUrl, names, examples, print }) {
  let ended;
  const end = new Promise((resolve) => { ended = resolve; });
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += chunk;
    if (request.url === '/line') print(JSON.parse(body));
    if (request.url === '/end') ended();
    const home = `http://${request.headers.host}`;
    const call = `(${runInPage})(${embedded(examples)}, ${embedded(names)}, ${embedded(home)});`;
    response.setHeader('content-type', 'text/html; charset=utf-8');
    response.end(`<!doctype html><base href="${baseUrl}"><script>${call}</script>`);
  });
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });

  const profile = await mkdtemp(join(tmpdir(), 'darkroom-browser-'));
  const options = ['--headless=new', '--no-sandbox', '--disable-gpu', '--no-first-run', `--user-data-dir=${profile}`];
  const page = `http://127.0.0.1:${server.address().port}/`;
  const process = spawn(browser, [...options, page], { stdio: 'ignore' });
  const exited = new Promise((resolve) => { process.once('exit', resolve).once('error', resolve); });
  const timer = setTimeout(ended, TIME_LIMIT_MS, 'timeout');
  const reason = await Promise.race([end, exited.then((code) => `the browser ended: ${code}`)]);
  clearTimeout(timer);
  if (reason !== undefined) print({ event: 'error', example: null, message: String(reason) });

  process.kill();
  await exited;
  server.closeAllConnections();
  server.close();
  await rm(profile, { recursive: true, force: true, maxRetries: 5 });
}
