import { setTimeout as sleep } from 'node:timers/promises';
import { Hosts } from '../e2e/hosts.ts';
import type { Bench } from './bench.ts';
import { type Interval, median, medianInterval } from './statistics.ts';
import { type Kind, type Rate, StalledError, Streams } from './streams.ts';
import { SwitchedAgent } from './switched-agent.ts';
import { formatNumber, formatPercent, type Section, type Verdict } from './table.ts';

const WANTED_TCP = 0.98;
/** A block is off, on, on, off, each this long: what drifts over a block weighs on both sides alike. */
const QUARTER_MS = 60;
/** After a switch, until the caches hold what runs now. */
const SETTLE_MS = 20;
const POLLING_MS = 4000;

interface Block {
  on: Rate;
  off: readonly [Rate, Rate];
}

interface Blocks {
  blocks: Block[];
  /** Left out: in one of their quarters nothing was sent. */
  stalled: number;
}

/** One kind of traffic between one pair of hosts. */
interface Traffic {
  name: string;
  kind: Kind;
  streams: Streams;
  seconds: number;
}

interface Measure {
  what: string;
  of: (rate: Rate) => number;
}

const TCP: readonly Measure[] = [
  { what: 'Gbit/s', of: gigabits },
  { what: 'Gbit per CPU second', of: (rate) => gigabits(rate) / rate.cpuShare },
];
const UDP: readonly Measure[] = [
  { what: '1,000 packets/s', of: thousands },
  { what: '1,000 packets per CPU second', of: (rate) => thousands(rate) / rate.cpuShare },
];

interface Result {
  what: string;
  on: number;
  off: number;
  ratio: number;
  interval: Interval;
}

function gigabits({ bytesPerSecond }: Rate): number {
  return (bytesPerSecond * 8) / 1e9;
}

function thousands({ packetsPerSecond }: Rate): number {
  return packetsPerSecond / 1000;
}

export async function measureThroughput(bench: Bench): Promise<Section> {
  await using hosts = await Hosts.make({ offloads: true });
  await using others = await Hosts.make({ offloads: true });
  const tight = await Streams.start(hosts, ['tcp'], bench, true);
  const apart = await Streams.start(others, ['tcp', 'udp'], bench);
  const part = bench.quick ? 0.3 : 1;
  const traffics: readonly Traffic[] = [
    { name: 'TCP, on one CPU', kind: 'tcp', streams: tight, seconds: 20 * part },
    { name: 'TCP, a CPU each', kind: 'tcp', streams: apart, seconds: 25 * part },
    { name: '64-byte UDP, a CPU each', kind: 'udp', streams: apart, seconds: 8 * part },
  ];
  await using agent = await SwitchedAgent.start();
  const results: Result[] = [];
  const counts: string[] = [];
  for (const { name, kind, streams, seconds } of traffics) {
    bench.progress(`throughput: ${name} for ${seconds} s`);
    const { blocks, stalled } = await streams.during(kind, () => measureBlocks(kind, streams, agent, seconds));
    counts.push(
      `${blocks.length}${stalled > 0 ? ` (and ${stalled} left out, in which nothing was sent for a while)` : ''}`,
    );
    for (const { what, of } of kind === 'tcp' ? TCP : UDP) results.push(compare(`${name}: ${what}`, blocks, of));
  }
  const polling = await tight.during('tcp', () => agent.pollingShare(POLLING_MS));
  // Where the CPU is the limit, the polls take their share of what could be sent.
  const withPolls = (ratio: number): number => ratio * (1 - polling);
  const decide = (what: string, { ratio, interval }: Result): Verdict => {
    const [low, high] = [withPolls(interval.low), withPolls(interval.high)];
    const holds = low >= WANTED_TCP ? true : high < WANTED_TCP ? false : null;
    const measured = `${withPolls(ratio).toFixed(3)} (${renderInterval({ low, high })})`;
    return { what: `TCP throughput with / without, ${what}`, wanted: String(WANTED_TCP), measured, holds };
  };
  return {
    title: 'Throughput with the agent over without',
    notes: [
      `Within one running iperf3 connection over veth with GSO: ${QUARTER_MS} ms without, ${2 * QUARTER_MS} ms with the agent's ${agent.programs} programs attached,`,
      `${QUARTER_MS} ms without; ${counts.join(', ')} times. The median of the ratios, and its 95 % interval by the bootstrap. Sent, by the`,
      'interface counters; a CPU second is one of sender and receiver together, so that others on the machine weigh less.',
      `The agent's process, which polls every second, is halted meanwhile: it took ${formatPercent(polling)} of a CPU, all of which`,
      'is taken off the ratios that are held against what is wanted.',
    ],
    columns: ['', 'with', 'without', 'with / without', '95 % interval'],
    rows: results.map(({ what, on, off, ratio, interval: each }) => [
      what,
      formatNumber(on),
      formatNumber(off),
      ratio.toFixed(3),
      renderInterval(each),
    ]),
    verdicts: [
      decide('a CPU each', results[2] as Result),
      decide('on one CPU, by the CPU second', results[1] as Result),
    ],
  };
}

async function measureBlocks(kind: Kind, streams: Streams, agent: SwitchedAgent, seconds: number): Promise<Blocks> {
  const blocks: Block[] = [];
  let stalled = 0;
  await sleep(500);
  for (const end = performance.now() + 1000 * seconds; performance.now() < end; ) {
    try {
      blocks.push(await measureBlock(kind, streams, agent));
    } catch (error) {
      if (!(error instanceof StalledError)) throw error;
      stalled++;
    }
  }
  return { blocks, stalled };
}

async function measureBlock(kind: Kind, streams: Streams, agent: SwitchedAgent): Promise<Block> {
  const before = await streams.rate(kind, QUARTER_MS);
  agent.on();
  try {
    await sleep(SETTLE_MS);
    const on = await streams.rate(kind, 2 * QUARTER_MS);
    agent.off();
    await sleep(SETTLE_MS);
    return { on, off: [before, await streams.rate(kind, QUARTER_MS)] };
  } finally {
    agent.off();
  }
}

function compare(what: string, blocks: readonly Block[], of: (rate: Rate) => number): Result {
  const on = blocks.map((block) => of(block.on));
  const off = blocks.map((block) => (of(block.off[0]) + of(block.off[1])) / 2);
  const ratios = on.map((value, index) => value / (off[index] as number));
  return { what, on: median(on), off: median(off), ratio: median(ratios), interval: medianInterval(ratios) };
}

function renderInterval({ low, high }: Interval): string {
  return `${low.toFixed(3)} to ${high.toFixed(3)}`;
}
