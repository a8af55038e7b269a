import { readFileSync, readlinkSync } from 'node:fs';

/** A process as /proc shows it right now, whether it ever used the network or not. */
export interface ProcStat {
  pid: number;
  name: string;
  /** One letter: R, S, D, Z (ended, not waited for) … */
  state: string;
  parentPid: number;
  isKernelThread: boolean;
  /** Since boot, in ticks of 10 ms (USER_HZ is 100 on every architecture Node runs on). */
  startTicks: number;
}

const PF_KTHREAD = 0x0020_0000;
const NS_PER_TICK = 10_000_000n;

/** @param startNs CLOCK_BOOTTIME */
export function startTicksOf(startNs: bigint): number {
  return Number(startNs / NS_PER_TICK);
}

/** undefined where there is no such process. */
export function readProcStat(pid: number): ProcStat | undefined {
  try {
    return parseProcStat(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return undefined; // it has ended
  }
}

/** proc_pid_stat(5). The name may hold blanks and parentheses: the last one ends it. */
export function parseProcStat(text: string): ProcStat | undefined {
  const open = text.indexOf('(');
  const close = text.lastIndexOf(')');
  const fields = text.slice(close + 2).split(' ');
  // Counted from the state, which is field 3: ppid is 4, flags are 9, starttime is 22.
  const [state, parentPid] = fields;
  const flags = Number(fields[6]);
  const startTicks = Number(fields[19]);
  if (open < 0 || close < open || state === undefined || !Number.isFinite(startTicks)) return undefined;
  return {
    pid: Number(text.slice(0, open)),
    name: text.slice(open + 1, close),
    state,
    parentPid: Number(parentPid),
    isKernelThread: (flags & PF_KTHREAD) !== 0,
    startTicks,
  };
}

export function readProcExecutable(pid: number): string | null {
  try {
    return readlinkSync(`/proc/${pid}/exe`).replace(/ \(deleted\)$/, '');
  } catch {
    return null; // it has ended, or it is a kernel thread
  }
}

/** The process and who started it, up to pid 1. */
export function readAncestors(pid: number, read: (pid: number) => ProcStat | undefined = readProcStat): ProcStat[] {
  const line: ProcStat[] = [];
  for (let at = read(pid); at && line.length < 128; at = at.parentPid > 0 ? read(at.parentPid) : undefined)
    line.push(at);
  return line;
}
