import t from 'tap';
import { AgentError } from '../../../agent/errors.ts';
import type { Policy } from '../../../agent/policies/policy.ts';
import { readPolicy } from '../../../agent/policies/validate.ts';
import { AGENT_PID, ControlHost, type ControlHostOptions, makeRecord } from './control-host.ts';
import { FakeEnforcer } from './fake-enforcer.ts';

const NOW = Date.UTC(2026, 10, 22, 5);
const HOUR = 3_600_000;
const BY_HAND = { dryRun: false, forced: false, spared: [] };
const socatCap = { match: { app: 'socat' }, rate: { bytesPerSecond: 4096 } };

/** The same store, kernel and clock under the next agent. */
function restart(host: ControlHost, override: ControlHostOptions = {}): ControlHost {
  const { db, clock, enforcer, records } = host;
  return new ControlHost({
    db,
    clock,
    enforcer,
    records: records.filter(({ exitedAtMs }) => exitedAtMs === null),
    ...override,
  });
}

function configured(policies: Record<string, unknown>): ReadonlyMap<string, Policy> {
  return new Map(Object.entries(policies).map(([name, policy]) => [name, readPolicy(policy, 0)]));
}

t.test('a policy is installed, holds whom it matches, and is listed with them', async (t) => {
  const socat = makeRecord();
  const host = new ControlHost({ records: [socat, makeRecord({ tgid: 8, app: 'curl', name: 'curl' })] });
  const reading = host.policies.put('cap-socat', socatCap, BY_HAND);
  t.match(reading, { name: 'cap-socat', state: 'active', source: 'api', scope: 'relay', dryRun: false, problem: null });
  t.match(reading.matches, [{ pid: 4711, name: 'socat', app: 'socat', startedAt: '2026-11-22T05:00:00.000Z' }]);
  const installed = host.enforcer?.policies.get('cap-socat');
  t.match(installed, {
    policy: { scope: 'relay', rate: { bytesPerSecond: 4096, sent: true, received: true }, quota: null, deny: null },
    early: { executableName: 'socat' },
  });
  t.same(host.enforcer?.assigned(socat), ['cap-socat']);
  t.same(
    host.policies.list().map(({ name }) => name),
    ['cap-socat'],
  );
});

t.test(
  'who starts later, is renamed or execs is matched at the next poll; where nothing changes nothing is told',
  async (t) => {
    const host = new ControlHost();
    host.policies.put('cap-socat', socatCap, BY_HAND);
    const later = host.add(makeRecord({ app: 'bash', name: 'bash' }));
    host.poll();
    t.same(host.enforcer?.assigned(later), []);
    later.app = 'socat';
    host.policies.noticed(later);
    host.poll();
    t.same(host.enforcer?.assigned(later), ['cap-socat']);
    const before = host.enforcer?.calls.length;
    for (let i = 0; i < 10; i++) host.poll();
    t.equal(host.enforcer?.calls.length, before);
    // At exec the kernel has matched early by itself, and wrongly.
    host.enforcer?.assignments.set(later.slot, ['another']);
    host.policies.noticed(later);
    host.poll();
    t.same(host.enforcer?.assigned(later), ['cap-socat']);
  },
);

t.test('removing takes it off everybody; a second time there is nothing to remove', async (t) => {
  const socat = makeRecord();
  const host = new ControlHost({ records: [socat] });
  host.policies.put('cap-socat', socatCap, BY_HAND);
  t.match(host.policies.remove('cap-socat'), { name: 'cap-socat', matches: [{ pid: 4711 }] });
  t.same(host.enforcer?.installed(), []);
  t.same(host.enforcer?.assigned(socat), []);
  t.same(host.policies.list(), []);
  t.throws(() => host.policies.remove('cap-socat'), { code: 'POLICY_UNKNOWN' });
  t.same(restart(host).policies.list(), []);
});

