import { AgentError } from '../errors.ts';
import type { PolicyCounters } from './enforcer.ts';
import type { DroppedPackets, Policy, PolicySource, PolicyState, QuotaAction } from './policy.ts';
import type { Spared, StoredPolicy } from './policy-records.ts';

/** Where a policy's quota stands. */
export interface QuotaState {
  periodStartMs: number;
  /** The one that the clock is in: an earlier one where the clock was set back. */
  clockStartMs: number;
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
const RECENT_MS = 3000;
/** What passes is measured over this long, and is as much as may from this share of the limit on. */
const SAMPLE_SECONDS = 0.9;
const AT_LIMIT = 0.85;

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
  #sample: { atMs: number; rx: number; tx: number } | null = null;

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
    if (nowMs < (this.lastHeldMs ?? 0)) this.lastHeldMs = this.heldSinceMs = null; // the clock was set back
    if (lastHeldBackNs > 0) this.#held(Math.round(nowMs - Math.max(0, Number(bootNs) - lastHeldBackNs) / 1e6));
    if (this.#isAtLimit(nowMs)) this.#held(nowMs);
    if (this.lastHeldMs === null || nowMs - this.lastHeldMs > RECENT_MS) this.heldSinceMs = null;
    else this.heldSinceMs ??= this.lastHeldMs;
  }

  #held(atMs: number): void {
    this.lastHeldMs = Math.max(atMs, this.lastHeldMs ?? 0);
  }

  /** A paced connection waits in its own stack: what shows is that as much passes as may. */
  #isAtLimit(nowMs: number): boolean {
    const { rate, quota } = this.policy;
    const isThrottled = quota?.then === 'throttle' && this.quota?.exhausted === true;
    const limit = Math.min(rate?.bytesPerSecond ?? Infinity, isThrottled ? quota.throttleBytesPerSecond : Infinity);
    const sample = this.#sample;
    const seconds = (nowMs - (sample?.atMs ?? 0)) / 1000;
    if (sample && seconds >= 0 && seconds < SAMPLE_SECONDS) return false;
    this.#sample = { atMs: nowMs, ...this.#last.passed };
    if (!sample || seconds < 0 || limit === Infinity) return false;
    const ways = [
      isThrottled || rate?.direction !== 'sent' ? this.#last.passed.rx - sample.rx : 0,
      isThrottled || rate?.direction !== 'received' ? this.#last.passed.tx - sample.tx : 0,
    ];
    return Math.max(...ways) >= AT_LIMIT * limit * seconds;
  }

  /** The kernel's counters go; what they said stays. */
  settle(): void {
    this.#earlier = this.sums;
    this.#last = noSums();
    this.#sample = null;
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
