import type { Command } from 'commander';
import { Option } from 'commander';
import type { PolicyRequest, QuotaAction, QuotaPeriod, RateDirection } from '../../agent/policies/policy.ts';
import { ApiError } from '../errors.ts';
import type { PutOptions } from './put-policy.ts';
import { addPutOptions, putPolicy } from './put-policy.ts';
import { parseRate, parseSize } from './quantities.ts';
import type { Terminal } from './terminal.ts';

interface CapOptions extends PutOptions {
  all?: boolean;
  relayOnly?: boolean;
  direction?: RateDirection;
  quota?: string;
  per?: QuotaPeriod;
  then?: QuotaAction;
  throttleTo?: string;
}

/** What the options ask for; throws what is wrong with them. */
export function capOf(rate: string | undefined, options: CapOptions): Omit<PolicyRequest, 'match'> {
  if (options.all === true && options.relayOnly === true) {
    throw new ApiError('usage', 'give --relay-only or --all, not both');
  }
  if (rate === undefined && options.quota === undefined) {
    throw new ApiError('usage', 'what is it to be held to? Give a RATE such as 4K, or --quota 1G --per day');
  }
  if (rate === undefined && options.direction !== undefined) {
    throw new ApiError('usage', '--direction belongs to a RATE: a quota counts both');
  }
  const isQuotaOnly = options.per ?? options.then ?? options.throttleTo;
  if (options.quota === undefined && isQuotaOnly !== undefined) {
    throw new ApiError('usage', '--per, --then and --throttle-to belong to --quota');
  }
  const policy: Omit<PolicyRequest, 'match'> = { scope: options.all === true ? 'all' : 'relay' };
  if (rate !== undefined) policy.rate = { bytesPerSecond: parseRate(rate), direction: options.direction ?? 'both' };
  if (options.quota !== undefined) {
    policy.quota = {
      bytes: parseSize(options.quota),
      period: options.per ?? 'day',
      then: options.then ?? 'throttle',
    };
    if (options.throttleTo !== undefined) policy.quota.throttleBytesPerSecond = parseRate(options.throttleTo);
  }
  return policy;
}

export function addCap(program: Command, terminal: Terminal): void {
  const command = program
    .command('cap')
    .summary('holds a program to a rate, or to a quota; what it relays, or all of it')
    .description(
      'Holds what a program relays (with --all: everything it does) to RATE, at once and for processes that start ' +
        'later. Its own calls and downloads run on. Given again it replaces what it said before.\n' +
        'RATE is bytes per second: 4K is 4,000, 4Ki is 4,096, 10Mbit is 1,250,000.',
    )
    .argument('<name>', 'an app, the name of a process, or pid:4711')
    .argument('[rate]', 'such as 4K, 1.5M, 10Mbit')
    .option('--relay-only', 'only what the ledger has ruled relayed (default)')
    .option('--all', 'everything it sends and receives')
    .addOption(
      new Option('--direction <way>', 'which way (default: both, each with its own allowance)').choices([
        'sent',
        'received',
        'both',
      ]),
    )
    .option('--quota <size>', 'how much it may move in a period, both ways together: 500M, 1G, 1Gi')
    .addOption(new Option('--per <period>', 'default: day, in UTC').choices(['hour', 'day', 'month', 'total']))
    .addOption(
      new Option('--then <action>', 'once it is used up (default: throttle)').choices([
        'notify',
        'throttle',
        'deny',
        'kill',
      ]),
    )
    .option('--throttle-to <rate>', 'with --then throttle: what is left (default: 4096)');
  addPutOptions(command).action(async (name: string, rate: string | undefined) => {
    const options = command.opts<CapOptions>();
    await putPolicy(terminal, command, name, rate === undefined ? 'quota' : 'cap', capOf(rate, options));
  });
}
