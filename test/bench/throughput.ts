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
const KINDS: readonly Kind[] = ['tcp', 'udp'];

const MEASURES: Readonly<Record<Kind, { what: string; of: (rate: Rate) => number }>> = {
  tcp: { what: 'TCP, Gbit/s', of: ({ bytesPerSecond }) => (bytesPerSecond * 8) / 1e9 },
  udp: { what: '64-byte UDP, 1,000 packets/s', of: ({ packetsPerSecond }) => packetsPerSecond / 1000 },
};

export async function measureThroughput(bench: Bench): Promise<Section> {
  const rounds = bench.quick ? 2 : 6;
  const windowMs = bench.quick ? 600 : 1500;
  await using hosts = await Hosts.make({ offloads: true });
  const streams = await Streams.start(hosts, KINDS, bench);
  const rates = { with: { tcp: [], udp: [] }, without: { tcp: [], udp: [] } } as Record<
    'with' | 'without',
    Record<Kind, number[]>
  >;
  const measure = async (side: 'with' | 'without'): Promise<void> => {
    for (const kind of KINDS) rates[side][kind].push(MEASURES[kind].of(await streams.run(kind, windowMs)));
  };
  const sides = {
    with: async () => {
      await using _agent = await Agent.start({ interval: 1 });
      await sleep(SETTLE_MS);
      await measure('with');
    },
    without: async () => {
      await sleep(SETTLE_MS);
      await measure('without');
    },
  };
  for (let round = 0; round < rounds; round++) {
    bench.progress(`throughput: round ${round + 1} of ${rounds}`);
    const order = ['with', 'without'] as const;
    // The other way round every other time: what one side leaves behind then weighs on both.
    for (const side of round % 2 === 0 ? order : order.toReversed()) await sides[side]();
  }
  const spreads = {
    tcp: ratioSpread(rates.with.tcp, rates.without.tcp),
    udp: ratioSpread(rates.with.udp, rates.without.udp),
  };
  return {
    title: 'Throughput with the agent over without',
    notes: [
      `${rounds} rounds of ${windowMs} ms with the agent (programs attached, polling every second) and ${windowMs} ms`,
      'without, by turns, on the same two iperf3 connections over veth with GSO; sent, by the interface counters.',
    ],
    columns: ['', 'with', 'without', 'with / without', 'min to max'],
    rows: KINDS.map((kind) => [
      MEASURES[kind].what,
      formatNumber(median(rates.with[kind])),
      formatNumber(median(rates.without[kind])),
      spreads[kind].median.toFixed(3),
      formatRange(spreads[kind]),
    ]),
    verdicts: [
      {
        what: 'TCP throughput with / without',
        wanted: String(WANTED_TCP),
        measured: spreads.tcp.median.toFixed(3),
        holds: spreads.tcp.median >= WANTED_TCP,
      },
    ],
  };
}
