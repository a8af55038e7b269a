import t, { type Test } from 'tap';
import type { PolicyReading } from '../../agent/policies/policy.ts';
import { parseTokens } from '../../api/tokens.ts';
import { AGENT_PID, ControlHost, makeRecord } from '../agent/policies/control-host.ts';
import { startServer } from './fixture.ts';

/* Whatever comes, the answer is one of the contract, and what was refused has changed nothing. */

const authorization = 'Bearer control-token-0123456789';
const asJson = { authorization, 'content-type': 'application/json' };
const cap = { match: { app: 'socat' }, rate: { bytesPerSecond: 4096 } };

interface Server {
  host: ControlHost;
  send: (method: string, url: string, payload?: string) => Promise<{ status: number; body: { code?: string } }>;
}

function start(t: Test): Server {
  const host = new ControlHost({ records: [makeRecord(), makeRecord({ tgid: AGENT_PID, name: 'node', app: 'node' })] });
  const server = startServer(t, {
    control: host.control,
    tokens: parseTokens('admin control control-token-0123456789\n'),
  });
  const send: Server['send'] = async (method, url, payload) => {
    const response = await server.app.inject({
      method: method as 'PUT',
      url,
      ...(payload === undefined ? { headers: { authorization } } : { headers: asJson, payload }),
    });
    return { status: response.statusCode, body: response.json() };
  };
  return { host, send };
}

