import t from 'tap';
import { AgentError } from '../../../agent/errors.ts';
import { ControlHost, makeRecord } from './control-host.ts';
import { FakeEnforcer } from './fake-enforcer.ts';

const BY_HAND = { dryRun: false, forced: false, spared: [] };
const HOUR = 3_600_000;
const DAY = 24 * HOUR;

function quota(then: string, override: Record<string, unknown> = {}): unknown {
  return { match: { app: 'socat' }, scope: 'all', quota: { bytes: 1000, period: 'day', then, ...override } };
}

function actionsOf(host: ControlHost): string[] {
  return host.control.audit().map(({ action, target, result }) => `${action} ${target} ${result}`);
}

t.test('the kernel is told the period in UTC, and what it is told back is shown', async (t) => {
  const host = new ControlHost({ records: [makeRecord()] });
  host.policies.put('q', quota('throttle', { throttleBytesPerSecond: 500 }), BY_HAND);
  t.match(host.enforcer?.policies.get('q')?.policy.quota, {
    bytes: 1000,
    usedBytes: 0,
    endsAtMs: Date.UTC(2026, 10, 23),
    periodMs: DAY,
    then: 'throttle',
    throttleBytesPerSecond: 500,
  });
  host.enforcer?.count('q', { quotaUsedBytes: 400 });
  t.match(host.policies.get('q').quotaUse, {
    usedBytes: 400,
    remainingBytes: 600,
    exhausted: false,
    periodBeganAt: '2026-11-22T00:00:00.000Z',
    periodEndsAt: '2026-11-23T00:00:00.000Z',
  });
});

t.test('a quota acts, and begins its next period, though the disk can’t be written to', async (t) => {
  const host = new ControlHost({ records: [makeRecord()] });
  host.policies.put('q', quota('deny', { period: 'month' }), BY_HAND);
  host.db.exec('DROP TABLE quota_uses');
  host.enforcer?.count('q', { quotaUsedBytes: 1001, quotaExhausted: true });
  host.poll();
  t.same(actionsOf(host), ['quota-used-up q done']);
  host.poll(9 * DAY);
  t.match(host.enforcer?.counters('q'), { quotaUsedBytes: 0, quotaEndsAtMs: Date.UTC(2027, 0, 1) });
  t.same(
    host.events.map(({ type }) => type),
    ['policy-put', 'quota-used-up', 'quota-period'],
  );
});

for (const then of ['notify', 'throttle', 'deny']) {
  t.test(`${then}: once a period it is told, with what was used`, async (t) => {
    const host = new ControlHost({ records: [makeRecord()] });
    host.policies.put('q', quota(then), BY_HAND);
    host.enforcer?.count('q', { quotaUsedBytes: 1001, quotaExhausted: true });
    host.poll();
    host.poll();
    t.same(actionsOf(host), ['quota-used-up q done']);
    t.match(
      host.events.filter(({ type }) => type === 'quota-used-up'),
      [{ data: { policy: 'q', action: then, bytes: 1000, usedBytes: 1001, period: 'day' } }],
    );
    t.same(
      host.policies.series().map(({ actions }) => [...actions]),
      [[[then, 1]]],
    );
    host.enforcer?.count('q', { quotaUsedBytes: 0, quotaExhausted: false });
    host.poll(DAY);
    t.match(host.events.at(-1), { type: 'quota-period', data: { policy: 'q', usedBytes: 1001 } });
    host.enforcer?.count('q', { quotaUsedBytes: 1002, quotaExhausted: true });
    host.poll(3000);
    t.equal(actionsOf(host).length, 2, 'and again in the next period');
  });
}

t.test('kill: each process once, also one that comes later; a protected one never', async (t) => {
  const first = makeRecord({ tgid: 50 });
  const safe = makeRecord({ tgid: 51, name: 'postgres' });
  const host = new ControlHost({ records: [first, safe], protectedNames: ['postgres'] });
  host.policies.put('q', quota('kill'), BY_HAND);
  host.poll();
  t.same(host.signals, []);
  host.enforcer?.count('q', { quotaUsedBytes: 1000, quotaExhausted: true });
  host.poll();
  host.poll();
  t.same(host.signals, ['SIGTERM 50']);
  host.end(first);
  host.add(makeRecord({ tgid: 52 }));
  host.poll();
  host.poll();
  t.same(host.signals, ['SIGTERM 50', 'SIGTERM 52']);
  t.same(actionsOf(host), ['kill process 52 (socat) done', 'kill process 50 (socat) done', 'quota-used-up q done']);
});

