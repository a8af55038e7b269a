import t from 'tap';
import type { TSchema } from 'typebox';
import { Value } from 'typebox/value';
import type { App, Flow, Process, RelayReading, Socket } from '../../agent/readings.ts';
import { flowSchema, socketSchema } from '../../api/schemas/flow.ts';
import { appSchema, processSchema } from '../../api/schemas/process.ts';
import { relayReadingSchema } from '../../api/schemas/relay.ts';
import { agentEventSchema, statusSchema } from '../../api/schemas/status.ts';
import { startServer } from './fixture.ts';
import {
  makeApp,
  makeBusyProcess,
  makeFlow,
  makeKernelRow,
  makeProcess,
  makeReadings,
  makeRelayPeer,
  makeRelayReading,
  makeSocket,
  makeStatus,
} from './readings.ts';

interface ProcessList {
  processes: Process[];
  nextCursor: string | null;
}

t.test('answers hold every member of the readings, and none is altered', async (t) => {
  const readings = makeReadings();
  const { app } = startServer(t, { readings });
  const kernel = makeKernelRow();
  const cases: [string, unknown][] = [
    ['/v1/status', readings.data.status],
    ['/v1/processes', { processes: [makeProcess(), kernel], nextCursor: null }],
    ['/v1/processes/4711', makeProcess()],
    ['/v1/processes/0', kernel],
    ['/v1/processes/4711/sockets', { sockets: readings.data.sockets }],
    ['/v1/sockets', { sockets: readings.data.sockets, nextCursor: null }],
    ['/v1/flows', { flows: readings.data.flows, nextCursor: null }],
    ['/v1/apps', { apps: readings.data.apps }],
    ['/v1/relays', { relays: readings.data.relays, nextCursor: null }],
    ['/healthz', { status: 'alive' }],
    ['/readyz', { status: 'ready' }],
  ];
  for (const [url, expected] of cases) {
    const response = await app.inject(url);
    t.equal(response.statusCode, 200, url);
    t.match(response.headers['content-type'], /^application\/json/, url);
    t.strictSame(response.json(), expected, url);
  }
});

t.test('a member that no schema names still reaches the client', async (t) => {
  const future = { ...makeProcess(), fanOut: 3 };
  const { app } = startServer(t, { readings: makeReadings({ processes: [future] }) });
  t.strictSame((await app.inject('/v1/processes/4711')).json(), future);
  t.strictSame((await app.inject('/v1/processes')).json<ProcessList>().processes, [future]);
});

const unixPeer = { address: null, port: null, protocol: 'unix', scope: 'loopback' } as const;

t.test('the readings are what the schemas say', async (t) => {
  const cases: [string, TSchema, unknown][] = [
    ['process', processSchema, makeProcess()],
    ['kernel row', processSchema, makeKernelRow()],
    ['app', appSchema, makeApp()],
    ['socket', socketSchema, makeSocket({ family: null, scope: null, inode: null, remoteAddress: null })],
    ['flow', flowSchema, makeFlow({ lastActiveAt: null, startedAt: null })],
    ['relay', relayReadingSchema, makeRelayReading()],
    ['chain', relayReadingSchema, makeRelayReading({ kind: 'chain', role: null, from: [makeRelayPeer(unixPeer)] })],
    ['status', statusSchema, makeStatus()],
    ['event', agentEventSchema, { id: 1, at: '2026-11-22T05:00:00.000Z', type: 'verdict', data: { pid: 1 } }],
  ];
  for (const [name, schema, value] of cases) {
    t.ok(Value.Check(schema, value), `${name}: ${JSON.stringify([...Value.Errors(schema, value)])}`);
  }
  t.notOk(Value.Check(processSchema, { ...makeProcess(), uid: -1 }));
  t.notOk(Value.Check(processSchema, { ...makeProcess(), exitedAt: 'yesterday', user: 7 }));
  t.notOk(Value.Check(relayReadingSchema, { ...makeRelayReading(), verdict: 'none' }));
  t.notOk(Value.Check(relayReadingSchema, { ...makeRelayReading(), confidence: 98 }));
});

const list = [
  makeKernelRow(),
  makeBusyProcess(10, { received: 5, sent: 5 }, { name: 'curl', app: 'curl' }),
  makeBusyProcess(11, { received: 900, sent: 1 }, { name: 'wget', app: 'fetch' }),
  makeBusyProcess(12, { received: 1, sent: 800 }, { name: 'socat', app: 'fetch' }),
  makeBusyProcess(13, { received: 2, sent: 2, relayed: 50 }, { name: 'nc', app: 'nc' }),
  makeBusyProcess(14, { received: 5, sent: 5 }, { name: 'curl', app: 'curl', exitedAt: '2026-11-22T05:10:00.000Z' }),
];

