import { type Counters, makeCounters, relayedAt, relayedOf } from './counters.ts';
import { EarlyFlows } from './early-flows.ts';
import type { Fingerprints } from './fingerprints.ts';
import { type FlowReading, type FlowState, isDatagram, type PairReading } from './flow-reading.ts';
import type { FlowTable } from './flow-table.ts';
import { PipeEnds } from './pipe-ends.ts';
import type { RuledFlow } from './policies/policy.ts';
import { identityOf } from './process-description.ts';
import type { ProcessRecord, ProcessTable } from './process-table.ts';
import type { Relay } from './readings.ts';
import type { RelayLedger } from './relay/ledger.ts';
import type { RelayReading, VerdictChange } from './relay/reading.ts';
import {
  type ClockPair,
  describeFlow,
  type FlowDescription,
  toFlowEvidence,
  toPairEvidence,
} from './relay-evidence.ts';

export interface RelayWatchOptions {
  flows: FlowTable;
  processes: ProcessTable;
  ledger: RelayLedger;
  /** Compares the content of suspected flows; null where that isn't asked for. */
  fingerprints: Pick<Fingerprints, 'read' | 'watch'> | null;
  /** Its wall clock is not to be set; see `onWall`. */
  clock: () => ClockPair;
  /** A moment of that clock as people are told it. */
  onWall: (iso: string) => string;
  /** A process's relayed bytes rose; the vector is used again. */
  billed: (record: ProcessRecord, delta: Counters) => void;
}

interface Bytes {
  receivedBytes: number;
  sentBytes: number;
}

const RECYCLE_EVERY_NS = 10e9;
/** Flows of a closed socket or an ended process are kept this long after their last byte, to be judged. */
const CLOSED_NS = 5e9;
/** Flows of a socket that is not connected never close: they are over when they have been silent this long. */
const SILENT_NS = 300e9;
/** The same where the table fills up. */
const CROWDED = 0.4;
const CROWDED_CLOSED_NS = 2e9;
const CROWDED_SILENT_NS = 30e9;

/** Feeds the ledger from the kernel's flows, and each process's counters from the ledger. */
export class RelayWatch {
  readonly #options: RelayWatchOptions;
  readonly #delta: Counters = makeCounters();
  /** Flows that the ledger was told of, until they are given back. */
  readonly #described = new Map<number, FlowDescription>();
  readonly #pipeEnds = new PipeEnds();
  /** Slots of processes all of whose flows the ledger was told of at the last poll. */
  #wanted: ReadonlySet<number> = new Set();
  readonly #early = new EarlyFlows();
  #recycledNs = 0;
  /** Flows that are over and billed, with their processes: they go at the next checkpoint. */
  readonly #over = new Map<number, ProcessRecord>();
  /** Processes of which the ledger was told: nobody else is billed. */
  readonly #told = new Set<ProcessRecord>();
  /** Ended processes that the ledger has still to be told about. */
  readonly #ended = new Set<ProcessRecord>();

  /** Verdicts of an earlier agent on processes that live on. */
  readonly #earlier = new Map<string, { relay: Relay; settled: Bytes }>();

  constructor(options: RelayWatchOptions) {
    this.#options = options;
  }

  /** Whether a second look, before the next judgement, may find a relay. */
  hasVotes(): boolean {
    return this.#options.ledger.hasVotes();
  }

