import manifest from '../../package.json' with { type: 'json' };
import { errorCode } from '../errors.ts';
import { runProgram } from './program.ts';
import { processTerminal } from './terminal.ts';

// `relayledger ps | head` closes the pipe early: nothing more is wanted, and that is no error.
process.stdout.on('error', (error) => {
  if (errorCode(error) === 'EPIPE') process.exit(0);
  throw error;
});

const exitCode = await runProgram(process.argv.slice(2), {
  version: manifest.version,
  terminal: processTerminal(),
  // The only place where api/ reaches into agent/: commands that are the agent, or do its work where none runs.
  runAgent: async (argv) => (await import('../../agent/main.ts')).main(argv),
  runDoctor: async (options) => (await import('../../agent/doctor.ts')).doctor(options),
});
// The agent sets its own exit code where it ends by itself.
process.exitCode ??= exitCode;
