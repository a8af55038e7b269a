import { once } from 'node:events';
import { connect } from 'node:net';
import t from 'tap';
import type { ProblemBody, ProblemCode } from '../../api/problems.ts';
import { problems } from '../../api/problems.ts';
import { captureLog, listenEverywhere, sendRaw, startServer } from './fixture.ts';
import { makeReadings } from './readings.ts';

function cursorOf(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

const badUrls: [string, ProblemCode][] = [
  ['/v1/processes?nmae=socat', 'invalid-parameter'],
  ['/v1/processes?name=', 'invalid-parameter'],
  ['/v1/processes?name', 'invalid-parameter'],
  ['/v1/processes?name=a&name=b', 'invalid-parameter'],
  ['/v1/processes?name[]=a', 'invalid-parameter'],
  ['/v1/processes?name=%00', 'invalid-parameter'],
  [`/v1/processes?name=${'x'.repeat(65)}`, 'invalid-parameter'],
  ['/v1/processes?=', 'invalid-parameter'],
  ['/v1/processes?__proto__=1', 'invalid-parameter'],
  ['/v1/processes?constructor=1', 'invalid-parameter'],
  ['/v1/processes?toString', 'invalid-parameter'],
  ['/v1/processes?pid=', 'invalid-parameter'],
  ['/v1/processes?pid=-1', 'invalid-parameter'],
  ['/v1/processes?pid=1.5', 'invalid-parameter'],
  ['/v1/processes?pid=0x10', 'invalid-parameter'],
  ['/v1/processes?pid=1e3', 'invalid-parameter'],
  ['/v1/processes?pid=+1', 'invalid-parameter'],
  ['/v1/processes?pid=NaN', 'invalid-parameter'],
  ['/v1/processes?pid=2147483648', 'invalid-parameter'],
  ['/v1/processes?pid=99999999999999999999999', 'invalid-parameter'],
  ['/v1/processes?limit=0', 'invalid-parameter'],
  ['/v1/processes?limit=-5', 'invalid-parameter'],
  ['/v1/processes?limit=100001', 'invalid-parameter'],
  ['/v1/processes?limit=ten', 'invalid-parameter'],
  ['/v1/processes?limit=10&limit=10', 'invalid-parameter'],
  ['/v1/processes?sort=bytes', 'invalid-parameter'],
  ['/v1/processes?sort=RELAYED', 'invalid-parameter'],
  ['/v1/processes?order=up', 'invalid-parameter'],
  ['/v1/processes?verdict=maybe', 'invalid-parameter'],
  ['/v1/processes?includeExited=1', 'invalid-parameter'],
  ['/v1/processes?includeExited=yes', 'invalid-parameter'],
  ['/v1/processes?includeExited=', 'invalid-parameter'],
  ['/v1/processes?cursor=', 'invalid-parameter'],
  ['/v1/processes?cursor=xyz', 'invalid-cursor'],
  ['/v1/processes?cursor=%F0%9F%92%A9', 'invalid-cursor'],
  [`/v1/processes?cursor=${cursorOf(null)}`, 'invalid-cursor'],
  [`/v1/processes?cursor=${cursorOf({})}`, 'invalid-cursor'],
  [`/v1/processes?cursor=${cursorOf([])}`, 'invalid-cursor'],
  [`/v1/processes?cursor=${cursorOf(['processes:relayed:desc'])}`, 'invalid-cursor'],
  [`/v1/processes?cursor=${cursorOf(['processes:relayed:desc', 'a', 'b', 'c', 'd'])}`, 'invalid-cursor'],
  [`/v1/processes?cursor=${cursorOf(['processes:relayed:desc', 1, 1, 1, null])}`, 'invalid-cursor'],
  [`/v1/processes?cursor=${cursorOf(['processes:sent:desc', 1, 1, 1, 'x'])}`, 'invalid-cursor'],
  [`/v1/flows?cursor=${cursorOf(['processes:relayed:desc', 1, 1, 1, 'x'])}`, 'invalid-cursor'],
  [`/v1/processes?cursor=${'A'.repeat(1025)}`, 'invalid-parameter'],
  ['/v1/processes?name=%', 'malformed-url'],
  ['/v1/processes?name=%zz', 'malformed-url'],
  ['/v1/processes?name=%ff', 'malformed-url'],
  ['/v1/processes?name=%c3%28', 'malformed-url'],
  [`/v1/processes?name=${'x'.repeat(100_000)}`, 'url-too-long'],
  [`/v1/processes?${'a=1&'.repeat(25_000)}`, 'url-too-long'],
  [`/v1/processes?${'a=1&'.repeat(1500)}`, 'invalid-parameter'],
  ['/v1/processes/', 'invalid-parameter'],
  ['/v1/processes/abc', 'invalid-parameter'],
  ['/v1/processes/-1', 'invalid-parameter'],
  ['/v1/processes/1.0', 'invalid-parameter'],
  ['/v1/processes/%00', 'invalid-parameter'],
  ['/v1/processes/1%00', 'invalid-parameter'],
  ['/v1/processes/99999999999', 'invalid-parameter'],
  ['/v1/processes/99999999999999999999999999', 'invalid-parameter'],
  ['/v1/processes/%zz', 'malformed-url'],
  ['/v1/processes/%ff', 'malformed-url'],
  [`/v1/processes/${'1'.repeat(201)}`, 'url-too-long'],
  ['/v1/processes/999999', 'process-not-found'],
  ['/v1/processes/2147483647', 'process-not-found'],
  ['/v1/processes/999999/sockets', 'process-not-found'],
  ['/v1/processes/abc/sockets', 'invalid-parameter'],
  ['/v1/processes/4711?all=1', 'invalid-parameter'],
  ['/v1/processes/4711/sockets?limit=1', 'invalid-parameter'],
  ['/v1/status?verbose=1', 'invalid-parameter'],
  ['/v1/apps?app=x', 'invalid-parameter'],
  ['/v1/events?since=1', 'invalid-parameter'],
  ['/v1/flows?pid=x', 'invalid-parameter'],
  ['/v1/flows?verdict=none', 'invalid-parameter'],
  ['/v1/sockets?limit=0', 'invalid-parameter'],
  ['/v1/relays?pid=x', 'invalid-parameter'],
  ['/v1/relays?pid=-1', 'invalid-parameter'],
  ['/v1/relays?name=', 'invalid-parameter'],
  ['/v1/relays?app=a&app=b', 'invalid-parameter'],
  ['/v1/relays?verdict=none', 'invalid-parameter'],
  ['/v1/relays?verdict=RELAY', 'invalid-parameter'],
  ['/v1/relays?role=service', 'invalid-parameter'],
  ['/v1/relays?limit=0', 'invalid-parameter'],
  ['/v1/relays?limit=1.5', 'invalid-parameter'],
  ['/v1/relays?cursor=xyz', 'invalid-cursor'],
  [`/v1/relays?cursor=${cursorOf(['flows', 1, 'a', 'b', 0])}`, 'invalid-cursor'],
  [`/v1/relays?cursor=${cursorOf(['relays', 1, 'a', 'b'])}`, 'invalid-cursor'],
  [`/v1/relays?cursor=${cursorOf(['relays', '1', 'a', 'b', 0])}`, 'invalid-cursor'],
  ['/metrics?name=x', 'invalid-parameter'],
  ['/healthz?x', 'invalid-parameter'],
  ['/problems/no-such-code', 'route-not-found'],
  ['/problems/__proto__', 'route-not-found'],
  ['/index.html', 'route-not-found'],
  ['/v1', 'route-not-found'],
  ['/v2/processes', 'route-not-found'],
  ['/V1/PROCESSES', 'route-not-found'],
  ['//v1/processes', 'route-not-found'],
  ['/v1/processes/4711/nothing', 'route-not-found'],
  ['/v1/policies?name=x', 'invalid-parameter'],
  ['/v1/policies/nothing', 'policy-not-found'],
  ['/v1/audit?limit=0', 'invalid-parameter'],
  ['/v1/audit?cursor=xyz', 'invalid-cursor'],
  ['/v1/history?step=59', 'invalid-parameter'],
  ['/v1/history?step=61', 'invalid-parameter'],
  ['/v1/history?step=1m', 'invalid-parameter'],
  ['/v1/history?from=yesterday', 'invalid-parameter'],
  ['/v1/history?from=2026-11-22T05:00:00Z&to=2026-11-22T05:00:00Z', 'invalid-parameter'],
  ['/v1/history?from=2026-11-22T05:00:00Z&to=2026-11-22T04:00:00Z', 'invalid-parameter'],
  ['/v1/history?app=', 'invalid-parameter'],
  ['/v1/relays/4711', 'route-not-found'],
  ['/docs/static/..%2f..%2fpackage.json', 'route-not-found'],
  ['/docs/static/%00', 'malformed-request'],
  ['/nothing?x=%zz', 'malformed-url'],
  [`/${'x'.repeat(100_000)}`, 'url-too-long'],
];

t.test('a bad URL is refused with a problem that says what is wrong', async (t) => {
  const { app } = startServer(t);
  for (const [url, code] of badUrls) {
    const response = await app.inject(url);
    const name = url.length > 80 ? `${url.slice(0, 80)}… (${url.length})` : url;
    t.equal(response.headers['content-type'], 'application/problem+json', name);
    const body = response.json<ProblemBody>();
    t.match(body, { code, status: problems[code].status, type: `/problems/${code}` }, name);
    t.equal(response.statusCode, problems[code].status, name);
    t.ok(body.detail.length > 0 && body.detail.length < 3000, `${name}: detail of a sane length`);
    if (code === 'invalid-parameter') t.ok((body.errors?.length ?? 0) > 0, `${name}: says where`);
  }
});

t.test('a refusal names each parameter that is wrong and what it takes', async (t) => {
  const { app } = startServer(t);
  const typo = (await app.inject('/v1/processes?nmae=x&limit=ten')).json<ProblemBody>();
  t.match(typo.errors, [
    { in: 'query', name: 'nmae', detail: /not known.*name, pid, app, verdict/ },
    { in: 'query', name: 'limit', detail: 'must be a whole number, is "ten"' },
  ]);
  const choice = (await app.inject('/v1/processes?sort=bytes&limit=0')).json<ProblemBody>();
  const errors = (choice.errors ?? []).toSorted((a, b) => a.name.localeCompare(b.name));
  t.match(errors, [
    { in: 'query', name: 'limit', detail: 'must be >= 1' },
    { in: 'query', name: 'sort', detail: 'must be one of relayed, sent, received, name' },
  ]);
  const verdict = (await app.inject('/v1/relays?verdict=none')).json<ProblemBody>();
  t.match(verdict.errors, [{ in: 'query', name: 'verdict', detail: 'must be one of suspected, relay' }]);
});

t.test('methods that a path does not have are 405 with Allow, whatever the body', async (t) => {
  const { app } = startServer(t);
  const paths = [
    '/v1/processes',
    '/v1/processes/4711',
    '/v1/relays',
    '/v1/events',
    '/metrics',
    '/openapi.json',
    '/docs',
  ];
  for (const path of paths) {
    for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE'] as const) {
      const response = await app.inject({
        method: method as 'POST',
        url: path,
        headers: { 'content-type': 'application/json' },
        ...(method === 'TRACE' ? {} : { payload: '{"broken": ' }),
      });
      t.equal(response.statusCode, 405, `${method} ${path}`);
      t.equal(response.headers.allow, 'GET, HEAD', `${method} ${path}`);
      t.match(response.json<ProblemBody>(), { code: 'method-not-allowed' });
    }
  }
  const unknown = await app.inject({ method: 'POST', url: '/nothing', payload: '{' });
  t.match(unknown.json<ProblemBody>(), { code: 'route-not-found' });
});

