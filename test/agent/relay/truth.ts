import type { Relay } from '../../../agent/readings.ts';
import type { Replayed } from './dump.ts';

/** What is known of a recorded scenario, as corpus.py says it. Bytes are application payload. */
export interface Truth {
  readonly kind: 'relay' | 'origin' | 'ambiguous';
  readonly comm: readonly string[];
  readonly pids: readonly number[];
  readonly other_relays?: readonly number[];
  readonly relayed_in?: number;
  readonly relayed_out?: number;
}

export interface Score {
  readonly wantedIn: number;
  readonly wantedOut: number;
  readonly billedIn: number;
  readonly billedOut: number;
  /** The larger of both, relative. */
  readonly error: number;
  readonly isFlagged: boolean;
  readonly isSuspected: boolean;
  readonly detectedSeconds: number | null;
  readonly whys: readonly string[];
  readonly confidence: number;
  /** Flagged, but neither the program nor another relay of the scenario. */
  readonly strays: readonly string[];
}

/** Their own processes are children of the harness, too: their name says nothing. */
const NAMELESS = new Set(['python3', 'node', 'pyrelay']);

export function score(truth: Truth, replayed: Replayed): Score {
  const { ledger, names, parents, pids } = replayed;
  const mine = programOf(truth, names, parents);
  const others = withDescendants(truth.other_relays ?? [], parents);
  const relays = pids.map((pid): [number, Relay] => [pid, ledger.relayOf(String(pid))]);
  const own = relays.filter(([pid]) => mine.has(pid));
  const billedIn = own.reduce((sum, [, relay]) => sum + relay.receivedBytes, 0);
  const billedOut = own.reduce((sum, [, relay]) => sum + relay.sentBytes, 0);
  const { relayed_in: wantedIn = 0, relayed_out: wantedOut = 0 } = truth;
  const times = own.flatMap(([pid]) => replayed.detected.get(pid) ?? []);
  return {
    wantedIn,
    wantedOut,
    billedIn,
    billedOut,
    error: Math.max(relativeError(billedIn, wantedIn), relativeError(billedOut, wantedOut)),
    isFlagged: own.some(([, relay]) => relay.verdict === 'relay'),
    isSuspected: own.some(([pid]) => replayed.suspected.has(pid)),
    detectedSeconds: times.length > 0 ? Math.min(...times) : null,
    whys: [
      ...new Set(
        ledger
          .relays()
          .filter(({ pid }) => mine.has(pid))
          .map(({ kind, role }) => `${kind} ${role}`),
      ),
    ],
    confidence: Math.max(0, ...own.map(([, relay]) => relay.confidence)),
    strays: relays
      .filter(([pid, relay]) => relay.verdict === 'relay' && !mine.has(pid) && !others.has(pid))
      .map(([pid, relay]) => `${names.get(pid)} ${pid} ${relay.receivedBytes}/${relay.sentBytes}`),
  };
}

/** The processes that the scenario is about. */
export function programOf(
  truth: Truth,
  names: ReadonlyMap<number, string>,
  parents: ReadonlyMap<number, number>,
): Set<number> {
  const program = withDescendants(truth.pids, parents);
  if (truth.comm.some((name) => NAMELESS.has(name))) return program;
  const comms = new Set(truth.comm.map((name) => name.slice(0, 15)));
  for (const [pid, name] of names) if (comms.has(name)) program.add(pid);
  return program;
}

function relativeError(billed: number, wanted: number): number {
  return wanted === 0 ? billed : Math.abs(billed / wanted - 1);
}

export function withDescendants(pids: readonly number[], parents: ReadonlyMap<number, number>): Set<number> {
  const family = new Set(pids);
  for (let size = -1; size !== family.size; ) {
    size = family.size;
    for (const [child, parent] of parents) if (family.has(parent)) family.add(child);
  }
  return family;
}
