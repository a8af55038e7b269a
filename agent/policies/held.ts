import { AgentError } from '../errors.ts';
import type { Applicable } from './assignments.ts';
import type { PolicyCounters } from './enforcer.ts';
import type { DroppedPackets, Policy, PolicySource, PolicyState, QuotaAction } from './policy.ts';
import type { Spared, StoredPolicy } from './policy-records.ts';

/** Where a policy's quota stands. */
export interface QuotaState {
  periodStartMs: number;
  usedBytes: number;
  /** The most that it was in this period: the kernel begins the next one before the agent does. */
  peakBytes: number;
  /** What is to be done when it is used up has been done in this period. */
  acted: boolean;
  exhausted: boolean;
}

/** What has passed and been held back: sums that never fall while the policy has its name. */
export interface Sums {
  passed: { rx: number; tx: number };
  throttled: { rx: number; tx: number };
  dropped: DroppedPackets[];
  refusedCalls: number;
}

/** It holds back now if it did so this short a time ago. */
const RECENT_NS = 3_000_000_000;

/** A policy that the agent keeps, with what came of it so far. */
export class Held {
  readonly name: string;
  readonly policy: Policy;
  readonly source: PolicySource;
  readonly createdAtMs: number;
  readonly changedAtMs: number;
  readonly bound: StoredPolicy['bound'];
  readonly spared: readonly Spared[];
  readonly forced: boolean;
  state: PolicyState = 'disabled';
  problem: string | null = null;
  quota: QuotaState | null = null;
  actions: Map<QuotaAction, number> = new Map();
  /** Since when it holds back without a pause, and when it last did; wall clock. */
  heldSinceMs: number | null = null;
  lastHeldMs: number | null = null;
  activeFlows = 0;
  #earlier: Sums = noSums();
  #last: Sums = noSums();

  constructor(stored: StoredPolicy, source: PolicySource) {
    this.name = stored.name;
    this.policy = stored.policy;
    this.source = source;
    this.createdAtMs = stored.createdAtMs;
    this.changedAtMs = stored.changedAtMs;
    this.bound = stored.bound;
    this.spared = stored.spared;
    this.forced = stored.forced;
  }

  get sums(): Sums {
    return addSums(this.#earlier, this.#last);
  }

  /** Takes in what the kernel has counted. */
  watch(counters: PolicyCounters, nowMs: number, bootNs: bigint): void {
    const { passedBytes, throttledBytes, droppedPackets, refusedCalls, lastHeldBackNs } = counters;
    this.#last = { passed: passedBytes, throttled: throttledBytes, dropped: droppedPackets, refusedCalls };
    this.activeFlows = counters.activeFlows;
    if (this.quota) {
      this.quota.usedBytes = counters.quotaUsedBytes;
      this.quota.peakBytes = Math.max(this.quota.peakBytes, counters.quotaUsedBytes);
      this.quota.exhausted = counters.quotaExhausted;
    }
    const agoNs = lastHeldBackNs === 0 ? Infinity : Math.max(0, Number(bootNs) - lastHeldBackNs);
    if (agoNs !== Infinity) this.lastHeldMs = Math.round(nowMs - agoNs / 1e6);
    if (agoNs > RECENT_NS) this.heldSinceMs = null;
    else this.heldSinceMs ??= this.lastHeldMs;
  }

  /** The kernel's counters go; what they said stays. */
  settle(): void {
    this.#earlier = this.sums;
    this.#last = noSums();
    this.activeFlows = 0;
    this.heldSinceMs = null;
  }

  /** Goes on where the policy that it replaces was. */
  inherit(before: Held | undefined): void {
    if (!before) return;
    this.#earlier = before.#earlier;
    this.#last = before.#last;
    this.actions = before.actions;
    this.heldSinceMs = before.heldSinceMs;
    this.lastHeldMs = before.lastHeldMs;
  }
}

/** What the file says comes first, then the older before the newer: a newcomer doesn't push an older policy out. */
export function byPrecedence(one: Held, other: Held): number {
  if (one.source !== other.source) return one.source === 'config' ? -1 : 1;
  return one.createdAtMs - other.createdAtMs || (one.name < other.name ? -1 : 1);
}

export function toApplicable({ name, policy, bound, spared, forced }: Held): Applicable {
  return { name, policy, bound, spared, forced };
}

export function isExpired({ expiresAt }: Policy, nowMs: number): boolean {
  return expiresAt !== null && Date.parse(expiresAt) <= nowMs;
}

/** @throws POLICY_READ_ONLY */
export function requireWritable({ name, source }: Held): void {
  if (source !== 'config') return;
  const message = `the configuration file has the policy ${name}: change it there and restart the agent`;
  throw new AgentError('POLICY_READ_ONLY', message);
}

function noSums(): Sums {
  return { passed: { rx: 0, tx: 0 }, throttled: { rx: 0, tx: 0 }, dropped: [], refusedCalls: 0 };
}

function addSums(one: Sums, other: Sums): Sums {
  const dropped = one.dropped.map((row) => ({ ...row }));
  for (const row of other.dropped) {
    const same = dropped.find(({ direction, reason }) => direction === row.direction && reason === row.reason);
    if (same) same.packets += row.packets;
    else dropped.push({ ...row });
  }
  return {
    passed: { rx: one.passed.rx + other.passed.rx, tx: one.passed.tx + other.passed.tx },
    throttled: { rx: one.throttled.rx + other.throttled.rx, tx: one.throttled.tx + other.throttled.tx },
    dropped,
    refusedCalls: one.refusedCalls + other.refusedCalls,
  };
}
