import { median } from '../statistics.ts';
import { formatNumber, formatPercent, type Verdict } from '../table.ts';
import type { Finding } from './baselines.ts';
import type { Result } from './run-scenario.ts';
import { DETECT_SECONDS, type Pace } from './scenario.ts';

/** What many scenarios come to. Pure. */

const PACES: Readonly<Record<Pace, string>> = { bulk: 'bulk', call: 'a call', held: 'data is held' };

export interface Score {
  relays: number;
  found: number;
  others: number;
  flagged: number;
  recall: number | null;
  precision: number | null;
  medianError: number | null;
  p90Error: number | null;
}

/** The larger of the relative errors of both directions; null where there is no truth. */
export function byteError({ receivedBytes, sentBytes }: Finding, truth: Result['truth']): number | null {
  if (truth === null) return null;
  const error = (billed: number, wanted: number): number =>
    wanted === 0 ? Number(billed > 0) : Math.abs(billed - wanted) / wanted;
  return Math.max(error(receivedBytes, truth.receivedBytes), error(sentBytes, truth.sentBytes));
}

/** The smallest value that at least this share of the values don't exceed. */
export function percentile(values: readonly number[], share: number): number | null {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? null;
}

/** @param strays processes beside those under test that were flagged: they count against the precision */
export function score(results: readonly Result[], of: (result: Result) => Finding, strays = 0): Score {
  const relays = results.filter(({ scenario }) => scenario.relays);
  const others = results.filter(({ scenario }) => !scenario.relays);
  const found = relays.filter((result) => of(result).flagged).length;
  const flagged = others.filter((result) => of(result).flagged).length;
  const errors = relays.flatMap((result) => byteError(of(result), result.truth) ?? []);
  return {
    relays: relays.length,
    found,
    others: others.length,
    flagged,
    recall: relays.length === 0 ? null : found / relays.length,
    precision: found + flagged + strays === 0 ? null : found / (found + flagged + strays),
    medianError: errors.length === 0 ? null : median(errors),
    p90Error: percentile(errors, 0.9),
  };
}

/** Of the agent: what the issue wants beside what was measured. */
export function judge(results: readonly Result[]): Verdict[] {
  const strays = results.flatMap((result) => result.strays);
  const { recall, relays, found, others, flagged } = score(results, ({ agent }) => agent);
  const relaying = results.filter(({ scenario }) => scenario.relays);
  const verdicts: Verdict[] = [];
  if (recall !== null) {
    verdicts.push({
      what: 'relays found',
      wanted: '0.97',
      measured: `${recall.toFixed(3)} (${found} of ${relays})`,
      holds: recall >= 0.97,
    });
  }
  const wrong = flagged + strays.length;
  verdicts.push({ what: 'non-relays flagged', wanted: '0', measured: `${wrong} (of ${others})`, holds: wrong === 0 });
  for (const tolerance of [0.01, 0.05]) {
    const errors = relaying
      .filter(({ scenario }) => scenario.tolerance === tolerance)
      .map((result) => byteError(result.agent, result.truth) ?? 1);
    if (errors.length === 0) continue;
    const within = errors.filter((error) => error <= tolerance).length;
    verdicts.push({
      what: tolerance === 0.01 ? 'bytes of one-to-one relays' : 'bytes of other relays',
      wanted: `within ${100 * tolerance} %`,
      measured: `${within} of ${errors.length}, worst ${formatPercent(Math.max(...errors))}`,
      holds: within === errors.length,
    });
  }
  for (const pace of ['bulk', 'call', 'held'] as const) {
    const limit = DETECT_SECONDS[pace];
    const times = relaying.filter(({ scenario }) => scenario.pace === pace).map((result) => result.detectSeconds);
    if (times.length === 0) continue;
    const finite = times.map((time) => time ?? Number.POSITIVE_INFINITY);
    const within = finite.filter((time) => time <= limit).length;
    const text = (seconds: number): string => (Number.isFinite(seconds) ? `${formatNumber(seconds)} s` : 'never');
    verdicts.push({
      what: `time to verdict: ${PACES[pace]}`,
      wanted: `${limit} s`,
      measured: `${within} of ${times.length}, median ${text(median(finite))}, worst ${text(Math.max(...finite))}`,
      holds: within === times.length,
    });
  }
  return verdicts;
}
