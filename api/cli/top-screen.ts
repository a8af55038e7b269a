import { formatBytes, formatCount, formatRate, formatTimeOfDay } from './format.ts';
import type { RatedProcess, Sample, TopSort } from './rates.ts';
import { defaultTopSort, rateHost, rateProcesses, sortForTop } from './rates.ts';
import type { Column } from './table.ts';
import { tableLines } from './table.ts';
import { cutToWidth, printable } from './text.ts';

export interface TopView {
  before: Sample;
  after: Sample;
  /** undefined: nobody chose one. */
  sort: TopSort | undefined;
  now: Date;
  /** What went wrong with the latest reading, if it did. */
  trouble: string | undefined;
}

const columns: Column<RatedProcess>[] = [
  { header: 'PID', align: 'right', value: ({ pid }) => String(pid) },
  { header: 'USER', value: ({ user, uid }) => user ?? String(uid), maxWidth: 12, dropRank: 6 },
  { header: 'NAME', value: ({ name }) => name, maxWidth: 20 },
  { header: 'APP', value: ({ app }) => app, maxWidth: 24, dropRank: 7 },
  { header: 'RX/s', align: 'right', value: ({ rates }) => formatRate(rates.rxBytesPerSecond) },
  { header: 'TX/s', align: 'right', value: ({ rates }) => formatRate(rates.txBytesPerSecond) },
  { header: 'RX', align: 'right', value: ({ traffic }) => formatBytes(traffic.wire.receivedBytes), dropRank: 5 },
  { header: 'TX', align: 'right', value: ({ traffic }) => formatBytes(traffic.wire.sentBytes), dropRank: 5 },
  {
    header: 'RELAYED/s',
    align: 'right',
    value: ({ rates }) => formatRate(rates.relayedBytesPerSecond),
    dropRank: 2,
  },
  {
    header: 'RELAYED',
    align: 'right',
    value: ({ relay }) => formatBytes(relay.receivedBytes + relay.sentBytes),
    dropRank: 1,
  },
  { header: 'VERDICT', value: ({ relay }) => relay.verdict, dropRank: 3 },
  { header: 'ROLE', value: ({ relay }) => relay.role ?? '-', dropRank: 4 },
  { header: 'COMMAND', value: (process) => process.command || process.executable || `[${process.name}]` },
];

/** What `top` shows, as lines that fit the size; all processes where there is no size. */
export function topLines(view: TopView, size: { columns: number; rows: number } | undefined): string[] {
  const { after } = view;
  const sort = view.sort ?? defaultTopSort(after.processes);
  const host = rateHost(view.before, after);
  const { live, exited } = after.status.processes;
  const lost = after.status.lost.filter(({ count }) => count > 0);
  const header = [
    `relayledger ${printable(after.status.version)}  ${formatTimeOfDay(view.now)}  ` +
      `rx ${formatRate(host.rxBytesPerSecond)}  tx ${formatRate(host.txBytesPerSecond)}  ` +
      `${formatCount(live)} processes, ${formatCount(exited)} ended  sorted by ${sort}`,
  ];
  if (lost.length > 0) {
    const list = lost.map(({ reason, count }) => `${formatCount(count)} ${reason}`).join(', ');
    header.push(printable(`LOST: ${list}`));
  }
  if (view.trouble !== undefined) header.push(printable(view.trouble));
  header.push('');
  const sorted = sortForTop(rateProcesses(view.before, after), sort);
  const shown = size === undefined ? sorted : sorted.slice(0, Math.max(0, size.rows - header.length - 1));
  const lines = [...header, ...tableLines(shown, columns, size?.columns)];
  return size === undefined ? lines : lines.map((line) => cutToWidth(line, size.columns)).slice(0, size.rows);
}
