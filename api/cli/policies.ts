import type { Command } from 'commander';
import type { PolicyReading } from '../../agent/policies/policy.ts';
import { ApiError, errorCode } from '../errors.ts';
import { addConnectionOptions, connectionOf } from './connection.ts';
import { policyColumns, policyNotes } from './policy-report.ts';
import { tableLines } from './table.ts';
import type { Terminal } from './terminal.ts';
import { writeJson, writeLines } from './terminal.ts';

async function runList(terminal: Terminal, command: Command): Promise<void> {
  const options = command.opts<{ json?: boolean; wide?: boolean }>();
  const { client } = await connectionOf(command);
  const answer = await client.get<{ policies: PolicyReading[] }>('/v1/policies');
  if (options.json === true) {
    writeJson(terminal, answer);
    return;
  }
  if (answer.policies.length === 0) {
    writeLines(terminal, ['no policies']);
    return;
  }
  const width = options.wide === true ? undefined : terminal.size()?.columns;
  writeLines(terminal, tableLines(answer.policies, policyColumns(terminal.now()), width));
  writeLines(terminal, policyNotes(answer.policies));
}

async function runRemove(terminal: Terminal, name: string, command: Command): Promise<void> {
  const { client } = await connectionOf(command);
  const removed = await client.delete<PolicyReading>(`/v1/policies/${encodeURIComponent(name)}`).catch((error) => {
    if (errorCode(error) !== 'policy-not-found') throw error;
    const message = `there is no policy called ${name}: "relayledger policies" shows them`;
    throw new ApiError('policy-not-found', message, { cause: error });
  });
  if (command.opts<{ json?: boolean }>().json === true) writeJson(terminal, removed);
  else writeLines(terminal, [`removed ${name}: what it held runs free again`]);
}

export function addPolicies(program: Command, terminal: Terminal): void {
  const command = program
    .command('policies')
    .summary('what is enforced, on whom, and what it holds back right now')
    .description('Lists the policies: of the configuration file, and those put by "cap", "deny" and REST.')
    .option('-w, --wide', 'every column, lines as long as they need to be')
    .option('--json', "the API's answer");
  addConnectionOptions(command).action(() => runList(terminal, command));
  const remove = command
    .command('remove')
    .summary('removes a policy, and gives back at once what it held')
    .argument('<policy>', 'its name, as "relayledger policies" shows it')
    .option('--json', "the API's answer");
  addConnectionOptions(remove).action((name: string) => runRemove(terminal, name, remove));
}
