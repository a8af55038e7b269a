import { request } from 'node:http';
import t, { type Test } from 'tap';
import { AgentError } from '../../agent/errors.ts';
import type { ApiServer } from '../../api/server.ts';
import { parseTokens } from '../../api/tokens.ts';
import { AGENT_PID, ControlHost, type ControlHostOptions, makeRecord } from '../agent/policies/control-host.ts';
import { listenEverywhere, startServer } from './fixture.ts';

const TOKENS = parseTokens('admin control control-token-0123456789\nviewer read read-token-0123456789\n');
const asAdmin = { authorization: 'Bearer control-token-0123456789' };
const asViewer = { authorization: 'Bearer read-token-0123456789' };
const cap = { match: { app: 'socat' }, rate: { bytesPerSecond: 4096 } };

interface Answer {
  status: number;
  body: Record<string, unknown> & { code?: string; errors?: { in: string; name: string }[] };
}

type Ask = (method: string, url: string, body?: unknown, headers?: Record<string, string>) => Promise<Answer>;

function start(t: Test, options: ControlHostOptions = {}): { host: ControlHost; server: ApiServer; ask: Ask } {
  const host = new ControlHost({ records: [makeRecord()], ...options });
  const server = startServer(t, { control: host.control, tokens: TOKENS });
  const ask: Ask = async (method, url, body, headers = asAdmin) => {
    const response = await server.app.inject({
      method: method as 'GET',
      url,
      headers,
      ...(body === undefined ? {} : { payload: body as object }),
    });
    return { status: response.statusCode, body: response.json() };
  };
  return { host, server, ask };
}

t.test('PUT answers the effective policy, GET lists it, DELETE removes it', async (t) => {
  const { ask } = start(t);
  const put = await ask('PUT', '/v1/policies/cap-socat', cap);
  t.equal(put.status, 200);
  t.match(put.body, {
    name: 'cap-socat',
    match: { app: 'socat' },
    scope: 'relay',
    enabled: true,
    expiresAt: null,
    rate: { bytesPerSecond: 4096, direction: 'both' },
    quota: null,
    deny: null,
    state: 'active',
    matches: [{ pid: 4711 }],
  });
  t.same((await ask('PUT', '/v1/policies/cap-socat', cap)).body, put.body, 'idempotent');
  t.same((await ask('GET', '/v1/policies')).body, { policies: [put.body] });
  t.same((await ask('GET', '/v1/policies/cap-socat', undefined, {})).body, put.body, 'reading takes no token here');
  t.equal((await ask('DELETE', '/v1/policies/cap-socat')).status, 200);
  t.match(await ask('DELETE', '/v1/policies/cap-socat'), { status: 404, body: { code: 'policy-not-found' } });
  t.same((await ask('GET', '/v1/policies')).body, { policies: [] });
});

