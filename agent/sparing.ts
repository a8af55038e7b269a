export interface SparingOptions {
  /** Of a core, that the work may take. */
  share: number;
  nowMs?: () => number;
  /** That this thread has used. */
  cpuMs?: () => number;
}

/** `work`, left out as often as it takes to keep it within `share`; the first call does it. */
export function sparing(work: () => void, options: SparingOptions): () => void {
  const { share, nowMs = () => performance.now(), cpuMs = threadCpuMs } = options;
  let nextMs = -Infinity;
  return () => {
    const begin = nowMs();
    if (begin < nextMs) return;
    const before = cpuMs();
    work();
    nextMs = begin + (cpuMs() - before) / share;
  };
}

function threadCpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}
