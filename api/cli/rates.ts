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

export interface RatedProcess extends Process {
  rates: Rates;
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

/**
 * The second sample's processes with their rates since the first. A process that was not there before began at zero,
 * if it started after the first sample; one that was only found later has no rate yet.
 */
export function rateProcesses(before: Sample, after: Sample): RatedProcess[] {
  const seconds = (after.atMilliseconds - before.atMilliseconds) / 1000;
  const earlier = new Map(before.processes.map((process) => [identityOf(process), process.traffic.wire]));
  return after.processes.map((process) => {
    const now = process.traffic.wire;
    const isNew = Date.parse(process.startedAt) >= before.atMilliseconds;
    const then = earlier.get(identityOf(process)) ?? (isNew ? { receivedBytes: 0, sentBytes: 0 } : now);
    return {
      ...process,
      rates: {
        rxBytesPerSecond: perSecond(then.receivedBytes, now.receivedBytes, seconds),
        txBytesPerSecond: perSecond(then.sentBytes, now.sentBytes, seconds),
      },
    };
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

const sortKeys: Record<TopSort, (process: RatedProcess) => number> = {
  rate: ({ rates }) => rates.rxBytesPerSecond + rates.txBytesPerSecond,
  relayed: ({ relay }) => relay.receivedBytes + relay.sentBytes,
  received: ({ traffic }) => traffic.wire.receivedBytes,
  sent: ({ traffic }) => traffic.wire.sentBytes,
  name: () => 0,
};

export function sortForTop(processes: readonly RatedProcess[], sort: TopSort): RatedProcess[] {
  const key = sortKeys[sort];
  const volume = ({ traffic: { wire } }: RatedProcess): number => wire.receivedBytes + wire.sentBytes;
  return processes.toSorted((a, b) => {
    const byName = sort === 'name' ? a.name.localeCompare(b.name, 'en') : 0;
    return byName || key(b) - key(a) || volume(b) - volume(a) || a.pid - b.pid;
  });
}
