import type { PolicyReading } from '../../agent/policies/policy.ts';
import { formatBytes, formatRate, formatStarted } from './format.ts';
import type { Column } from './table.ts';
import { printable } from './text.ts';

/* Policies in words. Pure. */

function inWords(direction: 'sent' | 'received' | 'both'): string {
  return direction === 'both' ? 'each way' : direction;
}

/** What it does, one phrase for each part. */
export function describeLimits({ rate, quota, deny }: Pick<PolicyReading, 'rate' | 'quota' | 'deny'>): string[] {
  const limits: string[] = [];
  if (rate) limits.push(`at most ${formatRate(rate.bytesPerSecond)} ${inWords(rate.direction)}`);
  if (quota) {
    const per = quota.period === 'total' ? 'in all' : `a${quota.period === 'hour' ? 'n' : ''} ${quota.period} (UTC)`;
    const then = quota.then === 'throttle' ? `throttle to ${formatRate(quota.throttleBytesPerSecond)}` : quota.then;
    limits.push(`${formatBytes(quota.bytes)} ${per}, then ${then}`);
  }
  if (deny) {
    const ways = [deny.inbound ? 'inbound' : '', deny.outbound ? 'outbound' : '']
      .filter((way) => way !== '')
      .join(', ');
    limits.push(
      `deny ${ways}${deny.ports === null ? '' : ` on port${deny.ports.includes('-') ? 's' : ''} ${deny.ports}`} (${deny.how})`,
    );
  }
  return limits;
}

/** Whom it is about, as `app=skype uid=1000`. */
export function describeMatch({ match }: Pick<PolicyReading, 'match'>): string {
  return Object.entries(match)
    .map(([term, value]) => `${term}=${value}`)
    .join(' ');
}

function holdsBack({ effect }: PolicyReading): string {
  if (!effect) return '-';
  const { throttled, dropped, refusedCalls, now } = effect;
  const packets = dropped.reduce((sum, row) => sum + row.packets, 0);
  const parts = [
    throttled.sentBytes + throttled.receivedBytes > 0
      ? `${formatBytes(throttled.sentBytes + throttled.receivedBytes)} delayed`
      : '',
    packets > 0 ? `${packets} packet${packets === 1 ? '' : 's'} dropped` : '',
    refusedCalls > 0 ? `${refusedCalls} call${refusedCalls === 1 ? '' : 's'} refused` : '',
  ].filter((part) => part !== '');
  if (parts.length === 0) return 'nothing yet';
  return `${now ? 'now: ' : ''}${parts.join(', ')}`;
}

function quotaShare({ quota, quotaUse }: PolicyReading): string {
  if (!quota || !quotaUse) return '-';
  return `${formatBytes(quotaUse.usedBytes)} of ${formatBytes(quota.bytes)}${quotaUse.exhausted ? ' (used up)' : ''}`;
}

export function policyColumns(now: Date): Column<PolicyReading>[] {
  return [
    { header: 'POLICY', value: ({ name }) => name },
    { header: 'STATE', value: ({ state }) => state },
    { header: 'WHOM', value: describeMatch, maxWidth: 40 },
    // Nothing is ruled relayed before it begins: a deny is for all that does.
    { header: 'SCOPE', value: ({ scope, rate, quota }) => (rate || quota ? scope : 'all'), dropRank: 3 },
    { header: 'PROCESSES', align: 'right', value: ({ matches }) => String(matches.length), dropRank: 4 },
    { header: 'LIMITS', value: (policy) => describeLimits(policy).join('; ') },
    { header: 'HELD BACK', value: holdsBack, dropRank: 1 },
    { header: 'QUOTA USED', value: quotaShare, dropRank: 2 },
    {
      header: 'UNTIL',
      value: ({ expiresAt }) => (expiresAt === null ? '-' : formatUntil(expiresAt, now)),
      dropRank: 5,
    },
    { header: 'FROM', value: ({ source }) => source, dropRank: 6 },
  ];
}

function formatUntil(iso: string, now: Date): string {
  const sameDay = new Date(iso).toDateString() === now.toDateString();
  return sameDay ? formatStarted(iso, now) : iso.slice(0, 16).replace('T', ' ');
}

/** What is left alone though it matches, and why; and what did not work. */
export function policyNotes(policies: readonly PolicyReading[]): string[] {
  return policies.flatMap(({ name, problem, notApplied }) => [
    ...(problem === null ? [] : [`${name} is not in force: ${printable(problem)}`]),
    ...notApplied.map((one) => `${name} leaves ${one.pid} (${printable(one.name)}) alone: ${printable(one.reason)}`),
  ]);
}

/** What a put has done, how to see what comes of it, and how to take it back. */
export function putReport(policy: PolicyReading, who: string): string[] {
  const scope = policy.scope === 'relay' && (policy.rate || policy.quota) ? 'what is relayed by ' : '';
  const verb = policy.dryRun ? 'would hold' : 'holds';
  const lines = [`${policy.name} ${verb} ${scope}${who}: ${describeLimits(policy).join('; ')}`];
  if (policy.expiresAt !== null) lines.push(`until ${policy.expiresAt}`);
  const count = policy.matches.length;
  lines.push(
    count === 0
      ? 'no process now; those that start later'
      : `${count === 1 ? 'one process' : `${count} processes`} now, and those that start later:`,
  );
  for (const { pid, name } of policy.matches.slice(0, 20)) lines.push(`  ${pid} ${printable(name)}`);
  if (count > 20) lines.push(`  and ${count - 20} more`);
  lines.push(...policyNotes([policy]));
  if (policy.dryRun) lines.push('nothing was changed');
  else lines.push('see: relayledger policies', `undo: relayledger policies remove ${policy.name}`);
  return lines;
}
