import type { Relay, Verdict } from '../readings.ts';
import { type Billed, billPlacements, mainRole } from './bill.ts';
import { PIPE_CONFIDENCE } from './confidence.ts';
import { describeBilled, describePipe, describeSuspicion, mergeReadings, toIso } from './describe.ts';
import type { FlowEvidence, PairEvidence } from './evidence.ts';
import type { FlowPrints } from './fingerprints.ts';
import { foldRetired, MAX_RETIRED } from './fold.ts';
import { Hops, type IsDeclared, type Placement } from './hops.ts';
import type { Finding } from './judgement.ts';
import { type PipeRelay, Pipes, roleOfPipe } from './pipes.ts';
import { NO_RELAY, type RelayReading, type VerdictChange } from './reading.ts';
import { type Fifo, RelayProcess, type RuledPair } from './relay-process.ts';
import { type RuledFlow, ruledFlowsOf } from './ruled-flows.ts';

/*
 * Which process relays, since when, in which role and how many bytes? Fed with what changed in the kernel's evidence,
 * asked once a second. No clock, no I/O: times are milliseconds since the epoch and come from the caller.
 *
 * Of a process's verdict: `relay` stays, since it is about what was done; `suspected` goes when nothing speaks for it
 * any more. Its bytes never fall: should a later view bill less (a hop turns out to be billed by its other process),
 * what was said before stands until more than that is relayed.
 */

export interface ProcessState {
  /** Identifies it across the reuse of its pid. */
  readonly key: string;
  readonly pid: number;
  readonly name: string;
  readonly ended: boolean;
  readonly fifos: readonly Fifo[];
}

export interface LedgerOptions {
  /** Whether its owner has declared that this process, or what listens there, serves others. */
  readonly isDeclared?: IsDeclared;
}

/** How long the evidence of a process that ended is kept, so that hops and pipes find what was at their other end. */
const ENDED_KEPT_MS = 15_000;

/** What is said of one process, and from what. */
interface Account extends Relay {
  readonly process: RelayProcess;
  billed: readonly Billed[];
  piped: readonly PipeRelay[];
  /** Of exchanges whose evidence is gone. */
  settled: readonly RelayReading[];
  suspicions: readonly RelayReading[];
  hasOwnTraffic: boolean;
  /** Its bill can change by what is ruled of other processes. */
  hasLocalEnds: boolean;
  isCompact: boolean;
}

export class RelayLedger {
  private readonly accounts: Map<string, Account> = new Map();
  private readonly owners: Map<string, Account> = new Map();
  private readonly hops: Hops;
  private readonly pipes: Pipes;

  constructor({ isDeclared = () => false }: LedgerOptions = {}) {
    this.hops = new Hops(isDeclared);
    this.pipes = new Pipes(this.hops);
  }

  /** @param flows and pairs that changed, as they are now; both ends of a pair must have come with it or before it */
  update(state: ProcessState, flows: readonly FlowEvidence[], pairs: readonly PairEvidence[], nowMs: number): void {
    const known = this.accounts.get(state.key);
    if (!known && flows.length === 0 && pairs.length === 0) return; // most processes that end: nothing to say of them
    const account = known ?? this.open(state);
    const { process } = account;
    if (account.isCompact) return; // what comes after the verdict of an ended process is too late
    process.name = state.name;
    process.fifos = state.fifos;
    if (state.ended) process.endedAtMs ??= nowMs;
    for (const flow of flows) {
      if (this.owners.has(flow.id)) continue;
      this.owners.set(flow.id, account);
      this.hops.add(process, flow);
    }
    process.add(flows, pairs);
  }

  /** These flows' entries in the kernel are gone, after their last update: nothing more will come from them. */
  forgetFlows(ids: Iterable<string>): void {
    const crowded = new Set<Account>();
    for (const id of ids) {
      const account = this.owners.get(id);
      const flow = account?.process.flows.get(id);
      if (!account || !flow) continue;
      if (account.process.pairs.size > 0) {
        account.process.retired.add(id);
        if (account.process.retired.size >= MAX_RETIRED) crowded.add(account);
        continue;
      }
      account.process.leave(flow, this.hops.isLocal(flow));
      account.process.flows.delete(id);
      account.process.prints.delete(id);
      this.drop([flow]);
    }
    for (const account of crowded) this.fold(account);
  }

