import { setTimeout as sleep } from 'node:timers/promises';
import { BpfObject } from '../../bpf/object.ts';
import { Hosts } from '../e2e/hosts.ts';
import type { Bench } from './bench.ts';
import { type Interval, median, medianInterval } from './statistics.ts';
import { type Kind, type Rate, StalledError, Streams } from './streams.ts';
import { SwitchedAgent } from './switched-agent.ts';
import { SwitchedPrograms } from './switched-programs.ts';
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

interface Measure {
  what: string;
  of: (rate: Rate) => number;
}

/** One kind of traffic between one pair of hosts, with and without some programs. */
interface Traffic {
  name: string;
  kind: Kind;
  streams: Streams;
  programs: SwitchedPrograms;
  seconds: number;
  measures: readonly Measure[];
}

const SPEED: Measure = { what: 'Gbit/s', of: gigabits };
const WORK: Measure = { what: 'Gbit per CPU second', of: (rate) => gigabits(rate) / rate.cpuShare };
const UDP: readonly Measure[] = [
  { what: '1,000 packets/s', of: thousands },
  { what: '1,000 packets per CPU second', of: (rate) => thousands(rate) / rate.cpuShare },
];
const APART = 'TCP, a CPU each';
const TOGETHER = 'TCP, on one CPU';
const RETURNING = 'TCP, on one CPU, programs that only return';

interface Result {
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
  await using agent = await SwitchedAgent.start();
  const { programs } = agent;
  using returning = loadReturning(bench.programs.noop);
  const together = { kind: 'tcp', streams: tight, seconds: 20 * part } as const;
  const traffics: readonly Traffic[] = [
    { ...together, name: TOGETHER, programs, measures: [SPEED, WORK] },
    { ...together, name: RETURNING, programs: returning.programs, measures: [WORK] },
    { name: APART, kind: 'tcp', streams: apart, programs, seconds: 25 * part, measures: [SPEED, WORK] },
    { name: '64-byte UDP, a CPU each', kind: 'udp', streams: apart, programs, seconds: 8 * part, measures: UDP },
  ];
  const results = new Map<string, Result>();
  const counts: string[] = [];
  for (const { name, kind, streams, programs, seconds, measures } of traffics) {
    bench.progress(`throughput: ${name} for ${seconds} s`);
    const { blocks, stalled } = await streams.during(kind, () => measureBlocks(kind, streams, programs, seconds));
    counts.push(
      `${blocks.length}${stalled > 0 ? ` (and ${stalled} left out, in which nothing was sent for a while)` : ''}`,
    );
    for (const { what, of } of measures) results.set(`${name}: ${what}`, compare(blocks, of));
  }
  const polling = await tight.during('tcp', () => agent.pollingShare(POLLING_MS));
  // Where the CPU is the limit, the polls take their share of what could be sent.
  const withPolls = (ratio: number): number => ratio * (1 - polling);
  const decide = (name: string, { what }: Measure, why = ''): Verdict => {
    const { ratio, interval } = results.get(`${name}: ${what}`) as Result;
    const [low, high] = [withPolls(interval.low), withPolls(interval.high)];
    const holds = low >= WANTED_TCP ? true : high < WANTED_TCP ? false : null;
    const measured = `${withPolls(ratio).toFixed(3)} (${renderInterval({ low, high })})`;
    return { what: `throughput with / without, ${name}${why}`, wanted: String(WANTED_TCP), measured, holds };
  };
  return {
    title: 'Throughput with the agent over without',
    notes: [
      `Within one running iperf3 connection over veth with GSO: ${QUARTER_MS} ms without, ${2 * QUARTER_MS} ms with the agent's ${programs.count} programs attached,`,
      `${QUARTER_MS} ms without; ${counts.join(', ')} times. The median of the ratios, and its 95 % interval by the bootstrap. Sent, by the`,
      'interface counters; a CPU second is one of sender and receiver together, so that others on the machine weigh less.',
      `The agent's process, which polls every second, is halted meanwhile: it took ${formatPercent(polling)} of a CPU, all of which`,
      'is taken off the ratios that are held against what is wanted. Programs that only return are there to compare with: on',
      `${returning.programs.count} of the agent's hooks, those of each packet, send and receive.`,
    ],
    columns: ['', 'with', 'without', 'with / without', '95 % interval'],
    rows: [...results].map(([what, { on, off, ratio, interval: each }]) => [
      what,
      formatNumber(on),
      formatNumber(off),
      ratio.toFixed(3),
      renderInterval(each),
    ]),
    verdicts: [decide(APART, SPEED), decide(TOGETHER, WORK, ', by the CPU second')],
  };
}

/** Programs that only return, on the hooks of packets, sends and receives that this kernel has. */
function loadReturning(noop: string): { programs: SwitchedPrograms } & Disposable {
  const { object } = BpfObject.loadSupported(noop, ['sock_send_length', 'sock_recv_length']);
  const programs = new SwitchedPrograms([...object.programs.values()].filter(({ autoload }) => autoload));
  return {
    programs,
    [Symbol.dispose]: () => {
      programs[Symbol.dispose]();
      object[Symbol.dispose]();
    },
  };
}

async function measureBlocks(
  kind: Kind,
  streams: Streams,
  programs: SwitchedPrograms,
  seconds: number,
): Promise<Blocks> {
  const blocks: Block[] = [];
  let stalled = 0;
  await sleep(500);
  for (const end = performance.now() + 1000 * seconds; performance.now() < end; ) {
    try {
      blocks.push(await measureBlock(kind, streams, programs));
    } catch (error) {
      if (!(error instanceof StalledError)) throw error;
      stalled++;
    }
  }
  return { blocks, stalled };
}

async function measureBlock(kind: Kind, streams: Streams, programs: SwitchedPrograms): Promise<Block> {
  const before = await streams.rate(kind, QUARTER_MS);
  programs.on();
  try {
    await sleep(SETTLE_MS);
    const on = await streams.rate(kind, 2 * QUARTER_MS);
    programs.off();
    await sleep(SETTLE_MS);
    return { on, off: [before, await streams.rate(kind, QUARTER_MS)] };
  } finally {
    programs.off();
  }
}

function compare(blocks: readonly Block[], of: (rate: Rate) => number): Result {
  const on = blocks.map((block) => of(block.on));
  const off = blocks.map((block) => (of(block.off[0]) + of(block.off[1])) / 2);
  const ratios = on.map((value, index) => value / (off[index] as number));
  return { on: median(on), off: median(off), ratio: median(ratios), interval: medianInterval(ratios) };
}

function renderInterval({ low, high }: Interval): string {
  return `${low.toFixed(3)} to ${high.toFixed(3)}`;
}
