import type { Clock } from './process-table.ts';

/** As the API tells times. @param ms wall clock */
export function toIso(ms: number): string {
  return new Date(ms).toISOString();
}

/** Two clocks read within this have been read at the same time. */
const PROMPT_NS = 200_000n;
const MAX_TRIES = 10;

/**
 * What the wall clock showed at a time since boot, in ms. On a busy machine some 100 ms may pass between the readings of
 * two clocks: they are read again until they were read at once, and the best pair counts.
 */
export function toWallMs(clock: Clock, bootNs: bigint): number {
  let best = { passedNs: -1n, wallMs: 0, bootNs: 0n };
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const before = clock.bootNs();
    const wallMs = clock.nowMs();
    const passedNs = clock.bootNs() - before;
    if (best.passedNs < 0n || passedNs < best.passedNs) best = { passedNs, wallMs, bootNs: before + passedNs / 2n };
    if (best.passedNs < PROMPT_NS) break;
  }
  return best.wallMs - Number((best.bootNs - bootNs) / 1000n) / 1000;
}
