import { connectedBy } from './connected.ts';
import { addFlows, addPairs, type FlowEvidence, type PairEvidence, pairKey } from './evidence.ts';
import { isAmongOneHost } from './groups.ts';
import type { RelayProcess, RuledPair } from './relay-process.ts';

/*
 * A proxy has served a million connections. Their flows are gone from the kernel, but the tunnel that carried them all
 * still lives, and can only be judged and billed together with them. So retired flows are folded into a few that stand
 * for all of their like. Exchanges whose flows are all retired are settled: billed once and for all. No sum over a
 * ruled direction changes by folding, as only flows on the same sides of the same ruled directions become one.
 */

/** Retired flows are folded once there are this many, but for the youngest: those may still wait for a verdict. */
export const MAX_RETIRED = 512;
const YOUNGEST_KEPT = 128;

export interface Folding {
  /** Is told the ruled pairs of an exchange that is over, while their evidence is still there. */
  settle(pairs: readonly RuledPair[]): void;
  isLocal(flow: FlowEvidence): boolean;
}

/** @returns the flows that are no more */
export function foldRetired(process: RelayProcess, { settle, isLocal }: Folding): FlowEvidence[] {
  const old = new Set([...process.retired].slice(0, -YOUNGEST_KEPT));
  settleExchanges(process, old, settle);

  const foldable = new Set([...old, ...process.folded]);
  const likenessOf = makeLikeness(process, foldable);
  const standIns = new Map<string, string>();
  const flows = new Map<string, FlowEvidence>();
  const gone: FlowEvidence[] = [];
  const renamed = new Map<string, string>();
  for (const [id, flow] of process.flows) {
    if (!foldable.has(id)) {
      flows.set(id, flow);
      continue;
    }
    if (old.has(id)) gone.push(flow);
    const likeness = likenessOf(flow);
    if (likeness === null) {
      process.leave(flow, isLocal(flow));
      continue;
    }
    const standIn = standIns.get(likeness) ?? `folded ${id}`;
    standIns.set(likeness, standIn);
    renamed.set(id, standIn);
    const sum = flows.get(standIn);
    flows.set(standIn, sum ? addFlows(sum, flow) : { ...flow, id: standIn, host: standIn });
  }

  for (const id of old) process.retired.delete(id);
  process.folded.clear();
  for (const id of standIns.values()) process.folded.add(id);
  const ruled = renameRuled(process, renamed);
  process.replace(flows, renamePairs(process, flows, renamed, ruled), ruled);
  return gone;
}

/** Settles and removes the ruled pairs of exchanges that are over. */
function settleExchanges(process: RelayProcess, old: ReadonlySet<string>, settle: Folding['settle']): void {
  for (const pairs of connectedBy(process.ruled.values(), flowsOf)) {
    if (!pairs.every((pair) => flowsOf(pair).every((flow) => old.has(flow)))) continue;
    settle(pairs);
    for (const pair of pairs) {
      const key = pairKey(pair.source, pair.destination);
      const moved = process.pairs.get(key)?.moved ?? 0;
      process.goneReceived -= moved;
      process.goneSent -= moved;
      process.pairs.delete(key);
      process.ruled.delete(key);
    }
  }
}

/** What makes two flows alike; null for one that has nothing to do with any other. */
function makeLikeness(process: RelayProcess, foldable: ReadonlySet<string>): (flow: FlowEvidence) => string | null {
  const sides = new Map<string, string[]>();
  const directions = connectedBy(process.ruled.values(), (pair) => [`from ${pair.source}`, `to ${pair.destination}`]);
  for (const [index, pairs] of directions.entries()) {
    const note = (flow: string, side: string): void => {
      const known = sides.get(flow) ?? [];
      if (!known.includes(side)) sides.set(flow, [...known, side]);
    };
    for (const pair of pairs) {
      note(pair.source, `from ${index} ${pair.hopIn ? 'hop' : ''}`);
      note(pair.destination, `to ${index} ${pair.hopOut ? 'hop' : ''}`);
    }
  }
  const partners = mainPartners(process, foldable);
  return (flow) => {
    const place = sides.get(flow.id)?.join() ?? partners.get(flow.id);
    return place === undefined ? null : `${place} ${flow.family} ${flow.protocol} ${flow.scope} ${flow.opened}`;
  };
}

/** For each flow that is to be folded, the flow that stays and that most was passed on to or from; '' where none stays. */
function mainPartners(process: RelayProcess, foldable: ReadonlySet<string>): Map<string, string> {
  const most = new Map<string, { partner: string; carried: number }>();
  const note = (flow: string, partner: string, carried: number): void => {
    if (!foldable.has(flow)) return;
    const candidate = foldable.has(partner) ? { partner: '', carried: 0 } : { partner, carried };
    const known = most.get(flow);
    if (!known || known.carried < candidate.carried) most.set(flow, candidate);
  };
  for (const pair of process.pairs.values()) {
    if (!isUseful(process, pair)) continue;
    note(pair.source, pair.destination, pair.moved + pair.copied);
    note(pair.destination, pair.source, pair.moved + pair.copied);
  }
  return new Map([...most].map(([flow, { partner }]) => [flow, partner]));
}

function renameRuled(process: RelayProcess, renamed: ReadonlyMap<string, string>): Map<string, RuledPair> {
  const ruled = new Map<string, RuledPair>();
  for (const pair of process.ruled.values()) {
    const now = rename(pair, renamed);
    const key = pairKey(now.source, now.destination);
    const known = ruled.get(key);
    ruled.set(key, known ? { ...known, sinceMs: Math.min(known.sinceMs, now.sinceMs) } : now);
  }
  return ruled;
}

function renamePairs(
  process: RelayProcess,
  flows: ReadonlyMap<string, FlowEvidence>,
  renamed: ReadonlyMap<string, string>,
  ruled: ReadonlyMap<string, RuledPair>,
): Map<string, PairEvidence> {
  const pairs = new Map<string, PairEvidence>();
  for (const [was, pair] of process.pairs) {
    const now = rename(pair, renamed);
    if (!flows.has(now.source) || !flows.has(now.destination)) continue;
    const key = pairKey(now.source, now.destination);
    // Else a stray pair would be billed with the ruled ones that it now looks like.
    if (key !== was && (!isUseful(process, pair) || ruled.has(key) !== process.ruled.has(was))) continue;
    const known = pairs.get(key);
    pairs.set(key, known ? addPairs(known, now) : now);
  }
  return pairs;
}

function isUseful(process: RelayProcess, pair: PairEvidence): boolean {
  const source = process.flows.get(pair.source);
  const destination = process.flows.get(pair.destination);
  return source !== undefined && destination !== undefined && !isAmongOneHost(source, destination);
}

function rename<T extends { readonly source: string; readonly destination: string }>(
  pair: T,
  renamed: ReadonlyMap<string, string>,
): T {
  const source = renamed.get(pair.source) ?? pair.source;
  const destination = renamed.get(pair.destination) ?? pair.destination;
  return source === pair.source && destination === pair.destination ? pair : { ...pair, source, destination };
}

function flowsOf(pair: RuledPair): string[] {
  return [pair.source, pair.destination];
}