t.test('putting the same again changes nothing that shows', async (t) => {
  const host = new ControlHost({ records: [makeRecord()] });
  const first = host.policies.put('cap-socat', socatCap, BY_HAND);
  host.poll(HOUR);
  t.same(host.policies.put('cap-socat', socatCap, BY_HAND), first);
  const other = host.policies.put('cap-socat', { ...socatCap, scope: 'all' }, BY_HAND);
  t.equal(other.createdAt, first.createdAt);
  t.not(other.changedAt, first.changedAt);
});

t.test('a dry run says whom it would hold, and changes nothing', async (t) => {
  const host = new ControlHost({ records: [makeRecord()] });
  const reading = host.policies.put('cap-socat', socatCap, { ...BY_HAND, dryRun: true });
  t.match(reading, { dryRun: true, state: 'active', matches: [{ pid: 4711 }], effect: null });
  t.same(host.enforcer?.calls, []);
  t.same(host.policies.list(), []);
});

t.test('what is refused has changed nothing', async (t) => {
  const host = new ControlHost({ records: [makeRecord()] });
  host.policies.put('cap-socat', socatCap, BY_HAND);
  const before = host.policies.list();
  const calls = host.enforcer?.calls.length;
  t.throws(() => host.policies.put('cap-socat', { match: {} }, BY_HAND), { code: 'POLICY_INVALID' });
  t.throws(() => host.policies.put('../x', socatCap, BY_HAND), { code: 'POLICY_INVALID' });
  t.throws(() => host.policies.put('by-pid', { ...socatCap, match: { pid: 99 } }, BY_HAND), {
    code: 'POLICY_INVALID',
    faults: [{ name: 'match.pid' }],
  });
  t.equal(host.enforcer?.calls.length, calls);
  if (host.enforcer) host.enforcer.refusal = new AgentError('ENFORCEMENT_UNSUPPORTED', 'no sk_lookup here');
  t.throws(() => host.policies.put('cap-socat', { ...socatCap, scope: 'all' }, BY_HAND), {
    code: 'ENFORCEMENT_UNSUPPORTED',
  });
  t.same(host.policies.list(), before);
});

t.test('a store that can’t be written to leaves the kernel as it was', async (t) => {
  const host = new ControlHost({ records: [makeRecord()] });
  host.policies.put('cap-socat', socatCap, BY_HAND);
  host.db.exec('DROP TABLE policies');
  const refused = { code: 'AGENT_STATE_UNUSABLE' };
  t.throws(() => host.policies.put('other', socatCap, BY_HAND), refused);
  t.same(host.enforcer?.installed(), ['cap-socat']);
  t.throws(() => host.policies.remove('cap-socat'), refused);
  t.same(host.enforcer?.installed(), ['cap-socat']);
  t.throws(() => host.policies.put('cap-socat', { ...socatCap, rate: { bytesPerSecond: 1 } }, BY_HAND));
  t.equal(host.enforcer?.policies.get('cap-socat')?.policy.rate?.bytesPerSecond, 4096);
});

t.test('policies expire, all of them, though the disk can’t be written to', async (t) => {
  const host = new ControlHost({ records: [makeRecord()] });
  const expiresAt = new Date(host.clock.nowMs() + 1000).toISOString();
  for (const name of ['one', 'two']) host.policies.put(name, { ...socatCap, expiresAt }, BY_HAND);
  host.db.exec('DROP TABLE policies');
  host.poll(2000);
  t.same(host.enforcer?.installed(), []);
  t.same(host.policies.list(), []);
  t.equal(host.control.audit().filter(({ action }) => action === 'policy-expired').length, 2);
});

t.test('more policies than there is room for are refused, and more than a process can have are listed', async (t) => {
  const socat = makeRecord();
  const host = new ControlHost({ records: [socat] });
  for (const name of ['a', 'b', 'c', 'd']) {
    host.poll(1);
    host.policies.put(name, socatCap, BY_HAND);
  }
  t.throws(() => host.policies.put('e', socatCap, BY_HAND), { code: 'ENFORCEMENT_FULL' });
  t.same(host.enforcer?.assigned(socat), ['a', 'b'], 'the older ones hold');
  t.match(host.policies.get('c').notApplied, [{ pid: 4711, reason: /^2 policies hold for it already/ }]);
  t.same(host.policies.get('c').matches, []);
  host.policies.remove('a');
  t.same(host.enforcer?.assigned(socat), ['b', 'c'], 'the next one takes the place');
});

