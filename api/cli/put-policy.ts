import type { Command } from 'commander';
import type { PolicyReading, PolicyRequest } from '../../agent/policies/policy.ts';
import { ApiError } from '../errors.ts';
import { addConnectionOptions, connectionOf } from './connection.ts';
import { putReport } from './policy-report.ts';
import { policyNameOf, resolveTarget } from './policy-target.ts';
import { parseDuration } from './quantities.ts';
import type { Terminal } from './terminal.ts';
import { writeJson, writeLines } from './terminal.ts';
import { printable } from './text.ts';

/** What every command that puts a policy takes. */
export interface PutOptions {
  for?: string;
  policy?: string;
  dryRun?: boolean;
  force?: boolean;
  reason?: string;
  json?: boolean;
}

export function addPutOptions(command: Command): Command {
  command
    .option('--for <duration>', 'ends by itself: 30m, 2h, 1d')
    .option('--policy <name>', 'name of the policy (default: made from NAME)')
    .option('--dry-run', 'show whom it would hold, and change nothing');
  addForceOptions(command).option('--json', "the API's answer");
  return addConnectionOptions(command);
}

export function addForceOptions(command: Command): Command {
  return command
    .option('--force', 'also where a process is protected; needs --reason')
    .option('--reason <text>', 'why; goes into the audit');
}

/** `--force` goes with `--reason`, and says so before anything is asked. */
export function requireReason({ force, reason }: { force?: boolean; reason?: string }): void {
  if (force === true && reason === undefined) throw new ApiError('usage', '--force needs --reason "why"');
}

/** Puts the policy, and says what it does and how to undo it. */
export async function putPolicy(
  terminal: Terminal,
  command: Command,
  argument: string,
  prefix: string,
  policy: Omit<PolicyRequest, 'match'>,
): Promise<void> {
  const options = command.opts<PutOptions>();
  requireReason(options);
  const lifetime = options.for === undefined ? undefined : parseDuration(options.for);
  const { client } = await connectionOf(command);
  const target = await resolveTarget(client, argument);
  const name = options.policy ?? policyNameOf(prefix, argument);
  const query = new URLSearchParams();
  if (options.dryRun === true) query.set('dryRun', 'true');
  if (options.force === true) query.set('force', 'true');
  if (options.reason !== undefined) query.set('reason', options.reason);
  const request: PolicyRequest = { match: target.match, ...policy };
  if (lifetime !== undefined) request.expiresAt = new Date(terminal.now().getTime() + lifetime).toISOString();
  const path = `/v1/policies/${encodeURIComponent(name)}${query.size === 0 ? '' : `?${query}`}`;
  const reading = await client.put<PolicyReading>(path, request);
  if (options.json === true) writeJson(terminal, reading);
  else writeLines(terminal, putReport(reading, target.who));
  if (!target.isKnown) {
    const advice = 'it holds what will; "relayledger ps" shows the names that there are';
    terminal.writeError(`relayledger: nothing goes by the name ${printable(argument)} yet: ${advice}\n`);
  }
}
