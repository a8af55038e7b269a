/** `struct rl_policy` (bpf/enforcement.h) from what the agent says, and back. Pure: no I/O. */

import { readU64 } from '../../bpf/decode.ts';
import {
  RL_ALLOWANCE_SIZE,
  RL_LIMIT_SIZE,
  RL_POLICY_OFFSET,
  RL_POLICY_SIZE,
  type RlAllowance,
  RlDirection,
  RlEarlyTerm,
  RlPolicyFlag,
  readRlAllowance,
} from '../../bpf/layouts.ts';
import type { EarlyMatch, KernelPolicy, PolicyCounters } from '../policies/enforcer.ts';
import type { Direction } from '../readings.ts';

const SECOND_NS = 1_000_000_000n;
const HAS_RATE = RlPolicyFlag.policySent | RlPolicyFlag.policyReceived;

/** As `enum rl_enforcement_limits` (bpf/enforcement.h) has them. */
export const RL_MAX_POLICIES = 128;
export const RL_PROCESS_POLICIES = 4;
const RL_COST_SHIFT = 16;
const RL_NAME_LENGTH = 16;
const RL_POLICY_NAME_LENGTH = 128;

/** What the kernel writes while the policy holds begins here, and replacing a policy leaves it alone. */
export const STATE_OFFSET: number = RL_POLICY_OFFSET.quotaUsedBytes;

/** The configuration: the record up to STATE_OFFSET. */
export function encodePolicy(policy: KernelPolicy, early: EarlyMatch | null): Buffer {
  const record = Buffer.alloc(STATE_OFFSET);
  record.writeUInt32LE(flagsOf(policy, early), RL_POLICY_OFFSET.flags);
  record.writeUInt16LE(policy.deny?.firstPort ?? 0, RL_POLICY_OFFSET.firstPort);
  record.writeUInt16LE(policy.deny?.lastPort ?? 0, RL_POLICY_OFFSET.lastPort);
  const normal = policy.rate?.bytesPerSecond ?? 0;
  const throttled = policy.quota?.then === 'throttle' ? policy.quota.throttleBytesPerSecond : 0;
  encodeLimit(record, RL_POLICY_OFFSET.limits, normal);
  encodeLimit(
    record,
    RL_POLICY_OFFSET.limits + RL_LIMIT_SIZE,
    normal && throttled ? Math.min(normal, throttled) : throttled,
  );
  if (policy.quota) {
    record.writeBigUInt64LE(BigInt(policy.quota.bytes), RL_POLICY_OFFSET.quotaBytes);
    record.writeBigUInt64LE(BigInt(policy.quota.periodMs ?? 0) * 1_000_000n, RL_POLICY_OFFSET.quotaPeriodNs);
  }
  if (early) encodeEarly(record, early);
  record.write(
    policy.name.slice(0, RL_POLICY_NAME_LENGTH - 1),
    RL_POLICY_OFFSET.name,
    RL_POLICY_NAME_LENGTH - 1,
    'utf8',
  );
  return record;
}

function flagsOf({ scope, rate, quota, deny }: KernelPolicy, early: EarlyMatch | null): number {
  const isRelay = scope === 'relay';
  let flags = 0;
  if (isRelay) flags |= RlPolicyFlag.policyRelay;
  // What a relay receives is held by what it sends: it stops reading when it cannot pass on, and nothing is lost.
  if (rate && (rate.sent || isRelay)) flags |= RlPolicyFlag.policySent;
  if (rate?.received && !isRelay) flags |= RlPolicyFlag.policyReceived;
  if (quota) flags |= RlPolicyFlag.policyQuota;
  if (quota?.then === 'throttle') flags |= RlPolicyFlag.policyQuotaThrottle;
  if (quota?.then === 'deny' || quota?.then === 'kill') flags |= RlPolicyFlag.policyQuotaDeny;
  if (deny?.inbound) flags |= RlPolicyFlag.policyDenyInbound;
  if (deny?.outbound) flags |= RlPolicyFlag.policyDenyOutbound;
  if (deny?.how === 'reject') flags |= RlPolicyFlag.policyReject;
  if (early) flags |= RlPolicyFlag.policyEarly;
  return flags | RlPolicyFlag.policyInstalled;
}

function encodeLimit(record: Buffer, offset: number, bytesPerSecond: number): void {
  const rate = BigInt(Math.max(0, Math.round(bytesPerSecond)));
  record.writeBigUInt64LE(rate, offset);
  record.writeBigUInt64LE(rate === 0n ? 0n : (SECOND_NS << BigInt(RL_COST_SHIFT)) / rate, offset + 8);
}

function encodeEarly(record: Buffer, early: EarlyMatch): void {
  let terms = 0;
  if (early.name !== undefined) {
    terms |= RlEarlyTerm.earlyName;
    record.write(early.name, RL_POLICY_OFFSET.earlyName, RL_NAME_LENGTH - 1, 'utf8');
  }
  if (early.uid !== undefined) {
    terms |= RlEarlyTerm.earlyUid;
    record.writeUInt32LE(early.uid, RL_POLICY_OFFSET.earlyUid);
  }
  if (early.executable !== undefined) {
    terms |= RlEarlyTerm.earlyExecutable;
    record.writeBigUInt64LE(hashProgram(early.executable), RL_POLICY_OFFSET.earlyExecutable);
  }
  if (early.executableName !== undefined) {
    terms |= RlEarlyTerm.earlyExecutableName;
    record.writeBigUInt64LE(hashProgram(early.executableName), RL_POLICY_OFFSET.earlyExecutableName);
  }
  record.writeUInt32LE(terms, RL_POLICY_OFFSET.earlyTerms);
}