t.test('what cannot be answered in an accepted form is 406', async (t) => {
  const { app } = startServer(t);
  const cases: [string, string, number][] = [
    ['/v1/processes', 'text/html', 406],
    ['/v1/processes', 'application/json;q=0', 406],
    ['/v1/processes', 'text/html, */*;q=0.1', 200],
    ['/v1/processes', 'application/*', 200],
    ['/v1/processes', '', 200],
    ['/v1/events', 'application/json', 406],
    ['/metrics', 'text/html', 200],
  ];
  for (const [url, accept, status] of cases) {
    const response = await app.inject({ url, headers: { accept } });
    t.equal(response.statusCode, status, `${url} as ${accept}`);
    if (status === 406) t.match(response.json<ProblemBody>(), { code: 'not-acceptable' });
  }
});

t.test('bodies are refused for their form, size and content before any handler sees them', async (t) => {
  const server = startServer(t);
  let handled = 0;
  server.app.put(
    '/test-body',
    { schema: { body: { type: 'object', required: ['rate'], properties: { rate: { type: 'integer' } } } } },
    () => {
      handled += 1;
      return {};
    },
  );
  const json = 'application/json';
  const cases: [string | undefined, string, ProblemCode][] = [
    [json, '', 'malformed-body'],
    [json, '{"rate": ', 'malformed-body'],
    [json, '{"rate": 1}}', 'malformed-body'],
    [json, '\0', 'malformed-body'],
    [json, '{"__proto__": {"rate": 1}}', 'malformed-body'],
    [json, 'null', 'invalid-body'],
    [json, '[]', 'invalid-body'],
    [json, '{}', 'invalid-body'],
    [json, '{"rate": "1"}', 'invalid-body'],
    [json, '{"rate": 1, "rate": 1}', 'invalid-body'],
    [json, '{"rate": 1, "r\\u0061te" : 2}', 'invalid-body'],
    [json, '{"rate": 1, "more": [{"deep": {"a": "{\\"", "a": {}}}]}', 'invalid-body'],
    [json, `{"rate": ${'1'.repeat(70_000)}}`, 'body-too-large'],
    ['text/plain', 'x', 'unsupported-media-type'],
    ['application/x-www-form-urlencoded', 'rate=1', 'unsupported-media-type'],
    ['application/xml', '<rate/>', 'unsupported-media-type'],
    ['not a type', '{"rate": 1}', 'unsupported-media-type'],
  ];
  for (const [type, payload, code] of cases) {
    const response = await server.app.inject({
      method: 'PUT',
      url: '/test-body',
      headers: type === undefined ? {} : { 'content-type': type },
      payload,
    });
    t.match(response.json<ProblemBody>(), { code, status: problems[code].status }, `${type} ${payload.slice(0, 40)}`);
  }
  t.equal(handled, 0);
  const payload = '{"rate": 1, "rates": [{"rate": 1}, {"rate": "rate"}, "rate"], "more": {"rate": ", \\"rate\\": "}}';
  const sound = { method: 'PUT', url: '/test-body', headers: { 'content-type': json }, payload } as const;
  t.equal((await server.app.inject(sound)).statusCode, 200, 'one name in several objects is nobody’s fault');
});

