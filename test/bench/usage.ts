import { readdirSync, readFileSync } from 'node:fs';

/** What a process used, as the kernel has it. */

/** CPU time of all its threads so far, in ns: finer than the 10 ms ticks of /proc/PID/stat. Kernel: CONFIG_SCHED_INFO. */
export function cpuNs(pid: number): number {
  let total = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    total += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]);
  }
  return total;
}

/** VmRSS and its parts: memory of its own, files mapped (Node itself, which all its processes share, and BPF maps), shared. */
export interface Resident {
  all: number;
  anonymous: number;
  mapped: number;
  shared: number;
}

export function residentBytes(pid: number): Resident {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const bytes = (name: string): number => 1024 * Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]);
  const resident = {
    all: bytes('VmRSS'),
    anonymous: bytes('RssAnon'),
    mapped: bytes('RssFile'),
    shared: bytes('RssShmem'),
  };
  if (Number.isNaN(resident.all)) throw new Error(`process ${pid} has ended`);
  return resident;
}

/** The share of one core that a process uses while `work` runs. */
export async function cpuShare(pid: number, work: () => Promise<unknown>): Promise<number> {
  const before = cpuNs(pid);
  const begin = performance.now();
  await work();
  return (cpuNs(pid) - before) / 1e6 / (performance.now() - begin);
}