  /** What has been compared of the content of flows that `suspectedPairs` named. */
  compare(prints: readonly FlowPrints[]): void {
    for (const print of prints) this.owners.get(print.flow)?.process.addPrints(print);
  }

  /** The pairs of live processes that the last evaluation suspects: content may tell what times and sizes don't. */
  suspectedPairs(): Pick<PairEvidence, 'source' | 'destination'>[] {
    return [...this.accounts.values()].flatMap(({ process }) =>
      process.endedAtMs === null
        ? process.suspects.flatMap(({ directions }) => directions.flatMap(({ edges }) => edges.map(({ pair }) => pair)))
        : [],
    );
  }

  /** Forgets a process altogether, with its bill. To be called once nobody will ask for it any more. */
  forget(processKey: string): void {
    const account = this.accounts.get(processKey);
    if (!account) return;
    this.drop(account.process.flows.values());
    this.pipes.forget(account.process);
    this.accounts.delete(processKey);
  }

  /** Whether a second look would rule something. */
  hasVotes(): boolean {
    for (const { process } of this.accounts.values()) if (process.hasVotes()) return true;
    return false;
  }

  /** Once a second, after the updates; in between, where there are votes, a second look at those processes only. */
  judge(nowMs: number, isSecondLook = false): VerdictChange[] {
    const changed = new Set<Account>();
    for (const account of this.accounts.values()) {
      if (isSecondLook && !account.process.hasVotes()) continue;
      if (!account.process.needsEvaluation(nowMs)) continue;
      account.process.evaluate(nowMs);
      changed.add(account);
    }
    // Only now, as what one process is billed depends on what is ruled of others.
    for (const account of this.accounts.values()) {
      if (account.hasLocalEnds && !account.isCompact) changed.add(account);
    }
    for (const account of changed) this.bill(account);

    const piped = this.findPiped(nowMs);
    for (const account of piped.keys()) changed.add(account);

    const changes: VerdictChange[] = [];
    for (const account of changed) {
      account.piped = piped.get(account) ?? [];
      const change = this.conclude(account);
      if (change) changes.push(change);
    }
    for (const account of this.accounts.values()) this.compact(account, nowMs);
    return changes;
  }

  relayOf(processKey: string): Relay {
    const account = this.accounts.get(processKey);
    if (!account) return NO_RELAY;
    const { verdict, role, receivedBytes, sentBytes, confidence, since } = account;
    return { verdict, role, receivedBytes, sentBytes, confidence, since };
  }

  /** Of its bill, what stands on evidence that is gone from the kernel: an agent that starts anew can't find it again. */
  settledOf(processKey: string): { receivedBytes: number; sentBytes: number } {
    const account = this.accounts.get(processKey);
    if (!account) return { receivedBytes: 0, sentBytes: 0 };
    const { process } = account;
    const isLive = (flow: string): boolean => !process.retired.has(flow) && !process.folded.has(flow);
    const live = [...process.ruled.values()].filter((pair) => isLive(pair.source) && isLive(pair.destination));
    const found: Pick<Billed, 'receivedBytes' | 'sentBytes'>[] = billPlacements(
      process,
      this.place(process, live).filter(isRelayed),
    );
    for (const { writer, from, to, bytes } of account.piped) {
      const [receivedBytes, sentBytes] = writer === process ? [sumOf(from, 'received'), 0] : [0, sumOf(to, 'sent')];
      found.push({ receivedBytes: Math.min(bytes, receivedBytes), sentBytes: Math.min(bytes, sentBytes) });
    }
    const findable = (side: 'receivedBytes' | 'sentBytes'): number => found.reduce((sum, part) => sum + part[side], 0);
    return {
      receivedBytes: Math.max(0, account.receivedBytes - findable('receivedBytes')),
      sentBytes: Math.max(0, account.sentBytes - findable('sentBytes')),
    };
  }