t.test('broken HTTP gets a problem body as well', async (t) => {
  const { url } = await listenEverywhere(t);
  const cases: [string, string | Buffer, ProblemCode][] = [
    ['garbage', 'garbage\r\n\r\n', 'malformed-request'],
    ['a TLS hello', Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01]), 'malformed-request'],
    ['a NUL in the path', 'GET /v1/\0 HTTP/1.1\r\nHost: localhost\r\n\r\n', 'malformed-request'],
    ['a NUL in a header', 'GET / HTTP/1.1\r\nHost: localhost\r\nX: \0\r\n\r\n', 'malformed-request'],
    ['no Host', 'GET /v1/status HTTP/1.1\r\nConnection: close\r\n\r\n', 'malformed-request'],
    [
      'two lengths',
      'POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx',
      'malformed-request',
    ],
    [
      'length and chunks',
      'POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      'malformed-request',
    ],
    ['a long query', `GET /?${'x'.repeat(100_000)} HTTP/1.1\r\nHost: localhost\r\n\r\n`, 'headers-too-large'],
    ['a long header', `GET / HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(100_000)}\r\n\r\n`, 'headers-too-large'],
    [
      'another host as target',
      'GET http://example.org/v1/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n',
      'host-not-allowed',
    ],
    [
      'two Hosts',
      'GET /v1/status HTTP/1.1\r\nHost: localhost\r\nHost: x\r\nConnection: close\r\n\r\n',
      'malformed-request',
    ],
    ['CONNECT', 'CONNECT example.org:80 HTTP/1.1\r\nHost: localhost\r\n\r\n', 'method-not-allowed'],
    [
      'an expectation that nobody knows',
      'GET /v1/processes/1 HTTP/1.1\r\nHost: localhost\r\nExpect: wonders\r\nConnection: close\r\n\r\n',
      'process-not-found',
    ],
    ['a star', 'OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n', 'route-not-found'],
  ];
  for (const [name, bytes, code] of cases) {
    const [head = '', body = ''] = (await sendRaw(url, bytes)).split('\r\n\r\n');
    t.match(head, new RegExp(`^HTTP/1\\.1 ${problems[code].status} `), name);
    t.match(head.toLowerCase(), 'content-type: application/problem+json', name);
    t.match(body, new RegExp(`"code":"${code}"`), name);
  }
});

