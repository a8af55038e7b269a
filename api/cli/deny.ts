import type { Command } from 'commander';
import type { PolicyRequest } from '../../agent/policies/policy.ts';
import { ApiError } from '../errors.ts';
import type { PutOptions } from './put-policy.ts';
import { addPutOptions, putPolicy } from './put-policy.ts';
import type { Terminal } from './terminal.ts';

interface DenyOptions extends PutOptions {
  inbound?: boolean;
  outbound?: boolean;
  ports?: string;
  reject?: boolean;
}

export function denyOf(options: DenyOptions): Omit<PolicyRequest, 'match'> {
  const { inbound = false, outbound = false, ports = null, reject = false } = options;
  if (!inbound && !outbound) throw new ApiError('usage', 'which way? Give --inbound, --outbound, or both');
  // What is to come has not been relayed yet: a scope would leave it alone.
  return { scope: 'all', deny: { inbound, outbound, ports, how: reject ? 'reject' : 'drop' } };
}

export function addDeny(program: Command, terminal: Terminal): void {
  const command = program
    .command('deny')
    .summary('keeps others from reaching a program, or it from reaching others')
    .description(
      'Denies new connections and the first datagrams of strangers, whatever port the program opens. What is ' +
        'established goes on; "relayledger disconnect" ends it.',
    )
    .argument('<name>', 'an app, the name of a process, or pid:4711')
    .option('--inbound', 'connections to it')
    .option('--outbound', 'connections by it')
    .option('--ports <range>', 'only these: 80, 1024-65535; inbound its own, outbound the other side’s')
    .option('--reject', 'tell the other side, instead of leaving it without an answer');
  addPutOptions(command).action(async (name: string) => {
    await putPolicy(terminal, command, name, 'deny', denyOf(command.opts<DenyOptions>()));
  });
}
