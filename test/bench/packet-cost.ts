import { enableStats } from '../../bpf/info.ts';
import { Hosts } from '../e2e/hosts.ts';
import type { Bench } from './bench.ts';
import { type Infos, runsBetween, Sides } from './run-statistics.ts';
import { differenceSpread, median, ratioSpread, sum } from './statistics.ts';
import { type Kind, Streams } from './streams.ts';
import { formatNumber, formatPercent, formatRange, type Section, type Verdict } from './table.ts';

/** What runs for each packet, and for each system call that sends or receives. */
const GROUPS = [
  { what: 'packet sent', programs: ['skb_egress', 'net_dev_start_xmit'], perPacket: true },
  { what: 'packet received', programs: ['netif_receive_skb', 'skb_ingress'], perPacket: true },
  { what: 'send', programs: ['sock_send_length'], perPacket: false },
  { what: 'receive', programs: ['sock_recv_length', 'tcp_rcv_space_adjust'], perPacket: false },
] as const;
const PROGRAMS: readonly string[] = GROUPS.flatMap(({ programs }) => programs);
const WANTED_NS = 60;
const COLUMNS = ['ns a run', 'ours', 'only returns', 'ours / returns', 'added', 'added, min to max', 'runs/s'];

/** What is sent meanwhile. */
interface Traffic {
  name: string;
  kind: Kind;
  streams: Streams;
}

/** ns a run by round, of one program under one kind of traffic. */
interface Series {
  ours: number[];
  noop: number[];
  runsPerSecond: number[];
}

/** One round's measurement: by traffic and program. */
type Round = ReadonlyMap<string, { ns: number; runsPerSecond: number }>;

export async function measurePacketCost(bench: Bench): Promise<Section> {
  const rounds = bench.quick ? 3 : 8;
  const windowMs = bench.quick ? 400 : 600;
  const sides = new Sides(bench.programs.noop, PROGRAMS);
  await using hosts = await Hosts.make({ offloads: true });
  await using hostsWithoutOffloads = await Hosts.make({ offloads: false });
  const streams = await Streams.start(hosts, ['udp', 'tcp'], bench);
  const cutUp = await Streams.start(hostsWithoutOffloads, ['tcp'], bench);
  const traffics: Traffic[] = [
    { name: '64-byte UDP', kind: 'udp', streams },
    { name: '1,500-byte TCP', kind: 'tcp', streams: cutUp },
    { name: 'GSO TCP', kind: 'tcp', streams },
  ];
  using _stats = enableStats();

  const series = new Map<string, Series>();
  for (let round = 0; round < rounds; round++) {
    bench.progress(`packet cost: round ${round + 1} of ${rounds}`);
    const ours = await sides.withOurs((infos) => measure(traffics, windowMs, infos));
    const noop = await sides.withNoop((infos) => measure(traffics, windowMs, infos));
    for (const [key, { ns, runsPerSecond }] of ours) {
      const each = series.get(key) ?? { ours: [], noop: [], runsPerSecond: [] };
      each.ours.push(ns);
      each.noop.push(noop.get(key)?.ns ?? Number.NaN);
      each.runsPerSecond.push(runsPerSecond);
      series.set(key, each);
    }
  }
  return report(
    traffics.map(({ name }) => name),
    series,
    rounds,
    windowMs,
  );
}

async function measure(traffics: readonly Traffic[], windowMs: number, infos: Infos): Promise<Round> {
  const round = new Map<string, { ns: number; runsPerSecond: number }>();
  for (const { name, kind, streams } of traffics) {
    const edges: ReturnType<Infos>[] = [];
    await streams.run(kind, windowMs, () => edges.push(infos()));
    const [before, after] = edges as [ReturnType<Infos>, ReturnType<Infos>];
    for (const [program, { ns, runs }] of runsBetween(before, after)) {
      round.set(`${name} ${program}`, { ns, runsPerSecond: runs / (windowMs / 1000) });
    }
  }
  return round;
}

