import type { Command } from 'commander';
import { Option } from 'commander';
import type { Process } from '../../agent/readings.ts';
import { addConnectionOptions, connectionOf } from './connection.ts';
import { formatBytes, formatStarted } from './format.ts';
import type { Selection } from './selection.ts';
import { parseSelection, selectRows } from './selection.ts';
import type { Column } from './table.ts';
import { tableLines } from './table.ts';
import type { Terminal } from './terminal.ts';
import { writeJson, writeLines } from './terminal.ts';

export interface ProcessList {
  processes: Process[];
  nextCursor: string | null;
}

interface PsOptions {
  name?: string;
  sort?: string;
  order?: string;
  verdict?: string;
  all?: boolean;
  bytes?: boolean;
  wide?: boolean;
  json?: boolean;
}

export function psColumns(options: { bytes: boolean; now: Date }): Column<Process>[] {
  const size = options.bytes ? String : formatBytes;
  return [
    { header: 'PID', align: 'right', value: ({ pid }) => String(pid) },
    { header: 'USER', value: ({ user, uid }) => user ?? String(uid), maxWidth: 12, dropRank: 5 },
    { header: 'NAME', value: ({ name }) => name, maxWidth: 20 },
    { header: 'APP', value: ({ app }) => app, maxWidth: 24, dropRank: 4 },
    { header: 'RECEIVED', align: 'right', value: ({ traffic }) => size(traffic.payload.receivedBytes) },
    { header: 'SENT', align: 'right', value: ({ traffic }) => size(traffic.payload.sentBytes) },
    { header: 'WIRE-RX', align: 'right', value: ({ traffic }) => size(traffic.wire.receivedBytes), dropRank: 6 },
    { header: 'WIRE-TX', align: 'right', value: ({ traffic }) => size(traffic.wire.sentBytes), dropRank: 6 },
    {
      header: 'RELAYED',
      align: 'right',
      value: ({ relay }) => size(relay.receivedBytes + relay.sentBytes),
      dropRank: 2,
    },
    { header: 'VERDICT', value: ({ relay }) => relay.verdict, dropRank: 1 },
    { header: 'ROLE', value: ({ relay }) => relay.role ?? '-', dropRank: 7 },
    {
      header: 'STARTED',
      value: ({ startedAt, exitedAt }) => formatStarted(startedAt, options.now) + (exitedAt === null ? '' : ' (ended)'),
      dropRank: 8,
    },
    { header: 'COMMAND', value: (process) => process.command || process.executable || `[${process.name}]` },
  ];
}

async function runPs(terminal: Terminal, argument: string | undefined, command: Command): Promise<void> {
  const options = command.opts<PsOptions>();
  const selection: Selection | undefined = argument === undefined ? undefined : parseSelection(argument);
  const query = new URLSearchParams();
  for (const key of ['name', 'sort', 'order', 'verdict'] as const) {
    const value = options[key];
    if (value !== undefined) query.set(key, value);
  }
  if (options.all === true) query.set('includeExited', 'true');
  const { client } = await connectionOf(command);
  const answer = await client.get<ProcessList>(`/v1/processes?${query}`);
  const processes = selectRows(answer.processes, selection);
  if (options.json === true) {
    writeJson(terminal, { ...answer, processes });
    return;
  }
  const width = options.wide === true ? undefined : terminal.size()?.columns;
  const columns = psColumns({ bytes: options.bytes === true, now: terminal.now() });
  writeLines(terminal, tableLines(processes, columns, width));
  if (processes.length === 0 && argument !== undefined) {
    terminal.writeError(`relayledger: no process matches ${argument}\n`);
  }
}

export function addPs(program: Command, terminal: Terminal): void {
  const command = program
    .command('ps')
    .summary('processes with what they received, sent and relayed')
    .description(
      'Lists the processes that touched the network. RECEIVED and SENT are payload, WIRE-RX and WIRE-TX the same on ' +
        'the IP layer, RELAYED what was received to be passed on plus what was passed on. Process 0, kernel, holds the ' +
        'packets that belong to nobody.\nOn a terminal, columns that do not fit are left out: --wide shows them all.',
    )
    .argument('[name]', 'an app or a process name, whole or in part, or pid:4711')
    .option('--name <name>', "only processes with exactly this kernel's name")
    .addOption(new Option('--verdict <verdict>', 'only with this verdict').choices(['none', 'suspected', 'relay']))
    .addOption(
      new Option('--sort <key>', 'order by (default: relayed)').choices(['relayed', 'sent', 'received', 'name']),
    )
    .addOption(new Option('--order <order>', 'direction of the order').choices(['asc', 'desc']))
    .option('-a, --all', 'also processes that ended lately')
    .option('-b, --bytes', 'exact numbers of bytes')
    .option('-w, --wide', 'every column, lines as long as they need to be')
    .option('--json', "the API's answer");
  addConnectionOptions(command).action((argument: string | undefined) => runPs(terminal, argument, command));
}
