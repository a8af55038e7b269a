import { Command, CommanderError } from 'commander';
import { addCap } from './cap.ts';
import { addDeny } from './deny.ts';
import { addDisconnect } from './disconnect.ts';
import type { RunDoctor } from './doctor.ts';
import { addDoctor } from './doctor.ts';
import { exitCodes, reportFailure } from './failure.ts';
import { addFlows } from './flows.ts';
import { addHistory } from './history.ts';
import { addKill } from './kill.ts';
import { addPolicies } from './policies.ts';
import { addPorts } from './ports.ts';
import { addPs } from './ps.ts';
import { addRelays } from './relays.ts';
import type { Terminal } from './terminal.ts';
import { addTop } from './top.ts';

export interface ProgramParts {
  version: string;
  terminal: Terminal;
  /** Runs the agent with its own arguments until it is stopped. */
  runAgent: (argv: string[]) => Promise<void>;
  runDoctor: RunDoctor;
}

function createProgram(parts: ProgramParts, setExitCode: (code: number) => void): Command {
  const { terminal } = parts;
  const program = new Command('relayledger')
    .description('Accounts for every network byte of this host, by process.')
    .version(parts.version)
    // Options after a command are the command's, so that the agent's reach the agent.
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({
      writeOut: (text) => terminal.write(text),
      writeErr: (text) => terminal.writeError(text),
      getOutHelpWidth: () => terminal.size()?.columns ?? 100,
    });
  program
    .command('agent')
    .summary('runs the agent in the foreground')
    .description('Runs the agent in the foreground; "relayledger agent --help" tells its options.')
    .argument('[options...]', "the agent's options")
    .helpOption(false)
    .allowUnknownOption()
    .passThroughOptions()
    .action((argv: string[]) => parts.runAgent(argv));
  addPs(program, terminal);
  addTop(program, terminal);
  addRelays(program, terminal);
  addPorts(program, terminal);
  addFlows(program, terminal);
  addCap(program, terminal);
  addDeny(program, terminal);
  addDisconnect(program, terminal);
  addKill(program, terminal);
  addPolicies(program, terminal);
  addHistory(program, terminal);
  addDoctor(program, terminal, parts.runDoctor, setExitCode);
  return program;
}

/** Runs one command line; answers the exit code. */
export async function runProgram(argv: readonly string[], parts: ProgramParts): Promise<number> {
  let exitCode: number = exitCodes.ok;
  const program = createProgram(parts, (code) => {
    exitCode = code;
  });
  try {
    await program.parseAsync(argv, { from: 'user' });
    return exitCode;
  } catch (error) {
    // Commander has already said what is wrong.
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
    return reportFailure(error, parts.terminal);
  }
}