function report(
  traffics: readonly string[],
  series: ReadonlyMap<string, Series>,
  rounds: number,
  windowMs: number,
): Section {
  const rows: string[][] = [];
  const verdicts: Verdict[] = [];
  for (const traffic of traffics) {
    // A program that runs now and then only is no part of what each packet costs.
    const busy = new Map(
      [...series].flatMap(([key, each]) =>
        key.startsWith(`${traffic} `) && each.ours.length === rounds && isBusy(each)
          ? [[key.slice(traffic.length + 1), each] as const]
          : [],
      ),
    );
    for (const { what, programs, perPacket } of GROUPS) {
      const parts = programs.flatMap((program) => {
        const found = busy.get(program);
        return found === undefined ? [] : [{ program, ...found }];
      });
      if (parts.length === 0) continue;
      const total = addPrograms(parts);
      rows.push(renderRow(`${traffic}, a ${what}`, total));
      if (parts.length > 1) for (const part of parts) rows.push(renderRow(`    ${part.program}`, part));
      else rows[rows.length - 1] = renderRow(`${traffic}, a ${what} (${parts[0]?.program})`, total);
      if (!perPacket) continue;
      const { median: added } = differenceSpread(total.ours, total.noop);
      const wanted = `${WANTED_NS} ns or less`;
      const measured = `${formatNumber(added)} ns`;
      verdicts.push({ what: `added per ${traffic} ${what}`, wanted, measured, holds: added <= WANTED_NS });
    }
    rows.push([
      `${traffic}, all together`,
      '',
      '',
      '',
      formatPercent(shareOfCore([...busy.values()])),
      'of a core',
      '',
    ]);
    for (const [program, { ours, runsPerSecond }] of busy) {
      if (PROGRAMS.includes(program)) continue;
      const cells = [formatNumber(median(ours)), 'no match', '', '', '', formatNumber(median(runsPerSecond))];
      rows.push([`${traffic}, besides (${program})`, ...cells]);
    }
  }
  return {
    title: 'Cost of the programs, per run',
    notes: [
      `Kernel run statistics, ${rounds} rounds of ${windowMs} ms with our programs and ${windowMs} ms with programs that`,
      'only return, by turns, on the same iperf3 connections over veth. A run is a packet as the hook is handed it: with',
      'GSO up to 64 KB that are cut up later; TCP has its acknowledgements among them. Both sides hold the clock readings',
      'of the statistics; `added` is without them.',
    ],
    columns: COLUMNS,
    rows,
    verdicts,
  };
}

/** What the programs take of the machine while this is sent, sender and receiver together. */
function shareOfCore(parts: readonly Series[]): number {
  const nsPerSecond = parts.map(({ ours, noop, runsPerSecond }) => {
    const { median: added } = differenceSpread(ours, noop);
    return Number.isNaN(added) ? 0 : added * median(runsPerSecond);
  });
  return sum(nsPerSecond) / 1e9;
}

function isBusy({ runsPerSecond }: Series): boolean {
  return median(runsPerSecond) > 1000;
}

/**
 * What they cost together for one packet or call. Where a packet is cut up between two hooks, the one before ran less
 * often: its cost spreads over all the packets that came of it.
 */
function addPrograms(parts: readonly Series[]): Series {
  const rounds = (parts[0] as Series).ours.map((_, round) => round);
  const runsPerSecond = rounds.map((round) => Math.max(...parts.map((part) => part.runsPerSecond[round] as number)));
  const add = (side: 'ours' | 'noop'): number[] =>
    rounds.map((round) =>
      sum(
        parts.map((part) => {
          const share = (part.runsPerSecond[round] as number) / (runsPerSecond[round] as number);
          return (part[side][round] as number) * share;
        }),
      ),
    );
  return { ours: add('ours'), noop: add('noop'), runsPerSecond };
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
