/** The door between what is decided (agent/policies) and what the kernel holds to it (agent/enforcement). */

import type { Direction } from '../readings.ts';

/** One policy as the kernel is told of it. Whom it holds for is said apart, by `assign`. */
export interface KernelPolicy {
  name: string;
  /** `relay`: only flows that `rule` has named; `all`: all that the processes do. */
  scope: 'relay' | 'all';
  /** Payload bytes per second, shared by every flow and process it holds for; each direction has its own allowance. */
  rate: { bytesPerSecond: number; sent: boolean; received: boolean } | null;
  quota: KernelQuota | null;
  deny: KernelDeny | null;
  /** When the kernel takes it out of force by itself, wall clock; null for never. It is to be removed all the same. */
  expiresAtMs: number | null;
}

export interface KernelQuota {
  /** Payload bytes, both directions together. */
  bytes: number;
  /** What a period before the agent's last stop, or before a reboot, had used; the kernel counts on from there. */
  usedBytes: number;
  /** When the period ends, wall clock; null for `total`. The kernel starts anew then, agent or no agent. */
  endsAtMs: number | null;
  /** How long each period after that one lasts; null where the agent sets each end itself (months). */
  periodMs: number | null;
  /** From when it is used up until the period ends. `kill` is the agent's to do; the kernel denies until it is done. */
  then: 'notify' | 'throttle' | 'deny' | 'kill';
  /** For `throttle`. */
  throttleBytesPerSecond: number;
}

/** Connections and strangers' first datagrams; what is established goes on. */
export interface KernelDeny {
  inbound: boolean;
  outbound: boolean;
  /** Inclusive. Inbound: the local port; outbound: the remote one. */
  firstPort: number;
  lastPort: number;
  how: 'drop' | 'reject';
}

/** What a policy has done since it was installed; never goes backwards while it is. */
export interface PolicyCounters {
  /** Payload bytes that passed under it. */
  passedBytes: Record<Direction, number>;
  /** Payload bytes that were made to wait or were policed away. */
  throttledBytes: Record<Direction, number>;
  droppedPackets: { direction: Direction; reason: 'rate' | 'quota' | 'denied'; packets: number }[];
  /** Refused connects and sends. */
  refusedCalls: number;
  /** In this period. */
  quotaUsedBytes: number;
  quotaExhausted: boolean;
  /** When the kernel begins the next period, by the wall clock as it is set now; null for never, or not by itself. */
  quotaEndsAtMs: number | null;
  /** When it last held something back, CLOCK_BOOTTIME ns; 0 for never. */
  lastHeldBackNs: number;
  /** Flows that moved bytes under its rate in the last second. */
  activeFlows: number;
}

/** Who is meant: a slot of the kernel's process table; the generation tells it from the slot's next owner. */
export interface ProcessSlot {
  slot: number;
  generation: number;
}

/** What the kernel can tell at a process's first socket, before the agent has seen it. All that are given must hold. */
export interface EarlyMatch {
  /** The kernel's comm. */
  name?: string;
  /** Absolute path. */
  executable?: string;
  /** The last component of the executable's path. */
  executableName?: string;
  uid?: number;
}

export interface Destroyed {
  tcp: number;
  udp: number;
}

/**
 * Installs, changes and takes back. Every call is done when it returns; a name is its own handle. Policies, whom they
 * hold for, and their counters are pinned with the accounting: they hold while no agent runs.
 */
export interface Enforcer extends Disposable {
  /** The most policies there can be at once, and the most that can hold for one process. */
  readonly limits: { policies: number; perProcess: number };
  /** Names that an earlier agent left installed. */
  installed(): string[];
  /** Installs or replaces; counters and the quota's use go on where the name was installed before. @throws ENFORCEMENT_FULL */
  install(policy: KernelPolicy, early?: EarlyMatch | null): void;
  /** Takes it back, and gives every live socket in every network namespace what it had. */
  remove(name: string): void;
  /** Which policies hold for a process: replaces what was said before. Live sockets follow within a second. */
  assign(process: ProcessSlot, names: readonly string[]): void;
  /** What holds for it now, as the kernel has it: assigned, or matched early. */
  assigned(process: ProcessSlot): string[];
  /**
   * The ledger's ruling on one flow (its id, as FlowReading has it). `alreadyBytes`, what it has relayed before the
   * ruling, is charged to its policies' allowance.
   */
  rule(flow: number, relayed: boolean, alreadyBytes: number): void;
  counters(name: string): PolicyCounters;
  /**
   * Says anew when a quota's period ends, in place: nothing else of the policy changes.
   * @param isNew a period begins, of which nothing is used; one that the kernel has begun by itself goes on
   */
  setPeriod(name: string, endsAtMs: number | null, isNew: boolean): void;
  /** Says anew when it expires, in place: the wall clock may have been set since. */
  setExpiry(name: string, expiresAtMs: number): void;
  /** Destroys the process's connections (`relay`: of ruled flows only) in its network namespaces. */
  disconnect(process: ProcessSlot, scope: 'relay' | 'all'): Destroyed;
}
