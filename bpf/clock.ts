import { libc } from './libbpf.ts';

const CLOCK_BOOTTIME = 7;

/** CLOCK_BOOTTIME, which the programs stamp with: nanoseconds since boot, time asleep included. */
export function bootTimeNs(): bigint {
  const time = new BigInt64Array(2);
  libc().clock_gettime(CLOCK_BOOTTIME, time);
  return (time[0] as bigint) * 1_000_000_000n + (time[1] as bigint);
}