t.test('what is wrong with a body as a whole is said of the body', async (t) => {
  const server = startServer(t);
  server.app.put('/test-body', { schema: { body: { type: 'object' } } }, () => ({}));
  const detailOf = async (type: string, payload: string): Promise<string> => {
    const request = { method: 'PUT', url: '/test-body', headers: { 'content-type': type }, payload } as const;
    return (await server.app.inject(request)).json<ProblemBody>().detail;
  };
  t.equal(await detailOf('application/json', '[]'), 'body: must be object');
  t.equal(await detailOf('application/json', '{"a": {"b": 1, "b": 2}}'), 'body a.b: is there twice');
  t.equal(await detailOf('text/plain', '{}'), 'The body has to be announced as application/json.');
  const encoded = await server.app.inject({
    method: 'PUT',
    url: '/test-body',
    headers: { 'content-type': 'application/json', 'content-encoding': 'gzip' },
    payload: '{}',
  });
  t.match(encoded.json<ProblemBody>(), { status: 415, detail: 'A body is not taken as gzip: send it as it is.' });
});

t.test('a connection that breaks off leaves the server answering', async (t) => {
  const { url, server } = await listenEverywhere(t);
  const { port } = new URL(url);
  const socket = connect(Number(port), '127.0.0.1');
  await once(socket, 'connect');
  socket.write('GET /v1/status HTTP/1.1\r\nHost: lo');
  socket.resetAndDestroy();
  await once(socket, 'close');
  t.equal((await server.app.inject('/healthz')).statusCode, 200);
});

t.test('a failure of the agent is 500 with its cause in the log and none of it in the answer', async (t) => {
  const readings = makeReadings();
  readings.status = () => {
    throw new Error('secret detail');
  };
  const log = captureLog();
  const { app } = startServer(t, { readings, logger: log.logger });
  const response = await app.inject('/v1/status');
  t.equal(response.statusCode, 500);
  const body = response.json<ProblemBody>();
  t.match(body, { code: 'internal-error', status: 500, requestId: String });
  t.notMatch(response.body, /secret|\.ts|stack/);
  const logged = log.lines().find((line) => line['reqId'] === body.requestId);
  t.match(logged, { level: 50, code: 'internal-error', err: { message: 'secret detail', stack: /bad-input\.test/ } });
});
