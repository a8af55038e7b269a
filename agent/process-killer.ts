import { BpfError } from '../bpf/errors.ts';
import { ProcessFd } from '../bpf/process-fd.ts';
import { AgentError } from './errors.ts';
import { type ProcStat, readProcExecutable, readProcStat, startTicksOf } from './proc-stat.ts';
import type { ProcessRecord } from './process-table.ts';
import type { Protection } from './protection.ts';
import { toIso } from './wall-time.ts';

export type KillSignal = 'SIGTERM' | 'SIGKILL' | 'SIGINT' | 'SIGHUP' | 'SIGQUIT' | 'SIGSTOP' | 'SIGCONT';

export interface KillRequest {
  pid: number;
  signal: KillSignal;
  /** As the API has shown it; undefined: whoever has the pid now. */
  startedAtMs: number | undefined;
  /** undefined: whatever it runs. */
  executable: string | undefined;
  forced: boolean;
}

export interface KillResult {
  pid: number;
  name: string;
  startedAt: string;
  signal: KillSignal;
}

export interface KillerOptions {
  protection: Protection;
  /** What the process table knows of a live process. */
  find: (pid: number) => ProcessRecord | undefined;
  /** CLOCK_BOOTTIME ns to wall clock ms. */
  toWallMs: (bootNs: bigint) => number;
  open?: (pid: number) => Disposable & { signal(signal: KillSignal): void };
  readStat?: (pid: number) => ProcStat | undefined;
  readExecutable?: (pid: number) => string | null;
}

/** /proc tells starts in ticks of 10 ms, and a wall clock that is being slewed moves a little. */
const START_TOLERANCE_MS = 100;
const NS_PER_TICK = 10_000_000n;

/** Sends signals to exactly the process that is meant, whatever happens to its pid meanwhile. */
export class ProcessKiller {
  readonly #options: Required<KillerOptions>;

  constructor(options: KillerOptions) {
    this.#options = {
      open: ProcessFd.open,
      readStat: readProcStat,
      readExecutable: readProcExecutable,
      ...options,
    };
  }

  /**
   * @param ancestors the caller's, itself first; empty where it is not known
   * @throws PROCESS_UNKNOWN, PROCESS_CHANGED, PROCESS_PROTECTED; nothing was sent then
   */
  kill({ pid, signal, startedAtMs, executable, forced }: KillRequest, ancestors: readonly ProcStat[]): KillResult {
    const { find, readExecutable, readStat, toWallMs } = this.#options;
    if (pid === 0) throw new AgentError('PROCESS_PROTECTED', 'process 0 is protected: it is the kernel');
    // Opened first: what is verified from here on is the process that the descriptor means.
    using target = this.#open(pid);
    const stat = readStat(pid);
    if (!stat) throw unknown(pid);
    const record = find(pid);
    const isKnown = record !== undefined && startTicksOf(record.startNs) === stat.startTicks;
    const startMs = isKnown ? record.startedAtMs : toWallMs(BigInt(stat.startTicks) * NS_PER_TICK);
    if (startedAtMs !== undefined && Math.abs(startMs - startedAtMs) > (isKnown ? 1 : START_TOLERANCE_MS)) {
      throw changed(`process ${pid} is not that one any more: it started at ${toIso(startMs)}, as ${stat.name}`);
    }
    if (record !== undefined && !isKnown && startedAtMs === undefined) {
      throw changed(
        `process ${pid} has just been replaced by another (${stat.name}): look again and give its startedAt`,
      );
    }
    const running = readExecutable(pid);
    if (executable !== undefined && running !== executable) {
      throw changed(`process ${pid} runs ${running ?? 'nothing'} by now, not ${executable}`);
    }
    if (stat.state === 'Z') throw changed(`process ${pid} has ended; its parent has not taken notice yet`);
    const app = isKnown ? record.app : null;
    const reason = this.#protectedReason({ pid, name: stat.name, executable: running, app }, stat, ancestors, forced);
    if (reason !== null) {
      const advice = stat.isKernelThread ? '' : '; use force and give a reason to do it all the same';
      throw new AgentError('PROCESS_PROTECTED', `process ${pid} (${stat.name}) is protected: ${reason}${advice}`);
    }
    send(target, signal, pid);
    return { pid, name: stat.name, startedAt: toIso(startMs), signal };
  }

  /** Why this process is to be left alone by everybody, in words. */
  protects({ tgid: pid, name, details, app }: ProcessRecord): string | null {
    return this.#options.protection.reasonFor({ pid, name, executable: details.executable, app });
  }

  #open(pid: number): ReturnType<Required<KillerOptions>['open']> {
    try {
      return this.#options.open(pid);
    } catch (error) {
      if (error instanceof BpfError && error.code === 'PROCESS_GONE') throw unknown(pid, error);
      throw error;
    }
  }

  #protectedReason(
    process: { pid: number; name: string; executable: string | null; app: string | null },
    stat: ProcStat,
    ancestors: readonly ProcStat[],
    forced: boolean,
  ): string | null {
    // No signal ends one, so that no reason is good enough.
    if (stat.isKernelThread) return 'it is a kernel thread';
    if (forced) return null;
    const { protection } = this.#options;
    return protection.reasonFor(process) ?? protection.reasonForCaller(process.pid, ancestors);
  }
}

function send(target: { signal(signal: KillSignal): void }, signal: KillSignal, pid: number): void {
  try {
    target.signal(signal);
  } catch (error) {
    if (error instanceof BpfError && error.code === 'PROCESS_GONE') {
      throw new AgentError('PROCESS_CHANGED', `process ${pid} has ended meanwhile`, { cause: error });
    }
    throw error;
  }
}

function unknown(pid: number, cause?: unknown): AgentError {
  return new AgentError('PROCESS_UNKNOWN', `no process has the pid ${pid} now`, { cause });
}

function changed(message: string): AgentError {
  return new AgentError('PROCESS_CHANGED', message);
}