  /** Reads what has moved since the last time, and judges. */
  poll(isSecondLook = false): VerdictChange[] {
    const { flows: table, ledger, clock } = this.#options;
    const now = clock();
    const wanted = this.#findWanted();
    table.recall(wanted.difference(this.#wanted));
    this.#wanted = wanted;
    const { flows, pairs } = table.poll((slot) => wanted.has(slot));
    for (const [record, part] of this.#byProcess(flows, pairs, now.monotonicNs)) {
      this.#update(record, part.flows, part.pairs, now);
    }
    for (const record of this.#ended) this.#update(record, [], [], now);
    this.#ended.clear();
    this.#compare();
    const changes = ledger.judge(now.nowMs, isSecondLook);
    this.#look(now.nowMs);
    for (const record of this.#told) this.#bill(record);
    this.recycle();
    return changes.map((change) => this.#toWall(change));
  }

  #toWall<T extends { since: string | null }>(told: T): T {
    const since = told.since && this.#options.onWall(told.since);
    return since === told.since ? told : { ...told, since };
  }

  /** Slots of processes that share a pipe, or whose flows are matched by their volumes. */
  #findWanted(): Set<number> {
    const { processes, ledger } = this.#options;
    const wanted = this.#pipeEnds.find(processes.records());
    for (const record of this.#told) if (ledger.wantsAllOf(identityOf(record))) wanted.add(record.slot);
    return wanted;
  }

  /** Tells the ledger what has been compared. */
  #compare(): void {
    const read = this.#options.fingerprints?.read() ?? [];
    this.#options.ledger.compare(
      read.map(({ flow, received, sent, matchedFrom }) => ({
        flow: this.#idOf(flow),
        received,
        sent,
        matchedFrom: new Map([...matchedFrom].map(([source, count]) => [this.#idOf(source), count])),
      })),
    );
  }

  /** Has those compared that are suspected. */
  #look(nowMs: number): void {
    const { fingerprints, ledger, flows } = this.#options;
    if (!fingerprints) return;
    const pairs = ledger.suspectedPairs().flatMap((pair) => {
      const source = flows.identify(Number(pair.source));
      const destination = flows.identify(Number(pair.destination));
      return source && destination ? [{ source, destination }] : [];
    });
    fingerprints.watch(pairs, nowMs);
  }

  /** To be called when a process has ended; its last flows are read at the next poll. */
  ended(record: ProcessRecord): void {
    this.#ended.add(record);
  }

  relayOf(record: ProcessRecord): Relay {
    const relay = this.#toWall(this.#options.ledger.relayOf(identityOf(record)));
    const earlier = this.#earlier.get(identityOf(record))?.relay;
    const verdict = relay.verdict === 'relay' || !earlier ? relay : earlier;
    return { ...verdict, ...relayedOf(record.counters) };
  }

  /** What an earlier agent said of a process that lives on, whose evidence may be gone from the kernel by now. */
  restore(record: ProcessRecord, relay: Relay, settled: Bytes): void {
    if (relay.verdict === 'relay') this.#earlier.set(identityOf(record), { relay, settled });
  }

  /** To be kept for the next agent's `restore`. */
  settledOf(record: ProcessRecord): Bytes {
    const key = identityOf(record);
    const now = this.#options.ledger.settledOf(key);
    const earlier = this.#earlier.get(key)?.settled ?? { receivedBytes: 0, sentBytes: 0 };
    return {
      receivedBytes: earlier.receivedBytes + now.receivedBytes,
      sentBytes: earlier.sentBytes + now.sentBytes,
    };
  }

  /** A process's flows that are ruled relayed, by the kernel's ids. */
  ruledFlows(record: ProcessRecord): RuledFlow[] {
    const flows = this.#options.ledger.ruledFlows(identityOf(record));
    return flows.map(({ id, role, relayedBytes }) => ({ flow: Number(id), role, relayedBytes }));
  }

  relays(): RelayReading[] {
    return this.#options.ledger.relays().map((reading) => this.#toWall(reading));
  }

  /** Forgets a process whose slot was given back. */
  forget(record: ProcessRecord): void {
    this.#told.delete(record);
    this.#earlier.delete(identityOf(record));
    this.#options.ledger.forget(identityOf(record));
  }

  /** Gives flows back to the kernel that are over; once in a while, or at every call where the table fills up. */
  recycle(): void {
    const { flows: table, processes, ledger, clock } = this.#options;
    const { monotonicNs } = clock();
    const crowded = this.isCrowded();
    if (!crowded && monotonicNs - this.#recycledNs < RECYCLE_EVERY_NS) return;
    this.#recycledNs = monotonicNs;
    const closedFor = crowded ? CROWDED_CLOSED_NS : CLOSED_NS;
    const silentFor = crowded ? CROWDED_SILENT_NS : SILENT_NS;
    const freed = table.recycle((flow) => {
      const silence = monotonicNs - flow.lastNs;
      if (silence < closedFor) return false;
      const record = processes.bySlot(flow.slot, flow.processGeneration);
      const isOver =
        flow.closed ||
        !record ||
        record.exitedAtMs !== null ||
        (isUnconnected(flow) && silence > silentFor) ||
        // A flood of peers: what no pair leads to is no evidence, and begins anew with its next byte.
        (crowded && !ledger.isKnown(this.#idOf(flow.id)) && (isUnconnected(flow) || silence > CROWDED_SILENT_NS));
      if (!isOver || !record || !ledger.isBilled(this.#idOf(flow.id))) return isOver;
      this.#over.set(flow.id, record);
      return false;
    });
    this.#forgetFlows(freed);
  }

  /** Whether flows should be given back sooner than usual. */
  isCrowded(): boolean {
    const { flows: table } = this.#options;
    return table.size > table.capacity * CROWDED;
  }

  /** Before a checkpoint: what flows that are over were billed has to be on disk before the kernel's evidence goes. */
  settle(): void {
    for (const record of this.#over.values()) record.dirty = true;
    this.#options.ledger.forgetFlows([...this.#over.keys()].map((flow) => this.#idOf(flow)));
  }

  /** After it. */
  release(): void {
    if (this.#over.size === 0) return;
    const freed = this.#options.flows.recycle(({ id }) => this.#over.has(id));
    for (const flow of freed) this.#described.delete(flow);
    this.#over.clear();
  }

  #forgetFlows(freed: readonly number[]): void {
    if (freed.length === 0) return;
    this.#options.ledger.forgetFlows(freed.map((flow) => this.#idOf(flow)));
    for (const flow of freed) {
      this.#described.delete(flow);
      this.#early.forget(flow);
    }
  }

  #byProcess(
    read: readonly FlowReading[],
    readPairs: readonly PairReading[],
    nowNs: number,
  ): Map<ProcessRecord, { flows: FlowReading[]; pairs: PairReading[] }> {
    const parts = new Map<ProcessRecord, { flows: FlowReading[]; pairs: PairReading[] }>();
    const owners = new Map<number, { flows: FlowReading[]; pairs: PairReading[] }>();
    const { flows, pairs } = this.#early.join(read, readPairs);
    const early = flows.filter(({ flow }) => {
      const record = this.#options.processes.bySlot(flow.slot, flow.processGeneration);
      if (!record) return true;
      const part = parts.get(record) ?? { flows: [], pairs: [] };
      parts.set(record, part);
      part.flows.push(flow);
      owners.set(flow.id, part);
      return false;
    });
    for (const pair of pairs) (owners.get(pair.destination) ?? owners.get(pair.source))?.pairs.push(pair);
    this.#early.keep(early, pairs, nowNs);
    return parts;
  }

  #update(record: ProcessRecord, flows: readonly FlowReading[], pairs: readonly PairReading[], now: ClockPair): void {
    const { tgid: pid, name, exitedAtMs, details } = record;
    const process = { key: identityOf(record), pid, name, ended: exitedAtMs !== null, fifos: details.fifos };
    const flowEvidence = flows.map((flow) => toFlowEvidence(this.#describe(flow, now), flow));
    const pairEvidence = pairs.map((pair) => toPairEvidence(pair, (flow) => this.#idOf(flow)));
    this.#options.ledger.update(process, flowEvidence, pairEvidence, now.nowMs);
    if (flows.length > 0) this.#told.add(record);
  }

  #describe(flow: FlowReading, now: ClockPair): FlowDescription {
    const known = this.#described.get(flow.id);
    if (known) return known;
    const description = describeFlow(flow, now);
    this.#described.set(flow.id, description);
    return description;
  }

  /** One string for each flow, however often it is named. */
  #idOf(flow: number): string {
    return this.#described.get(flow)?.id ?? String(flow);
  }

  /** What the ledger bills beyond what the counters hold goes to the role that it has now; counters never fall. */
  #bill(record: ProcessRecord): void {
    const relay = this.#options.ledger.relayOf(identityOf(record));
    if (relay.role === null) return;
    const billed = relayedOf(record.counters);
    const earlier = this.#earlier.get(identityOf(record))?.settled;
    const received = Math.max(0, relay.receivedBytes + (earlier?.receivedBytes ?? 0) - billed.receivedBytes);
    const sent = Math.max(0, relay.sentBytes + (earlier?.sentBytes ?? 0) - billed.sentBytes);
    if (received === 0 && sent === 0) return;
    const at = relayedAt(relay.role);
    this.#delta.fill(0);
    this.#delta[at] = received;
    this.#delta[at + 1] = sent;
    record.counters[at] = (record.counters[at] as number) + received;
    record.counters[at + 1] = (record.counters[at + 1] as number) + sent;
    record.dirty = true;
    this.#options.billed(record, this.#delta);
  }
}

/** The kernel gives such a socket's flow the peer of its messages; the socket itself has none to close with. */
function isUnconnected(flow: FlowState): boolean {
  return isDatagram(flow) && flow.opened !== 2;
}
