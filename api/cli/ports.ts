import type { Command } from 'commander';
import type { Process, Socket } from '../../agent/readings.ts';
import type { ApiClient } from './client.ts';
import { addConnectionOptions, connectionOf } from './connection.ts';
import { formatBytes, formatEndpoint } from './format.ts';
import type { Selection } from './selection.ts';
import { parseSelection, selectRows } from './selection.ts';
import type { Column } from './table.ts';
import { tableLines } from './table.ts';
import type { Terminal } from './terminal.ts';
import { writeJson, writeLines } from './terminal.ts';

interface SocketList {
  sockets: Socket[];
  nextCursor: string | null;
}

interface PortsOptions {
  listening?: boolean;
  bytes?: boolean;
  wide?: boolean;
  json?: boolean;
}

/** What waits for others: listening, or a datagram socket that is bound and has no peer. */
export function isListening(socket: Socket): boolean {
  if (socket.remoteAddress !== null) return false;
  return /^listen/i.test(socket.state) || (socket.protocol === 'udp' && socket.localPort !== 0);
}

function protocolName({ protocol, family }: Socket): string {
  return family === 6 ? `${protocol}6` : protocol;
}

function localEndpoint(socket: Socket): string {
  return formatEndpoint(socket.localAddress, socket.localPort);
}

function remoteEndpoint({ remoteAddress, remotePort, family }: Socket): string {
  return formatEndpoint(remoteAddress ?? (family === 6 ? '::' : '0.0.0.0'), remotePort);
}

/** Listening sockets first, then by protocol, local port and peer. */
export function comparePorts(a: Socket, b: Socket): number {
  return (
    Number(isListening(b)) - Number(isListening(a)) ||
    protocolName(a).localeCompare(protocolName(b), 'en') ||
    a.localPort - b.localPort ||
    localEndpoint(a).localeCompare(localEndpoint(b), 'en') ||
    remoteEndpoint(a).localeCompare(remoteEndpoint(b), 'en') ||
    a.pid - b.pid
  );
}

export function portsColumns(options: { bytes: boolean }): Column<Socket>[] {
  const size = options.bytes ? String : formatBytes;
  return [
    { header: 'PROTO', value: protocolName },
    { header: 'RECEIVED', align: 'right', value: ({ payload }) => size(payload.receivedBytes), dropRank: 1 },
    { header: 'SENT', align: 'right', value: ({ payload }) => size(payload.sentBytes), dropRank: 1 },
    { header: 'LOCAL ADDRESS', value: localEndpoint },
    { header: 'FOREIGN ADDRESS', value: remoteEndpoint },
    { header: 'STATE', value: ({ state }) => state },
    { header: 'PID/PROGRAM', value: ({ pid, name }) => `${pid}/${name}` },
  ];
}

const MOST_PROCESSES = 16;

/** Those that the sockets belong to; of a name that stands for many, the first ones. */
async function processesOf(client: ApiClient, sockets: readonly Socket[]): Promise<Process[]> {
  const pids = [...new Set(sockets.map(({ pid }) => pid))].filter((pid) => pid !== 0).slice(0, MOST_PROCESSES);
  const asked = pids.map((pid) => client.get<Process>(`/v1/processes/${pid}`).catch(() => null)); // it may be gone
  return (await Promise.all(asked)).filter((process) => process !== null);
}

/** What its own settings have a program listen on, beside what it has opened. */
export function configuredLines(processes: readonly Process[], sockets: readonly Socket[]): string[] {
  return processes.flatMap(({ pid, name, configuredPorts }) =>
    (configuredPorts ?? []).map((port) => {
      const isOpen = sockets.some((socket) => socket.pid === pid && socket.localPort === port && isListening(socket));
      return `${pid}/${name} is configured to listen on port ${port}, which is ${isOpen ? 'open' : 'not open'}`;
    }),
  );
}

async function runPorts(terminal: Terminal, argument: string | undefined, command: Command): Promise<void> {
  const options = command.opts<PortsOptions>();
  const selection: Selection | undefined = argument === undefined ? undefined : parseSelection(argument);
  const { client } = await connectionOf(command);
  const query = selection !== undefined && 'pid' in selection ? `?pid=${selection.pid}` : '';
  const answer = await client.get<SocketList>(`/v1/sockets${query}`);
  const sockets = selectRows(answer.sockets, selection).filter(
    (socket) => options.listening !== true || isListening(socket),
  );
  sockets.sort(comparePorts);
  if (options.json === true) {
    writeJson(terminal, { ...answer, sockets });
    return;
  }
  const configured = argument === undefined ? [] : configuredLines(await processesOf(client, sockets), sockets);
  const width = options.wide === true ? undefined : terminal.size()?.columns;
  writeLines(terminal, tableLines(sockets, portsColumns({ bytes: options.bytes === true }), width));
  if (configured.length > 0) writeLines(terminal, configured);
  if (sockets.length === 0 && argument !== undefined) {
    terminal.writeError(`relayledger: no socket belongs to ${argument}\n`);
  }
}

export function addPorts(program: Command, terminal: Terminal): void {
  const command = program
    .command('ports')
    .summary('sockets with their ports, peers and bytes, as netstat shows them')
    .description(
      'Lists sockets as `netstat -apln` does, those that listen first. RECEIVED and SENT are payload bytes so far, not ' +
        'what waits in queues.',
    )
    .argument('[name]', 'an app or a process name, whole or in part, or a pid')
    .option('-l, --listening', 'only sockets that wait for others')
    .option('-b, --bytes', 'exact numbers of bytes')
    .option('-w, --wide', 'lines as long as they need to be')
    .option('--json', "the API's answer");
  addConnectionOptions(command).action((argument: string | undefined) => runPorts(terminal, argument, command));
}
