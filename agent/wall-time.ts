import type { Clock } from './process-table.ts';

/** As the API tells times. @param ms wall clock */
export function toIso(ms: number): string {
  return new Date(ms).toISOString();
}

/** By less than this the two clocks are only read one after the other; boot time is slewed as the wall clock is. */
const SET_MS = 500;

/** The wall clock as it was at the start, which then goes on evenly: to compare moments by while the other one is set. */
export class EvenClock {
  readonly #clock: Clock;
  readonly #startMs: number;
  /** How far the wall clock was set since. */
  #setMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#startMs = toWallMs(clock, 0n);
  }

  nowMs(): number {
    return this.#startMs + Number(this.#clock.bootNs() / 1000n) / 1000;
  }

  /** A moment of this clock, as the wall clock has it that people look at. */
  onWall(iso: string): string {
    const setMs = this.#clock.nowMs() - this.nowMs();
    if (Math.abs(setMs - this.#setMs) > SET_MS) this.#setMs = setMs;
    return this.#setMs === 0 ? iso : toIso(Date.parse(iso) + this.#setMs);
  }
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