t.test('policies outlive the agent and a reboot; what the kernel has besides goes', async (t) => {
  const host = new ControlHost({ records: [makeRecord()] });
  const first = host.policies.put('cap-socat', socatCap, BY_HAND);
  const unknown = host.enforcer?.policies.get('cap-socat');
  if (unknown) host.enforcer?.policies.set('unknown', unknown);
  const next = restart(host);
  t.same(next.enforcer?.installed(), ['cap-socat']);
  t.same(next.policies.get('cap-socat'), first);
  const rebooted = restart(next, {
    enforcer: new FakeEnforcer(),
    bootId: 'next-boot',
    records: [makeRecord({ tgid: 5 })],
  });
  t.match(rebooted.policies.get('cap-socat'), { state: 'active', createdAt: first.createdAt, matches: [{ pid: 5 }] });
  t.same(rebooted.enforcer?.installed(), ['cap-socat']);
});

t.test('one that is switched off is kept, and holds nobody', async (t) => {
  const socat = makeRecord();
  const host = new ControlHost({ records: [socat] });
  host.policies.put('cap-socat', socatCap, BY_HAND);
  const off = host.policies.put('cap-socat', { ...socatCap, enabled: false }, BY_HAND);
  t.match(off, { state: 'disabled', enabled: false, matches: [], effect: null });
  t.same(host.enforcer?.installed(), []);
  t.same(host.enforcer?.assigned(socat), []);
  const next = restart(host);
  t.match(next.policies.list(), [{ name: 'cap-socat', state: 'disabled' }]);
  t.same(next.enforcer?.installed(), []);
  t.match(next.policies.put('cap-socat', socatCap, BY_HAND), { state: 'active', matches: [{ pid: 4711 }] });
});

t.test('the kernel is told when a policy expires, and again after the clock was set', async (t) => {
  const host = new ControlHost({ records: [makeRecord()] });
  host.policies.put('cap-socat', { ...socatCap, expiresAt: new Date(NOW + HOUR).toISOString() }, BY_HAND);
  const installed = host.enforcer?.policies.get('cap-socat');
  t.equal(installed?.policy.expiresAtMs, NOW + HOUR);
  host.enforcer?.setExpiry('cap-socat', 0);
  host.poll();
  t.equal(installed?.policy.expiresAtMs, NOW + HOUR);
});

t.test('a policy ends on time, also where that passed while no agent ran', async (t) => {
  const expiring = { ...socatCap, expiresAt: new Date(NOW + HOUR).toISOString() };
  const host = new ControlHost({ records: [makeRecord()] });
  host.policies.put('cap-socat', expiring, BY_HAND);
  host.poll(HOUR - 1000);
  t.equal(host.policies.list().length, 1);
  host.poll(1000);
  t.same(host.policies.list(), []);
  t.same(host.enforcer?.installed(), []);
  t.match(host.control.audit(), [{ action: 'policy-expired', actor: 'agent', target: 'cap-socat', result: 'done' }]);
  t.match(host.events.at(-1), { type: 'policy-expired', data: { policy: 'cap-socat' } });

  const slept = new ControlHost({ records: [makeRecord()] });
  slept.policies.put('cap-socat', expiring, BY_HAND);
  slept.clock.advance(2 * HOUR);
  const next = restart(slept);
  t.same(next.policies.list(), []);
  t.same(next.enforcer?.installed(), [], 'the kernel has let it go, too');
});