t.test('kill under the scope relay ends only those that relay', async (t) => {
  const host = new ControlHost({ records: [makeRecord({ tgid: 60 }), makeRecord({ tgid: 61 })] });
  host.policies.put('q', { ...(quota('kill') as object), scope: 'relay' }, BY_HAND);
  host.ruled.set(61, [{ flow: 7, role: 'service', relayedBytes: 10 }]);
  host.enforcer?.count('q', { quotaUsedBytes: 1000, quotaExhausted: true });
  host.poll();
  t.same(host.signals, ['SIGTERM 61']);
});

t.test('what was used survives a restart and a reboot, within its period', async (t) => {
  const host = new ControlHost({ records: [makeRecord()] });
  host.policies.put('q', quota('notify'), BY_HAND);
  host.enforcer?.count('q', { quotaUsedBytes: 1200, quotaExhausted: true });
  host.poll();
  host.policies.checkpoint();
  const { db, clock } = host;
  const rebooted = new ControlHost({
    db,
    clock,
    enforcer: new FakeEnforcer(),
    bootId: 'next',
    records: [makeRecord()],
  });
  t.equal(rebooted.enforcer?.policies.get('q')?.policy.quota?.usedBytes, 1200);
  rebooted.enforcer?.count('q', { quotaExhausted: true });
  rebooted.poll();
  t.equal(actionsOf(rebooted).length, 1, 'what was done in this period is not done again');
  clock.advance(DAY);
  const later = new ControlHost({ db, clock, enforcer: new FakeEnforcer(), bootId: 'third', records: [makeRecord()] });
  t.equal(later.enforcer?.policies.get('q')?.policy.quota?.usedBytes, 0);
});

t.test('at the period’s end what was used in the last one is not acted on', async (t) => {
  const host = new ControlHost({ records: [makeRecord()] });
  host.policies.put('q', quota('kill', { period: 'hour' }), BY_HAND);
  host.enforcer?.count('q', { quotaUsedBytes: 900 });
  host.poll(HOUR - 500);
  host.enforcer?.count('q', { quotaUsedBytes: 1000, quotaExhausted: true });
  host.poll(500);
  host.poll(500);
  t.same(host.signals, []);
  host.enforcer?.count('q', { quotaUsedBytes: 1000, quotaExhausted: true });
  host.poll();
  t.same(host.signals, ['SIGTERM 4711'], 'but what it says later is of this one');
});

t.test('a period ends in place, whatever its length: the policy holds on, and what it has counted stays', async (t) => {
  for (const [period, endsAtMs] of [
    ['hour', Date.UTC(2026, 11, 2, 6)],
    ['day', Date.UTC(2026, 11, 3)],
    ['month', Date.UTC(2027, 0, 1)],
  ] as const) {
    const socat = makeRecord();
    const host = new ControlHost({ records: [socat] });
    host.policies.put('q', quota('notify', { period }), BY_HAND);
    host.enforcer?.count('q', { quotaUsedBytes: 700, passedBytes: { rx: 400, tx: 300 } });
    host.poll();
    const before = host.enforcer?.calls.length ?? 0;
    host.poll(10 * DAY);
    t.same(host.enforcer?.calls.slice(before), ['period q new'], `${period}: nothing else is changed`);
    t.match(host.enforcer?.counters('q'), { quotaUsedBytes: 0, quotaEndsAtMs: endsAtMs, passedBytes: { rx: 400 } });
    t.same(host.enforcer?.assigned(socat), ['q']);
  }
});

t.test('a clock that is set moves the period’s end; forward it may begin one, back it never does', async (t) => {
  const cases: [title: string, to: number, ends: number, used: number, call: string][] = [
    ['within the day', Date.UTC(2026, 10, 22, 9), Date.UTC(2026, 10, 23), 700, 'moved'],
    ['back within the day', Date.UTC(2026, 10, 22, 1), Date.UTC(2026, 10, 23), 700, 'moved'],
    ['into another day', Date.UTC(2026, 10, 25, 1), Date.UTC(2026, 10, 26), 0, 'new'],
    ['back into yesterday', Date.UTC(2026, 10, 21, 23), Date.UTC(2026, 10, 22), 700, 'moved'],
    ['back to the epoch', 5000, DAY, 700, 'moved'],
  ];
  for (const [title, to, ends, used, call] of cases) {
    const host = new ControlHost({ records: [makeRecord()] });
    host.policies.put('q', quota('notify'), BY_HAND);
    host.enforcer?.count('q', { quotaUsedBytes: 700 });
    host.poll();
    const before = host.enforcer?.calls.length ?? 0;
    const stepMs = to - host.clock.nowMs();
    host.clock.setWall(to);
    const endedAtMs = host.enforcer?.counters('q').quotaEndsAtMs ?? 0;
    host.enforcer?.count('q', { quotaEndsAtMs: endedAtMs + stepMs }); // the kernel's own time knows nothing of it
    host.poll();
    host.poll();
    t.same(host.enforcer?.calls.slice(before), [`period q ${call}`], title);
    t.match(host.enforcer?.counters('q'), { quotaUsedBytes: used, quotaEndsAtMs: ends }, title);
    t.equal(host.policies.get('q').quotaUse?.periodEndsAt, new Date(ends).toISOString(), title);
  }
});

