import type { ProcessRecord } from '../process-table.ts';
import { toIso } from '../wall-time.ts';
import type { Reach } from './assignments.ts';
import type { Held } from './held.ts';
import { periodAt } from './period.ts';
import type { PolicyEffect, PolicyReading, PolicyTarget, QuotaUse } from './policy.ts';

/** A policy as `GET /v1/policies` shows it. */
export function describePolicy(
  held: Held,
  { matches, exempt }: Reach,
  { dryRun = false }: { dryRun?: boolean } = {},
): PolicyReading {
  return {
    name: held.name,
    ...held.policy,
    source: held.source,
    state: held.state,
    problem: held.problem,
    createdAt: toIso(held.createdAtMs),
    changedAt: toIso(held.changedAtMs),
    matches: matches.map(toTarget),
    notApplied: exempt.map(({ record, reason }) => ({ ...toTarget(record), reason })),
    effect: held.state === 'active' && !dryRun ? describeEffect(held) : null,
    quotaUse: describeQuota(held),
    dryRun,
  };
}

function describeEffect({ sums, heldSinceMs, lastHeldMs, activeFlows }: Held): PolicyEffect {
  return {
    now: heldSinceMs !== null,
    since: heldSinceMs === null ? null : toIso(heldSinceMs),
    lastAt: lastHeldMs === null ? null : toIso(lastHeldMs),
    passed: { receivedBytes: sums.passed.rx, sentBytes: sums.passed.tx },
    throttled: { receivedBytes: sums.throttled.rx, sentBytes: sums.throttled.tx },
    dropped: sums.dropped.filter(({ packets }) => packets > 0),
    refusedCalls: sums.refusedCalls,
    activeFlows,
  };
}

function describeQuota({ policy: { quota }, quota: state }: Held): QuotaUse | null {
  if (!quota || !state) return null;
  const { startMs, endMs } = periodAt(quota.period, state.clockStartMs);
  return {
    usedBytes: state.usedBytes,
    remainingBytes: Math.max(0, quota.bytes - state.usedBytes),
    exhausted: state.exhausted,
    periodBeganAt: endMs === null ? null : toIso(startMs),
    periodEndsAt: endMs === null ? null : toIso(endMs),
  };
}

export function toTarget({ tgid, startedAtMs, name, app }: ProcessRecord): PolicyTarget {
  return { pid: tgid, startedAt: toIso(startedAtMs), name, app };
}