t.test('a pid is bound to its process: its next owner, or the same pid after a reboot, is not held', async (t) => {
  const first = makeRecord({ tgid: 77, startNs: 50_000_000_000n });
  const host = new ControlHost({ records: [first] });
  host.policies.put('by-pid', { ...socatCap, match: { pid: 77 } }, BY_HAND);
  t.same(host.enforcer?.assigned(first), ['by-pid']);
  host.end(first);
  t.match(host.policies.get('by-pid'), { state: 'over', matches: [] });
  t.same(host.enforcer?.installed(), []);
  const second = host.add(makeRecord({ tgid: 77, startNs: 60_000_000_000n }));
  host.poll();
  t.same(host.enforcer?.assigned(second), []);
  t.match(host.policies.put('by-pid', { ...socatCap, match: { pid: 77 } }, BY_HAND), {
    state: 'active',
    matches: [{ pid: 77 }],
  });
  t.same(restart(host, { enforcer: new FakeEnforcer(), bootId: 'next-boot' }).policies.list(), []);
});

t.test('a pid that has not used the network yet is bound all the same', async (t) => {
  const quiet = { pid: 78, name: 'nc', state: 'S', parentPid: 1, isKernelThread: false, startTicks: 700 };
  const host = new ControlHost({ stats: [quiet] });
  host.policies.put('by-pid', { ...socatCap, match: { pid: 78 } }, BY_HAND);
  const record = host.add(makeRecord({ tgid: 78, startNs: 7_001_234_567n }));
  host.poll();
  t.same(host.enforcer?.assigned(record), ['by-pid']);
  host.stats.delete(78);
  host.policies.checkpoint();
  t.equal(host.policies.get('by-pid').state, 'over');
});

t.test('the agent, pid 1 and what the configuration protects are left alone unless it is forced', async (t) => {
  const init = makeRecord({ tgid: 1, name: 'systemd' });
  const self = makeRecord({ tgid: AGENT_PID, name: 'node' });
  const database = makeRecord({ tgid: 9, name: 'postgres', executable: '/usr/lib/postgresql/15/bin/postgres' });
  const other = makeRecord({ tgid: 10, name: 'socat' });
  const host = new ControlHost({ records: [init, self, database, other], protectedNames: ['postgres'] });
  const all = { match: { uid: 0 }, scope: 'all', deny: { outbound: true } };
  const reading = host.policies.put('all', all, BY_HAND);
  t.same(
    reading.matches.map(({ pid }) => pid),
    [10],
  );
  t.same(
    reading.notApplied.map(({ pid }) => pid).sort((a, b) => a - b),
    [1, 9, AGENT_PID],
  );
  t.match(reading.notApplied, [{ reason: /pid 1/ }, { reason: /agent itself/ }, { reason: /protects postgres/ }]);
  const forced = host.policies.put('all', all, { ...BY_HAND, forced: true });
  t.equal(forced.matches.length, 4);
  t.throws(() => host.policies.put('x', { ...socatCap, match: { pid: 1 } }, BY_HAND), { code: 'PROCESS_PROTECTED' });
  t.equal(host.policies.put('x', { ...socatCap, match: { pid: 1 } }, { ...BY_HAND, forced: true }).matches.length, 1);
});

