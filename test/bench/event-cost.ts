import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { enableStats } from '../../bpf/info.ts';
import { Hosts, type Running, start, waitForFile } from '../e2e/hosts.ts';
import type { Bench } from './bench.ts';
import { type Infos, runsBetween, Sides } from './run-statistics.ts';
import { differenceSpread, median, sum } from './statistics.ts';
import { formatNumber, formatRange, type Section, type Verdict } from './table.ts';

/** What runs for one system call that sends or receives. A TCP receive passes two hooks. */
const EVENTS = [
  { what: 'send', programs: ['sock_send_length'] },
  { what: 'receive', programs: ['tcp_rcv_space_adjust', 'sock_recv_length'] },
] as const;
const PROGRAMS: readonly string[] = EVENTS.flatMap(({ programs }) => programs);
/**
 * Flows of the relay, and what an event may cost. With two, a message goes round alone: source, relay and sink wake each
 * other, and where they have several CPUs, what an event reaches is most often in the cache of another.
 */
const CASES = [
  { name: '2 flows', flows: 2, wantedNs: 150, prefix: [] },
  { name: '2 flows on one CPU', flows: 2, wantedNs: 150, prefix: ['taskset', '--cpu-list', '0'] },
  { name: '1,000 flows', flows: 1000, wantedNs: 250, prefix: [] },
] as const;
/** Bytes a message: a voice packet, or a keystroke with its framing. */
const SIZE = 200;
const SETTLE_MS = 300;

/** ns an event by round. */
interface Series {
  ours: number[];
  noop: number[];
  perSecond: number[];
}

/** What a send or a receive costs in a process that relays. */
export async function measureEventCost(bench: Bench): Promise<Section> {
  const rounds = bench.quick ? 3 : 8;
  const windowMs = bench.quick ? 400 : 600;
  const sides = new Sides(bench.programs.noop, PROGRAMS);
  using _stats = enableStats();
  const rows: string[][] = [];
  const verdicts: Verdict[] = [];
  for (const { name, flows, wantedNs, prefix } of CASES) {
    const series = new Map<string, Series>(EVENTS.map(({ what }) => [what, { ours: [], noop: [], perSecond: [] }]));
    await using hosts = await Hosts.make();
    const output = join(bench.folder, `relay, ${name}`);
    const ready = `${output}.ready`;
    const command = [...prefix, bench.programs.relay, String(flows), String(SIZE), ready];
    const load = start(hosts.client, command, { output, errors: output });
    await waitForFile(ready, load);
    for (let round = 0; round < rounds; round++) {
      bench.progress(`event cost, ${name}: round ${round + 1} of ${rounds}`);
      const ours = await sides.withOurs((infos) => measure(load, windowMs, infos));
      const noop = await sides.withNoop((infos) => measure(load, windowMs, infos));
      for (const [what, each] of series) {
        each.ours.push(ours.get(what)?.ns as number);
        each.noop.push(noop.get(what)?.ns as number);
        each.perSecond.push(ours.get(what)?.perSecond as number);
      }
    }
    for (const [what, { ours, noop, perSecond }] of series) {
      const added = differenceSpread(ours, noop);
      rows.push([
        `${name}, a ${what}`,
        formatNumber(median(ours)),
        formatNumber(median(noop)),
        formatNumber(added.median),
        formatRange(added),
        formatNumber(median(perSecond)),
      ]);
      const measured = `${formatNumber(added.median)} ns`;
      verdicts.push({
        what: `added per ${what}, ${name}`,
        wanted: `${wantedNs} ns or less`,
        measured,
        holds: added.median <= wantedNs,
      });
    }
  }
  return {
    title: 'Cost of a send or receive, in a process that relays',
    notes: [
      `Kernel run statistics, ${rounds} rounds of ${windowMs} ms with our programs and as long with programs that only`,
      `return, by turns. A source, a relay and a sink, all busy, messages of ${SIZE} bytes over TCP on the loopback, the`,
      'connection picked at random; the figures hold the sends of the source and the receives of the sink as well.',
    ],
    columns: ['ns an event', 'ours', 'only returns', 'added', 'added, min to max', 'events/s'],
    rows,
    verdicts,
  };
}

async function measure(
  load: Running,
  windowMs: number,
  infos: Infos,
): Promise<Map<string, { ns: number; perSecond: number }>> {
  await sleep(SETTLE_MS); // every flow is known
  const before = infos();
  await sleep(windowMs);
  const programs = runsBetween(before, infos());
  if (load.child.exitCode !== null) throw new Error('the relay has ended early');
  return new Map(
    EVENTS.map(({ what, programs: names }) => {
      const parts = names.map((name) => programs.get(name) ?? { ns: 0, runs: 0 });
      const events = Math.max(...parts.map(({ runs }) => runs));
      const ns = sum(parts.map((part) => (part.ns * part.runs) / events));
      return [what, { ns, perSecond: events / (windowMs / 1000) }];
    }),
  );
}