/**
 * FNV-1a over a name, or over a path as `rl_process_details` has it: from the file up to the root, each component
 * NUL-terminated.
 */
export function hashProgram(program: string): bigint {
  const components = program.split('/').filter(Boolean).reverse();
  let hash = 0xcbf29ce484222325n;
  for (const byte of Buffer.from(components.map((each) => `${each}\0`).join(''))) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  }
  return hash;
}

/** rl_process.policies: the first number lowest, so that a process has none where the lowest is 0. */
export function packNumbers(numbers: readonly number[]): bigint {
  return numbers.slice(0, RL_PROCESS_POLICIES).reduceRight((packed, number) => (packed << 16n) | BigInt(number), 0n);
}

export function unpackNumbers(packed: bigint): number[] {
  const numbers: number[] = [];
  for (let rest = packed; rest !== 0n; rest >>= 16n) numbers.push(Number(rest & 0xffffn));
  return numbers.filter((number) => number !== 0);
}

export function readAllowance(view: DataView, offset: number, direction: Direction): RlAllowance {
  const place = direction === 'rx' ? RlDirection.rx : RlDirection.tx;
  return readRlAllowance(view, offset + RL_POLICY_OFFSET.allowances + place * RL_ALLOWANCE_SIZE);
}

/**
 * @param nowNs CLOCK_BOOTTIME, to tell a period that has ended while nothing passed
 * @param bootLessMonotonicNs what to add to the programs' CLOCK_MONOTONIC stamps
 * @param wallLessBootNs CLOCK_REALTIME less CLOCK_BOOTTIME as they are now
 */
export function readCounters(
  view: DataView,
  offset: number,
  nowNs: bigint,
  bootLessMonotonicNs: number,
  wallLessBootNs: bigint,
): PolicyCounters {
  const [rx, tx] = [readAllowance(view, offset, 'rx'), readAllowance(view, offset, 'tx')];
  const quotaEndsNs = view.getBigUint64(offset + RL_POLICY_OFFSET.quotaEndsNs, true);
  const ended = quotaEndsNs > 0n && quotaEndsNs <= nowNs;
  const lastHeldNs = Math.max(Number(rx.lastHeldBackNs), Number(tx.lastHeldBackNs));
  const dropped = (['rx', 'tx'] as const).flatMap((direction) => {
    const { droppedPackets, quotaPackets, deniedPackets } = direction === 'rx' ? rx : tx;
    return [
      { direction, reason: 'rate' as const, packets: droppedPackets },
      { direction, reason: 'quota' as const, packets: quotaPackets },
      { direction, reason: 'denied' as const, packets: deniedPackets },
    ];
  });
  return {
    passedBytes: readPassed(view, offset, rx, tx),
    throttledBytes: { rx: rx.throttledBytes, tx: tx.throttledBytes },
    droppedPackets: dropped.filter(({ packets }) => packets > 0),
    refusedCalls: readU64(view, offset + RL_POLICY_OFFSET.refusedCalls),
    quotaUsedBytes: ended ? 0 : readU64(view, offset + RL_POLICY_OFFSET.quotaUsedBytes),
    quotaExhausted: !ended && view.getUint32(offset + RL_POLICY_OFFSET.exhausted, true) !== 0,
    quotaEndsAtMs: quotaEndsNs === 0n ? null : toMs(quotaEndsNs + wallLessBootNs),
    lastHeldBackNs: lastHeldNs === 0 ? 0 : lastHeldNs + bootLessMonotonicNs,
    activeFlows: activeFlows(rx, nowNs, bootLessMonotonicNs) + activeFlows(tx, nowNs, bootLessMonotonicNs),
  };
}

/** By packets where a rate holds them; what a quota alone is about passes no allowance, and is counted by calls. */
function readPassed(view: DataView, offset: number, rx: RlAllowance, tx: RlAllowance): Record<Direction, number> {
  const hasRate = view.getUint32(offset + RL_POLICY_OFFSET.flags, true) & HAS_RATE;
  if (hasRate) return { rx: rx.passedBytes, tx: tx.passedBytes };
  const at = offset + RL_POLICY_OFFSET.quotaPassedBytes;
  return { rx: readU64(view, at + 8 * RlDirection.rx), tx: readU64(view, at + 8 * RlDirection.tx) };
}

/** Which period a quota is counted in: when that ends, on the wall clock by which it was told; null for none. */
export function periodEndOf(view: DataView, offset: number): number | null {
  const endsNs = view.getBigUint64(offset + RL_POLICY_OFFSET.quotaEndsNs, true);
  return endsNs === 0n ? null : toMs(endsNs + view.getBigInt64(offset + RL_POLICY_OFFSET.quotaClockNs, true));
}

function toMs(ns: bigint): number {
  return Number(ns / 1_000_000n);
}

/** An epoch that began long ago has not ended because nothing has passed since. */
function activeFlows(
  allowance: { activeFlows: number; presentFlows: number; epochEndsNs: bigint },
  nowNs: bigint,
  bootLessMonotonicNs: number,
): number {
  const isOver = Number(allowance.epochEndsNs) + bootLessMonotonicNs + 1e9 < Number(nowNs);
  return isOver ? 0 : Math.max(allowance.activeFlows, allowance.presentFlows);
}

export function nameOf(record: Buffer): string {
  const end = record.indexOf(0, RL_POLICY_OFFSET.name);
  return record.toString('utf8', RL_POLICY_OFFSET.name, Math.min(end, RL_POLICY_OFFSET.name + RL_POLICY_NAME_LENGTH));
}

export function recordAt(buffer: ArrayBuffer, index: number): Buffer {
  return Buffer.from(buffer, index * RL_POLICY_SIZE, RL_POLICY_SIZE);
}
