// Subscribes to one channel with Ably's own client, as a page would, and prints what happens: one JSON object a line.
//
//   ABLY_URL     base URL of Ably or of its stand-in, such as http://127.0.0.1:8085
//   AUTH_URL     the token endpoint, such as http://127.0.0.1:9000/api/realtime/token
//   AUTH_HEADER  what to send it as `Authorization` (optional); a bare token becomes `Bearer <token>`
//   AUTH_METHOD  POST (default) or GET
//   AUTH_PARAMS  `authParams`, such as run_id=… (optional)
//   CHANNEL      the channel to subscribe to; without it, the one that the token endpoint names
//   REWIND       how much of the past to ask for: `2m`, or a number of messages (optional)
//   EXPECT       end after this many messages (default 1; 0: end once attached)
//   PUBLISH      try to publish a message of this name once attached (optional)
//   TIMEOUT_MS   give up after this long (default 30000)
//
// Lines: {"event":"connection"|"channel","state":…}, {"event":"message",…}, {"event":"published"},
// {"event":"error","where":…,"code":…} and at last {"event":"end","messages":…,"reason":…}.
// Exit status: 0 all messages came, 1 a failure that the client does not recover from, 2 time ran out.

import Ably from 'ably';

const settings = process.env;
const expected = Number(settings.EXPECT ?? 1);
const timeLimit = Number(settings.TIMEOUT_MS ?? 30_000);
const ably = new URL(settings.ABLY_URL);
const authorization = settings.AUTH_HEADER;
const authHeaders = authorization && {
  Authorization: authorization.includes(' ') ? authorization : `Bearer ${authorization}`,
};

let received = 0;
let ended = false;

function print(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

function printError(where, error) {
  const { code, statusCode, message } = error ?? {};
  print({ event: 'error', where, code: code ?? null, statusCode: statusCode ?? null, message: message ?? String(error) });
}

async function channelOfToken() {
  const response = await fetch(settings.AUTH_URL, { method: settings.AUTH_METHOD ?? 'POST', headers: authHeaders });
  if (!response.ok) {
    throw Object.assign(new Error(`the token endpoint answered ${response.status}`), { statusCode: response.status });
  }
  return (await response.json()).channel;
}

const realtime = new Ably.Realtime({
  authUrl: settings.AUTH_URL,
  authMethod: settings.AUTH_METHOD ?? 'POST',
  authHeaders,
  authParams: settings.AUTH_PARAMS && Object.fromEntries(new URLSearchParams(settings.AUTH_PARAMS)),
  endpoint: ably.hostname,
  port: Number(ably.port),
  tls: ably.protocol === 'https:',
  useBinaryProtocol: false,
  autoConnect: false,
  // Nothing but the given URLs is asked, not even whether the Internet is there.
  fallbackHosts: [],
  connectivityCheckUrl: new URL('/is-the-internet-up.txt', ably).href,
  disconnectedRetryTimeout: 500,
  logLevel: 0,
});

function end(reason, status) {
  if (ended) return;
  ended = true;
  print({ event: 'end', messages: received, reason });
  process.exitCode = status;
  realtime.close();
  // Closing takes a round trip; a connection that is broken must not keep the process.
  setTimeout(() => process.exit(status), 500).unref();
}

setTimeout(() => end('timeout', 2), timeLimit).unref();

realtime.connection.on((change) => {
  if (ended) return;
  print({ event: 'connection', state: change.current });
  if (change.reason) printError('connection', change.reason);
  if (change.current === 'failed') end('failed', 1);
});

try {
  const name = settings.CHANNEL || (await channelOfToken());
  const params = settings.REWIND ? { rewind: settings.REWIND } : {};
  const channel = realtime.channels.get(name, { params });
  channel.on((change) => {
    if (ended) return;
    print({ event: 'channel', state: change.current, resumed: change.resumed, hasBacklog: change.hasBacklog ?? false });
    if (change.reason) printError('channel', change.reason);
    if (change.current === 'failed') end('failed', 1);
  });
  realtime.connect();
  await channel.subscribe((message) => {
    if (ended) return;
    received += 1;
    const { id, name, timestamp, data } = message;
    print({ event: 'message', id, name, timestamp, data });
    if (received === expected) end('complete', 0);
  });
  if (settings.PUBLISH) {
    await channel.publish(settings.PUBLISH, {}).then(
      () => print({ event: 'published' }),
      (error) => printError('publish', error),
    );
  }
  if (expected === 0) end('complete', 0);
} catch (error) {
  // What made the channel or the connection fail has been printed where it happened.
  if (!ended) printError('subscribe', error);
  end('failed', 1);
}