t.test('a policy that names no program leaves what carries sessions alone, whoever has made it', async (t) => {
  const sshd = makeRecord({ tgid: 30, name: 'sshd' });
  const everything = { match: { uid: 0 }, scope: 'all', quota: { bytes: 1000, period: 'day', then: 'kill' } };
  const host = new ControlHost({
    records: [sshd, makeRecord({ tgid: 31, uid: 0 })],
    configured: configured({ everything, denied: { match: { uid: 0 }, deny: { inbound: true } } }),
  });
  t.same(host.enforcer?.assigned(sshd), []);
  t.match(host.policies.get('everything'), {
    matches: [{ pid: 31 }],
    notApplied: [{ pid: 30, reason: /may carry an administrator's session, and the policy does not name it/ }],
  });
  host.enforcer?.count('everything', { quotaUsedBytes: 1000, quotaExhausted: true });
  host.poll();
  t.same(host.signals, ['SIGTERM 31']);
  host.policies.put('named', { match: { name: 'sshd' }, rate: { bytesPerSecond: 1 } }, BY_HAND);
  t.same(host.enforcer?.assigned(sshd), ['named']);
  host.policies.put('all', { match: { uid: 0 }, rate: { bytesPerSecond: 1 } }, { ...BY_HAND, forced: true });
  t.same(host.enforcer?.assigned(sshd).sort(), ['all', 'named'], 'forced');
});

t.test('a kernel thread can’t be named, force or not', async (t) => {
  const thread = { pid: 2, name: 'kthreadd', state: 'S', parentPid: 0, isKernelThread: true, startTicks: 1 };
  const host = new ControlHost({ stats: [thread] });
  for (const forced of [false, true]) {
    const put = (): unknown => host.policies.put('x', { ...socatCap, match: { pid: 2 } }, { ...BY_HAND, forced });
    t.throws(put, { code: 'PROCESS_PROTECTED', message: /kernel thread/ });
  }
  t.same(host.enforcer?.calls, []);
});

t.test('the session of who made the policy is left alone', async (t) => {
  const shell = makeRecord({ tgid: 30, name: 'sshd', executable: '/usr/sbin/sshd', startNs: 5_000_000_000n });
  const other = makeRecord({ tgid: 31, name: 'sshd', executable: '/usr/sbin/sshd', startNs: 6_000_000_000n });
  const host = new ControlHost({ records: [shell, other] });
  const caller = { pid: 32, name: 'bash', state: 'S', parentPid: 30, isKernelThread: false, startTicks: 800 };
  host.stats.set(32, caller);
  const actor = { uid: 0, pid: 32, token: null, address: null };
  const policy = { match: { name: 'sshd' }, scope: 'all', deny: { inbound: true } };
  const put = { name: 'deny-sshd', policy, dryRun: false, forced: false, reason: null };
  const reading = host.control.putPolicy(put, actor);
  t.same(
    reading.matches.map(({ pid }) => pid),
    [31],
  );
  t.match(reading.notApplied, [{ pid: 30, reason: /session of who made this policy/ }]);
  t.same(
    restart(host)
      .policies.get('deny-sshd')
      .matches.map(({ pid }) => pid),
    [31],
    'over restarts, too',
  );
  const cut = { pid: 30, scope: 'all', startedAtMs: undefined, forced: false, reason: null } as const;
  const message = /process 30 \(sshd\) is protected: it carries the caller's session;/;
  t.throws(() => host.control.disconnect(cut, actor), { code: 'PROCESS_PROTECTED', message });
  t.match(host.control.audit()[0], { action: 'disconnect', result: 'PROCESS_PROTECTED', detail: { message } });
  t.match(host.control.disconnect({ ...cut, pid: 31 }, actor), { pid: 31 }, 'the session of somebody else');
});

t.test(
  'the file’s policies come first and REST can’t change them; one of REST under the same name waits',
  async (t) => {
    const host = new ControlHost({ records: [makeRecord()] });
    host.policies.put('shared', { ...socatCap, scope: 'all' }, BY_HAND);
    const filed = configured({ shared: socatCap, expired: { ...socatCap, expiresAt: '2026-01-01T00:00:00Z' } });
    const next = restart(host, { configured: filed });
    t.match(next.policies.list(), [{ name: 'shared', source: 'config', scope: 'relay', state: 'active' }]);
    t.throws(() => next.policies.put('shared', socatCap, BY_HAND), { code: 'POLICY_READ_ONLY' });
    t.throws(() => next.policies.remove('shared'), { code: 'POLICY_READ_ONLY' });
    t.match(restart(next).policies.list(), [{ name: 'shared', source: 'api', scope: 'all' }]);
  },
);

t.test('the audit has what the file puts in force, and takes back, at each start', async (t) => {
  const host = new ControlHost({ configured: configured({ filed: socatCap, off: { ...socatCap, enabled: false } }) });
  host.policies.put('by-hand', socatCap, BY_HAND);
  const put = { actor: 'agent', action: 'policy-put', target: 'filed', result: 'done', detail: { source: 'config' } };
  t.match(host.control.audit(), [put]);
  const next = restart(host, { configured: new Map() });
  t.match(next.control.audit(), [{ ...put, action: 'policy-removed' }, put]);
  t.equal(next.control.audit().length, 2);
});

t.test('without an enforcer a policy can be checked and switched off, not put in force', async (t) => {
  const host = new ControlHost({
    enforcer: null,
    configured: configured({ filed: socatCap }),
    records: [makeRecord()],
  });
  t.match(host.policies.list(), [{ name: 'filed', state: 'failed', problem: /cannot enforce/, matches: [] }]);
  t.throws(() => host.policies.put('x', socatCap, BY_HAND), { code: 'ENFORCEMENT_UNAVAILABLE' });
  t.match(host.policies.put('x', socatCap, { ...BY_HAND, dryRun: true }).matches, [{ pid: 4711 }]);
  t.match(host.policies.put('x', { ...socatCap, enabled: false }, BY_HAND), { state: 'disabled' });
  host.poll();
});

t.test('what it holds back is told with since when, and never falls while the policy has its name', async (t) => {
  const host = new ControlHost({ records: [makeRecord()] });
  host.policies.put('cap-socat', socatCap, BY_HAND);
  t.match(host.policies.get('cap-socat').effect, { now: false, since: null, lastAt: null });
  const hold = (bytes: number): void =>
    host.enforcer?.count('cap-socat', {
      throttledBytes: { rx: 0, tx: bytes },
      passedBytes: { rx: 1, tx: 2 },
      droppedPackets: [{ direction: 'tx', reason: 'rate', packets: 3 }],
      lastHeldBackNs: Number(host.clock.bootNs()),
      activeFlows: 2,
    });
  hold(1000);
  host.poll(1000);
  hold(2000);
  host.poll(1000);
  t.match(host.policies.get('cap-socat').effect, {
    now: true,
    since: '2026-11-22T05:00:00.000Z',
    lastAt: '2026-11-22T05:00:01.000Z',
    throttled: { receivedBytes: 0, sentBytes: 2000 },
    passed: { receivedBytes: 1, sentBytes: 2 },
    dropped: [{ direction: 'tx', reason: 'rate', packets: 3 }],
    activeFlows: 2,
  });
  host.poll(5000);
  t.match(host.policies.get('cap-socat').effect, { now: false, since: null, throttled: { sentBytes: 2000 } });
  host.policies.put('cap-socat', { ...socatCap, enabled: false }, BY_HAND);
  host.policies.put('cap-socat', socatCap, BY_HAND);
  t.match(host.policies.get('cap-socat').effect, { throttled: { sentBytes: 2000 }, dropped: [{ packets: 3 }] });
});

t.test(
  'a cap that as much passes under as may is holding back, also where connections are paced and nothing is dropped',
  async (t) => {
    const host = new ControlHost({ records: [makeRecord()] });
    host.policies.put('cap-socat', { ...socatCap, rate: { bytesPerSecond: 1000, direction: 'sent' } }, BY_HAND);
    const pass = (rx: number, tx: number): unknown => {
      const { passedBytes } = host.enforcer?.counters('cap-socat') ?? { passedBytes: { rx: 0, tx: 0 } };
      host.enforcer?.count('cap-socat', { passedBytes: { rx: passedBytes.rx + rx, tx: passedBytes.tx + tx } });
      host.poll();
      return host.policies.get('cap-socat').effect?.now;
    };
    t.equal(pass(0, 500), false);
    t.equal(pass(9000, 500), false, 'the other way is not held');
    t.equal(pass(0, 990), true);
    t.equal(pass(0, 1010), true);
    host.poll(5000);
    t.equal(host.policies.get('cap-socat').effect?.now, false);
  },
);
