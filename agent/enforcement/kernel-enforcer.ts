import { closeSync, constants, existsSync, openSync } from 'node:fs';
import { ArrayWindow } from '../../bpf/array-window.ts';
import { bootTimeNs, monotonicTimeNs, wallTimeMs } from '../../bpf/clock.ts';
import { RL_POLICY_OFFSET, RL_POLICY_SIZE, RL_RULING_SIZE, RL_TOTALS_OFFSET, RlPolicyFlag } from '../../bpf/layouts.ts';
import { BpfIterator, BpfLink } from '../../bpf/link.ts';
import type { Mapping } from '../../bpf/mapping.ts';
import { openPin, unpin } from '../../bpf/pin.ts';
import { type Accounting, pinPath } from '../accounting.ts';
import { AgentError } from '../errors.ts';
import { HOLD_CONNECTIONS, NOTE_DATAGRAMS, PACE_CONNECTIONS } from '../hooks.ts';
import { NetworkNamespaces } from '../network-namespaces.ts';
import type {
  Destroyed,
  EarlyMatch,
  Enforcer,
  KernelPolicy,
  PolicyCounters,
  ProcessSlot,
} from '../policies/enforcer.ts';
import { Disconnection } from './disconnection.ts';
import {
  encodePolicy,
  nameOf,
  periodEndOf,
  RL_MAX_POLICIES,
  RL_PROCESS_POLICIES,
  readCounters,
  recordAt,
  STATE_OFFSET,
} from './policy-record.ts';
import { ProcessPolicies } from './process-policies.ts';
import { protectPrograms } from './protected-programs.ts';
import { Rejections } from './rejections.ts';

/** `enum bpf_attach_type` (include/uapi/linux/bpf.h). */
const BPF_CGROUP_SOCK_OPS = 3;
/** Changes that come together make one round through the sockets. */
const PACE_SOON_MS = 30;
const LOOK_MS = 500;
/** A flow's debt from before its ruling, in bytes; the kernel bounds it further by the limit. */
const MAX_OWED = 0xffff_ffff;

const NEEDS_PACING = RlPolicyFlag.policySent | RlPolicyFlag.policyReceived | RlPolicyFlag.policyQuotaThrottle;

export interface KernelEnforcerOptions {
  /** The wall clock. */
  nowMs?: () => number;
  /** Programs that no policy holds before the agent has looked at them. */
  protectedPrograms?: readonly string[];
  /** Told of what fails on a timer; without it the process ends. */
  failed?: (error: unknown) => void;
}

/** Holds processes to policies through the accounting's own programs and maps. */
export class KernelEnforcer implements Enforcer {
  readonly limits: { policies: number; perProcess: number } = {
    policies: RL_MAX_POLICIES - 1,
    perProcess: RL_PROCESS_POLICIES,
  };
  readonly #accounting: Accounting;
  readonly #policies: Mapping;
  readonly #rulings: Mapping;
  readonly #policyView: DataView;
  /** Of its own, apart from the process table's, as it grows by other rules. */
  readonly #processWindow: ArrayWindow;
  readonly #processes: ProcessPolicies;
  readonly #rulingView: DataView;
  readonly #namespaces = new NetworkNamespaces();
  readonly #rejections: Rejections;
  readonly #disconnection: Disconnection;
  /** Name to index. */
  readonly #indices = new Map<string, number>();
  #soon: NodeJS.Timeout | undefined;
  #look: NodeJS.Timeout | undefined;
  #unpaced = 0;
  readonly #nowMs: () => number;
  readonly #failed: (error: unknown) => void;

