/** What a policy says, and what is said of one. One model for the configuration file, REST and the command line. */

import type { Role } from '../readings.ts';

/** Whom it is about: all terms that are given must hold. */
export interface Match {
  app?: string;
  profile?: string;
  /** The kernel's comm. */
  name?: string;
  executable?: string;
  /** The process that has this pid when the policy is put; never its next owner. */
  pid?: number;
  uid?: number;
  unit?: string;
  /** The whole id, its first 12 or more digits, or a machine's name. */
  container?: string;
}

export type PolicyScope = 'relay' | 'all';
export type RateDirection = 'sent' | 'received' | 'both';
export type QuotaPeriod = 'hour' | 'day' | 'month' | 'total';
export type QuotaAction = 'notify' | 'throttle' | 'deny' | 'kill';
export type DenyHow = 'drop' | 'reject';

/** Payload bytes per second; with `both` each direction has its own allowance. */
export interface Rate {
  bytesPerSecond: number;
  direction: RateDirection;
}

/** Payload bytes, both directions together. Periods begin on the hour, the day, the month in UTC. */
export interface Quota {
  bytes: number;
  period: QuotaPeriod;
  then: QuotaAction;
  /** What is left once it is used up, with `throttle`. */
  throttleBytesPerSecond: number;
}

export interface Deny {
  inbound: boolean;
  outbound: boolean;
  /** `80` or `1024-65535`; null is every port. Inbound: the local port; outbound: the remote one. */
  ports: string | null;
  how: DenyHow;
}

/** A policy with every default filled in. */
export interface Policy {
  match: Match;
  scope: PolicyScope;
  enabled: boolean;
  expiresAt: string | null;
  rate: Rate | null;
  quota: Quota | null;
  deny: Deny | null;
}

/** A policy as it is asked for. */
export interface PolicyRequest {
  match: Match;
  scope?: PolicyScope;
  enabled?: boolean;
  expiresAt?: string | null;
  rate?: { bytesPerSecond: number; direction?: RateDirection } | null;
  quota?: { bytes: number; period: QuotaPeriod; then: QuotaAction; throttleBytesPerSecond?: number } | null;
  deny?: { inbound?: boolean; outbound?: boolean; ports?: string | null; how?: DenyHow } | null;
}

export type PolicySource = 'config' | 'api';

/**
 * `active`: the kernel holds to it. `disabled`: kept, and switched off. `over`: bound to a process that has ended.
 * `failed`: it could not be installed; `problem` says why.
 */
export type PolicyState = 'active' | 'disabled' | 'over' | 'failed';

export interface PolicyTarget {
  pid: number;
  startedAt: string;
  name: string;
  app: string;
}

/** A process that matches and is left alone all the same. */
export interface PolicyExemption extends PolicyTarget {
  reason: string;
}

export interface DroppedPackets {
  direction: 'rx' | 'tx';
  reason: 'rate' | 'quota' | 'denied';
  packets: number;
}

/** What it holds back. Counts are since it was installed. */
export interface PolicyEffect {
  /** Whether it has held anything back in the last seconds, and since when without a pause. */
  now: boolean;
  since: string | null;
  lastAt: string | null;
  /** Payload that passed under it. */
  passed: { receivedBytes: number; sentBytes: number };
  /** Payload that was made to wait, or was policed away. */
  throttled: { receivedBytes: number; sentBytes: number };
  dropped: DroppedPackets[];
  refusedCalls: number;
  activeFlows: number;
}

export interface QuotaUse {
  usedBytes: number;
  remainingBytes: number;
  exhausted: boolean;
  periodBeganAt: string | null;
  periodEndsAt: string | null;
}

/** One policy in `GET /v1/policies`, and what `PUT` answers. */
export interface PolicyReading extends Policy {
  name: string;
  source: PolicySource;
  state: PolicyState;
  problem: string | null;
  createdAt: string;
  changedAt: string;
  /** Live processes that it holds. */
  matches: PolicyTarget[];
  notApplied: PolicyExemption[];
  /** null where it is not installed. */
  effect: PolicyEffect | null;
  quotaUse: QuotaUse | null;
  /** True where this is what a dry run would have made. */
  dryRun: boolean;
}

/** A flow of a process that the ledger has ruled relayed. */
export interface RuledFlow {
  /** As FlowReading has it. */
  flow: number;
  role: Role;
  /** Payload that it has carried for others so far. */
  relayedBytes: number;
}
