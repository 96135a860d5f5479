// Runs the documented browser examples, unchanged, as a page of another origin would, and prints JSON lines.
//
//   API_URL     base URL of the API, such as http://127.0.0.1:9000
//   TOKEN       the caller's access token
//   DATASET_ID  the data set to filter by
//   ORIGIN      the page's origin (default http://app.example)
//   PROMPT      make an image first, with every header that a page may want to send (optional)
//   BROWSER     path of Chromium or Chrome: run the examples in it instead (optional)
//
// Lines: {"event":"request",…} for each exchange, {"event":"result","example":…,"status":…,…} for each example,
// {"event":"error","example":…,"message":…}. Exit status 1 when an example failed.

import { readFile } from 'node:fs/promises';

import { inBrowser } from './browser.mjs';
import { pageFetch } from './page.mjs';

const settings = process.env;
const baseUrl = settings.API_URL;
const names = { token: settings.TOKEN ?? '', datasetId: settings.DATASET_ID ?? '', prompt: settings.PROMPT ?? '' };

// The examples are what the documentation says, to the letter. What follows them makes their outcome visible.
const EXAMPLES = [
  ...(settings.PROMPT ? [{ name: 'generate', outcome: '{ status: response.status, headers: [...response.headers], image }' }] : []),
  { name: 'history', outcome: '{ status: response.status, images }' },
  { name: 'dataset', outcome: '{ status: response.status, images }' },
];

function print(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
  if (line.event === 'error') process.exitCode = 1;
}

async function source({ name, outcome }) {
  const text = await readFile(new URL(`examples/${name}.js`, import.meta.url), 'utf8');
  return `${text}\nreturn ${outcome};`;
}

async function inThisProcess(examples) {
  const origin = settings.ORIGIN ?? 'http://app.example';
  const onRequest = (exchange) => print({ event: 'request', ...exchange });
  const fetch = pageFetch({ origin, baseUrl, onRequest });
  const AsyncFunction = (async () => {}).constructor;
  for (const { name, body } of examples) {
    const logged = [];
    const console = { log: (...values) => logged.push(values.join(' ')) };
    try {
      const run = new AsyncFunction('fetch', 'console', ...Object.keys(names), body);
      print({ event: 'result', example: name, ...(await run(fetch, console, ...Object.values(names))), logged });
    } catch (error) {
      print({ event: 'error', example: name, message: String(error.cause ?? error) });
    }
  }
}

const examples = await Promise.all(EXAMPLES.map(async (example) => ({ name: example.name, body: await source(example) })));
if (settings.BROWSER) {
  await inBrowser({ browser: settings.BROWSER, baseUrl, names, examples, print });
} else {
  await inThisProcess(examples);
}
