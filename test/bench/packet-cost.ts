import { Accounting } from '../../agent/accounting.ts';
import { findCgroupRoot } from '../../agent/mounts.ts';
import { enableStats, type ProgramInfo } from '../../bpf/info.ts';
import { BpfObject } from '../../bpf/object.ts';
import { atEnd } from '../e2e/at-end.ts';
import { Hosts } from '../e2e/hosts.ts';
import type { Bench } from './bench.ts';
import { differenceSpread, median, ratioSpread, sum } from './statistics.ts';
import { KINDS, type Kind, Streams } from './streams.ts';
import { formatNumber, formatRange, type Section, type Verdict } from './table.ts';

/** What runs for each packet, and for each system call that sends or receives. */
const GROUPS = [
  { what: 'packet sent', programs: ['skb_egress', 'net_dev_start_xmit'], perPacket: true },
  { what: 'packet received', programs: ['netif_receive_skb', 'skb_ingress'], perPacket: true },
  { what: 'send', programs: ['sock_send_length'], perPacket: false },
  { what: 'receive', programs: ['sock_recv_length', 'tcp_rcv_space_adjust'], perPacket: false },
] as const;
const PROGRAMS: readonly string[] = GROUPS.flatMap(({ programs }) => programs);
const WANTED_NS = 60;
const KIND_NAMES: Readonly<Record<Kind, string>> = { udp: '64-byte UDP', tcp: 'TCP' };
const COLUMNS = ['ns a run', 'ours', 'only returns', 'ours / returns', 'added', 'added, min to max', 'runs/s'];

/** ns a run by round, of one program under one kind of traffic. */
interface Series {
  ours: number[];
  noop: number[];
  runsPerSecond: number[];
}

/** One round's measurement: by kind and program. */
type Round = ReadonlyMap<string, { ns: number; runsPerSecond: number }>;

export async function measurePacketCost(bench: Bench): Promise<Section> {
  const rounds = bench.quick ? 3 : 10;
  const windowMs = bench.quick ? 400 : 700;
  const bpffs = `/sys/fs/bpf/relayledger-bench-${process.pid}`;
  const cgroup = findCgroupRoot();
  atEnd(() => Accounting.remove(bpffs));
  await using hosts = await Hosts.make({ offloads: true });
  const streams = await Streams.start(hosts, bench);
  using _stats = enableStats();

  const series = new Map<string, Series>();
  for (let round = 0; round < rounds; round++) {
    bench.progress(`packet cost: round ${round + 1} of ${rounds}`);
    const ours = await withOurs(bpffs, cgroup, (infos) => measure(streams, windowMs, infos));
    const noop = await withNoop(bench.programs.noop, cgroup, (infos) => measure(streams, windowMs, infos));
    for (const [key, { ns, runsPerSecond }] of ours) {
      const other = noop.get(key);
      if (other === undefined) continue;
      const each = series.get(key) ?? { ours: [], noop: [], runsPerSecond: [] };
      each.ours.push(ns);
      each.noop.push(other.ns);
      each.runsPerSecond.push(runsPerSecond);
      series.set(key, each);
    }
  }
  return report(series, rounds, windowMs);
}

type Infos = () => Map<string, ProgramInfo>;

async function withOurs<T>(bpffs: string, cgroup: string, work: (infos: Infos) => Promise<T>): Promise<T> {
  try {
    using accounting = Accounting.start({ bpffs, cgroup });
    const programs = accounting.programs.filter(({ hook }) => PROGRAMS.includes(hook.program));
    return await work(() => {
      const infos = new Map<string, ProgramInfo>();
      for (const program of programs) {
        const info = accounting.programInfo(program);
        if (info) infos.set(program.hook.program, info);
      }
      return infos;
    });
  } finally {
    Accounting.remove(bpffs);
  }
}

