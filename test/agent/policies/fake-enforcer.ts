import { AgentError } from '../../../agent/errors.ts';
import type {
  Destroyed,
  EarlyMatch,
  Enforcer,
  KernelPolicy,
  PolicyCounters,
  ProcessSlot,
} from '../../../agent/policies/enforcer.ts';

export function makeCounters(override: Partial<PolicyCounters> = {}): PolicyCounters {
  return {
    passedBytes: { rx: 0, tx: 0 },
    throttledBytes: { rx: 0, tx: 0 },
    droppedPackets: [],
    refusedCalls: 0,
    quotaUsedBytes: 0,
    quotaExhausted: false,
    quotaEndsAtMs: null,
    lastHeldBackNs: 0,
    activeFlows: 0,
    ...override,
  };
}

export interface Installed {
  policy: KernelPolicy;
  early: EarlyMatch | null;
  counters: PolicyCounters;
}

/** Remembers what it was told, as the kernel would over the agent's restarts. */
export class FakeEnforcer implements Enforcer {
  limits = { policies: 4, perProcess: 2 };
  readonly policies: Map<string, Installed> = new Map();
  /** By slot. */
  readonly assignments: Map<number, readonly string[]> = new Map();
  readonly rulings: Map<number, { relayed: boolean; alreadyBytes: number }> = new Map();
  /** Every call that changes something, in order. */
  readonly calls: string[] = [];
  destroyed: Destroyed = { tcp: 3, udp: 1 };
  /** Thrown by installs of policies that `refuses` picks. */
  refuses: (policy: KernelPolicy) => boolean = () => true;
  refusal: AgentError | null = null;

  installed(): string[] {
    return [...this.policies.keys()];
  }

  install(policy: KernelPolicy, early: EarlyMatch | null = null): void {
    if (this.refusal && this.refuses(policy)) throw this.refusal;
    if (!this.policies.has(policy.name) && this.policies.size >= this.limits.policies) {
      throw new AgentError('ENFORCEMENT_FULL', `there are ${this.limits.policies} policies already`);
    }
    this.calls.push(`install ${policy.name}`);
    const counters = this.policies.get(policy.name)?.counters;
    const quotaEndsAtMs = policy.quota?.endsAtMs ?? null;
    const fresh = makeCounters({ quotaUsedBytes: policy.quota?.usedBytes ?? 0 });
    this.policies.set(policy.name, { policy, early, counters: { ...(counters ?? fresh), quotaEndsAtMs } });
  }

  remove(name: string): void {
    this.calls.push(`remove ${name}`);
    this.policies.delete(name);
    for (const [slot, names] of this.assignments) {
      this.assignments.set(
        slot,
        names.filter((one) => one !== name),
      );
    }
  }

  assign({ slot }: ProcessSlot, names: readonly string[]): void {
    this.calls.push(`assign ${slot} ${names.join(' ')}`.trim());
    this.assignments.set(slot, [...names]);
  }

  assigned({ slot }: ProcessSlot): string[] {
    return [...(this.assignments.get(slot) ?? [])];
  }

  rule(flow: number, relayed: boolean, alreadyBytes: number): void {
    this.calls.push(`rule ${flow} ${relayed}`);
    this.rulings.set(flow, { relayed, alreadyBytes });
  }

  counters(name: string): PolicyCounters {
    return this.policies.get(name)?.counters ?? makeCounters();
  }

  setPeriod(name: string, endsAtMs: number | null, isNew: boolean): void {
    this.calls.push(`period ${name} ${isNew ? 'new' : 'moved'}`);
    this.count(name, { quotaEndsAtMs: endsAtMs, ...(isNew ? { quotaUsedBytes: 0, quotaExhausted: false } : {}) });
  }

  setExpiry(name: string, expiresAtMs: number): void {
    const installed = this.policies.get(name);
    if (installed) installed.policy = { ...installed.policy, expiresAtMs };
  }

  /** What the kernel has counted by now. */
  count(name: string, counters: Partial<PolicyCounters>): void {
    const installed = this.policies.get(name);
    if (installed) installed.counters = { ...installed.counters, ...counters };
  }

  disconnect({ slot }: ProcessSlot, scope: 'relay' | 'all'): Destroyed {
    this.calls.push(`disconnect ${slot} ${scope}`);
    return this.destroyed;
  }

  [Symbol.dispose](): void {}
}
