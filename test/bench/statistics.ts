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
