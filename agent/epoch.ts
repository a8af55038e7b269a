import { readFileSync } from 'node:fs';

/** Changes with each boot. */
export function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}

/** Names one run of the kernel's counters, for the store: others began from zero. */
export function epochOf(sinceNs: bigint): string {
  return `${bootId()}:${sinceNs}`;
}
