import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { connect } from 'node:net';
import t from 'tap';
import type { AgentEvent } from '../../agent/readings.ts';
import { EventStreams, encodeEvent } from '../../api/event-stream.ts';
import { ask, listenEverywhere } from './fixture.ts';
import { makeReadings } from './readings.ts';

function makeEvent(override: Partial<AgentEvent> = {}): AgentEvent {
  return { id: 7, at: '2026-11-22T05:00:00.000Z', type: 'process-ended', data: { pid: 4711 }, ...override };
}

interface Subscription {
  response: IncomingMessage;
  /** Resolves as soon as what came matches. */
  until(pattern: RegExp): Promise<string>;
  ended: Promise<unknown>;
  leave(): void;
}

async function subscribe(where: { url?: string; socketPath?: string }): Promise<Subscription> {
  const options = { path: '/v1/events', headers: { accept: 'text/event-stream' }, agent: false };
  const sent =
    where.url === undefined ? request({ ...options, socketPath: where.socketPath }) : request(where.url, options);
  sent.on('error', () => undefined);
  sent.end();
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  response.on('error', () => undefined);
  let text = '';
  response.setEncoding('utf8');
  response.on('data', (chunk: string) => {
    text = (text + chunk).slice(-200_000);
    response.emit('more');
  });
  return {
    response,
    ended: new Promise((resolve) => response.once('close', resolve)),
    leave: () => sent.destroy(),
    async until(pattern) {
      while (!pattern.test(text)) await once(response, 'more');
      return text;
    },
  };
}

t.test('an event is written with its id, its type and its data on one line', async (t) => {
  t.equal(
    encodeEvent(makeEvent({ type: 'odd\r\ntype', data: { text: 'a\nb' } })),
    'id: 7\nevent: odd  type\n' +
      'data: {"id":7,"at":"2026-11-22T05:00:00.000Z","type":"odd\\r\\ntype","data":{"text":"a\\nb"}}\n\n',
  );
});

t.test('events reach every subscriber, over TCP and over the Unix socket', async (t) => {
  const readings = makeReadings();
  const { url, socketPath } = await listenEverywhere(t, { readings });
  const subscriptions = [await subscribe({ url }), await subscribe({ socketPath })];
  t.equal(readings.subscriptions(), 1, 'the agent is subscribed to once');
  for (const { response } of subscriptions) {
    t.equal(response.statusCode, 200);
    t.match(response.headers['content-type'], /^text\/event-stream/);
    t.equal(response.headers['cache-control'], 'no-store');
  }
  readings.emit(makeEvent());
  readings.emit(makeEvent({ id: 8 }));
  for (const subscription of subscriptions) {
    const text = await subscription.until(/id: 8[\s\S]*\n\n$/);
    t.match(text, /^retry: 3000\n\nid: 7\nevent: process-ended\ndata: \{.*"pid":4711.*\}\n\nid: 8\n/);
    subscription.leave();
  }
});

t.test('the agent is no longer subscribed to when the last subscriber has gone', async (t) => {
  const readings = makeReadings();
  const { url } = await listenEverywhere(t, { readings });
  const [first, second] = [await subscribe({ url }), await subscribe({ url })];
  first.leave();
  await first.ended;
  readings.emit(makeEvent());
  await second.until(/id: 7/);
  t.equal(readings.subscriptions(), 1);
  second.leave();
  while (readings.subscriptions() > 0) await new Promise((resolve) => setImmediate(resolve));
  const again = await subscribe({ url });
  t.equal(readings.subscriptions(), 1);
  again.leave();
});

t.test('a heartbeat keeps quiet connections alive', async (t) => {
  const { url } = await listenEverywhere(t, { heartbeatMilliseconds: 10 });
  const subscription = await subscribe({ url });
  await subscription.until(/: heartbeat\n\n: heartbeat\n\n/);
  subscription.leave();
});

t.test('subscribers beyond the limit are refused, and have room when others go', async (t) => {
  const readings = makeReadings();
  const { url } = await listenEverywhere(t, { readings, maxSubscribers: 2 });
  const [first, second] = [await subscribe({ url }), await subscribe({ url })];
  const refused = await ask({ url }, '/v1/events', { accept: 'text/event-stream' });
  t.equal(refused.status, 503);
  t.match(JSON.parse(refused.text), { code: 'too-many-subscribers' });
  t.equal(refused.headers['retry-after'], '10');
  first.leave();
  await first.ended;
  let third = await subscribe({ url });
  while (third.response.statusCode === 503) {
    third.leave();
    third = await subscribe({ url });
  }
  t.equal(third.response.statusCode, 200);
  second.leave();
  third.leave();
});

t.test('a subscriber that does not read is cut off, and the others are not held up', async (t) => {
  const readings = makeReadings();
  const streams = new EventStreams(readings, {
    maxSubscribers: 8,
    heartbeatMilliseconds: 60_000,
    maxWaitingBytes: 1_000_000,
  });
  const server = createServer((_request, response) => streams.add(response)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    streams.close();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const lazy = connect(port, '127.0.0.1');
  lazy.on('error', () => undefined);
  lazy.pause();
  lazy.write('GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n');
  const eager = await subscribe({ url: `http://127.0.0.1:${port}` });
  while (streams.subscribers < 2) await new Promise((resolve) => setImmediate(resolve));

  const filler = 'x'.repeat(100_000);
  let id = 0;
  // What the kernel's buffers take comes on top of our own limit.
  while (streams.subscribers > 1 && id < 1000) {
    id += 1;
    readings.emit(makeEvent({ id, data: { filler } }));
    await eager.until(new RegExp(`id: ${id}\\n[\\s\\S]*\\n\\n$`));
  }
  t.ok(id > 9 && id < 1000, `cut off after ${id} events of 100 kB`);
  t.equal(readings.subscriptions(), 1);
  eager.leave();
  lazy.destroy();
});

t.test('stopping ends the streams', async (t) => {
  const readings = makeReadings();
  const { url, server } = await listenEverywhere(t, { readings });
  const subscription = await subscribe({ url });
  await server.close();
  await subscription.ended;
  t.ok(subscription.response.complete, 'ended, not broken off');
  t.equal(readings.subscriptions(), 0);
});
