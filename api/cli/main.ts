import manifest from '../../package.json' with { type: 'json' };
import { errorCode } from '../errors.ts';
import { exitCodes, reportFailure } from './failure.ts';
import { processTerminal } from './terminal.ts';

const terminal = processTerminal();
// `relayledger ps | head` closes the pipe early: nothing more is wanted, and that is no error.
process.stdout.on('error', (error) => {
  process.exit(errorCode(error) === 'EPIPE' ? exitCodes.ok : reportFailure(error, terminal));
});

const argv = process.argv.slice(2);
// The only place where api/ reaches into agent/: commands that are the agent, or do its work where none runs.
const runAgent = async (options: string[]): Promise<void> => (await import('../../agent/main.ts')).main(options);

/** What runs for months does not carry the other commands with it. */
async function runAgentAlone(options: string[]): Promise<number> {
  try {
    await runAgent(options);
    return exitCodes.ok;
  } catch (error) {
    return reportFailure(error, terminal);
  }
}

async function runCommand(): Promise<number> {
  const { runProgram } = await import('./program.ts');
  return runProgram(argv, {
    version: manifest.version,
    terminal,
    runAgent,
    runDoctor: async (options) => (await import('../../agent/doctor.ts')).doctor(options),
  });
}

const exitCode = argv[0] === 'agent' ? await runAgentAlone(argv.slice(1)) : await runCommand();
// The agent sets its own exit code where it ends by itself.
process.exitCode ??= exitCode;
