import { type Exposition, label } from '../exposition.ts';
import type { Sums } from './held.ts';
import type { Policy, QuotaAction } from './policy.ts';

/** One policy's share of `/metrics`. As many as there can be policies, so that they need no budget. */
export interface PolicySeries {
  name: string;
  policy: Policy;
  sums: Sums;
  quotaUsedBytes: number;
  processes: number;
  notApplied: number;
  actions: ReadonlyMap<QuotaAction, number>;
}

const DIRECTIONS = ['rx', 'tx'] as const;

export function writePolicies(out: Exposition, policies: readonly PolicySeries[], errors: number): void {
  const labelled = policies.map((series) => ({ ...series, labels: label('policy', series.name) }));
  const prefix = 'relayledger_policy';
  out.family(`${prefix}_rate_bytes_per_second`, 'gauge', 'What a policy holds payload to, in each direction it holds.');
  for (const { labels, policy } of labelled) {
    if (policy.rate) out.sample(`${prefix}_rate_bytes_per_second`, labels, policy.rate.bytesPerSecond);
  }
  out.family(`${prefix}_quota_bytes`, 'gauge', 'Payload that a policy allows in a period.');
  for (const { labels, policy } of labelled) {
    if (policy.quota) out.sample(`${prefix}_quota_bytes`, labels, policy.quota.bytes);
  }
  out.family(`${prefix}_quota_used_bytes`, 'gauge', 'Of that, what this period has used.');
  for (const { labels, policy, quotaUsedBytes } of labelled) {
    if (policy.quota) out.sample(`${prefix}_quota_used_bytes`, labels, quotaUsedBytes);
  }
  const byDirection = (name: string, help: string, of: (sums: Sums) => { rx: number; tx: number }): void => {
    out.family(name, 'counter', help);
    for (const { labels, sums } of labelled) {
      for (const direction of DIRECTIONS) out.sample(name, `${labels},direction="${direction}"`, of(sums)[direction]);
    }
  };
  byDirection(`${prefix}_passed_bytes_total`, 'Payload that passed under a policy.', ({ passed }) => passed);
  const throttledHelp = 'Payload that a policy made wait, or policed away.';
  byDirection(`${prefix}_throttled_bytes_total`, throttledHelp, ({ throttled }) => throttled);
  out.family(`${prefix}_dropped_packets_total`, 'counter', 'Packets that a policy dropped, by reason.');
  for (const { labels, sums } of labelled) {
    for (const { direction, reason, packets } of sums.dropped) {
      out.sample(`${prefix}_dropped_packets_total`, `${labels},direction="${direction}",reason="${reason}"`, packets);
    }
  }
  out.family(`${prefix}_refused_calls_total`, 'counter', 'Connects and sends that failed because of a policy.');
  for (const { labels, sums } of labelled) out.sample(`${prefix}_refused_calls_total`, labels, sums.refusedCalls);
  out.family(`${prefix}_actions_total`, 'counter', 'What was done because a quota was used up.');
  for (const { labels, actions } of labelled) {
    for (const [action, count] of actions) out.sample(`${prefix}_actions_total`, `${labels},action="${action}"`, count);
  }
  out.family(`${prefix}_processes`, 'gauge', 'Live processes that a policy holds.');
  for (const { labels, processes } of labelled) out.sample(`${prefix}_processes`, labels, processes);
  out.family(
    `${prefix}_not_applied`,
    'gauge',
    'Live processes that match and are left alone: protected, or too many policies.',
  );
  for (const { labels, notApplied } of labelled) out.sample(`${prefix}_not_applied`, labels, notApplied);
  out.family(`${prefix}_errors_total`, 'counter', 'Times that the kernel could not be told whom a policy holds.');
  out.sample(`${prefix}_errors_total`, '', errors);
}
