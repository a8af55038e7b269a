import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Accounting } from '../../../agent/accounting.ts';
import { KernelEnforcer } from '../../../agent/enforcement/kernel-enforcer.ts';
import { findCgroupRoot } from '../../../agent/mounts.ts';
import { RL_FLOW_OFFSET, RL_FLOW_SIZE } from '../../../bpf/layouts.ts';
import { start, waitForPort } from '../../e2e/hosts.ts';
import type { Verdict } from '../table.ts';
import { findProcesses, type Tools } from './cell.ts';
import { Flows } from './flows.ts';
import { makePath, removePath } from './paths.ts';

const RELAYED_BYTES_PER_SECOND = 100_000;

/**
 * One process with own and relayed flows: throughput of an own flow, and round trips of another, while the relayed ones
 * are capped, over the same while they rest. One relayed flow, one own one, and the round trips, in one program; by
 * turns in the same run, as another run would differ by more than what is looked for.
 */
export async function measureOwnFlows(tools: Tools, windowMs: number): Promise<Verdict[]> {
  const folder = mkdtempSync(join(tmpdir(), 'rl-caps-own-'));
  const bpffs = `/sys/fs/bpf/relayledger-caps-own-${process.pid}`;
  const path = await makePath('delayed', tools.delay, folder);
  try {
    using accounting = Accounting.start({ bpffs, cgroup: findCgroupRoot() });
    using enforcer = new KernelEnforcer(accounting);
    start(path.receiver, [tools.flows, 'echo', '5301'], { output: `${folder}/echo`, errors: `${folder}/echo.errors` });
    const sink = Flows.start(path.receiver, tools.flows, folder, 'other', 'sink', ['5300', 'tcp']);
    await waitForPort(path.receiver, 'tcp', 5300);
    const to = [path.address, '5300', 'tcp', '2', 'cubic'];
    const sender = Flows.start(path.sender, tools.flows, folder, 'held', 'send', [...to, '0', '5301']);
    await sleep(3000);
    const [process] = findProcesses(accounting, sender.running.pid);
    if (process === undefined) throw new Error('the sender has touched no socket');
    const relayed = flowTo(accounting, process.slot, 5300);
    const rate = { bytesPerSecond: RELAYED_BYTES_PER_SECOND, sent: true, received: true };
    enforcer.install({ name: 'relayed', scope: 'relay', rate, quota: null, deny: null, expiresAtMs: null });
    const readings: { own: number; p99: number }[][] = [[], []];
    for (let round = 0; round < 2; round++) {
      for (const capped of [0, 1]) {
        enforcer.rule(relayed, capped === 1, 0);
        enforcer.assign(process, capped === 1 ? ['relayed'] : []);
        enforcer.pace();
        await sleep(2000);
        const before = sender.read(2).map(({ bytes }) => bytes);
        const lines = pings(folder).length;
        await sleep(windowMs / 2);
        const moved = sender.read(2).map(({ bytes }, index) => bytes - (before[index] as number));
        readings[capped]?.push({ own: Math.max(...moved), p99: percentile(pings(folder).slice(lines), 0.99) });
      }
    }
    sender.stop();
    sink.stop();
    const [free, capped] = readings.map((each) => ({
      own: each.reduce((sum, { own }) => sum + own, 0),
      p99: Math.min(...each.map(({ p99 }) => p99)),
    })) as [{ own: number; p99: number }, { own: number; p99: number }];
    const throughput = capped.own / free.own;
    const latency = capped.p99 / free.p99;
    return [
      {
        what: 'own flow while relayed ones are capped, throughput',
        wanted: '0.97',
        measured: throughput.toFixed(3),
        holds: throughput >= 0.97,
      },
      { what: 'own round trips, p99', wanted: 'at most 1.1', measured: latency.toFixed(3), holds: latency <= 1.1 },
    ];
  } finally {
    Accounting.remove(bpffs);
    removePath(path);
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Microseconds, one a line. */
function pings(folder: string): number[] {
  return readFileSync(join(folder, 'held.output'), 'utf8').split('\n').filter(Boolean).map(Number);
}

function percentile(values: readonly number[], share: number): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length * share)] ?? Number.NaN;
}

function flowTo(accounting: Accounting, slot: number, port: number): number {
  using mapping = accounting.map('flows').mmap();
  const view = new DataView(mapping.buffer);
  for (let at = RL_FLOW_SIZE; at < view.byteLength; at += RL_FLOW_SIZE) {
    if (view.getUint32(at + RL_FLOW_OFFSET.slot, true) !== slot) continue;
    if (view.getUint16(at + RL_FLOW_OFFSET.remotePort, true) !== port) continue;
    return view.getUint32(at + RL_FLOW_OFFSET.generation, true) * 2 ** 32 + at / RL_FLOW_SIZE;
  }
  throw new Error('the sender has no flow');
}
