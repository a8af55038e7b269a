import type { Command } from 'commander';
import type { KillResult, KillSignal } from '../../agent/process-killer.ts';
import type { Process } from '../../agent/readings.ts';
import { ApiError, errorCode } from '../errors.ts';
import type { ApiClient } from './client.ts';
import { addConnectionOptions, connectionOf } from './connection.ts';
import { parsePid } from './policy-target.ts';
import { addForceOptions, requireReason } from './put-policy.ts';
import type { Terminal } from './terminal.ts';
import { writeJson, writeLines } from './terminal.ts';
import { printable } from './text.ts';

interface KillOptions {
  signal: string;
  dryRun?: boolean;
  force?: boolean;
  reason?: string;
  json?: boolean;
}

const signals: readonly KillSignal[] = ['SIGTERM', 'SIGKILL', 'SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGSTOP', 'SIGCONT'];
const numbers: Readonly<Record<string, KillSignal>> = {
  1: 'SIGHUP',
  2: 'SIGINT',
  3: 'SIGQUIT',
  9: 'SIGKILL',
  15: 'SIGTERM',
};

/** `SIGKILL`, `kill`, `9`. */
export function parseSignal(text: string): KillSignal {
  const name = text.toUpperCase();
  const found = signals.find((signal) => signal === name || signal === `SIG${name}`) ?? numbers[text];
  if (found !== undefined) return found;
  throw new ApiError('usage', `"${text}" is not a signal that can be sent: ${signals.join(', ')}`);
}

/** The process as the agent knows it; undefined where it has not used the network. */
export async function lookUp(client: ApiClient, pid: number): Promise<Process | undefined> {
  try {
    const process = await client.get<Process>(`/v1/processes/${pid}`);
    if (process.exitedAt === null) return process;
    throw new ApiError('process-not-found', `process ${pid} (${process.name}) ended at ${process.exitedAt}`);
  } catch (error) {
    if (errorCode(error) === 'process-not-found' && !(error as Error).message.includes('ended at')) return undefined;
    throw error;
  }
}

async function runKill(terminal: Terminal, argument: string, command: Command): Promise<void> {
  const options = command.opts<KillOptions>();
  requireReason(options);
  const pid = parsePid(argument);
  const signal = parseSignal(options.signal);
  const { client } = await connectionOf(command);
  // Seen first, killed then: should the pid be another process by that time, the agent refuses.
  const process = await lookUp(client, pid);
  if (options.dryRun === true) {
    const who = process === undefined ? 'which has not used the network' : printable(process.command || process.name);
    writeLines(terminal, [`would send ${signal} to ${pid} (${who}); nothing was changed`]);
    return;
  }
  const { force, reason } = options;
  const result = await client.post<KillResult>(`/v1/processes/${pid}/kill`, {
    signal,
    ...(process === undefined ? {} : { startedAt: process.startedAt }),
    ...(force === undefined ? {} : { force }),
    ...(reason === undefined ? {} : { reason }),
  });
  if (options.json === true) writeJson(terminal, result);
  else writeLines(terminal, [`sent ${result.signal} to ${pid} (${printable(result.name)}, since ${result.startedAt})`]);
}

export function addKill(program: Command, terminal: Terminal): void {
  const command = program
    .command('kill')
    .summary('ends exactly this process')
    .description(
      'Sends a signal to the process that has this pid now; should the pid go to another one meanwhile, nothing is ' +
        'sent. Protected are pid 1, the agent, kernel threads, what this command was started from, and what the ' +
        'configuration names.',
    )
    .argument('<pid>', 'its pid')
    .option('--signal <signal>', 'SIGTERM, SIGKILL, SIGINT, SIGHUP, SIGQUIT, SIGSTOP or SIGCONT', 'SIGTERM')
    .option('--dry-run', 'show whom it would end, and change nothing');
  addForceOptions(command).option('--json', "the API's answer");
  addConnectionOptions(command).action((pid: string) => runKill(terminal, pid, command));
}
