import type { Command } from 'commander';
import type { History, HistoryPoint, HistorySeries } from '../../agent/history.ts';
import { ApiError } from '../errors.ts';
import { addConnectionOptions, connectionOf } from './connection.ts';
import { formatBytes } from './format.ts';
import { parseDuration } from './quantities.ts';
import type { Column } from './table.ts';
import { tableLines } from './table.ts';
import type { Terminal } from './terminal.ts';
import { writeJson, writeLines } from './terminal.ts';
import { printable } from './text.ts';

interface HistoryOptions {
  from?: string;
  to?: string;
  last: string;
  step?: string;
  bytes?: boolean;
  wide?: boolean;
  json?: boolean;
}

type Sums = Pick<HistoryPoint, 'wire' | 'payload' | 'relayed'>;

function byteColumns(size: (bytes: number) => string): Column<Sums>[] {
  return [
    { header: 'WIRE IN', align: 'right', value: ({ wire }) => size(wire.receivedBytes), dropRank: 2 },
    { header: 'WIRE OUT', align: 'right', value: ({ wire }) => size(wire.sentBytes), dropRank: 1 },
    { header: 'RECEIVED', align: 'right', value: ({ payload }) => size(payload.receivedBytes) },
    { header: 'SENT', align: 'right', value: ({ payload }) => size(payload.sentBytes) },
    { header: 'RELAYED IN', align: 'right', value: ({ relayed }) => size(relayed.receivedBytes) },
    { header: 'RELAYED OUT', align: 'right', value: ({ relayed }) => size(relayed.sentBytes) },
  ];
}

export function sumPoints({ points }: HistorySeries): Sums {
  const sum = (pick: (point: HistoryPoint) => { receivedBytes: number; sentBytes: number }): Sums['wire'] => ({
    receivedBytes: points.reduce((total, point) => total + pick(point).receivedBytes, 0),
    sentBytes: points.reduce((total, point) => total + pick(point).sentBytes, 0),
  });
  return {
    wire: sum(({ wire }) => wire),
    payload: sum(({ payload }) => payload),
    relayed: sum(({ relayed }) => relayed),
  };
}

function isSilent({ wire, payload, relayed }: Sums): boolean {
  return [wire, payload, relayed].every(({ receivedBytes, sentBytes }) => receivedBytes + sentBytes === 0);
}

function toIso(text: string, option: string): string {
  const ms = Date.parse(text);
  if (Number.isNaN(ms)) throw new ApiError('usage', `${option} "${text}" is not a time: write 2026-11-22T05:00:00Z`);
  return new Date(ms).toISOString();
}

async function runHistory(terminal: Terminal, app: string | undefined, command: Command): Promise<void> {
  const options = command.opts<HistoryOptions>();
  const to = options.to === undefined ? terminal.now().toISOString() : toIso(options.to, '--to');
  const from =
    options.from === undefined
      ? new Date(Date.parse(to) - parseDuration(options.last)).toISOString()
      : toIso(options.from, '--from');
  const query = new URLSearchParams({ from, to });
  if (app !== undefined) query.set('app', app);
  if (options.step !== undefined) query.set('step', String(Math.round(parseDuration(options.step) / 1000)));
  const { client } = await connectionOf(command);
  const history = await client.get<History>(`/v1/history?${query}`);
  if (options.json === true) {
    writeJson(terminal, history);
    return;
  }
  const size = options.bytes === true ? String : formatBytes;
  const width = options.wide === true ? undefined : terminal.size()?.columns;
  const [only] = history.series;
  if (app !== undefined) {
    const rows = (only?.points ?? []).filter((point) => !isSilent(point));
    const columns: Column<HistoryPoint>[] = [
      { header: 'FROM (UTC)', value: ({ at }) => at.slice(0, 16).replace('T', ' ') },
      ...byteColumns(size),
    ];
    writeLines(terminal, rows.length > 0 ? tableLines(rows, columns, width) : [`${printable(app)} moved nothing then`]);
  } else {
    const rows = history.series.map((series) => ({ app: series.app, ...sumPoints(series) }));
    rows.sort((a, b) => b.wire.receivedBytes + b.wire.sentBytes - a.wire.receivedBytes - a.wire.sentBytes);
    const columns: Column<Sums & { app: string }>[] = [
      { header: 'APP', value: (row) => row.app },
      ...byteColumns(size),
    ];
    writeLines(terminal, rows.length > 0 ? tableLines(rows, columns, width) : ['nobody moved anything then']);
  }
  if (history.since === null || history.since > history.from) {
    terminal.writeError(`relayledger: the store begins at ${history.since ?? 'now'}\n`);
  }
}

export function addHistory(program: Command, terminal: Terminal): void {
  const command = program
    .command('history')
    .summary('what apps moved, by the minute, the hour, the day')
    .description(
      'With an app: what it moved, step by step. Without: the sum of each app. Steps without traffic are left out.',
    )
    .argument('[app]', 'exactly the app')
    .option('--last <duration>', 'how far back: 1h, 2d, 4w', '1h')
    .option('--from <time>', 'instead: since when, such as 2026-11-22T05:00:00Z')
    .option('--to <time>', 'until when (default: now)')
    .option('--step <duration>', 'a multiple of a minute: 1m, 1h, 1d (default: 1m, and 1h for more than 6h)')
    .option('-b, --bytes', 'exact numbers of bytes')
    .option('-w, --wide', 'every column, lines as long as they need to be')
    .option('--json', "the API's answer");
  addConnectionOptions(command).action((app: string | undefined) => runHistory(terminal, app, command));
}
