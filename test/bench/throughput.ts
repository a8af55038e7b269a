import { setTimeout as sleep } from 'node:timers/promises';
import { Hosts } from '../e2e/hosts.ts';
import type { Bench } from './bench.ts';
import { type Interval, median, medianInterval } from './statistics.ts';
import { type Kind, type Rate, Streams } from './streams.ts';
import { SwitchedAgent } from './switched-agent.ts';
import { formatNumber, type Section } from './table.ts';

const WANTED_TCP = 0.98;
/** After a switch, until the caches hold what runs now. */
const SETTLE_MS = 100;
/** Of each side of a block; the agent polls once in it. */
const SIDE_MS = 1000;
const SECONDS: Readonly<Record<Kind, number>> = { tcp: 44, udp: 12 };
const QUICK_SECONDS: Readonly<Record<Kind, number>> = { tcp: 14, udp: 7 };

/** Off, on, off: the two halves without it lie around what they are compared with, so that a drift cancels out. */
interface Block {
  on: Rate;
  off: [Rate, Rate];
}

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

export async function measureThroughput(bench: Bench): Promise<Section> {
  await using hosts = await Hosts.make({ offloads: true });
  const kinds: readonly Kind[] = ['tcp', 'udp'];
  const streams = await Streams.start(hosts, kinds, bench);
  await using agent = await SwitchedAgent.start();
  const blocks: Record<Kind, Block[]> = { tcp: [], udp: [] };
  for (const kind of kinds) {
    const seconds = (bench.quick ? QUICK_SECONDS : SECONDS)[kind];
    bench.progress(`throughput: ${kind} for ${seconds} s`);
    await streams.during(kind, async () => {
      await sleep(1000);
      for (const end = performance.now() + 1000 * seconds; performance.now() < end; ) {
        blocks[kind].push(await measureBlock(kind, streams, agent));
      }
    });
  }
  const rows = MEASURES.map(({ what, kind, of }) => {
    const on = blocks[kind].map((block) => of(block.on));
    const off = blocks[kind].map((block) => (of(block.off[0]) + of(block.off[1])) / 2);
    const ratios = on.map((value, index) => value / (off[index] as number));
    return { what, on: median(on), off: median(off), ratio: median(ratios), interval: medianInterval(ratios) };
  });
  const [tcp] = rows;
  return {
    title: 'Throughput with the agent over without',
    notes: [
      `Within one running iperf3 connection over veth with GSO, sender and receiver each on a CPU: ${SIDE_MS / 2} ms without,`,
      `${SIDE_MS} ms with the agent (its ${agent.programs} programs attached, its process polling every second), ${SIDE_MS / 2} ms`,
      `without (programs detached, process halted); ${blocks.tcp.length} times TCP, ${blocks.udp.length} times UDP. The median of the ratios,`,
      'and the 95 % interval that the bootstrap gives it. Sent, by the interface counters.',
      'A CPU second is one of sender and receiver together: a busy machine weighs less on that than on the rate.',
    ],
    columns: ['', 'with', 'without', 'with / without', '95 % interval'],
    rows: rows.map(({ what, on, off, ratio, interval }) => [
      what,
      formatNumber(on),
      formatNumber(off),
      ratio.toFixed(3),
      renderInterval(interval),
    ]),
    verdicts: tcp
      ? [
          {
            what: 'TCP throughput with / without',
            wanted: String(WANTED_TCP),
            measured: `${tcp.ratio.toFixed(3)} (${renderInterval(tcp.interval)})`,
            holds: decide(tcp.interval, WANTED_TCP),
          },
        ]
      : [],
  };
}

async function measureBlock(kind: Kind, streams: Streams, agent: SwitchedAgent): Promise<Block> {
  const half = async (): Promise<Rate> => {
    await sleep(SETTLE_MS);
    return await streams.rate(kind, SIDE_MS / 2);
  };
  const before = await half();
  agent.on();
  await sleep(SETTLE_MS);
  const on = await streams.rate(kind, SIDE_MS);
  agent.off();
  return { on, off: [before, await half()] };
}

function decide({ low, high }: Interval, wanted: number): boolean | null {
  if (low >= wanted) return true;
  return high < wanted ? false : null;
}

function renderInterval({ low, high }: Interval): string {
  return `${low.toFixed(3)} to ${high.toFixed(3)}`;
}