/** The same numbers each time: what fails can be run again. */
function randomness(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const odd: unknown[] = [
  null, true, false, 0, -0, -1, 1, 1.5, 1e308, -1e308, 2 ** 53, 2 ** 53 - 1, 2 ** 31, 2 ** 32, 65_536, 4_294_967_295,
  '', ' ', '0', '1', 'null', 'relay', 'all', 'x'.repeat(5000), '\u0000', '\u001b[2J', '💩'.repeat(8), '\ud800', '../..', '__proto__',
  '80', '1-65535', '65535-1', '0-0', '99999', '80-', '-80', '2026-11-22T05:00:00Z', '9999-12-31T23:59:59Z', '+275760-09-13T00:00:00Z', '2026-02-30T00:00:00Z',
  [], [[]], [1, 2], ['socat'], {}, { app: 'socat' }, { $ne: null }, { toString: 1 }, { constructor: {} },
]; // biome-ignore format: a table
const keys = [
  'match', 'scope', 'enabled', 'expiresAt', 'rate', 'quota', 'deny', 'app', 'profile', 'name', 'executable', 'pid', 'uid', 'unit', 'container',
  'bytesPerSecond', 'direction', 'bytes', 'period', 'then', 'throttleBytesPerSecond', 'inbound', 'outbound', 'ports', 'how', 'nothing', '', 'constructor',
]; // biome-ignore format: a table
const whole = {
  match: { app: 'socat', uid: 0 },
  scope: 'all',
  enabled: true,
  expiresAt: '2027-01-01T00:00:00Z',
  rate: { bytesPerSecond: 1000, direction: 'sent' },
  quota: { bytes: 1000, period: 'day', then: 'kill', throttleBytesPerSecond: 10 },
  deny: { inbound: true, outbound: true, ports: '1-65535', how: 'reject' },
};

/** A sound policy with some of it replaced, added or left out. */
function spoil(random: (below: number) => number): unknown {
  const policy = structuredClone(whole) as unknown as Record<string, Record<string, unknown>>;
  for (let changes = 1 + random(3); changes > 0; changes--) {
    const parts = [policy, ...Object.values(policy)].filter((part) => typeof part === 'object' && part !== null);
    const part = parts[random(parts.length)] as Record<string, unknown>;
    const members = random(3) === 0 ? keys : Object.keys(part);
    const key = members[random(members.length)] ?? '';
    if (random(4) === 0) delete part[key];
    else
      Object.defineProperty(part, key, {
        value: odd[random(odd.length)],
        enumerable: true,
        configurable: true,
        writable: true,
      });
  }
  return policy;
}

t.test('a body that is not a policy is refused with what is wrong, and changes nothing', async (t) => {
  const { host, send } = start(t);
  const random = randomness(20_261_122);
  t.equal((await send('PUT', '/v1/policies/kept', JSON.stringify(cap))).status, 200);
  let refused = 0;
  for (let i = 0; i < 1500; i++) {
    const payload = JSON.stringify(random(20) === 0 ? odd[random(odd.length)] : spoil(random));
    const before = JSON.stringify([host.policies.list(), [...(host.enforcer?.policies ?? [])]]);
    const { status, body } = await send('PUT', '/v1/policies/kept', payload);
    if (status === 200) continue;
    refused++;
    if (![400, 403, 409, 413, 422].includes(status) || typeof body.code !== 'string')
      t.fail(`${status} for ${payload}`);
    const after = JSON.stringify([host.policies.list(), [...(host.enforcer?.policies ?? [])]]);
    if (after !== before) t.fail(`refused, and something has changed: ${payload}`);
  }
  t.ok(refused > 500, `${refused} were refused`);
});

t.test('names, sizes and bytes that are not even JSON', async (t) => {
  const { host, send } = start(t);
  const names = [
    'x'.repeat(10_240),
    'x'.repeat(64),
    '..',
    '.',
    '%2e%2e%2f',
    '%00',
    '%f0%9f%92%a9',
    'a%0ab',
    '__proto__',
    "'%20OR%201=1--",
  ];
  for (const name of names) {
    for (const method of ['PUT', 'DELETE', 'GET']) {
      const { status, body } = await send(
        method,
        `/v1/policies/${name}`,
        method === 'PUT' ? JSON.stringify(cap) : undefined,
      );
      t.ok(
        status >= 400 && status < 500 && typeof body.code === 'string',
        `${method} ${name.slice(0, 20)}: ${status} ${body.code}`,
      );
    }
  }
  const nested = '['.repeat(30_000) + ']'.repeat(30_000);
  for (const payload of [
    '',
    '{',
    '\ufeff',
    '{"match":{"app":"a"},"match":',
    nested,
    `{"match":${nested}}`,
    `"${'x'.repeat(70_000)}"`,
    'NaN',
    '\u0000',
  ]) {
    const { status, body } = await send('PUT', '/v1/policies/x', payload);
    t.ok(
      status >= 400 && status < 500 && typeof body.code === 'string',
      `${payload.slice(0, 20)}: ${status} ${body.code}`,
    );
  }
  t.same(host.policies.list(), []);
  t.same(host.enforcer?.calls, []);
});

t.test('ten thousand policies: as many as there is room for, and the rest is refused', async (t) => {
  const { host, send } = start(t);
  const actor = { uid: 0, pid: null, token: null, address: null };
  let kept = 0;
  for (let i = 0; i < 10_000; i++) {
    const put = { name: `p${i}`, policy: { ...cap, enabled: false }, dryRun: false, forced: false, reason: null };
    try {
      host.control.putPolicy(put, actor);
      kept++;
    } catch (error) {
      if ((error as { code?: string }).code !== 'ENFORCEMENT_FULL') throw error;
    }
  }
  t.equal(kept, 1000);
  t.match(await send('PUT', '/v1/policies/more', JSON.stringify(cap)), {
    status: 409,
    body: { code: 'enforcement-full' },
  });
  t.equal((await send('PUT', '/v1/policies/p7', JSON.stringify(cap))).status, 200, 'one that is there can be changed');
  t.equal((await send('DELETE', '/v1/policies/p8')).status, 200);
  t.equal((await send('PUT', '/v1/policies/more', JSON.stringify(cap))).status, 200, 'and another put in its place');
});

t.test('many at once under one name: each is done as a whole, and each stands in the audit', async (t) => {
  const { host, send } = start(t);
  const random = randomness(7);
  const storm = Array.from({ length: 300 }, (_, i) => {
    const policy = { ...cap, rate: { bytesPerSecond: 1000 + i } };
    return random(3) === 0
      ? send('DELETE', '/v1/policies/one')
      : send('PUT', '/v1/policies/one', JSON.stringify(policy));
  });
  for (const { status } of await Promise.all(storm)) if (![200, 404].includes(status)) t.fail(`${status}`);
  t.equal(host.control.audit().filter(({ target }) => target === 'one').length, 300);
  await send('PUT', '/v1/policies/one', JSON.stringify(cap));
  const [reading] = host.policies.list() as [PolicyReading];
  t.equal(host.enforcer?.policies.get('one')?.policy.rate?.bytesPerSecond, reading.rate?.bytesPerSecond);
  t.same(host.enforcer?.assigned(host.records[0] as never), ['one']);
});
