/**
 * Two ways to find relays without a ledger, on what the agent counts anyhow. Pure.
 */

export interface Finding {
  flagged: boolean;
  receivedBytes: number;
  sentBytes: number;
}

/** Payload of one process. */
export interface Totals {
  receivedBytes: number;
  sentBytes: number;
}

/** A flow's byte counters as they were read, in order of time. */
export interface FlowSamples {
  pid: number;
  samples: readonly { atMs: number; receivedBytes: number; sentBytes: number }[];
}

const MIN_RATIO = 0.8;
/** Less is not looked at. */
const FLOOR_BYTES = 4096;

/** A process whose lesser direction is at least 0.8 of the other relays, and it relays the lesser. */
export function minOfInAndOut(processes: readonly Totals[]): Finding {
  const finding: Finding = { flagged: false, receivedBytes: 0, sentBytes: 0 };
  for (const { receivedBytes, sentBytes } of processes) {
    const less = Math.min(receivedBytes, sentBytes);
    if (less < FLOOR_BYTES || less / Math.max(receivedBytes, sentBytes) < MIN_RATIO) continue;
    finding.flagged = true;
    finding.receivedBytes += less;
    finding.sentBytes += less;
  }
  return finding;
}

/**
 * Suh, Figueiredo, Kurose and Towsley (INFOCOM 2006) look at pairs of flows by these: how far apart they start and
 * end, the ratio of their bytes, and the maximum of their cross-correlation. The limits are ours, set so that plain
 * relays in this benchmark pass them.
 */
export const SUH = {
  binMs: 100,
  startMs: 1000,
  endMs: 1000,
  minRatio: 0.8,
  maxLagBins: 20,
  minCorrelation: 0.7,
} as const;

/** One direction of a flow. */
interface Series {
  pid: number;
  flow: number;
  bytes: number;
  firstBin: number;
  lastBin: number;
  bins: Float64Array;
}

export function suh(flows: readonly FlowSamples[]): Finding {
  const times = flows.flatMap(({ samples }) => samples.map(({ atMs }) => atMs));
  const finding: Finding = { flagged: false, receivedBytes: 0, sentBytes: 0 };
  if (times.length === 0) return finding;
  const beginMs = times.reduce((a, b) => Math.min(a, b)) - SUH.binMs;
  const count = Math.ceil((times.reduce((a, b) => Math.max(a, b)) - beginMs) / SUH.binMs) + 1;
  const received = flows.flatMap((flow, i) => toSeries(flow, i, 'receivedBytes', beginMs, count) ?? []);
  const sent = flows.flatMap((flow, i) => toSeries(flow, i, 'sentBytes', beginMs, count) ?? []);
  const pairs = received.flatMap((a) =>
    sent.flatMap((b) => {
      const similarity = a.pid === b.pid && a.flow !== b.flow ? compare(a, b) : 0;
      return similarity >= SUH.minCorrelation ? [{ a, b, similarity }] : [];
    }),
  );
  // The most similar first; each direction of a flow is in one pair at most.
  const taken = new Set<Series>();
  for (const { a, b } of pairs.sort((x, y) => y.similarity - x.similarity)) {
    if (taken.has(a) || taken.has(b)) continue;
    taken.add(a).add(b);
    finding.flagged = true;
    finding.receivedBytes += a.bytes;
    finding.sentBytes += b.bytes;
  }
  return finding;
}

function toSeries(
  { pid, samples }: FlowSamples,
  flow: number,
  side: 'receivedBytes' | 'sentBytes',
  beginMs: number,
  count: number,
): Series | undefined {
  const bins = new Float64Array(count);
  let last = 0;
  let firstBin = -1;
  let lastBin = -1;
  for (const sample of samples) {
    const more = sample[side] - last;
    last = sample[side];
    if (more <= 0) continue;
    const bin = Math.floor((sample.atMs - beginMs) / SUH.binMs);
    bins[bin] = (bins[bin] ?? 0) + more;
    if (firstBin < 0) firstBin = bin;
    lastBin = bin;
  }
  return last < FLOOR_BYTES ? undefined : { pid, flow, bytes: last, firstBin, lastBin, bins };
}

/** Their maximum cross-correlation, 0 where another metric rules them out. */
function compare(a: Series, b: Series): number {
  if (Math.abs(a.firstBin - b.firstBin) * SUH.binMs > SUH.startMs) return 0;
  if (Math.abs(a.lastBin - b.lastBin) * SUH.binMs > SUH.endMs) return 0;
  if (Math.min(a.bytes, b.bytes) / Math.max(a.bytes, b.bytes) < SUH.minRatio) return 0;
  const first = Math.min(a.firstBin, b.firstBin);
  const last = Math.max(a.lastBin, b.lastBin) + 1;
  let highest = 0;
  for (let lag = -SUH.maxLagBins; lag <= SUH.maxLagBins; lag++) {
    highest = Math.max(highest, correlation(a.bins, b.bins, first, last, lag));
  }
  return highest;
}

/** Pearson's, of a and b shifted by `lag`, over what overlaps; 0 where either is constant or hardly anything overlaps. */
function correlation(a: Float64Array, b: Float64Array, first: number, last: number, lag: number): number {
  const from = Math.max(first, first - lag);
  const to = Math.min(last, last - lag);
  const n = to - from;
  if (n < 5) return 0;
  let [x, y, xx, yy, xy] = [0, 0, 0, 0, 0];
  for (let i = from; i < to; i++) {
    const p = a[i] ?? 0;
    const q = b[i + lag] ?? 0;
    x += p;
    y += q;
    xx += p * p;
    yy += q * q;
    xy += p * q;
  }
  const spread = (n * xx - x * x) * (n * yy - y * y);
  return spread <= 0 ? 0 : (n * xy - x * y) / Math.sqrt(spread);
}
