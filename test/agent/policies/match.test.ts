import t from 'tap';
import { type Bound, isExplicit, isMatch, toEarlyMatch } from '../../../agent/policies/match.ts';
import { periodAt } from '../../../agent/policies/period.ts';
import type { Match, QuotaPeriod } from '../../../agent/policies/policy.ts';
import { makeRecord } from './control-host.ts';

const CONTAINER = `0123456789abcdef${'0'.repeat(48)}`;
const record = makeRecord({
  tgid: 4711,
  startNs: 123_456_789_012n,
  name: 'skypeforlinux',
  uid: 1000,
  executable: '/usr/share/skypeforlinux/skypeforlinux',
  app: 'skype',
  profile: 'skype',
  unit: 'app.service',
  container: CONTAINER,
});
const bound: Bound = { bootId: 'b', startTicks: 12_345 };

t.test('all terms that are given must hold', async (t) => {
  const cases: [match: Match, expected: boolean][] = [
    [{ app: 'skype' }, true],
    [{ app: 'Skype' }, false],
    [{ app: 'sky' }, false],
    [{ profile: 'skype' }, true],
    [{ name: 'skypeforlinux' }, true],
    [{ name: 'skype' }, false],
    [{ executable: '/usr/share/skypeforlinux/skypeforlinux' }, true],
    [{ executable: 'skypeforlinux' }, false],
    [{ uid: 1000 }, true],
    [{ uid: 0 }, false],
    [{ unit: 'app.service' }, true],
    [{ unit: 'app' }, false],
    [{ container: CONTAINER }, true],
    [{ container: CONTAINER.slice(0, 12) }, true],
    [{ container: CONTAINER.slice(0, 11) }, false],
    [{ container: CONTAINER.slice(1) }, false],
    [{ pid: 4711 }, true],
    [{ pid: 4712 }, false],
    [{ app: 'skype', uid: 1000, pid: 4711 }, true],
    [{ app: 'skype', uid: 1001 }, false],
  ];
  for (const [match, expected] of cases) t.equal(isMatch(match, record, bound), expected, JSON.stringify(match));
  t.equal(isMatch({ container: 'x' }, makeRecord(), null), false, 'on the host there is no container');
});

t.test('a pid means the process that had it, not its next owner', async (t) => {
  t.equal(isMatch({ pid: 4711 }, record, null), false);
  const next = makeRecord({ tgid: 4711, startNs: record.startNs + 10_000_000n });
  t.equal(isMatch({ pid: 4711 }, next, bound), false);
});

t.test('the kernel is told only what it can tell by itself', async (t) => {
  t.same(toEarlyMatch({ name: 'a', executable: '/a', uid: 0 }), { name: 'a', executable: '/a', uid: 0 });
  t.same(toEarlyMatch({ app: 'socat' }), { executableName: 'socat' });
  t.same(toEarlyMatch({ uid: 1000 }), { uid: 1000 });
  for (const match of [
    { pid: 1 },
    { unit: 'a.service' },
    { container: 'a' },
    { profile: 'a' },
    { name: 'a', unit: 'b' },
    { uid: 0 }, // all that keeps the host reachable
  ]) {
    t.equal(toEarlyMatch(match), null, JSON.stringify(match));
  }
});

t.test('who names a program means whatever it relays', async (t) => {
  for (const match of [{ app: 'a' }, { name: 'a' }, { pid: 1 }, { unit: 'a' }, { uid: 0, name: 'a' }]) {
    t.equal(isExplicit(match), true, JSON.stringify(match));
  }
  t.equal(isExplicit({ uid: 0 }), false);
});

t.test('periods begin on the hour, the day and the month in UTC', async (t) => {
  const cases: [period: QuotaPeriod, now: string, start: string, end: string | null][] = [
    ['hour', '2026-11-22T05:59:59.999Z', '2026-11-22T05:00:00.000Z', '2026-11-22T06:00:00.000Z'],
    ['hour', '2026-11-22T06:00:00.000Z', '2026-11-22T06:00:00.000Z', '2026-11-22T07:00:00.000Z'],
    ['day', '2026-11-22T23:59:59.999Z', '2026-11-22T00:00:00.000Z', '2026-11-23T00:00:00.000Z'],
    ['month', '2026-12-31T23:59:59.999Z', '2026-12-01T00:00:00.000Z', '2027-01-01T00:00:00.000Z'],
    ['month', '2028-02-29T00:00:00.000Z', '2028-02-01T00:00:00.000Z', '2028-03-01T00:00:00.000Z'],
    ['total', '2026-11-22T05:00:00.000Z', '1970-01-01T00:00:00.000Z', null],
  ];
  for (const [period, now, start, end] of cases) {
    const { startMs, endMs } = periodAt(period, Date.parse(now));
    t.equal(new Date(startMs).toISOString(), start, `${period} ${now}`);
    t.equal(endMs === null ? null : new Date(endMs).toISOString(), end, `${period} ${now}`);
  }
  t.equal(periodAt('day', 0).lengthMs, 86_400_000);
  t.equal(periodAt('month', 0).lengthMs, null);
});
