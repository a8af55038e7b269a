import type { Scope } from '../readings.ts';
import { type Evidence, type FlowEvidence, flowSince, type PairEvidence, pairKey, pairSince } from './evidence.ts';
import { type FlowPrints, PrintLog, proveVerbatim } from './fingerprints.ts';
import { isAmongOneHost, isEdge } from './groups.ts';
import { type Finding, judgeEvidence } from './judgement.ts';
import { findStored } from './stored.ts';
import { findTwins } from './twins.ts';
import type { Known } from './volumes.ts';

/* The evidence of one process, and what its evaluations have ruled so far. */

/** A pipe or FIFO among a process's first file descriptors. Modes: 1 reads, 2 writes. */
export interface Fifo {
  readonly inode: number;
  readonly modes: number;
}

/** A pair that was ruled to relay. It stays ruled: its evidence is history. */
export interface RuledPair extends Pick<Finding, 'kind' | 'why'> {
  readonly source: string;
  readonly destination: string;
  readonly sinceMs: number;
  /** Those that the ruling was made on: of the whole exchange, of all short connections taken together. */
  readonly events: number;
  /** Where another process of this host takes it from, takes it to; null where none does. Once found, that stays, too. */
  hopIn: ReadonlySet<Scope> | null;
  hopOut: ReadonlySet<Scope> | null;
}

interface Snapshot extends Evidence {
  readonly atMs: number;
}

/** What each flow had received at a moment. */
interface Arrivals {
  readonly atMs: number;
  readonly received: ReadonlyMap<string, number>;
}

/** A finding, and since when what it was made from has been going on. */
interface Dated {
  readonly finding: Finding;
  readonly fromMs: number;
}

/** The recent view: what a tunnel does now, after hours of its owner's own use. */
const WINDOW_MS = 10_000;
/** The window begins at the youngest snapshot that is old enough, so that it is at most this much longer. */
const SNAPSHOT_EVERY_MS = 5_000;
/** Relays that hold data have sent on what came this long ago. */
const EARLIER_MS: readonly [number, number] = [1_000, 2_000];
/** So many more than these put the next look off by a second: a flood of flows must not take all the agent's time. */
const PAIRS_PER_SECOND = 1_500;
/** A poll that comes a little early is still a poll. */
const JITTER_MS = 500;
/** Evaluations in a row that must say so. The last one, at the process's end, is enough by itself. */
const VOTES = 2;
/** Evaluations without suspicion until a suspected process is none again. */
const SUSPICION_LASTS = 5;

export class RelayProcess {
  readonly key: string;
  readonly pid: number;
  name: string;
  fifos: readonly Fifo[] = [];
  flows: Map<string, FlowEvidence> = new Map();
  pairs: Map<string, PairEvidence> = new Map();
  /** Flows that the kernel has let go, oldest first: nothing more comes from them. */
  readonly retired: Set<string> = new Set();
  /** Flows that stand for many retired ones (fold.ts). */
  readonly folded: Set<string> = new Set();
  ruled: Map<string, RuledPair> = new Map();
  /** What the kernel has compared of flows that were suspected. */
  readonly prints: PrintLog = new PrintLog();
  /** What the last evaluation suspects. */
  suspects: readonly Finding[] = [];
  /** Exchanged with other hosts, and not relayed, by flows whose evidence is gone. */
  goneReceived = 0;
  goneSent = 0;
  endedAtMs: number | null = null;
  /** Its flows are matched by their volumes: those that no pair leads to count, too. */
  isByVolumes = false;
  private votes: Map<string, number> = new Map();
  private readonly snapshots: Snapshot[] = [];
  private arrivals: readonly Arrivals[] = [];
  private ruledByFlow: Map<string, RuledPair[]> | null = null;
  private suspicion = 0;
  private changed = false;
  private evaluatedAtMs = 0;
  private evaluatedAtEnd = false;
  private readonly knownToStore: Known = this.knownAs('stored');
  private readonly knownTwins: Known = this.knownAs('twins');

  constructor(key: string, pid: number, name: string) {
    this.key = key;
    this.pid = pid;
    this.name = name;
  }

  add(flows: readonly FlowEvidence[], pairs: readonly PairEvidence[]): void {
    for (const flow of flows) this.flows.set(flow.id, flow);
    for (const pair of pairs) this.pairs.set(pairKey(pair.source, pair.destination), pair);
    if (flows.length > 0 || pairs.length > 0) this.changed = true;
  }

  addPrints(prints: FlowPrints): void {
    if (this.prints.add(prints)) this.changed = true;
  }

