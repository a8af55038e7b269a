import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Accounting, pinPath } from '../../../agent/accounting.ts';
import { KernelEnforcer } from '../../../agent/enforcement/kernel-enforcer.ts';
import { readAllowance } from '../../../agent/enforcement/policy-record.ts';
import { HOLD_CONNECTIONS, PACE_CONNECTIONS } from '../../../agent/hooks.ts';
import { findCgroupRoot } from '../../../agent/mounts.ts';
import type { KernelPolicy } from '../../../agent/policies/enforcer.ts';
import { monotonicTimeNs } from '../../../bpf/clock.ts';
import { RL_POLICY_SIZE } from '../../../bpf/layouts.ts';
import { unpin } from '../../../bpf/pin.ts';
import { waitForPort } from '../../e2e/hosts.ts';
import { Flows } from './flows.ts';
import { makePath, type PathKind, removePath } from './paths.ts';

/** The bench installs but one. */
const FIRST_POLICY = 1;

/** No other run's program, nor a test's, has the name: their policies would hold this one too. */
const HELD = `held-${process.pid}`;

export interface Cell {
  path: PathKind;
  /** `churn`: connections of 20 KB, one after the other. */
  kind: 'tcp' | 'udp' | 'churn';
  flows: number;
  bitsPerSecond: number;
  congestion: 'cubic' | 'bbr';
  direction: 'sent' | 'received';
  /** The policy comes when the flows have been running for a second. */
  attachesLate?: boolean;
  /** What holds it; `dropping` is our bucket alone, without paced connections. */
  by?: 'ours' | 'dropping' | 'tbf' | 'nftables';
}

export interface Outcome {
  /** Goodput over the limit, after the settling time. */
  ratio: number;
  /** The same over the first second. */
  firstSecond: number;
  jain: number;
  /** Of the segments sent. */
  retransmitted: number;
  aborted: number;
  srttUs: number;
}

export interface Tools {
  flows: string;
  delay: string;
}

export interface Timing {
  settleMs: number;
  windowMs: number;
}

