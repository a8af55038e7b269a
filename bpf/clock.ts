import { libc } from './libbpf.ts';

const CLOCK_REALTIME = 0;
const CLOCK_MONOTONIC = 1;
const CLOCK_BOOTTIME = 7;

/** CLOCK_BOOTTIME, which the programs stamp with: nanoseconds since boot, time asleep included. */
export function bootTimeNs(): bigint {
  return readClock(CLOCK_BOOTTIME);
}

/** CLOCK_MONOTONIC, which TCP stamps its packets with: as boot time, without time asleep. */
export function monotonicTimeNs(): bigint {
  return readClock(CLOCK_MONOTONIC);
}

/** The wall clock in ms since the epoch, finer than Date.now(): what is converted from boot time twice comes out alike. */
export function wallTimeMs(): number {
  return Number(readClock(CLOCK_REALTIME) / 1000n) / 1000;
}

function readClock(clock: number): bigint {
  const time = new BigInt64Array(2);
  libc().clock_gettime(clock, time);
  return (time[0] as bigint) * 1_000_000_000n + (time[1] as bigint);
}