  constructor(accounting: Accounting, options: KernelEnforcerOptions = {}) {
    this.#accounting = accounting;
    this.#nowMs = options.nowMs ?? wallTimeMs;
    this.#failed = options.failed ?? rethrow;
    this.#rejections = new Rejections(accounting, this.#namespaces);
    this.#disconnection = new Disconnection({
      accounting,
      namespaces: this.#namespaces,
      isRuled: (flow) => flow !== 0 && this.#isRuled(flow),
    });
    this.#policies = accounting.map('policies').mmap();
    this.#rulings = accounting.map('flow_rulings').mmap();
    this.#policyView = new DataView(this.#policies.buffer);
    const processes = accounting.map('processes');
    this.#processWindow = new ArrayWindow(processes);
    this.#processes = new ProcessPolicies(this.#processWindow, () => {
      const used = Number(accounting.totals.getBigUint64(RL_TOTALS_OFFSET.slotsUsed, true));
      return Math.min(used, processes.info.maxEntries - 1);
    });
    this.#rulingView = new DataView(this.#rulings.buffer);
    for (let index = 1; index < RL_MAX_POLICIES; index++) {
      if (this.#flags(index) !== 0) this.#indices.set(nameOf(recordAt(this.#policies.buffer, index)), index);
    }
    protectPrograms(accounting.map('protected_programs'), options.protectedPrograms ?? []);
    this.#attachWhereNeeded();
    if (accounting.adopted) this.#finishRemovals();
  }

  installed(): string[] {
    return [...this.#indices.keys()];
  }

  install(policy: KernelPolicy, early: EarlyMatch | null = null): void {
    const known = this.#indices.get(policy.name);
    const index = known ?? this.#freeIndex();
    const record = recordAt(this.#policies.buffer, index);
    const hadQuota = known !== undefined && (this.#flags(index) & RlPolicyFlag.policyQuota) !== 0;
    if (known === undefined) record.fill(0, STATE_OFFSET);
    // What the kernel has counted goes on where it is of the same period.
    const counts = hadQuota && this.#isIn(index, policy.quota?.endsAtMs ?? null);
    const used = counts
      ? this.#policyView.getBigUint64(index * RL_POLICY_SIZE + RL_POLICY_OFFSET.quotaUsedBytes, true)
      : null;
    const config = encodePolicy(policy, early);
    const before = Buffer.from(record.subarray(0, STATE_OFFSET));
    // The flags last: until then the record says what it said, or nothing.
    config.copy(record, 8, 8);
    if (policy.expiresAtMs !== null) this.#setExpiry(index, policy.expiresAtMs);
    this.#setQuota(index, policy, used);
    record.writeUInt32LE(config.readUInt32LE(4), 4);
    record.writeUInt32LE(config.readUInt32LE(0), 0);
    this.#indices.set(policy.name, index);
    this.#countEarly();
    try {
      this.#attachWhereNeeded();
    } catch (error) {
      before.copy(record);
      if (known === undefined) this.#indices.delete(policy.name);
      this.#countEarly();
      throw error;
    }
    if (known !== undefined) this.#paceSoon();
  }

  remove(name: string): void {
    const index = this.#indices.get(name);
    if (index === undefined) return;
    this.#policyView.setUint32(index * RL_POLICY_SIZE + RL_POLICY_OFFSET.flags, 0, true);
    this.#countEarly();
    this.#processes.retain((number) => number !== index);
    this.pace();
    recordAt(this.#policies.buffer, index).fill(0);
    this.#indices.delete(name);
    this.#attachWhereNeeded();
  }

  assign(process: ProcessSlot, names: readonly string[]): void {
    if (!this.#processes.isStill(process)) return;
    const numbers = names.map((name) => this.#index(name));
    if (this.#processes.set(process.slot, numbers)) this.#paceSoon();
  }

  assigned(process: ProcessSlot): string[] {
    if (!this.#processes.isStill(process)) return [];
    const numbers = this.#processes.of(process.slot);
    return [...this.#indices].filter(([, index]) => numbers.includes(index)).map(([name]) => name);
  }

  rule(flow: number, relayed: boolean, alreadyBytes: number): void {
    const generation = Math.floor(flow / 2 ** 32);
    const offset = (flow % 2 ** 32) * RL_RULING_SIZE;
    if (this.#isRuled(flow) === relayed) return;
    this.#rulingView.setUint32(offset + 4, relayed ? Math.min(alreadyBytes, MAX_OWED) : 0, true);
    this.#rulingView.setUint32(offset, relayed ? generation : 0, true);
  }

  counters(name: string): PolicyCounters {
    const now = bootTimeNs();
    const bootLessMonotonicNs = Number(now - monotonicTimeNs());
    return readCounters(
      this.#policyView,
      this.#index(name) * RL_POLICY_SIZE,
      now,
      bootLessMonotonicNs,
      this.#wallNs() - now,
    );
  }

  setPeriod(name: string, endsAtMs: number | null, isNew: boolean): void {
    const index = this.#index(name);
    const hasBegun = this.#isIn(index, endsAtMs);
    this.#setPeriodEnd(index, endsAtMs);
    // After its end, as the kernel does: of two that begin it the second leaves it alone.
    if (isNew && !hasBegun) this.#setUsed(index, 0n, false);
  }

  setExpiry(name: string, expiresAtMs: number): void {
    this.#setExpiry(this.#index(name), expiresAtMs);
  }

  disconnect(process: ProcessSlot, scope: 'relay' | 'all'): Destroyed {
    return this.#processes.isStill(process) ? this.#disconnection.disconnect(process, scope) : { tcp: 0, udp: 0 };
  }

  /** Goes through every connection of every network namespace now; `assign` and `install` have it done soon. */
  pace(): void {
    clearTimeout(this.#soon);
    this.#soon = undefined;
    this.#runEverywhere(PACE_CONNECTIONS);
    // Who shares a rejected port is told once that is known to be one, which may be after it was come by.
    if (this.#rejects) for (const each of [NOTE_DATAGRAMS, PACE_CONNECTIONS, NOTE_DATAGRAMS]) this.#runEverywhere(each);
    this.#rejections.update(this.#rejects);
  }

  [Symbol.dispose](): void {
    if (this.#soon !== undefined) this.pace();
    clearInterval(this.#look);
    this.#processWindow[Symbol.dispose]();
    this.#policies[Symbol.dispose]();
    this.#rulings[Symbol.dispose]();
    this.#disconnection[Symbol.dispose]();
  }

  get #rejects(): boolean {
    const wanted = RlPolicyFlag.policyReject | RlPolicyFlag.policyDenyInbound;
    return [...this.#indices.values()].some((index) => (this.#flags(index) & wanted) === wanted);
  }

  #runEverywhere(program: string): void {
    const path = pinPath(this.#accounting.bpffs, 'links', program);
    if (!existsSync(path)) return;
    using iterator = new BpfIterator(BpfLink.openPinned(path));
    this.#namespaces.discover();
    this.#namespaces.visit(() => iterator.read());
  }

  #paceSoon(): void {
    this.#soon ??= setTimeout(() => this.#try(() => this.pace()), PACE_SOON_MS).unref();
  }

  /** Nobody waits for what a timer does, and one round that fails must not end the agent. */
  #try(work: () => void): void {
    try {
      work();
    } catch (error) {
      if ((error as { code?: string }).code === 'BPF_NAMESPACE_LOST') throw error;
      this.#failed(error);
    }
  }

  /** An agent that was killed may have taken out a policy, and not let go of the processes and sockets that it held. */
  #finishRemovals(): void {
    this.#processes.retain((number) => this.#flags(number) !== 0);
    this.#paceSoon();
  }

  /** Connections that came to a process some other way than being opened by it: passed on, accepted by a worker. */
  #paceNewcomers(): void {
    let unpaced = 0;
    for (const index of this.#indices.values()) {
      unpaced += this.#policyView.getUint32(index * RL_POLICY_SIZE + RL_POLICY_OFFSET.unpaced, true);
    }
    if (unpaced !== this.#unpaced) this.#paceSoon();
    if (this.#rejects) {
      this.#runEverywhere(NOTE_DATAGRAMS);
      this.#rejections.update(true);
    }
    this.#unpaced = unpaced;
  }

  #lookAfterNewcomers(isNeeded: boolean): void {
    if (isNeeded) this.#look ??= setInterval(() => this.#try(() => this.#paceNewcomers()), LOOK_MS).unref();
    else {
      clearInterval(this.#look);
      this.#look = undefined;
    }
  }

  #attachWhereNeeded(): void {
    const needed = [...this.#indices.values()].some((index) => (this.#flags(index) & NEEDS_PACING) !== 0);
    this.#lookAfterNewcomers(needed || this.#rejects);
    const { bpffs, cgroup } = this.#accounting;
    const link = pinPath(bpffs, 'links', HOLD_CONNECTIONS);
    const program = pinPath(bpffs, 'programs', HOLD_CONNECTIONS);
    if (needed === existsSync(link) || !existsSync(program)) return;
    if (!needed) {
      unpin(link);
      return;
    }
    const fds = [openPin('program', program), openSync(cgroup, constants.O_RDONLY | constants.O_DIRECTORY)] as const;
    try {
      using attached = BpfLink.create(fds[0], fds[1], BPF_CGROUP_SOCK_OPS);
      attached.pin(link);
    } finally {
      for (const fd of fds) closeSync(fd);
    }
  }

  /** @param used what the kernel has counted already; null where it has not counted yet */
  #setQuota(index: number, { quota }: KernelPolicy, used: bigint | null): void {
    const offset = index * RL_POLICY_SIZE;
    const usedBytes = used ?? BigInt(quota?.usedBytes ?? 0);
    this.#setPeriodEnd(index, quota?.endsAtMs ?? null);
    const exhausted = quota !== null && usedBytes >= BigInt(quota.bytes);
    if (used === null) this.#setUsed(index, usedBytes, exhausted);
    else this.#policyView.setUint32(offset + RL_POLICY_OFFSET.exhausted, exhausted ? 1 : 0, true);
  }

  #setUsed(index: number, bytes: bigint, exhausted: boolean): void {
    const offset = index * RL_POLICY_SIZE;
    this.#policyView.setBigUint64(offset + RL_POLICY_OFFSET.quotaUsedBytes, bytes, true);
    this.#policyView.setUint32(offset + RL_POLICY_OFFSET.exhausted, exhausted ? 1 : 0, true);
  }

  /** In the kernel's own time, which nobody sets; with it by how much that differed from the wall clock. */
  #setPeriodEnd(index: number, endsAtMs: number | null): void {
    const offset = index * RL_POLICY_SIZE;
    const clockNs = this.#wallNs() - bootTimeNs();
    const endsNs = endsAtMs === null ? 0n : BigInt(endsAtMs) * 1_000_000n - clockNs;
    this.#policyView.setBigInt64(offset + RL_POLICY_OFFSET.quotaClockNs, clockNs, true);
    this.#policyView.setBigUint64(offset + RL_POLICY_OFFSET.quotaEndsNs, endsNs < 0n ? 1n : endsNs, true);
  }

  /** In the kernel's own time. */
  #setExpiry(index: number, expiresAtMs: number): void {
    const expiresNs = BigInt(expiresAtMs) * 1_000_000n - (this.#wallNs() - bootTimeNs());
    const offset = index * RL_POLICY_SIZE + RL_POLICY_OFFSET.expiresNs;
    this.#policyView.setBigUint64(offset, expiresNs < 1n ? 1n : expiresNs, true);
  }

  /** Whether the kernel counts in the period that ends then. One whose end it isn't told yet it has begun itself. */
  #isIn(index: number, endsAtMs: number | null): boolean {
    const counted = periodEndOf(this.#policyView, index * RL_POLICY_SIZE);
    return counted === null || counted === endsAtMs;
  }

  #wallNs(): bigint {
    return BigInt(Math.round(this.#nowMs() * 1e6));
  }

  #countEarly(): void {
    const early = [...this.#indices.values()].filter((index) => (this.#flags(index) & RlPolicyFlag.policyEarly) !== 0);
    this.#accounting.totals.setBigUint64(RL_TOTALS_OFFSET.earlyPolicies, BigInt(early.length), true);
  }

  #freeIndex(): number {
    // One that has expired has no flags any more, and processes may still be held to its number.
    const taken = new Set(this.#indices.values());
    for (let index = 1; index < RL_MAX_POLICIES; index++) {
      if (this.#flags(index) === 0 && !taken.has(index)) return index;
    }
    throw new AgentError('ENFORCEMENT_FULL', `there are ${this.limits.policies} policies already: remove one first`);
  }

  #index(name: string): number {
    const index = this.#indices.get(name);
    if (index === undefined) throw new AgentError('ENFORCEMENT_UNKNOWN', `policy ${name} is not installed`);
    return index;
  }

  #flags(index: number): number {
    return this.#policyView.getUint32(index * RL_POLICY_SIZE + RL_POLICY_OFFSET.flags, true);
  }

  #isRuled(flow: number): boolean {
    const offset = (flow % 2 ** 32) * RL_RULING_SIZE;
    return this.#rulingView.getUint32(offset, true) === Math.floor(flow / 2 ** 32);
  }
}

function rethrow(error: unknown): void {
  throw error;
}