t.test('a disk that can’t be written to is no fault of the request, and nothing has changed', async (t) => {
  const { ask, host } = start(t);
  host.db.exec('DROP TABLE policies');
  const refused = { status: 507, body: { code: 'state-unwritable', detail: /^The policy can't be written to disk: / } };
  t.match(await ask('PUT', '/v1/policies/cap-socat', cap), refused);
  t.same((await ask('GET', '/v1/policies')).body, { policies: [] });
});

t.test('a dry run answers whom it would hold, and changes nothing', async (t) => {
  const { ask, host } = start(t);
  const dry = await ask('PUT', '/v1/policies/x?dryRun=true', cap);
  t.match(dry, { status: 200, body: { dryRun: true, matches: [{ pid: 4711 }] } });
  t.same((await ask('GET', '/v1/policies')).body, { policies: [] });
  t.same(host.enforcer?.calls, []);
  t.same(host.control.audit(), []);
});

t.test('a body that is wrong is refused with what is wrong, and changes nothing', async (t) => {
  const { ask, host } = start(t);
  await ask('PUT', '/v1/policies/cap-socat', cap);
  const before = await ask('GET', '/v1/policies');
  const calls = host.enforcer?.calls.length;
  const cases: [body: unknown, status: number, code: string, name: string | null][] = [
    [undefined, 400, 'invalid-body', null],
    ['{', 400, 'malformed-body', null],
    ['[]', 400, 'invalid-body', ''],
    [{}, 400, 'invalid-body', 'match'],
    [{ match: {} }, 422, 'invalid-policy', 'match'],
    [{ match: { app: 'socat' } }, 422, 'invalid-policy', ''],
    [{ ...cap, extra: 1 }, 400, 'invalid-body', 'extra'],
    [{ ...cap, match: { app: 'socat', extra: 1 } }, 400, 'invalid-body', 'match.extra'],
    [{ ...cap, match: { app: '' } }, 400, 'invalid-body', 'match.app'],
    [{ ...cap, match: { pid: 99 } }, 422, 'invalid-policy', 'match.pid'],
    [{ ...cap, rate: { bytesPerSecond: 0 } }, 400, 'invalid-body', 'rate.bytesPerSecond'],
    [{ ...cap, rate: { bytesPerSecond: -5 } }, 400, 'invalid-body', 'rate.bytesPerSecond'],
    [{ ...cap, rate: { bytesPerSecond: '4K' } }, 400, 'invalid-body', 'rate.bytesPerSecond'],
    [{ ...cap, rate: { bytesPerSecond: 1, direction: 'up' } }, 400, 'invalid-body', 'rate.direction'],
    [{ ...cap, scope: 'everything' }, 400, 'invalid-body', 'scope'],
    [{ ...cap, expiresAt: 'tomorrow' }, 400, 'invalid-body', 'expiresAt'],
    [{ ...cap, expiresAt: '2020-01-01T00:00:00Z' }, 422, 'invalid-policy', 'expiresAt'],
    [{ ...cap, deny: { inbound: true, ports: '0-80' } }, 422, 'invalid-policy', 'deny.ports'],
    [{ ...cap, deny: {} }, 422, 'invalid-policy', 'deny'],
    [{ ...cap, quota: { bytes: 1, period: 'week', then: 'deny' } }, 400, 'invalid-body', 'quota.period'],
  ];
  for (const [body, status, code, name] of cases) {
    const headers = typeof body === 'string' ? { ...asAdmin, 'content-type': 'application/json' } : asAdmin;
    const answer = await ask('PUT', '/v1/policies/cap-socat', body, headers);
    t.match(answer, { status, body: { code } }, JSON.stringify(body));
    if (name !== null)
      t.ok(
        answer.body.errors?.some((error) => error.name === name),
        `${JSON.stringify(body)}: ${name}`,
      );
  }
  t.match(await ask('PUT', '/v1/policies/a%20b', cap), { status: 422, body: { code: 'invalid-policy' } });
  t.match(await ask('PUT', '/v1/policies/x?dryrun=true', cap), { status: 400, body: { code: 'invalid-parameter' } });
  t.same(await ask('GET', '/v1/policies'), before);
  t.equal(host.enforcer?.calls.length, calls);
});

t.test('only root on the Unix socket, or a token with the role control, may change anything', async (t) => {
  const { ask, host, server } = start(t);
  const calls: [method: string, url: string, body?: unknown][] = [
    ['PUT', '/v1/policies/x', cap],
    ['DELETE', '/v1/policies/x'],
    ['POST', '/v1/processes/4711/kill', {}],
    ['POST', '/v1/processes/4711/disconnect', {}],
  ];
  for (const [method, url, body] of calls) {
    t.match(await ask(method, url, body, {}), { status: 401, body: { code: 'token-required' } }, `${method} ${url}`);
    const unknown = { authorization: 'Bearer not-a-token-that-is-known' };
    t.match(
      await ask(method, url, body, unknown),
      { status: 401, body: { code: 'token-invalid' } },
      `${method} ${url}`,
    );
    t.match(await ask(method, url, body, asViewer), { status: 403, body: { code: 'control-not-permitted' } });
    const wrong = { authorization: 'Bearer wrong-token-0123456789' };
    t.match(await ask(method, url, body, wrong), { status: 401, body: { code: 'token-invalid' } });
    const rebound = { ...asAdmin, host: 'evil.example' };
    t.match(await ask(method, url, body, rebound), { status: 421, body: { code: 'host-not-allowed' } });
    const remote = { method: method as 'GET', url, headers: asViewer, remoteAddress: '192.0.2.7' };
    t.equal((await server.app.inject(remote)).statusCode, 403);
  }
  t.same(host.signals, []);
  t.same(host.enforcer?.calls, []);
  const [last] = host.control.audit();
  t.match(last, {
    action: 'access',
    actor: 'viewer',
    token: 'viewer',
    result: 'control-not-permitted',
    detail: { message: 'The token viewer may read, not change anything.' },
  });
});

t.test('over the Unix socket it is root who may, as the kernel says who that is', async (t) => {
  const host = new ControlHost({ records: [makeRecord()] });
  let uid: number | null = 0;
  const { socketPath } = await listenEverywhere(t, {
    control: host.control,
    tokens: TOKENS,
    peerCredentials: (fd) => (fd > 0 && uid !== null ? { pid: 1234, uid } : null),
  });
  const remove = (headers: Record<string, string> = {}): Promise<number> => {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const sent = request(
      { socketPath, path: '/v1/policies/x', method: 'DELETE', agent: false, headers },
      (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      },
    );
    sent.on('error', reject).end();
    return promise;
  };
  t.equal(await remove(), 404);
  t.match(host.control.audit(), [
    { action: 'policy-removed', actor: 'root', uid: 0, token: null, result: 'POLICY_UNKNOWN' },
  ]);
  uid = 1000;
  t.equal(await remove(), 403);
  t.match(host.control.audit()[0], { action: 'access', actor: '1000', uid: 1000, target: 'DELETE /v1/policies/x' });
  t.equal(await remove(asAdmin), 404, 'a token will do');
  uid = null;
  t.equal(await remove(), 403);
});

t.test('kill: exactly this process, or nothing', async (t) => {
  const { ask, host } = start(t);
  const kill = (pid: number, body?: unknown): Promise<Answer> => ask('POST', `/v1/processes/${pid}/kill`, body);
  const startedAt = '2026-11-22T05:00:00.000Z';
  t.match(await kill(4711, { startedAt }), {
    status: 200,
    body: { pid: 4711, name: 'socat', signal: 'SIGTERM', startedAt },
  });
  t.equal((await kill(4711)).status, 200, 'without a body');
  t.match(await kill(4711, { signal: 'SIGKILL' }), { body: { signal: 'SIGKILL' } });
  t.same(host.signals, ['SIGTERM 4711', 'SIGTERM 4711', 'SIGKILL 4711']);
  host.signals.length = 0;
  const cases: [pid: number, body: unknown, status: number, code: string][] = [
    [4711, { startedAt: '2026-11-22T04:00:00.000Z' }, 409, 'process-changed'],
    [4711, { executable: '/bin/other' }, 409, 'process-changed'],
    [4711, { signal: 'SIGSEGV' }, 400, 'invalid-body'],
    [4711, { startedAt: 'now' }, 400, 'invalid-body'],
    [4711, { sig: 'SIGTERM' }, 400, 'invalid-body'],
    [4711, { force: true }, 422, 'reason-required'],
    [999, {}, 404, 'process-not-found'],
    [0, {}, 403, 'process-protected'],
  ];
  for (const [pid, body, status, code] of cases) {
    t.match(await kill(pid, body), { status, body: { code } }, `${pid} ${JSON.stringify(body)}`);
  }
  host.add(makeRecord({ tgid: AGENT_PID, name: 'node' }));
  t.match(await kill(AGENT_PID, {}), { status: 403, body: { code: 'process-protected' } });
  t.same(host.signals, []);
  t.equal((await kill(AGENT_PID, { force: true, reason: 'it is wedged' })).status, 200);
  t.match(host.control.audit()[0], {
    actor: 'admin',
    token: 'admin',
    address: '127.0.0.1',
    action: 'kill',
    target: `process ${AGENT_PID} (node)`,
    result: 'done',
    reason: 'it is wedged',
    detail: { signal: 'SIGTERM', forced: true },
  });
});

t.test('disconnect: relayed connections, or all of them', async (t) => {
  const { ask, host } = start(t);
  const disconnect = (pid: number, body?: unknown): Promise<Answer> =>
    ask('POST', `/v1/processes/${pid}/disconnect`, body);
  t.match(await disconnect(4711), { status: 200, body: { pid: 4711, name: 'socat', tcp: 3, udp: 1 } });
  await disconnect(4711, { scope: 'all', startedAt: '2026-11-22T05:00:00.000Z' });
  t.match(host.enforcer?.calls, [/^disconnect \d+ relay$/, /^disconnect \d+ all$/]);
  t.match(host.control.audit()[0], { action: 'disconnect', detail: { scope: 'all', tcp: 3, udp: 1 } });
  t.match(await disconnect(999), { status: 404, body: { code: 'process-not-found' } });
  const other = { startedAt: '2026-11-22T04:00:00.000Z' };
  t.match(await disconnect(4711, other), { status: 409, body: { code: 'process-changed' } });
  t.match(await disconnect(4711, { scope: 'some' }), { status: 400, body: { code: 'invalid-body' } });
  host.add(makeRecord({ tgid: 1, name: 'init' }));
  t.match(await disconnect(1), { status: 403, body: { code: 'process-protected' } });
});

t.test('what the kernel refuses or lacks says so', async (t) => {
  const { ask, host } = start(t);
  for (const name of ['a', 'b', 'c', 'd']) await ask('PUT', `/v1/policies/${name}`, cap);
  t.match(await ask('PUT', '/v1/policies/e', cap), { status: 409, body: { code: 'enforcement-full' } });
  if (host.enforcer) host.enforcer.refusal = new AgentError('ENFORCEMENT_UNSUPPORTED', 'no sk_lookup here');
  const refused = await ask('PUT', '/v1/policies/a', { ...cap, scope: 'all' });
  t.match(refused, { status: 422, body: { code: 'enforcement-unsupported', detail: 'No sk_lookup here.' } });
  const without = start(t, { enforcer: null });
  t.match(await without.ask('PUT', '/v1/policies/a', cap), { status: 503, body: { code: 'enforcement-unavailable' } });
  const cut = await without.ask('POST', '/v1/processes/4711/disconnect');
  t.match(cut, { status: 503, body: { code: 'enforcement-unavailable' } });
  t.equal((await without.ask('POST', '/v1/processes/4711/kill')).status, 200, 'killing takes no enforcer');
});

t.test('the file’s policies can only be read', async (t) => {
  const { quota: _, ...filed } = { ...cap, scope: 'relay', enabled: true, expiresAt: null, quota: null, deny: null };
  const policy = { ...filed, quota: null, rate: { bytesPerSecond: 1, direction: 'both' } } as never;
  const { ask } = start(t, { configured: new Map([['filed', policy]]) });
  for (const [method, body] of [['PUT', cap], ['DELETE']] as const) {
    t.match(await ask(method, '/v1/policies/filed', body), { status: 409, body: { code: 'policy-read-only' } });
  }
  t.match((await ask('GET', '/v1/policies')).body, { policies: [{ name: 'filed', source: 'config' }] });
});

t.test('protected processes are only held by force, with a reason', async (t) => {
  const { ask, host } = start(t);
  host.add(makeRecord({ tgid: 1, name: 'init', app: 'init' }));
  const policy = { match: { pid: 1 }, scope: 'all', deny: { inbound: true } };
  t.match(await ask('PUT', '/v1/policies/x', policy), { status: 403, body: { code: 'process-protected' } });
  t.match(await ask('PUT', '/v1/policies/x?force=true', policy), { status: 422, body: { code: 'reason-required' } });
  t.equal((await ask('PUT', '/v1/policies/x?force=true&reason=drill', policy)).status, 200);
  t.match(host.control.audit()[0], {
    action: 'policy-put',
    target: 'x',
    reason: 'drill',
    detail: { forced: true, policy },
  });
});

t.test('the audit comes in pages, the newest first', async (t) => {
  const { ask } = start(t);
  for (let i = 0; i < 5; i++) await ask('DELETE', `/v1/policies/n${i}`);
  const targets: unknown[] = [];
  for (let cursor: unknown = ''; cursor !== null; ) {
    const page = await ask('GET', `/v1/audit?limit=2${cursor === '' ? '' : `&cursor=${cursor}`}`);
    targets.push(...(page.body['audit'] as { target: string }[]).map(({ target }) => target));
    cursor = page.body['nextCursor'];
  }
  t.same(targets, ['n4', 'n3', 'n2', 'n1', 'n0']);
});

t.test('what a name means: an app before a process, and exactly', async (t) => {
  const { ask, host } = start(t);
  host.add(makeRecord({ tgid: 5, name: 'relay.py', app: 'python3.11' }));
  host.apps.add('skype');
  const meaning = async (name: string): Promise<unknown> => (await ask('GET', `/v1/names/${name}`)).body;
  const [socat] = host.records.map(({ tgid: pid, startedAtMs, name, app }) => {
    return { pid, startedAt: new Date(startedAtMs).toISOString(), name, app };
  });
  t.same(await meaning('socat'), { match: { app: 'socat' }, by: 'app', isKnown: true, processes: [socat] });
  t.match(await meaning('relay.py'), {
    match: { name: 'relay.py' },
    by: 'name',
    isKnown: true,
    processes: [{ pid: 5 }],
  });
  t.match(await meaning('skype'), { match: { app: 'skype' }, by: 'app', isKnown: true, processes: [] });
  t.match(await meaning('soca'), { match: { name: 'soca' }, by: 'name', isKnown: false, processes: [] });
  t.match(await meaning('a-name-too-long-for-comm'), { match: { app: 'a-name-too-long-for-comm' }, isKnown: false });
});