t.test('a clock that was wrong at boot, and is set right, takes nothing off the day’s use', async (t) => {
  const host = new ControlHost({ records: [makeRecord()] });
  host.policies.put('q', quota('notify'), BY_HAND);
  host.enforcer?.count('q', { quotaUsedBytes: 700 });
  host.poll();
  host.policies.checkpoint();
  const { db, clock } = host;
  const now = clock.nowMs();
  clock.setWall(60_000);
  const rebooted = new ControlHost({
    db,
    clock,
    enforcer: new FakeEnforcer(),
    bootId: 'next',
    records: [makeRecord()],
  });
  t.match(rebooted.enforcer?.policies.get('q')?.policy.quota, { usedBytes: 700, endsAtMs: DAY });
  rebooted.poll();
  clock.setWall(now);
  rebooted.poll();
  t.match(rebooted.enforcer?.counters('q'), { quotaUsedBytes: 700, quotaEndsAtMs: Date.UTC(2026, 10, 23) });
  rebooted.poll(DAY);
  t.match(rebooted.enforcer?.counters('q'), { quotaUsedBytes: 0, quotaEndsAtMs: Date.UTC(2026, 10, 24) });
});

t.test('at a month’s end the kernel is told the next one, and begins at nothing', async (t) => {
  const host = new ControlHost({ records: [makeRecord()] });
  host.policies.put('q', quota('notify', { period: 'month' }), BY_HAND);
  t.match(host.enforcer?.policies.get('q')?.policy.quota, { endsAtMs: Date.UTC(2026, 11, 1), periodMs: null });
  host.enforcer?.count('q', { quotaUsedBytes: 700 });
  host.poll();
  host.poll(10 * DAY);
  t.match(host.enforcer?.counters('q'), { quotaEndsAtMs: Date.UTC(2027, 0, 1), quotaUsedBytes: 0 });
  t.same(host.enforcer?.assigned(host.records[0] as never), ['q'], 'and it holds whom it held');
});

t.test(
  'a quota that is raised lets go on; another kind of period begins anew; a removed one is forgotten',
  async (t) => {
    const host = new ControlHost({ records: [makeRecord()] });
    host.policies.put('q', quota('notify'), BY_HAND);
    host.enforcer?.count('q', { quotaUsedBytes: 1000, quotaExhausted: true });
    host.poll();
    host.policies.put('q', quota('notify', { bytes: 5000 }), BY_HAND);
    host.enforcer?.count('q', { quotaExhausted: false });
    t.match(host.policies.get('q').quotaUse, { usedBytes: 1000, remainingBytes: 4000 });
    host.policies.put('q', quota('notify', { period: 'hour' }), BY_HAND);
    t.match(host.policies.get('q').quotaUse, { usedBytes: 0 });
    host.enforcer?.count('q', { quotaUsedBytes: 10 });
    host.policies.checkpoint();
    host.policies.remove('q');
    host.policies.put('q', quota('notify', { period: 'hour' }), BY_HAND);
    t.match(host.policies.get('q').quotaUse, { usedBytes: 0 });
  },
);

t.test(
  'a replacement that the kernel refuses leaves the policy as it was, also where its period would have changed',
  async (t) => {
    const socat = makeRecord();
    const host = new ControlHost({ records: [socat] });
    const { enforcer } = host;
    host.policies.put('q', quota('notify'), BY_HAND);
    if (!enforcer) return;
    enforcer.count('q', { quotaUsedBytes: 300 });
    host.poll();
    enforcer.refusal = new AgentError('ENFORCEMENT_UNSUPPORTED', 'no deny here');
    enforcer.refuses = (policy) => policy.quota?.then === 'deny';
    const put = (): unknown => host.policies.put('q', quota('deny', { period: 'hour' }), BY_HAND);
    t.throws(put, { code: 'ENFORCEMENT_UNSUPPORTED' });
    t.match(host.policies.get('q'), { quota: { period: 'day', then: 'notify' }, quotaUse: { usedBytes: 300 } });
    t.same(enforcer.assigned(socat), ['q']);
  },
);