t.test('processes are ordered, filtered and include ended ones as asked', async (t) => {
  const { app } = startServer(t, { readings: makeReadings({ processes: list }) });
  const cases: [string, number[]][] = [
    ['', [13, 11, 12, 10, 0]],
    ['?sort=relayed', [13, 11, 12, 10, 0]],
    ['?sort=relayed&order=asc', [11, 12, 10, 0, 13]],
    ['?sort=sent', [12, 10, 13, 11, 0]],
    ['?sort=received', [11, 10, 13, 12, 0]],
    ['?sort=received&order=asc', [0, 12, 13, 10, 11]],
    ['?sort=name', [10, 0, 13, 12, 11]],
    ['?sort=name&order=desc', [11, 12, 13, 0, 10]],
    ['?includeExited=true', [13, 11, 12, 10, 14, 0]],
    ['?includeExited=false', [13, 11, 12, 10, 0]],
    ['?name=curl', [10]],
    ['?name=curl&includeExited=true', [10, 14]],
    ['?name=cur', []],
    ['?name=CURL', []],
    ['?name=kernel', [0]],
    ['?app=fetch', [11, 12]],
    ['?app=fetch&name=socat', [12]],
    ['?pid=13', [13]],
    ['?pid=0', [0]],
    ['?pid=14', []],
    ['?verdict=relay', []],
    ['?verdict=none&limit=2', [13, 11]],
  ];
  for (const [query, pids] of cases) {
    const { processes } = (await app.inject(`/v1/processes${query}`)).json<ProcessList>();
    t.strictSame(
      processes.map(({ pid }) => pid),
      pids,
      query,
    );
  }
});

t.test('following nextCursor lists every process once, also where a pid was used twice', async (t) => {
  const twice = makeBusyProcess(13, { relayed: 50, received: 2, sent: 2 }, { startedAt: '2026-11-22T04:00:00.000Z' });
  const { app } = startServer(t, { readings: makeReadings({ processes: [...list, twice] }) });
  for (const query of ['', '&sort=name', '&sort=sent&order=asc']) {
    const seen: string[] = [];
    let cursor = '';
    do {
      const response = await app.inject(`/v1/processes?includeExited=true&limit=2${query}${cursor}`);
      const page = response.json<ProcessList>();
      seen.push(...page.processes.map(({ pid, startedAt }) => `${pid} ${startedAt}`));
      cursor = page.nextCursor === null ? '' : `&cursor=${page.nextCursor}`;
    } while (cursor !== '');
    t.equal(new Set(seen).size, list.length + 1, query);
    t.equal(seen.length, list.length + 1, query);
  }
});

t.test('flows and sockets are filtered by owner and paged', async (t) => {
  const sockets = [makeSocket(), makeSocket({ cookie: '2', pid: 9, name: 'curl', app: 'fetch' })];
  const flows = [
    makeFlow({ remotePort: 2 }),
    makeFlow({ remotePort: 1 }),
    makeFlow({ cookie: '2', pid: 9, name: 'curl', app: 'fetch' }),
  ];
  const { app } = startServer(t, { readings: makeReadings({ sockets, flows }) });
  const socketPids = async (query: string): Promise<number[]> =>
    (await app.inject(`/v1/sockets${query}`)).json<{ sockets: Socket[] }>().sockets.map(({ pid }) => pid);
  t.strictSame(await socketPids(''), [9, 4711]);
  t.strictSame(await socketPids('?pid=9'), [9]);
  t.strictSame(await socketPids('?app=fetch'), [9]);
  t.strictSame(await socketPids('?name=socat'), [4711]);
  t.strictSame(await socketPids('?name=socat&pid=9'), []);

  const all = (await app.inject('/v1/flows')).json<{ flows: Flow[] }>().flows;
  t.strictSame(
    all.map(({ pid, remotePort }) => [pid, remotePort]),
    [
      [9, 51234],
      [4711, 1],
      [4711, 2],
    ],
  );
  const first = (await app.inject('/v1/flows?limit=2')).json<{ flows: Flow[]; nextCursor: string }>();
  const second = (await app.inject(`/v1/flows?limit=2&cursor=${first.nextCursor}`)).json<typeof first>();
  t.strictSame([...first.flows, ...second.flows], all);
  t.equal(second.nextCursor, null);
});

const relays = [
  makeRelayReading({ events: 1 }),
  makeRelayReading({ pid: 9, name: 'supernode', app: 'n2n', verdict: 'suspected', role: null, events: 2 }),
  makeRelayReading({ pid: 9, name: 'edge', app: 'n2n', since: '2026-11-22T05:00:04.000Z', events: 3 }),
  makeRelayReading({ from: [makeRelayPeer({ port: 1 })], events: 4 }),
  makeRelayReading({ events: 5 }),
  makeRelayReading({ from: [], fromCount: 0, to: [makeRelayPeer(unixPeer)], events: 6 }),
];