  /** Whether the next evaluation may rule what the last one has found. */
  hasVotes(): boolean {
    return this.votes.size > 0;
  }

  /** Whether an evaluation could say something new: the second vote may fall on evidence that no longer changes. */
  needsEvaluation(nowMs: number): boolean {
    if (this.endedAtMs !== null) return !this.evaluatedAtEnd;
    if (nowMs - this.evaluatedAtMs < (1_000 * (this.pairs.size - PAIRS_PER_SECOND)) / PAIRS_PER_SECOND) return false;
    return this.changed || this.votes.size > 0;
  }

  isSuspected(): boolean {
    return this.suspicion >= VOTES;
  }

  /** True for a flow of a pair that the next evaluation may rule. */
  isCandidate(flow: string): boolean {
    for (const key of this.votes.keys()) {
      const pair = this.pairs.get(key);
      if (pair?.source === flow || pair?.destination === flow) return true;
    }
    return false;
  }

  ruledPairsOf(flow: string): readonly RuledPair[] {
    this.ruledByFlow ??= indexByFlow(this.ruled.values());
    return this.ruledByFlow.get(flow) ?? [];
  }

  evaluate(nowMs: number): void {
    this.changed = false;
    this.evaluatedAtMs = nowMs;
    this.evaluatedAtEnd = this.endedAtMs !== null;
    if (this.pairs.size === 0) return;
    const start = this.windowStart(nowMs);
    const findings = this.hasUnruledEdge(start) ? this.judge(start, nowMs) : [];
    this.vote(findings.filter(({ finding }) => finding.verdict === 'relay'));
    this.suspect(findings.map(({ finding }) => finding).filter((finding) => finding.verdict === 'suspected'));
    this.takeSnapshot(nowMs);
  }

  private judge(start: Snapshot | undefined, nowMs: number): Dated[] {
    const { flows, pairs } = this;
    const earlier = this.recall(nowMs);
    const stored = findStored({ flows, pairs }, this.knownToStore);
    const twins = findTwins(flows.values(), this.knownTwins);
    if (stored || twins) this.isByVolumes = true;
    return [
      ...this.judgeView({ flows, pairs, earlier }, 0),
      ...(start ? this.judgeView(this.since(start, earlier), start.atMs) : []),
      ...[stored, twins].flatMap((finding) => (finding ? [{ finding, fromMs: 0 }] : [])),
    ];
  }

  /** To those that look for `kind`: what is ruled by it already, and what relays in another way. */
  private knownAs(kind: RuledPair['kind']): Known {
    return {
      isOther: ({ id }) => this.folded.has(id) || this.ruledPairsOf(id).some((pair) => pair.kind !== kind),
      isFound: (from, to) => this.ruled.has(pairKey(from.id, to.id)),
    };
  }

  private judgeView(view: Evidence, fromMs: number): Dated[] {
    return proveVerbatim(judgeEvidence(view), this.prints.sums, view).map((finding) => ({ finding, fromMs }));
  }

  /** What had been received some time ago; remembers what has been by now. */
  private recall(nowMs: number): Evidence['earlier'] & {} {
    const [youngest, oldest] = EARLIER_MS;
    this.arrivals = this.arrivals.filter(({ atMs }) => atMs >= nowMs - oldest - JITTER_MS);
    const earlier = this.arrivals.filter(({ atMs }) => atMs <= nowMs - youngest + JITTER_MS);
    const received = new Map<string, number>();
    for (const flow of this.flows.values()) if (flow.received > 0) received.set(flow.id, flow.received);
    this.arrivals = [...this.arrivals, { atMs: nowMs, received }];
    return earlier.map((arrivals) => arrivals.received);
  }

  /** Else there is nothing left to rule: the case of a relay that only relays, most of the time. */
  private hasUnruledEdge(start: Snapshot | undefined): boolean {
    for (const [key, pair] of this.pairs) {
      if (this.ruled.has(key)) continue;
      const source = this.flows.get(pair.source);
      const destination = this.flows.get(pair.destination);
      if (!source || !destination || isAmongOneHost(source, destination)) continue;
      const carried = pair.moved + pair.copied;
      if (isEdge(carried, source.received, destination.sent)) return true;
      if (!start) continue;
      const then = start.pairs.get(key);
      const received = source.received - (start.flows.get(source.id)?.received ?? 0);
      const sent = destination.sent - (start.flows.get(destination.id)?.sent ?? 0);
      if (isEdge(carried - (then ? then.moved + then.copied : 0), received, sent)) return true;
    }
    return false;
  }

  /** Remembers what a flow moved whose evidence goes. */
  leave(flow: FlowEvidence, isLocal: boolean): void {
    if (isLocal) return;
    this.goneReceived += flow.received;
    this.goneSent += flow.sent;
  }

