import type { Process, Status } from '../../agent/readings.ts';

/** One reading of the agent, for the difference with the next. */
export interface Sample {
  atMilliseconds: number;
  processes: Process[];
  status: Status;
}

export interface Rates {
  /** Wire bytes per second. */
  rxBytesPerSecond: number;
  txBytesPerSecond: number;
}

export interface ProcessRates extends Rates {
  /** Payload bytes per second, received to be passed on and passed on. */
  relayedBytesPerSecond: number;
}

export interface RatedProcess extends Process {
  rates: ProcessRates;
}

export type TopSort = 'rate' | 'relayed' | 'received' | 'sent' | 'name';

export const topSorts: readonly TopSort[] = ['rate', 'relayed', 'received', 'sent', 'name'];

/** A pid is used again; with its start time it names one process. */
function identityOf(process: Process): string {
  return `${process.pid} ${process.startedAt}`;
}

function perSecond(before: number, after: number, seconds: number): number {
  return seconds > 0 ? Math.max(0, after - before) / seconds : 0;
}

interface Totals {
  rx: number;
  tx: number;
  relayed: number;
}

function relayedBytes({ relay }: Process): number {
  return relay.receivedBytes + relay.sentBytes;
}

function totalsOf(process: Process): Totals {
  const { wire } = process.traffic;
  return { rx: wire.receivedBytes, tx: wire.sentBytes, relayed: relayedBytes(process) };
}

function ratesOf(then: Totals, now: Totals, seconds: number): ProcessRates {
  const rxBytesPerSecond = perSecond(then.rx, now.rx, seconds);
  const txBytesPerSecond = perSecond(then.tx, now.tx, seconds);
  return {
    rxBytesPerSecond,
    txBytesPerSecond,
    // A verdict bills what was relayed before it at once; that did not move just now.
    relayedBytesPerSecond: Math.min(perSecond(then.relayed, now.relayed, seconds), rxBytesPerSecond + txBytesPerSecond),
  };
}

/**
 * The second sample's processes with their rates since the first. A process that was not there before began at zero,
 * if it started after the first sample; one that was only found later has no rate yet.
 */
export function rateProcesses(before: Sample, after: Sample): RatedProcess[] {
  const seconds = (after.atMilliseconds - before.atMilliseconds) / 1000;
  const earlier = new Map(before.processes.map((process) => [identityOf(process), totalsOf(process)]));
  return after.processes.map((process) => {
    const now = totalsOf(process);
    const isNew = Date.parse(process.startedAt) >= before.atMilliseconds;
    const then = earlier.get(identityOf(process)) ?? (isNew ? { rx: 0, tx: 0, relayed: 0 } : now);
    return { ...process, rates: ratesOf(then, now, seconds) };
  });
}

function hostBytes({ status }: Sample, direction: 'rx' | 'tx'): number {
  const books = status.reconciliation.filter((row) => row.direction === direction);
  return books.reduce((sum, row) => sum + row.processesBytes + row.kernelBytes, 0);
}

/** The whole host's rates, processes that ended between the samples included. */
export function rateHost(before: Sample, after: Sample): Rates {
  const seconds = (after.atMilliseconds - before.atMilliseconds) / 1000;
  return {
    rxBytesPerSecond: perSecond(hostBytes(before, 'rx'), hostBytes(after, 'rx'), seconds),
    txBytesPerSecond: perSecond(hostBytes(before, 'tx'), hostBytes(after, 'tx'), seconds),
  };
}

/** What `top` is sorted by where nobody chose: what is relayed, once anything is. */
export function defaultTopSort(processes: readonly Process[]): TopSort {
  return processes.some((process) => relayedBytes(process) > 0) ? 'relayed' : 'rate';
}

function rateOf({ rates }: RatedProcess): number {
  return rates.rxBytesPerSecond + rates.txBytesPerSecond;
}

const sortKeys: Record<TopSort, (process: RatedProcess) => number> = {
  rate: rateOf,
  relayed: relayedBytes,
  received: ({ traffic }) => traffic.wire.receivedBytes,
  sent: ({ traffic }) => traffic.wire.sentBytes,
  name: () => 0,
};

/** Of equals the one with the higher rate comes first, then the one with more bytes. */
export function sortForTop(processes: readonly RatedProcess[], sort: TopSort): RatedProcess[] {
  const key = sortKeys[sort];
  const volume = ({ traffic: { wire } }: RatedProcess): number => wire.receivedBytes + wire.sentBytes;
  return processes.toSorted((a, b) => {
    const byName = sort === 'name' ? a.name.localeCompare(b.name, 'en') : 0;
    return byName || key(b) - key(a) || rateOf(b) - rateOf(a) || volume(b) - volume(a) || a.pid - b.pid;
  });
}
