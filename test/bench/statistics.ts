/** What repeated measurements come to. Pure. */

export interface Spread {
  median: number;
  min: number;
  max: number;
}

/** @throws RangeError where there is nothing to take the median of */
export function median(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError('the median of nothing');
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] as number;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] as number) + upper) / 2;
}

export function spreadOf(values: readonly number[]): Spread {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) };
}

/** Combines what was measured on both sides of each round: noise that lasts longer than a round cancels out. */
export function pairwise(
  a: readonly number[],
  b: readonly number[],
  combine: (a: number, b: number) => number,
): number[] {
  if (a.length !== b.length) throw new RangeError(`${a.length} rounds against ${b.length}`);
  return a.map((value, round) => combine(value, b[round] as number));
}

export function ratioSpread(a: readonly number[], b: readonly number[]): Spread {
  return spreadOf(pairwise(a, b, (x, y) => x / y));
}

export function differenceSpread(a: readonly number[], b: readonly number[]): Spread {
  return spreadOf(pairwise(a, b, (x, y) => x - y));
}

export function sum(values: Iterable<number>): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}

export interface Interval {
  low: number;
  high: number;
}

const RESAMPLES = 4000;

/**
 * Where the median lies with a probability of 95 %, by the percentile bootstrap (Efron 1979): the medians of as many
 * values drawn from these, again and again. The same values give the same interval.
 */
export function medianInterval(values: readonly number[]): Interval {
  const random = randomNumbers();
  const medians = Array.from({ length: RESAMPLES }, () =>
    median(values.map(() => values[Math.floor(random() * values.length)] as number)),
  ).sort((a, b) => a - b);
  const at = (share: number): number => medians[Math.round(share * (RESAMPLES - 1))] as number;
  return { low: at(0.025), high: at(0.975) };
}

/** mulberry32 by Tommy Ettinger: uniform in [0, 1), from a fixed seed. */
function randomNumbers(): () => number {
  let state = 1;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