  /** Puts folded evidence in the place of what it was folded from. */
  replace(flows: Map<string, FlowEvidence>, pairs: Map<string, PairEvidence>, ruled: Map<string, RuledPair>): void {
    this.flows = flows;
    this.pairs = pairs;
    this.ruled = ruled;
    for (const flow of this.prints.sums.keys()) if (!flows.has(flow)) this.prints.delete(flow);
    this.ruledByFlow = null;
  }

  /** Lets go of all evidence, once the process has ended and all that could be said of it is said. */
  compact(remote: { received: number; sent: number }): void {
    this.goneReceived = remote.received;
    this.goneSent = remote.sent;
    this.replace(new Map(), new Map(), new Map());
    this.retired.clear();
    this.folded.clear();
    this.snapshots.length = 0;
    this.arrivals = [];
    this.votes.clear();
    this.suspects = [];
  }

  private vote(findings: readonly Dated[]): void {
    const votes = new Map<string, number>();
    for (const { finding, fromMs } of findings) {
      const events = finding.directions.reduce((sum, direction) => sum + direction.events, 0);
      for (const { pair, source, destination } of finding.directions.flatMap((direction) => direction.edges)) {
        const key = pairKey(pair.source, pair.destination);
        if (this.ruled.has(key) || votes.has(key)) continue;
        const count = (this.votes.get(key) ?? 0) + 1;
        if (count < VOTES && !this.evaluatedAtEnd) {
          votes.set(key, count);
          continue;
        }
        if (!this.pairs.has(key)) this.pairs.set(key, pair); // proven by content alone
        this.ruled.set(key, {
          source: pair.source,
          destination: pair.destination,
          kind: finding.kind,
          why: finding.why,
          sinceMs: Math.max(fromMs, source.firstMs, destination.firstMs),
          events,
          hopIn: null,
          hopOut: null,
        });
        this.ruledByFlow = null;
      }
    }
    this.votes = votes;
  }

  private suspect(findings: readonly Finding[]): void {
    this.suspects = findings;
    if (this.evaluatedAtEnd) this.suspicion = findings.length > 0 ? VOTES : 0;
    else if (findings.length === 0) this.suspicion = Math.max(0, this.suspicion - 1);
    else this.suspicion = this.suspicion + 1 < VOTES ? this.suspicion + 1 : SUSPICION_LASTS + 1;
  }

  private windowStart(nowMs: number): Snapshot | undefined {
    return this.snapshots.findLast((snapshot) => snapshot.atMs <= nowMs - WINDOW_MS + JITTER_MS);
  }

  private takeSnapshot(nowMs: number): void {
    const start = this.windowStart(nowMs);
    while (start && this.snapshots[0] !== start) this.snapshots.shift();
    const last = this.snapshots.at(-1);
    if (last && nowMs - last.atMs < SNAPSHOT_EVERY_MS - JITTER_MS) return;
    this.snapshots.push({ atMs: nowMs, flows: new Map(this.flows), pairs: new Map(this.pairs) });
  }

  /** Folded flows are left out: they are older than any window. */
  private since(then: Snapshot, earlier: readonly ReadonlyMap<string, number>[]): Evidence {
    const flows = new Map<string, FlowEvidence>();
    const pairs = new Map<string, PairEvidence>();
    for (const [key, now] of this.pairs) {
      if (this.folded.has(now.source) || this.folded.has(now.destination)) continue;
      const pair = pairSince(now, then.pairs.get(key));
      if (pair.moved + pair.copied === 0) continue;
      pairs.set(key, pair);
      for (const id of [pair.source, pair.destination]) {
        const flow = this.flows.get(id);
        if (flow && !flows.has(id)) flows.set(id, flowSince(flow, then.flows.get(id)));
      }
    }
    const before = (id: string): number => then.flows.get(id)?.received ?? 0;
    const sinceThen = (received: ReadonlyMap<string, number>): ReadonlyMap<string, number> =>
      new Map([...flows.keys()].map((id) => [id, Math.max(0, (received.get(id) ?? 0) - before(id))]));
    return { flows, pairs, earlier: earlier.map(sinceThen) };
  }
}

function indexByFlow(pairs: Iterable<RuledPair>): Map<string, RuledPair[]> {
  const index = new Map<string, RuledPair[]>();
  for (const pair of pairs) {
    for (const flow of [pair.source, pair.destination]) {
      const known = index.get(flow);
      if (known) known.push(pair);
      else index.set(flow, [pair]);
    }
  }
  return index;
}
