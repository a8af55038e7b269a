import { readdirSync, readFileSync } from 'node:fs';

/** What a process used, as the kernel has it. */

const PAGE_KILOBYTES = 1024;

/** CPU time of all its threads so far, in ns: finer than the 10 ms ticks of /proc/PID/stat. Kernel: CONFIG_SCHED_INFO. */
export function cpuNs(pid: number): number {
  let total = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    total += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]);
  }
  return total;
}

export function residentBytes(pid: number): number {
  const line = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  if (line === null) throw new Error(`process ${pid} has ended`);
  return Number(line[1]) * PAGE_KILOBYTES;
}

/** The share of one core that a process uses while `work` runs. */
export async function cpuShare(pid: number, work: () => Promise<unknown>): Promise<number> {
  const before = cpuNs(pid);
  const begin = performance.now();
  await work();
  return (cpuNs(pid) - before) / 1e6 / (performance.now() - begin);
}
