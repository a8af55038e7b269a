import { setTimeout as sleep } from 'node:timers/promises';
import { Agent } from '../e2e/agent.ts';
import { Hosts } from '../e2e/hosts.ts';
import type { Bench } from './bench.ts';
import { median, ratioSpread } from './statistics.ts';
import { type Kind, type Rate, Streams } from './streams.ts';
import { formatNumber, formatRange, type Section } from './table.ts';

const WANTED_TCP = 0.98;
/** An agent's start is another figure, and the kernel takes a moment to free the maps of one that was removed. */
const SETTLE_MS = 1000;
type Side = 'with' | 'without';

const KINDS: readonly Kind[] = ['tcp', 'udp'];

const MEASURES: readonly { what: string; kind: Kind; of: (rate: Rate) => number }[] = [
  { what: 'TCP, Gbit/s', kind: 'tcp', of: gigabits },
  { what: 'TCP, Gbit per CPU second', kind: 'tcp', of: (rate) => gigabits(rate) / rate.cpuShare },
  { what: '64-byte UDP, 1,000 packets/s', kind: 'udp', of: thousands },
  { what: '64-byte UDP, 1,000 packets per CPU second', kind: 'udp', of: (rate) => thousands(rate) / rate.cpuShare },
];

function gigabits({ bytesPerSecond }: Rate): number {
  return (bytesPerSecond * 8) / 1e9;
}

function thousands({ packetsPerSecond }: Rate): number {
  return packetsPerSecond / 1000;
}

/** What each two neighbours average: a machine that gets busier or calmer meanwhile weighs on both sides alike. */
function betweens(values: readonly number[]): number[] {
  return values.slice(1).map((value, before) => (value + (values[before] as number)) / 2);
}

export async function measureThroughput(bench: Bench): Promise<Section> {
  const rounds = bench.quick ? 3 : 12;
  const windowMs = bench.quick ? 600 : 1000;
  await using hosts = await Hosts.make({ offloads: true });
  const streams = await Streams.start(hosts, KINDS, bench);
  const rates: Record<Side, Record<Kind, Rate[]>> = { with: { tcp: [], udp: [] }, without: { tcp: [], udp: [] } };
  const measure = async (side: Side): Promise<void> => {
    await sleep(SETTLE_MS);
    for (const kind of KINDS) rates[side][kind].push(await streams.run(kind, windowMs));
  };
  await measure('without');
  for (let round = 0; round < rounds; round++) {
    bench.progress(`throughput: round ${round + 1} of ${rounds}`);
    {
      await using _agent = await Agent.start({ interval: 1 });
      await measure('with');
    }
    await measure('without');
  }
  const rows = MEASURES.map(({ what, kind, of }) => {
    const sides = [rates.with[kind].map(of), betweens(rates.without[kind].map(of))] as const;
    return { what, sides, ratio: ratioSpread(...sides) };
  });
  const tcp = rows[0]?.ratio.median ?? Number.NaN;
  return {
    title: 'Throughput with the agent over without',
    notes: [
      `${rounds} times ${windowMs} ms with the agent (programs attached, polling every second), each over the mean of`,
      `${windowMs} ms without before and after it, on the same two iperf3 connections over veth with GSO; the median`,
      'ratio. Sent, by the interface counters.',
      'A CPU second is one of sender and receiver together: a busy machine weighs less on that than on the rate.',
    ],
    columns: ['', 'with', 'without', 'with / without', 'min to max'],
    rows: rows.map(({ what, sides, ratio }) => [
      what,
      formatNumber(median(sides[0])),
      formatNumber(median(sides[1])),
      ratio.median.toFixed(3),
      formatRange(ratio),
    ]),
    verdicts: [
      {
        what: 'TCP throughput with / without',
        wanted: String(WANTED_TCP),
        measured: tcp.toFixed(3),
        holds: tcp >= WANTED_TCP,
      },
    ],
  };
}