export async function measureCell(cell: Cell, tools: Tools, timing: Timing, verbose = false): Promise<Outcome> {
  const folder = mkdtempSync(join(tmpdir(), 'rl-caps-'));
  const bpffs = `/sys/fs/bpf/relayledger-caps-${process.pid}`;
  const path = await makePath(cell.path, tools.delay, folder);
  try {
    using accounting = Accounting.start({ bpffs, cgroup: findCgroupRoot() });
    using enforcer = new KernelEnforcer(accounting);
    const bytesPerSecond = cell.bitsPerSecond / 8;
    const rate = { bytesPerSecond, sent: cell.direction === 'sent', received: cell.direction === 'received' };
    const policy: KernelPolicy = { name: 'bench', scope: 'all', rate, quota: null, deny: null, expiresAtMs: null };
    const install = (): void => enforcer.install(policy, { executableName: HELD });
    if (cell.by === 'tbf' || cell.by === 'nftables') holdByOthers(cell.by, path.sender.name, bytesPerSecond);
    else if (!cell.attachesLate) install();
    if (cell.by === 'dropping') {
      // Without the iterator too, by which the enforcer paces connections that it finds without a pace.
      for (const hook of [HOLD_CONNECTIONS, PACE_CONNECTIONS]) unpin(pinPath(bpffs, 'links', hook));
    }
    const flows = await startFlows(cell, path.address, path, tools.flows, folder);
    try {
      if (cell.attachesLate) {
        await sleep(1000);
        install();
        for (const process of findProcesses(accounting, flows.held.running.pid)) enforcer.assign(process, ['bench']);
      }
      // What was sent before the policy waits with the receiver: only the policy tells what has passed since.
      const passed = cell.attachesLate ? (): number => passedBytes(accounting, cell.direction) : undefined;
      return await observe(cell, flows, timing, () => (verbose ? describe(accounting) : undefined), passed);
    } finally {
      flows.held.stop();
      flows.other.stop();
    }
  } finally {
    Accounting.remove(bpffs);
    removePath(path);
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The host's own means, on all that the sender's host sends. */
function holdByOthers(by: 'tbf' | 'nftables', namespace: string, bytesPerSecond: number): void {
  const inHost = (command: string[]): unknown => execFileSync('ip', ['netns', 'exec', namespace, ...command]);
  if (by === 'tbf') {
    const limits = ['rate', `${bytesPerSecond * 8}bit`, 'burst', '64kb', 'latency', '200ms'];
    inHost(['tc', 'qdisc', 'add', 'dev', 'eth0', 'root', 'tbf', ...limits]);
    return;
  }
  inHost(['nft', 'add table inet caps']);
  inHost(['nft', 'add chain inet caps out { type filter hook output priority 0; }']);
  inHost([
    'nft',
    `add rule inet caps out oifname eth0 limit rate over ${bytesPerSecond} bytes/second burst 64 kbytes drop`,
  ]);
}

interface Ends {
  /** The program that the policy holds. */
  held: Flows;
  other: Flows;
  sender: Flows;
  sink: Flows;
}

async function startFlows(
  { kind, flows, congestion, bitsPerSecond, direction }: Cell,
  address: string,
  { sender, receiver }: { sender: Parameters<typeof Flows.start>[0]; receiver: Parameters<typeof Flows.start>[0] },
  program: string,
  folder: string,
): Promise<Ends> {
  const protocol = kind === 'udp' ? 'udp' : 'tcp';
  const [senderName, sinkName] = direction === 'sent' ? [HELD, 'other'] : ['other', HELD];
  const sink = Flows.start(receiver, program, folder, sinkName, 'sink', ['5300', protocol]);
  await waitForPort(receiver, protocol, 5300);
  const last = kind === 'udp' ? String(Math.ceil((bitsPerSecond / 8) * 1.5)) : congestion;
  const rest = [address, '5300', protocol, String(flows), last, ...(kind === 'churn' ? ['20000'] : [])];
  const source = Flows.start(sender, program, folder, senderName, 'send', rest);
  return direction === 'sent'
    ? { held: source, other: sink, sender: source, sink }
    : { held: sink, other: source, sender: source, sink };
}

async function observe(
  cell: Cell,
  { sender, sink }: Ends,
  timing: Timing,
  look: () => string | undefined,
  passed: (() => number) | undefined,
): Promise<Outcome> {
  const many = cell.kind === 'churn' ? 4096 : cell.flows;
  const total = (): number => sink.read(many).reduce((sum, { bytes }) => sum + bytes, 0);
  // Connections take their time to be made; the first second begins with the first byte.
  const moving = passed ?? total;
  const start = passed ? 0 : total();
  for (const end = Date.now() + 5000; moving() === start && Date.now() < end; ) await sleep(2);
  const begin = performance.now();
  await sleep(1000);
  const first = ((moving() - start) / (performance.now() - begin)) * 1000;
  await sleep(Math.max(0, timing.settleMs - 1000));
  const before = sink.read(many);
  const sentBefore = sender.read(cell.flows);
  const at = performance.now();
  for (let elapsed = 0; elapsed < timing.windowMs; elapsed += 500) {
    await sleep(Math.min(500, timing.windowMs - elapsed));
    const text = look();
    if (text !== undefined) console.log(text);
  }
  const after = sink.read(many);
  const sentAfter = sender.read(cell.flows);
  const seconds = (performance.now() - at) / 1000;
  const moved = after.map(({ bytes }, index) => bytes - (before[index]?.bytes ?? 0));
  const wanted = cell.bitsPerSecond / 8;
  const segments = sentAfter.reduce(
    (sum, { segments }, index) => sum + segments - (sentBefore[index]?.segments ?? 0),
    0,
  );
  const again = sentAfter.reduce(
    (sum, { retransmitted }, index) => sum + retransmitted - (sentBefore[index]?.retransmitted ?? 0),
    0,
  );
  return {
    ratio: moved.reduce((sum, bytes) => sum + bytes, 0) / seconds / wanted,
    firstSecond: first / wanted,
    jain: jain(moved.slice(0, cell.flows)),
    retransmitted: segments > 0 ? again / segments : 0,
    aborted: sender.aborted,
    srttUs: sentAfter.reduce((sum, { srttUs }) => sum + srttUs, 0) / sentAfter.length,
  };
}

export function jain(shares: readonly number[]): number {
  const sum = shares.reduce((total, share) => total + share, 0);
  const squares = shares.reduce((total, share) => total + share * share, 0);
  return squares === 0 ? 0 : (sum * sum) / (shares.length * squares);
}

/** The kernel's record of a process, by pid. */
export function findProcesses(accounting: Accounting, pid: number): { slot: number; generation: number }[] {
  const processes = new DataView(accounting.processes.buffer);
  const found: { slot: number; generation: number }[] = [];
  for (const [key, value] of accounting.map('process_slots').entries()) {
    if (key.readUInt32LE(8) !== pid) continue;
    const slot = value.readUInt32LE(0);
    found.push({ slot, generation: processes.getUint32(slot * 384 + 20, true) });
  }
  return found;
}

/** Since the policy was installed. */
function passedBytes(accounting: Accounting, direction: Cell['direction']): number {
  using policies = accounting.map('policies').mmap();
  const view = new DataView(policies.buffer);
  return readAllowance(view, FIRST_POLICY * RL_POLICY_SIZE, direction === 'sent' ? 'tx' : 'rx').passedBytes;
}

/** One line for whoever tunes the controller. */
function describe(accounting: Accounting): string {
  using policies = accounting.map('policies').mmap();
  const view = new DataView(policies.buffer);
  const start = FIRST_POLICY * RL_POLICY_SIZE;
  const now = monotonicTimeNs();
  return (['rx', 'tx'] as const)
    .map((direction) => ({ direction, ...readAllowance(view, start, direction) }))
    .filter(({ limitRate }) => limitRate > 0)
    .map(
      (each) =>
        `${each.direction} fair ${each.fairRate} active ${each.activeFlows}/${each.presentFlows} epoch ${each.epoch} ` +
        `level ${Number(now - each.usedUntilNs) / 1e6} ms passed ${each.passedBytes} held ${each.throttledBytes} dropped ${each.droppedPackets}`,
    )
    .join('; ');
}
