import type { Histogram } from './evidence.ts';

/*
 * Do sends on B come when receives on A came? The lag of a send is the age of A's last receive at that moment. Were
 * the send at a random time, that age would follow from the gaps between A's receives alone: a moment falls into a gap
 * in proportion to its length, so P(age < x) = sum(min(gap, x)) / sum(gap). The area under the curve (AUC) says how
 * much shorter the lags are than such ages: 0.5 for chance, 1 for a send right after each receive.
 */

export const LAG_BUCKETS = 26;
const UNIT_MS = 1.024e-3;

/** The middle of each bucket, in ms. */
const BUCKET_MS: readonly number[] = Array.from({ length: LAG_BUCKETS }, (_, bucket) =>
  bucket === 0 ? 0.5 * UNIT_MS : 1.5 * 2 ** (bucket - 1) * UNIT_MS,
);

/** A source that has received once has no gap to compare with; that its bytes were sent on at all speaks for it. */
const AUC_WITHOUT_GAPS = 0.75;
const CHANCE = 0.5;

/** Gaps below this are the packets of one burst, not its period. */
const BURST_MS = 1;
/** Fewer gaps than this show no period. */
const MIN_GAPS = 6;
/** The part of the gaps that lies within a factor of four where they are periodic. */
const PERIODIC_SHARE = 0.9;

/** P(age < bucket) at a random time, per bucket; null without gaps. */
export function ageDistribution(gaps: Histogram): number[] | null {
  let counted = 0;
  let totalMs = 0;
  for (const [bucket, middleMs] of BUCKET_MS.entries()) {
    counted += gaps[bucket] ?? 0;
    totalMs += (gaps[bucket] ?? 0) * middleMs;
  }
  if (counted === 0) return null;
  let shorterMs = 0;
  let notShorter = counted;
  return BUCKET_MS.map((middleMs, bucket) => {
    const count = gaps[bucket] ?? 0;
    shorterMs += count * middleMs;
    notShorter -= count;
    return (shorterMs + notShorter * middleMs) / totalMs;
  });
}

/**
 * The same for a source that is one of many short ones, whose own gaps are within one burst: the age of the last
 * receive of any of them. Arrivals at random have exponential gaps; where they come in bursts, ages are larger than that.
 */
export function ageAmongMany(receives: number, spanMs: number): number[] {
  return BUCKET_MS.map((middleMs) => 1 - Math.exp((-middleMs * receives) / spanMs));
}

/** Whether all that it received came in one burst: such gaps say nothing of when it would receive by chance. */
export function isOneBurst(gaps: Histogram): boolean {
  let totalMs = 0;
  for (const [bucket, middleMs] of BUCKET_MS.entries()) totalMs += (gaps[bucket] ?? 0) * middleMs;
  return totalMs < BURST_MS;
}

/** 0 to 1; `ages` is the source's `ageDistribution`. */
export function auc(ages: readonly number[] | null, lags: Histogram): number {
  const sends = total(lags);
  if (sends === 0) return CHANCE;
  if (!ages) return AUC_WITHOUT_GAPS;
  let shorter = 0;
  for (const [bucket, count] of lags.entries()) shorter += count * (ages[bucket] ?? 1);
  return 1 - shorter / sends;
}

/** The time that `share` of the counts do not exceed, in ms, to the bucket. */
export function percentileMs(histogram: Histogram, share: number): number {
  const wanted = share * total(histogram);
  let seen = 0;
  for (const [bucket, count] of histogram.entries()) {
    seen += count;
    if (seen >= wanted) return BUCKET_MS[bucket] ?? 0;
  }
  return BUCKET_MS[LAG_BUCKETS - 1] ?? 0;
}

/**
 * Do the receives keep time, as those of a constant-rate call? Two such flows have one constant phase, so all lags
 * between them are one sample, whatever their number: by chance the AUC is above 1 - p with probability p.
 */
export function isPeriodic(gaps: Histogram): boolean {
  const long = gaps.map((count, bucket) => ((BUCKET_MS[bucket] ?? 0) > BURST_MS ? count : 0));
  const longGaps = total(long);
  if (longGaps < MIN_GAPS) return false;
  let most = 0;
  for (let bucket = 0; bucket + 1 < LAG_BUCKETS; bucket++) {
    most = Math.max(most, (long[bucket] ?? 0) + (long[bucket + 1] ?? 0));
  }
  return most >= PERIODIC_SHARE * longGaps;
}

/** The bucket that a time belongs to. */
export function lagBucket(ms: number): number {
  return Math.min(LAG_BUCKETS - 1, Math.max(0, Math.floor(Math.log2(Math.max(ms, 0) / UNIT_MS)) + 1));
}

export function total(counts: readonly number[]): number {
  let sum = 0;
  for (const count of counts) sum += count;
  return sum;
}