function eventsOf(body: { relays: RelayReading[] }): number[] {
  return body.relays.map(({ events }) => events);
}

t.test('relays are filtered by owner and verdict', async (t) => {
  const { app } = startServer(t, { readings: makeReadings({ relays }) });
  const cases: [string, number[]][] = [
    ['', [3, 2, 6, 4, 1, 5]],
    ['?pid=9', [3, 2]],
    ['?pid=1', []],
    ['?app=n2n', [3, 2]],
    ['?name=supernode', [2]],
    ['?name=super', []],
    ['?verdict=suspected', [2]],
    ['?verdict=relay&app=n2n', [3]],
    ['?verdict=relay&limit=1', [3]],
  ];
  for (const [query, events] of cases) {
    t.strictSame(eventsOf((await app.inject(`/v1/relays${query}`)).json()), events, query);
  }
});

t.test('following nextCursor lists every relay once while bytes move, also those between the same peers', async (t) => {
  const readings = makeReadings({ relays });
  const { app } = startServer(t, { readings });
  const seen: number[] = [];
  let cursor = '';
  do {
    const page = (await app.inject(`/v1/relays?limit=1${cursor}`)).json();
    seen.push(...eventsOf(page));
    cursor = page.nextCursor === null ? '' : `&cursor=${page.nextCursor}`;
    readings.data.relays = readings.data.relays.map((row) => ({ ...row, sentBytes: row.sentBytes + 7 * row.events }));
  } while (cursor !== '');
  t.strictSame(seen, [3, 2, 6, 4, 1, 5]);
});

t.test('nobody relays: an empty list', async (t) => {
  const { app } = startServer(t, { readings: makeReadings({ relays: [] }) });
  t.strictSame((await app.inject('/v1/relays')).json(), { relays: [], nextCursor: null });
});

t.test('apps come with the most relayed first', async (t) => {
  const quiet = makeApp({ app: 'quiet', relay: makeBusyProcess(1, {}).relay });
  const { app } = startServer(t, { readings: makeReadings({ apps: [quiet, makeApp({ app: 'busy' })] }) });
  const { apps } = (await app.inject('/v1/apps')).json<{ apps: App[] }>();
  t.strictSame(
    apps.map((row) => row.app),
    ['busy', 'quiet'],
  );
});

t.test('readyz is 503 with a problem until the agent is ready; healthz is not', async (t) => {
  const readings = makeReadings({ ready: false });
  const { app } = startServer(t, { readings });
  const refused = await app.inject('/readyz');
  t.equal(refused.statusCode, 503);
  t.match(refused.json(), { code: 'not-ready' });
  t.equal(refused.headers['retry-after'], '1');
  t.equal((await app.inject('/healthz')).statusCode, 200);
  readings.data.ready = true;
  t.equal((await app.inject('/readyz')).statusCode, 200);
});

t.test('HEAD answers as GET does, without the body', async (t) => {
  const { app } = startServer(t);
  for (const url of [
    '/v1/processes',
    '/v1/relays',
    '/v1/status',
    '/healthz',
    '/metrics',
    '/openapi.json',
    '/v1/events',
  ]) {
    const response = await app.inject({ method: 'HEAD', url });
    t.equal(response.statusCode, 200, url);
    t.equal(response.body, '', url);
  }
  t.equal((await app.inject({ method: 'HEAD', url: '/v1/processes/1' })).statusCode, 404);
});

t.test('metrics come in the form that the client likes best', async (t) => {
  const { app } = startServer(t);
  const text = 'text/plain; version=0.0.4; charset=utf-8';
  const openMetrics = 'application/openmetrics-text; version=1.0.0; charset=utf-8';
  const cases: [string | undefined, string][] = [
    [undefined, text],
    ['*/*', text],
    ['text/plain', text],
    ['text/html', text],
    ['application/openmetrics-text', openMetrics],
    ['application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2', openMetrics],
    ['application/openmetrics-text;q=0.2,text/plain;q=0.3', text],
    ['application/openmetrics-text;q=0,*/*', text],
    ['APPLICATION/OPENMETRICS-TEXT', openMetrics],
    [';;,q=,', text],
  ];
  for (const [accept, type] of cases) {
    const response = await app.inject({ url: '/metrics', headers: accept === undefined ? {} : { accept } });
    t.equal(response.statusCode, 200, `${accept}`);
    t.equal(response.headers['content-type'], type, `${accept}`);
    t.equal(response.body, type === text ? 'relayledger_build_info 1\n' : '# EOF\n', `${accept}`);
  }
});

t.test('a page of a web browser may not keep or guess at what is answered', async (t) => {
  const { app } = startServer(t);
  for (const url of ['/v1/status', '/metrics', '/nothing', '/docs']) {
    const { headers } = await app.inject(url);
    t.match(headers, { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' }, url);
    t.notOk('access-control-allow-origin' in headers, url);
  }
});
