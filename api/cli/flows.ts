import type { Command } from 'commander';
import type { Flow } from '../../agent/readings.ts';
import { addConnectionOptions, connectionOf } from './connection.ts';
import { formatBytes, formatEndpoint, formatStarted } from './format.ts';
import type { Selection } from './selection.ts';
import { parseSelection, selectRows } from './selection.ts';
import type { Column } from './table.ts';
import { tableLines } from './table.ts';
import type { Terminal } from './terminal.ts';
import { writeJson, writeLines } from './terminal.ts';

interface FlowList {
  flows: Flow[];
  nextCursor: string | null;
}

interface FlowsOptions {
  bytes?: boolean;
  wide?: boolean;
  json?: boolean;
}

function totalBytes({ payload }: Flow): number {
  return payload.receivedBytes + payload.sentBytes;
}

export function flowsColumns(options: { bytes: boolean; now: Date }): Column<Flow>[] {
  const size = options.bytes ? String : formatBytes;
  return [
    { header: 'PROTO', value: ({ protocol }) => protocol },
    { header: 'RECEIVED', align: 'right', value: ({ payload }) => size(payload.receivedBytes) },
    { header: 'SENT', align: 'right', value: ({ payload }) => size(payload.sentBytes) },
    {
      header: 'LOCAL ADDRESS',
      value: ({ localAddress, localPort }) => formatEndpoint(localAddress, localPort),
      dropRank: 1,
    },
    { header: 'PEER ADDRESS', value: ({ remoteAddress, remotePort }) => formatEndpoint(remoteAddress, remotePort) },
    { header: 'SCOPE', value: ({ scope }) => scope, dropRank: 2 },
    {
      header: 'LAST ACTIVE',
      value: ({ lastActiveAt }) => (lastActiveAt === null ? '-' : formatStarted(lastActiveAt, options.now)),
      dropRank: 4,
    },
    { header: 'APP', value: ({ app }) => app, maxWidth: 24, dropRank: 3 },
    { header: 'PID/PROGRAM', value: ({ pid, name }) => `${pid}/${name}` },
  ];
}

async function runFlows(terminal: Terminal, argument: string | undefined, command: Command): Promise<void> {
  const options = command.opts<FlowsOptions>();
  const selection: Selection | undefined = argument === undefined ? undefined : parseSelection(argument);
  const { client } = await connectionOf(command);
  const query = selection !== undefined && 'pid' in selection ? `?pid=${selection.pid}` : '';
  const answer = await client.get<FlowList>(`/v1/flows${query}`);
  const flows = selectRows(answer.flows, selection);
  flows.sort((a, b) => totalBytes(b) - totalBytes(a) || a.pid - b.pid);
  if (options.json === true) {
    writeJson(terminal, { ...answer, flows });
    return;
  }
  const width = options.wide === true ? undefined : terminal.size()?.columns;
  const columns = flowsColumns({ bytes: options.bytes === true, now: terminal.now() });
  writeLines(terminal, tableLines(flows, columns, width));
  if (flows.length === 0 && argument !== undefined) {
    terminal.writeError(`relayledger: no flow belongs to ${argument}\n`);
  }
}

export function addFlows(program: Command, terminal: Terminal): void {
  const command = program
    .command('flows')
    .summary('who talks with whom: one row for each socket and peer')
    .description('Lists flows, those with the most payload first. An unconnected UDP socket has a flow for each peer.')
    .argument('[name]', 'an app or a process name, whole or in part, or a pid')
    .option('-b, --bytes', 'exact numbers of bytes')
    .option('-w, --wide', 'every column, lines as long as they need to be')
    .option('--json', "the API's answer");
  addConnectionOptions(command).action((argument: string | undefined) => runFlows(terminal, argument, command));
}
