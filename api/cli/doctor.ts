import type { Command } from 'commander';
import { Option } from 'commander';
import type { DoctorOptions } from '../../agent/doctor.ts';
import type { Status } from '../../agent/readings.ts';
import { ApiError } from '../errors.ts';
import { addConnectionOptions, connectionOf, defaultSocketPath } from './connection.ts';
import { doctorLines, isHealthy } from './doctor-report.ts';
import type { Terminal } from './terminal.ts';
import { writeJson, writeLines } from './terminal.ts';

/** Examines the host, or cleans it, without an agent; answers the exit code. */
export type RunDoctor = (options: DoctorOptions) => Promise<number>;

interface Flags {
  remove?: boolean;
  json?: boolean;
  bpffs: string;
  stateDir: string;
  cgroup?: string;
}

/** The running agent's status, or undefined where none runs. */
async function statusOf(command: Command): Promise<{ status: Status | undefined; socketPath: string | null }> {
  const { client, socketPath } = await connectionOf(command);
  try {
    return { status: await client.get<Status>('/v1/status'), socketPath };
  } catch (error) {
    const absent = error instanceof ApiError && error.code === 'agent-not-running';
    if (absent && socketPath !== null) return { status: undefined, socketPath };
    throw error;
  }
}

async function runDoctorCommand(terminal: Terminal, runDoctor: RunDoctor, command: Command): Promise<number> {
  const flags = command.opts<Flags>();
  const { status, socketPath } = await statusOf(command);
  const where = socketPath ?? command.opts<{ url: string }>().url;
  if (status === undefined) {
    return runDoctor({
      remove: flags.remove === true,
      json: flags.json === true,
      socketPath: socketPath ?? defaultSocketPath,
      bpffs: flags.bpffs,
      stateDir: flags.stateDir,
      cgroup: flags.cgroup,
    });
  }
  if (flags.remove === true) {
    throw new ApiError(
      'agent-already-running',
      `an agent is running (it answers on ${where}) and would count nothing more: stop it first`,
    );
  }
  if (flags.json === true) writeJson(terminal, status);
  else writeLines(terminal, doctorLines(status));
  return isHealthy(status) ? 0 : 1;
}

export function addDoctor(
  program: Command,
  terminal: Terminal,
  runDoctor: RunDoctor,
  setExitCode: (code: number) => void,
): void {
  const command = program
    .command('doctor')
    .summary('what is in use, what is missing and why, and whether the books balance')
    .description(
      'With an agent running: which hooks it uses, what is missing and why, what was lost, and whether processes and ' +
        'kernel add up to the interfaces. Without one: what this host offers and what of ours is in its kernel.\n' +
        'Ends with 1 where a hook is not attached or events were lost.',
    )
    .option('--remove', 'take everything of ours out of the kernel; no agent may be running')
    .option('--json', "the API's status")
    .addOption(
      new Option('--bpffs <path>', 'where programs and maps are pinned')
        .env('RELAYLEDGER_BPFFS')
        .default('/sys/fs/bpf/relayledger'),
    )
    .addOption(
      new Option('--state-dir <path>', "the agent's own files")
        .env('RELAYLEDGER_STATE_DIR')
        .default('/var/lib/relayledger'),
    )
    .addOption(
      new Option('--cgroup <path>', 'mount point of cgroup2 (default: it is found)').env('RELAYLEDGER_CGROUP'),
    );
  addConnectionOptions(command).action(async () => {
    setExitCode(await runDoctorCommand(terminal, runDoctor, command));
  });
}
