import type { FingerprintReading } from '../readings.ts';
import { type Evidence, NO_SIZES, type PairEvidence, pairKey } from './evidence.ts';
import { type Direction, directionOf, type Edge, exchanges, isAmongOneHost, isEdge } from './groups.ts';
import type { Finding } from './judgement.ts';
import type { Ruling } from './rules.ts';

/*
 * Is what goes out the very content that came in? Of suspected flows the kernel compares sampled pieces of content
 * (bpf/fingerprints.bpf.c). Equal content is proof, and settles what times and sizes can't: a call that is relayed and
 * held, and two calls of one's own. Content that differs proves nothing: it may have been encrypted anew.
 */

/** Pieces of one flow's content, since it has been looked at. */
export interface FlowPrints {
  readonly flow: string;
  readonly received: number;
  readonly sent: number;
  /** Of those sent: what had come in, by the flow that it had come in on. */
  readonly matchedFrom: ReadonlyMap<string, number>;
}

export type Prints = ReadonlyMap<string, FlowPrints>;

/** Fewer may be a greeting that everybody sends. */
const ENOUGH_PIECES = 32;
/**
 * What differs may be the frames around it, what came in before it was looked at, or what comes again and again, which
 * the kernel never counts as matched. Heartbeats of like programs have a clock in common, which makes up to a third.
 */
const VERBATIM_SHARE = 0.5;

const VERBATIM: Ruling = { verdict: 'relay', kind: 'verbatim', why: 'what goes out is, to the letter, what came in' };

/** What was compared, over all the times that a flow has been looked at: each begins at nothing. */
export class PrintLog {
  readonly sums: Map<string, FlowPrints> = new Map();
  private readonly last: Map<string, FlowPrints> = new Map();
  private readonly before: Map<string, FlowPrints> = new Map();

  /** False where nothing has been compared since. */
  add(prints: FlowPrints): boolean {
    const { flow } = prints;
    const last = this.last.get(flow);
    if (last?.sent === prints.sent && last.received === prints.received) return false;
    const isAnew = last !== undefined && (prints.sent < last.sent || prints.received < last.received);
    const sum = this.sums.get(flow);
    if (isAnew && sum) this.before.set(flow, sum);
    this.last.set(flow, prints);
    this.sums.set(flow, addPrints(prints, this.before.get(flow)));
    return true;
  }

  delete(flow: string): void {
    for (const prints of [this.sums, this.last, this.before]) prints.delete(flow);
  }
}

/**
 * The findings with what content proves of flows that were suspected. Times may have taken two calls for each other:
 * the pairs are those of the content, not those that were suspected. What is left of the suspected ones stays suspected.
 */
export function proveVerbatim(findings: readonly Finding[], prints: Prints, evidence: Evidence): readonly Finding[] {
  if (prints.size === 0) return findings;
  const ruled = new Set(findings.filter(({ verdict }) => verdict === 'relay').flatMap(pairKeysOf));
  const pairs = provenPairs(prints, evidence).filter((pair) => !ruled.has(pairKey(pair.source, pair.destination)));
  if (pairs.length === 0) return findings;
  const sources = new Set(pairs.map(({ source }) => source));
  const destinations = new Set(pairs.map(({ destination }) => destination));
  const isLeft = ({ source, destination }: Edge): boolean =>
    !sources.has(source.id) && !destinations.has(destination.id);
  return [
    ...exchanges(directionOf(evidence, pairs).edges).map((directions): Finding => ({ ...VERBATIM, directions })),
    ...findings.flatMap((finding) => {
      if (finding.verdict !== 'suspected') return finding;
      const rest = finding.directions.flatMap(({ edges }) => edges.filter(isLeft));
      return exchanges(rest).map((directions) => ({ ...finding, directions }));
    }),
  ];
}

/** In words, for people. */
export function describeComparison({ sentPieces, matchedPieces }: FingerprintReading): string {
  return `${matchedPieces} of ${sentPieces} sampled pieces of what it sent to the one had come from the other`;
}

/** What of a direction's content was compared; all zero where nothing was. */
export function compare({ sources, destinations }: Direction, prints: Prints): FingerprintReading {
  let receivedPieces = 0;
  let sentPieces = 0;
  let matchedPieces = 0;
  for (const { id } of sources) receivedPieces += prints.get(id)?.received ?? 0;
  for (const { id } of destinations) {
    const destination = prints.get(id);
    sentPieces += destination?.sent ?? 0;
    for (const source of sources) matchedPieces += destination?.matchedFrom.get(source.id) ?? 0;
  }
  return { receivedPieces, sentPieces, matchedPieces };
}

function provenPairs(prints: Prints, evidence: Evidence): PairEvidence[] {
  return [...prints.values()].flatMap(({ flow, sent, matchedFrom }) => {
    const destination = evidence.flows.get(flow);
    if (!destination) return [];
    const matched = [...matchedFrom].flatMap(([id, count]) => {
      const source = evidence.flows.get(id);
      return source && id !== flow && !isAmongOneHost(source, destination) ? [{ id, count }] : [];
    });
    const all = matched.reduce((sum, { count }) => sum + count, 0);
    if (sent < ENOUGH_PIECES || all < VERBATIM_SHARE * sent) return [];
    return matched
      .filter(({ id, count }) => isEdge(count, prints.get(id)?.received ?? 0, sent))
      .map(({ id }) => evidence.pairs.get(pairKey(id, flow)) ?? emptyPair(id, flow));
  });
}

function pairKeysOf({ directions }: Finding): string[] {
  return directions.flatMap(({ edges }) => edges.map(({ pair }) => pairKey(pair.source, pair.destination)));
}

/** Where times have given all bytes to other pairs. */
function emptyPair(source: string, destination: string): PairEvidence {
  const counts = { moved: 0, copied: 0, moves: 0, copies: 0, settled: 0, direct: 0, sameRun: 0 };
  return { source, destination, ...counts, lags: [], sizes: NO_SIZES };
}

function addPrints(one: FlowPrints, other: FlowPrints | undefined): FlowPrints {
  if (!other) return one;
  const matchedFrom = new Map(one.matchedFrom);
  for (const [source, count] of other.matchedFrom) matchedFrom.set(source, count + (matchedFrom.get(source) ?? 0));
  return { flow: one.flow, received: one.received + other.received, sent: one.sent + other.sent, matchedFrom };
}
