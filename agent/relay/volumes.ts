import { type FlowEvidence, NO_SIZES, type PairEvidence, pairKey } from './evidence.ts';
import { directionOf } from './groups.ts';
import type { Finding } from './judgement.ts';
import { lagBucket } from './lag.ts';

/*
 * Connections that are matched by how much they carried, where the kernel's pairs are of no use: letters that are stored
 * (stored.ts), and twins among hundreds (twins.ts).
 */

/** As sizes that agree one way (rules.ts). */
export const BY_CHANCE = 1e-6;
/** From the begin of the one connection to that of the other. */
const LONGEST_MS = 60_000;

/** What is known of flows and pairs already. */
export interface Known {
  /** A flow that relays in another way. */
  isOther(flow: FlowEvidence): boolean;
  /** A letter that was found before: it is not matched with another one now. */
  isFound(from: FlowEvidence, to: FlowEvidence): boolean;
}

export function isSoonAfter(from: FlowEvidence, to: FlowEvidence): boolean {
  const laterMs = to.firstMs - from.firstMs;
  return laterMs >= 0 && laterMs <= LONGEST_MS;
}

/** P(at least `hits` of `tries`), each with probability p. */
export function atLeast(hits: number, tries: number, p: number): number {
  let term = p ** hits;
  for (let k = 1; k <= hits; k++) term *= (tries - hits + k) / k;
  return Math.min(1, term); // of all sets of so many, each all hit: an upper bound
}

/** A direction of one pair, which passes on all that both ends have in common. */
export function toDirection(from: FlowEvidence, to: FlowEvidence): Finding['directions'][number] {
  const pair = toPair(from, to);
  const evidence = {
    flows: new Map([from, to].map((flow) => [flow.id, flow])),
    pairs: new Map([[pairKey(from.id, to.id), pair]]),
  };
  return directionOf(evidence, [pair]);
}

function toPair(from: FlowEvidence, to: FlowEvidence): PairEvidence {
  const lags: number[] = [];
  lags[lagBucket(to.firstMs - from.firstMs)] = to.sends;
  return {
    source: from.id,
    destination: to.id,
    moved: Math.min(from.received, to.sent),
    copied: 0,
    moves: to.sends,
    copies: 0,
    settled: 0,
    direct: 0,
    sameRun: 0,
    lags: Array.from(lags, (count) => count ?? 0),
    sizes: NO_SIZES,
  };
}
