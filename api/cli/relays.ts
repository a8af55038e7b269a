import type { Command } from 'commander';
import type { RelayReading } from '../../agent/readings.ts';
import { addConnectionOptions, connectionOf } from './connection.ts';
import { relayLines } from './relay-report.ts';
import type { Selection } from './selection.ts';
import { parseSelection, selectRows } from './selection.ts';
import type { Terminal } from './terminal.ts';
import { writeJson, writeLines } from './terminal.ts';
import { printable } from './text.ts';

interface RelayList {
  relays: RelayReading[];
  nextCursor: string | null;
}

interface RelaysOptions {
  bytes?: boolean;
  wide?: boolean;
  json?: boolean;
}

async function runRelays(terminal: Terminal, argument: string | undefined, command: Command): Promise<void> {
  const options = command.opts<RelaysOptions>();
  const selection: Selection | undefined = argument === undefined ? undefined : parseSelection(argument);
  const { client } = await connectionOf(command);
  const query = selection !== undefined && 'pid' in selection ? `?pid=${selection.pid}` : '';
  const answer = await client.get<RelayList>(`/v1/relays${query}`);
  const relays = selectRows(answer.relays, selection);
  if (options.json === true) {
    writeJson(terminal, { ...answer, relays });
    return;
  }
  if (relays.length === 0) {
    writeLines(terminal, [
      argument === undefined ? 'nobody relays' : `nobody relays who matches ${printable(argument)}`,
    ]);
    return;
  }
  const width = options.wide === true ? undefined : terminal.size()?.columns;
  writeLines(terminal, relayLines(relays, { bytes: options.bytes === true, now: terminal.now(), width }));
}

export function addRelays(program: Command, terminal: Terminal): void {
  const command = program
    .command('relays')
    .summary("who carries other people's traffic, between whom, how sure, and why")
    .description(
      'Lists the processes that relay or are suspected to, the most relayed bytes first, and below each from whom to ' +
        'whom it passes payload on, with the evidence. Where two numbers of bytes stand in parentheses, the truth ' +
        'lies between them. SURE: of verdicts at 90 %, nine in ten are right.\n' +
        'Lag is the time from receive to send; conserved is what came in and went out again; AUC says how closely ' +
        'sends follow receives.',
    )
    .argument('[name]', 'an app or a process name, whole or in part, or a pid')
    .option('-b, --bytes', 'exact numbers of bytes')
    .option('-w, --wide', 'every direction and peer, lines as long as they need to be')
    .option('--json', "the API's answer");
  addConnectionOptions(command).action((argument: string | undefined) => runRelays(terminal, argument, command));
}