  /** Whether it was told of this flow: a pair leads to it or from it. */
  isKnown(flow: string): boolean {
    return this.owners.has(flow);
  }

  /** Whether it is to be told of all flows of this process, not only of those with pairs. */
  wantsAllOf(processKey: string): boolean {
    return this.accounts.get(processKey)?.process.isByVolumes ?? false;
  }

  /** Whether bytes are billed by what the kernel has of this flow. */
  isBilled(flow: string): boolean {
    const process = this.owners.get(flow)?.process;
    return process !== undefined && process.ruledPairsOf(flow).length > 0;
  }

  /** The flows that the verdict on a process rests on, as far as the kernel still has them, and what each has relayed. */
  ruledFlows(processKey: string): RuledFlow[] {
    const account = this.accounts.get(processKey);
    return account ? ruledFlowsOf(account) : [];
  }

  /** All that relay or are suspected to, those that ended included until they are forgotten. */
  relays(): RelayReading[] {
    return [...this.accounts.values()].flatMap(readingsOf);
  }

  private open({ key, pid, name }: ProcessState): Account {
    const account: Account = {
      process: new RelayProcess(key, pid, name),
      ...NO_RELAY,
      billed: [],
      piped: [],
      settled: [],
      suspicions: [],
      hasOwnTraffic: false,
      hasLocalEnds: false,
      isCompact: false,
    };
    this.accounts.set(key, account);
    return account;
  }

  private bill(account: Account): void {
    const placements = this.place(account.process, account.process.ruled.values());
    account.billed = billPlacements(account.process, placements.filter(isRelayed));
    account.hasOwnTraffic = placements.some(({ passage }) => passage === 'own');
    account.hasLocalEnds = placements.some(({ hasLocalEnd }) => hasLocalEnd);
  }

  private place(process: RelayProcess, pairs: Iterable<RuledPair>): Placement[] {
    return [...pairs].flatMap((pair) => this.hops.place(process, pair) ?? []);
  }

  private findPiped(nowMs: number): Map<Account, PipeRelay[]> {
    const piped = new Map<Account, PipeRelay[]>();
    const withFifos = [...this.accounts.values()].filter(({ process }) => process.fifos.length > 0);
    const relays = this.pipes.evaluate(
      withFifos.map(({ process }) => process),
      nowMs,
    );
    for (const relay of relays) {
      for (const { key } of [relay.writer, relay.reader]) {
        const account = this.accounts.get(key);
        if (account) piped.set(account, [...(piped.get(account) ?? []), relay]);
      }
    }
    return piped;
  }

  private conclude(account: Account): VerdictChange | null {
    const was = account.verdict;
    const sum = summarise(account);
    const isSuspected = !sum && account.process.isSuspected();
    if (!account.isCompact) account.suspicions = isSuspected ? this.describeSuspicions(account.process) : [];
    if (sum) {
      account.verdict = 'relay';
      account.role = sum.role;
      account.receivedBytes = Math.max(account.receivedBytes, sum.receivedBytes);
      account.sentBytes = Math.max(account.sentBytes, sum.sentBytes);
      account.confidence = sum.confidence;
      account.since = toIso(sum.sinceMs);
    } else if (account.verdict !== 'relay') {
      const [suspicion] = account.suspicions;
      account.verdict = suspicion ? 'suspected' : 'none';
      account.role = !suspicion && account.hasOwnTraffic ? 'own' : null;
      account.confidence = suspicion?.confidence ?? 0;
      account.since = suspicion?.since ?? null;
    }
    return account.verdict === was ? null : describeChange(account, was);
  }

  private describeSuspicions(process: RelayProcess): RelayReading[] {
    return process.suspects.flatMap((finding) => {
      const pairs = finding.directions.flatMap(({ edges }) => edges.map(({ pair }) => toRuled(pair, finding)));
      return this.place(process, pairs).some(isRelayed) ? describeSuspicion(process, finding) : [];
    });
  }

  private fold(account: Account): void {
    const gone = foldRetired(account.process, {
      settle: (pairs) =>
        this.settle(account, billPlacements(account.process, this.place(account.process, pairs).filter(isRelayed))),
      isLocal: (flow) => this.hops.isLocal(flow),
    });
    this.drop(gone);
    this.bill(account);
  }

