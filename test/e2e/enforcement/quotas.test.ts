import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import t from 'tap';
import { Audit } from '../../../agent/audit.ts';
import { KernelEnforcer } from '../../../agent/enforcement/kernel-enforcer.ts';
import { Policies } from '../../../agent/policies/policies.ts';
import { PolicyRecords } from '../../../agent/policies/policy-records.ts';
import { Protection } from '../../../agent/protection.ts';
import { bootTimeNs, wallTimeMs } from '../../../bpf/clock.ts';
import { makeRecord } from '../../agent/policies/control-host.ts';
import { waitForPort } from '../hosts.ts';
import { EnforcementGround } from './ground.ts';

/* Quotas over the kernel's own counting, by a wall clock that the test sets. */

const BY_HAND = { dryRun: false, forced: false, spared: [] };
const HOUR = 3_600_000;

/** As `date --set` would set it, for the agent alone. */
class SetClock {
  #aheadMs = 0;

  set(wallMs: number): void {
    this.#aheadMs = wallMs - wallTimeMs();
  }

  nowMs(): number {
    return wallTimeMs() + this.#aheadMs;
  }

  bootNs(): bigint {
    return bootTimeNs();
  }
}

/** The ground's enforcer goes by this clock; policies over it, on what the test says is there. */
function policiesOver(ground: EnforcementGround, clock: SetClock, db = new DatabaseSync(':memory:')): Policies {
  ground.enforcer[Symbol.dispose]();
  ground.enforcer = new KernelEnforcer(ground.accounting, { nowMs: () => clock.nowMs() });
  const logger = pino({ level: 'silent' });
  const policies = new Policies({
    enforcer: ground.enforcer,
    records: new PolicyRecords(db),
    configured: new Map(),
    protection: new Protection({ agentPid: process.pid, names: [] }),
    audit: new Audit({ db, logger, nowMs: () => clock.nowMs(), userName: () => null }),
    clock,
    bootId: 'this',
    readProcess: () => undefined,
    killer: {
      kill: () => {
        throw new Error('nobody is to be killed');
      },
    },
    logger,
  });
  policies.start();
  return policies;
}

function quota(period: string): unknown {
  return { match: { name: 'counted' }, scope: 'all', quota: { bytes: 100_000, period, then: 'deny' } };
}

t.test(
  'a period that ends without traffic ends in place: what the policy has counted and whom it holds stays',
  async (t) => {
    await using ground = await EnforcementGround.make();
    const { client, server } = ground.hosts;
    const answering = ground.start(server, 'dialogue', 'counted', ['answer', '6000']);
    await waitForPort(server, 'tcp', 6000);
    const slot = await ground.process(answering.pid);
    for (const period of ['hour', 'day', 'month']) {
      const clock = new SetClock();
      clock.set(Date.UTC(2026, 0, 31, 23, 59, 58));
      const policies = policiesOver(ground, clock);
      policies.noticed({ ...makeRecord({ name: 'counted', tgid: answering.pid }), ...slot });
      policies.put('q', quota(period), BY_HAND);
      const poll = (): void => policies.poll(() => []);
      t.same(await ground.ask(client, 'asker', 'tcp', server.address4, 6000), ['ok']);
      const before = ground.enforcer.counters('q');
      t.ok(before.quotaUsedBytes > 0 && before.passedBytes.rx > 0 && before.passedBytes.tx > 0, period);
      poll();
      clock.set(Date.UTC(2026, 1, 1));
      poll();
      const after = ground.enforcer.counters('q');
      t.equal(after.quotaUsedBytes, 0, period);
      t.same(after.passedBytes, before.passedBytes, period);
      t.same(ground.enforcer.assigned(slot), ['q'], period);
      const ends =
        { hour: Date.UTC(2026, 1, 1, 1), day: Date.UTC(2026, 1, 2), month: Date.UTC(2026, 2, 1) }[period] ?? 0;
      t.ok(
        Math.abs((after.quotaEndsAtMs ?? 0) - ends) < 20,
        `${period}: ${new Date(after.quotaEndsAtMs ?? 0).toISOString()}`,
      );
      t.same(await ground.ask(client, 'asker', 'tcp', server.address4, 6000), ['ok']);
      t.ok(ground.enforcer.counters('q').quotaUsedBytes > 0, `${period}: it counts on`);
      policies.remove('q');
    }
  },
);

t.test('a wall clock that is set moves the end that the kernel knows; no agent needs to be there at it', async (t) => {
  await using ground = await EnforcementGround.make();
  const { client, server } = ground.hosts;
  const answering = ground.start(server, 'dialogue', 'counted', ['answer', '6000']);
  await waitForPort(server, 'tcp', 6000);
  const clock = new SetClock();
  const noon = Date.UTC(2026, 0, 15, 12);
  clock.set(noon + HOUR / 2);
  const db = new DatabaseSync(':memory:');
  const policies = policiesOver(ground, clock, db);
  const slot = await ground.process(answering.pid);
  const record = { ...makeRecord({ name: 'counted', tgid: answering.pid }), ...slot };
  policies.noticed(record);
  const putQuota = (bytes: number): unknown =>
    policies.put('q', { ...(quota('hour') as object), quota: { bytes, period: 'hour', then: 'deny' } }, BY_HAND);
  const ask = (): Promise<string[]> => ground.ask(client, 'asker', 'tcp', server.address4, 6000);
  putQuota(1_000_000);
  t.same(await ask(), ['ok']);
  putQuota(ground.enforcer.counters('q').quotaUsedBytes); // one question and its answer
  t.same(await ask(), ['timeout'], 'the quota is used up');
  policies.poll(() => []);

  clock.set(noon + 60_000);
  policies.poll(() => []);
  t.same(await ask(), ['timeout'], 'set back: it stays used up');
  t.equal(Math.round(((ground.enforcer.counters('q').quotaEndsAtMs ?? 0) - noon) / 1000), 3600);

  clock.set(noon + HOUR - 1500);
  policies.poll(() => []);
  await sleep(2000);
  t.same(await ask(), ['ok'], 'the kernel has begun the next hour by itself');

  policies.checkpoint();
  await ask();
  t.ok(ground.enforcer.counters('q').quotaExhausted);
  clock.set(noon + 5 * HOUR);
  const next = policiesOver(ground, clock, db);
  next.noticed(record);
  t.match(ground.enforcer.counters('q'), { quotaUsedBytes: 0, quotaExhausted: false }, 'set while no agent ran');
  next.remove('q');
});
