import { Accounting } from '../../../agent/accounting.ts';
import { KernelEnforcer } from '../../../agent/enforcement/kernel-enforcer.ts';
import { findCgroupRoot } from '../../../agent/mounts.ts';
import { enableStats } from '../../../bpf/info.ts';
import { Hosts } from '../../e2e/hosts.ts';
import type { Bench } from '../bench.ts';
import { median } from '../statistics.ts';
import { type Kind, Streams } from '../streams.ts';
import { findProcesses } from './cell.ts';

export interface Cost {
  traffic: string;
  program: string;
  /** ns a run, medians over the rounds: without a policy, beside one that holds others, under one. */
  free: number;
  uncapped: number;
  capped: number;
  /** What a policy adds to the packets of those that it does not hold, and of those that it does. */
  addedUncapped: number;
  added: number;
}

/** A limit that nothing here reaches: what is measured is the work, not the waiting. */
const FAR_ABOVE = 4e9;
const STATES = ['free', 'uncapped', 'capped'] as const;

/**
 * ns a run of the packet programs by kernel run statistics, on the same connections, by turns: without a policy,
 * beside one that holds another program, and under one that never says no.
 */
export async function measureCost(bench: Bench, rounds: number, windowMs: number): Promise<Cost[]> {
  const bpffs = `/sys/fs/bpf/relayledger-caps-cost-${process.pid}`;
  await using hosts = await Hosts.make({ offloads: true });
  await using cutUp = await Hosts.make({ offloads: false });
  const traffics: { name: string; kind: Kind; streams: Streams }[] = [];
  const whole = await Streams.start(hosts, ['udp', 'tcp'], bench);
  traffics.push({ name: '64-byte UDP', kind: 'udp', streams: whole });
  traffics.push({ name: '1,500-byte TCP', kind: 'tcp', streams: await Streams.start(cutUp, ['tcp'], bench) });
  traffics.push({ name: 'GSO TCP', kind: 'tcp', streams: whole });
  using _stats = enableStats();
  try {
    using accounting = Accounting.start({ bpffs, cgroup: findCgroupRoot() });
    using enforcer = new KernelEnforcer(accounting);
    const programs = accounting.programs.filter(({ hook }) => hook.section.startsWith('cgroup_skb'));
    const results = new Map<string, Record<(typeof STATES)[number], number[]>>();
    for (let round = 0; round < rounds; round++) {
      for (const state of STATES) {
        enforcer.remove('cost');
        if (state !== 'free') {
          const rate = { bytesPerSecond: FAR_ABOVE, sent: true, received: true };
          const others = { executableName: 'no-such-program' };
          const policy = { name: 'cost', scope: 'all', rate, quota: null, deny: null, expiresAtMs: null } as const;
          enforcer.install(policy, state === 'uncapped' ? others : null);
        }
        for (const { name, kind, streams } of traffics) {
          const edges: Map<string, { ns: number; runs: number }>[] = [];
          const assign = (): void => {
            if (state !== 'capped') return;
            for (const pid of streams.pids(kind)) {
              for (const process of findProcesses(accounting, pid)) enforcer.assign(process, ['cost']);
            }
          };
          await streams.run(kind, windowMs / 3);
          assign();
          enforcer.pace();
          await streams.run(kind, windowMs, () =>
            edges.push(
              new Map(
                programs.map((program) => {
                  const { runTimeNs = 0, runCount = 0 } = accounting.programInfo(program) ?? {};
                  return [program.hook.program, { ns: runTimeNs, runs: runCount }];
                }),
              ),
            ),
          );
          for (const { hook } of programs) {
            const [before, after] = edges.map((edge) => edge.get(hook.program)) as [
              { ns: number; runs: number },
              { ns: number; runs: number },
            ];
            const key = `${name}|${hook.program}`;
            const each = results.get(key) ?? { free: [], uncapped: [], capped: [] };
            each[state].push((after.ns - before.ns) / (after.runs - before.runs));
            results.set(key, each);
          }
        }
      }
    }
    return [...results].map(([key, { free, uncapped, capped }]) => {
      const [traffic = '', program = ''] = key.split('|');
      const over = (ns: number[], base: number[]): number =>
        median(ns.map((each, round) => each - (base[round] as number)));
      const medians = { free: median(free), uncapped: median(uncapped), capped: median(capped) };
      return { traffic, program, ...medians, addedUncapped: over(uncapped, free), added: over(capped, uncapped) };
    });
  } finally {
    Accounting.remove(bpffs);
  }
}
