import type { Command } from 'commander';
import type { Disconnected } from '../../agent/control.ts';
import { ApiError } from '../errors.ts';
import { addConnectionOptions, connectionOf } from './connection.ts';
import { lookUp } from './kill.ts';
import { parsePid } from './policy-target.ts';
import { addForceOptions, requireReason } from './put-policy.ts';
import type { Terminal } from './terminal.ts';
import { writeJson, writeLines } from './terminal.ts';
import { printable } from './text.ts';

interface DisconnectOptions {
  all?: boolean;
  dryRun?: boolean;
  force?: boolean;
  reason?: string;
  json?: boolean;
}

async function runDisconnect(terminal: Terminal, argument: string, command: Command): Promise<void> {
  const options = command.opts<DisconnectOptions>();
  requireReason(options);
  const pid = parsePid(argument);
  const { client } = await connectionOf(command);
  const process = await lookUp(client, pid);
  if (process === undefined) {
    throw new ApiError(
      'process-not-found',
      `process ${pid} has no connections, or there is none: "relayledger ps" shows those that use the network`,
    );
  }
  const scope = options.all === true ? 'all' : 'relay';
  const what = scope === 'all' ? 'every connection' : 'the relayed connections';
  if (options.dryRun === true) {
    writeLines(terminal, [`would destroy ${what} of ${pid} (${printable(process.name)}); nothing was changed`]);
    return;
  }
  const { force, reason } = options;
  const result = await client.post<Disconnected>(`/v1/processes/${pid}/disconnect`, {
    scope,
    startedAt: process.startedAt,
    ...(force === undefined ? {} : { force }),
    ...(reason === undefined ? {} : { reason }),
  });
  if (options.json === true) {
    writeJson(terminal, result);
    return;
  }
  const { tcp, udp, name } = result;
  const none = scope === 'relay' && tcp + udp === 0 ? '; nothing of it is ruled relayed (--all takes every one)' : '';
  writeLines(terminal, [`destroyed ${tcp} TCP and ${udp} UDP connections of ${pid} (${printable(name)})${none}`]);
}

export function addDisconnect(program: Command, terminal: Terminal): void {
  const command = program
    .command('disconnect')
    .summary("destroys a process's relayed connections, or all of them")
    .description(
      'Destroys connections as if they had been reset. The process goes on and may connect again: "relayledger deny" ' +
        'keeps it from that.',
    )
    .argument('<pid>', 'its pid')
    .option('--all', 'every connection, not only those ruled relayed')
    .option('--dry-run', 'say what it would do, and change nothing');
  addForceOptions(command).option('--json', "the API's answer");
  addConnectionOptions(command).action((pid: string) => runDisconnect(terminal, pid, command));
}