async function withNoop<T>(path: string, cgroup: string, work: (infos: Infos) => Promise<T>): Promise<T> {
  using stack = new DisposableStack();
  const { object } = BpfObject.loadSupported(path, PROGRAMS);
  stack.use(object);
  const programs = [...object.programs.values()].filter(({ autoload }) => autoload);
  for (const program of programs) {
    stack.use(program.section.startsWith('cgroup') ? program.attachCgroup(cgroup) : program.attach());
  }
  return await work(() => new Map(programs.map((program) => [program.name, program.info()])));
}

async function measure(streams: Streams, windowMs: number, infos: Infos): Promise<Round> {
  const round = new Map<string, { ns: number; runsPerSecond: number }>();
  for (const kind of KINDS) {
    const edges: Map<string, ProgramInfo>[] = [];
    await streams.run(kind, windowMs, () => edges.push(infos()));
    const [before, after] = edges as [Map<string, ProgramInfo>, Map<string, ProgramInfo>];
    for (const [program, { runTimeNs, runCount }] of after) {
      const runs = runCount - (before.get(program)?.runCount ?? 0);
      if (runs === 0) continue;
      const ns = (runTimeNs - (before.get(program)?.runTimeNs ?? 0)) / runs;
      round.set(`${kind} ${program}`, { ns, runsPerSecond: runs / (windowMs / 1000) });
    }
  }
  return round;
}

function report(series: ReadonlyMap<string, Series>, rounds: number, windowMs: number): Section {
  const rows: string[][] = [];
  const verdicts: Verdict[] = [];
  for (const kind of KINDS) {
    for (const { what, programs, perPacket } of GROUPS) {
      const parts = programs.flatMap((program) => {
        const found = series.get(`${kind} ${program}`);
        // A program that runs now and then only is no part of what each packet costs.
        return found !== undefined && found.ours.length === rounds && isBusy(found) ? [{ program, ...found }] : [];
      });
      if (parts.length === 0) continue;
      const total = {
        ours: addRounds(parts.map(({ ours }) => ours)),
        noop: addRounds(parts.map(({ noop }) => noop)),
        runsPerSecond: parts[0]?.runsPerSecond ?? [],
      };
      rows.push(renderRow(`${KIND_NAMES[kind]}, a ${what}`, total));
      if (parts.length > 1) for (const part of parts) rows.push(renderRow(`    ${part.program}`, part));
      else rows[rows.length - 1] = renderRow(`${KIND_NAMES[kind]}, a ${what} (${parts[0]?.program})`, total);
      if (!perPacket) continue;
      const { median: added } = differenceSpread(total.ours, total.noop);
      const wanted = `${WANTED_NS} ns or less`;
      const measured = `${formatNumber(added)} ns`;
      verdicts.push({ what: `added per ${KIND_NAMES[kind]} ${what}`, wanted, measured, holds: added <= WANTED_NS });
    }
  }
  return {
    title: 'Cost of the programs, per run',
    notes: [
      `Kernel run statistics, ${rounds} rounds of ${windowMs} ms with our programs and ${windowMs} ms with programs that`,
      'only return, by turns, on the same two iperf3 connections over veth. A run is a packet as the hook is handed it:',
      'with TCP, segments not cut up yet. Both sides hold the clock readings of the statistics; `added` is without them.',
    ],
    columns: COLUMNS,
    rows,
    verdicts,
  };
}

function isBusy({ runsPerSecond }: Series): boolean {
  return median(runsPerSecond) > 1000;
}

function addRounds(parts: readonly number[][]): number[] {
  return (parts[0] ?? []).map((_, round) => sum(parts.map((part) => part[round] as number)));
}

function renderRow(name: string, { ours, noop, runsPerSecond }: Series): string[] {
  const added = differenceSpread(ours, noop);
  return [
    name,
    formatNumber(median(ours)),
    formatNumber(median(noop)),
    formatNumber(ratioSpread(ours, noop).median),
    formatNumber(added.median),
    formatRange(added),
    formatNumber(median(runsPerSecond)),
  ];
}