  private settle({ process }: Account, billed: readonly Billed[]): void {
    const account = this.accounts.get(process.key);
    if (account)
      account.settled = mergeReadings(
        account.settled,
        billed.map((item) => describeBilled(process, item)),
      );
  }

  private compact(account: Account, nowMs: number): void {
    const { process } = account;
    if (account.isCompact || process.endedAtMs === null || nowMs - process.endedAtMs < ENDED_KEPT_MS) return;
    this.settle(account, account.billed);
    account.billed = [];
    account.isCompact = true;
    const remote = this.pipes.sumRemote(process);
    this.drop(process.flows.values());
    process.compact(remote);
    // Nothing to say of it, then or later; who asks for a process that isn't known hears the same.
    const isOfInterest = account.verdict !== 'none' || account.role !== null || process.fifos.length > 0;
    if (!isOfInterest) this.accounts.delete(process.key);
  }

  private drop(flows: Iterable<FlowEvidence>): void {
    for (const flow of flows) {
      this.hops.delete(flow);
      this.owners.delete(flow.id);
    }
  }
}

function readingsOf({ process, settled, billed, piped, suspicions }: Account): RelayReading[] {
  return [
    ...settled,
    ...billed.map((item) => describeBilled(process, item)),
    ...piped.map((relay) => describePipe(process, relay)),
    ...suspicions,
  ];
}

/** All that a process relays, in one; null where it doesn't. */
function summarise({ process, settled, billed, piped }: Account): Summary | null {
  const parts: Summary[] = [
    ...settled.map((reading) => ({ ...reading, role: reading.role ?? 'service', sinceMs: Date.parse(reading.since) })),
    ...billed.map((item) => ({
      ...item,
      sinceMs: Math.min(...item.placements.map(({ pair }) => pair.sinceMs)),
    })),
    ...piped.map((relay) => ({
      role: roleOfPipe(relay),
      receivedBytes: relay.writer === process ? relay.bytes : 0,
      sentBytes: relay.reader === process ? relay.bytes : 0,
      lowerBytes: relay.bytes,
      confidence: PIPE_CONFIDENCE,
      sinceMs: relay.sinceMs,
    })),
  ];
  if (parts.length === 0) return null;
  return {
    role: mainRole(parts.map(({ role, lowerBytes }) => ({ role, bytes: lowerBytes }))),
    receivedBytes: parts.reduce((sum, part) => sum + part.receivedBytes, 0),
    sentBytes: parts.reduce((sum, part) => sum + part.sentBytes, 0),
    lowerBytes: parts.reduce((sum, part) => sum + part.lowerBytes, 0),
    confidence: Math.max(...parts.map(({ confidence }) => confidence)),
    sinceMs: Math.min(...parts.map(({ sinceMs }) => sinceMs)),
  };
}

interface Summary extends Pick<Billed, 'role' | 'receivedBytes' | 'sentBytes' | 'lowerBytes'> {
  readonly confidence: number;
  readonly sinceMs: number;
}

function describeChange(account: Account, was: Verdict): VerdictChange {
  const { process, verdict, role, confidence, since } = account;
  const [main] = readingsOf(account).toSorted((one, other) => other.lowerBytes - one.lowerBytes);
  return {
    processKey: process.key,
    pid: process.pid,
    name: process.name,
    was,
    verdict,
    role,
    confidence,
    kind: main?.kind ?? null,
    why: main?.why ?? 'nothing speaks for it any more',
    since,
  };
}

function sumOf(flows: readonly FlowEvidence[], side: 'received' | 'sent'): number {
  return flows.reduce((sum, flow) => sum + flow[side], 0);
}

function isRelayed({ passage }: Placement): boolean {
  return passage === 'relayed';
}

/** Just to see where it leads. */
function toRuled({ source, destination }: PairEvidence, { kind, why }: Finding): RuledPair {
  return { source, destination, kind, why, sinceMs: 0, events: 0, hopIn: null, hopOut: null };
}
