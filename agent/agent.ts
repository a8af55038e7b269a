import type { Logger } from 'pino';
import { RL_TOTALS_OFFSET, RL_WIRE_OFFSET, RL_WIRE_SIZE, RlLost, type RlTotals, readRlTotals } from '../bpf/layouts.ts';
import type { Accounting } from './accounting.ts';
import { addCounters, makeCounters, payloadOf, relayedOf, sharesOf, wireOf } from './counters.ts';
import { type Balance, DoubleEntry, kernelProcess } from './double-entry.ts';
import { Events } from './events.ts';
import type { Fingerprints } from './fingerprints.ts';
import type { FlowTable } from './flow-table.ts';
import type { InterfaceBooks } from './interface-books.ts';
import { type AppSeries, Metrics, SeriesBudget, VERDICT_VALUES } from './metrics.ts';
import type { Policies } from './policies/policies.ts';
import { identityOf, ProcessDescription } from './process-description.ts';
import { type Clock, type ProcessRecord, ProcessTable } from './process-table.ts';
import type { AgentEvent, App, Flow, Process, Readings, Relay, RelayReading, Socket, Status } from './readings.ts';
import { RelayLedger } from './relay/ledger.ts';
import { NO_RELAY } from './relay/reading.ts';
import { RelayWatch } from './relay-watch.ts';
import { SocketReadings } from './socket-readings.ts';
import { toFlow } from './socket-table.ts';
import { describeStatus } from './status.ts';
import type { Store } from './store.ts';
import { Totals } from './totals.ts';
import type { Users } from './users.ts';
import { EvenClock, toIso } from './wall-time.ts';

export interface AgentOptions {
  accounting: Accounting;
  store: Store;
  books: InterfaceBooks;
  /** The kernel's flow table; null leaves the relay ledger out. */
  flows: FlowTable | null;
  /** Compares the content of suspected flows; null where that isn't asked for. */
  fingerprints: Fingerprints | null;
  policies: Policies;
  users: Users;
  clock: Clock;
  logger: Logger;
  version: string;
  kernel: string;
  intervalSeconds: number;
  maxApps: number;
  metricsPerProcess: boolean;
  /** Apps and program names that are declared services: what they relay has the role `service`. */
  services: ReadonlySet<string>;
  /** The profile of a program, by its executable and its command line. */
  recognise: (executable: string | null, command: string) => string | null;
}

const CHECKPOINT_MS = 10_000;
/** Slots of ended processes and flows of relays are only given back to the kernel at a checkpoint. */
const CROWDED_CHECKPOINT_MS = 2_000;
const GONE_INTERFACES_MS = 60_000;
/** A reading asked for this soon after a poll is answered from it. */
const FRESH_MS = 50;

/** Verdicts come from windows of seconds: judging more often says nothing more. */
const JUDGE_MS = 950;
/** But a relay that was found needs a second look, and is to be named within two seconds. */
const SECOND_LOOK_MS = 400;

/** Polls the kernel's side, keeps totals by app on disk, and answers what is asked. */
export class Agent implements Readings, AsyncDisposable {
  readonly #options: AgentOptions;
  readonly #table: ProcessTable;
  readonly #watch: RelayWatch | undefined;
  readonly #events = new Events();
  readonly #metrics: Metrics;
  readonly #description: ProcessDescription;
  readonly #totals: Totals;
  readonly #budget: SeriesBudget;
  readonly #startedAt: string;
  /** Read once: both clocks are read one after the other, and the wall clock is slewed. */
  readonly #bootedAt: string;
  #timer: NodeJS.Timeout | undefined;
  #secondLook: NodeJS.Timeout | undefined;
  #ready = false;
  #polledAtMs = 0;
  #pollCount = 0;
  #lastPollSeconds = 0;
  #lastCheckpointMs = 0;
  #lastForgetMs = 0;
  #lastJudgeMs = 0;
  #lostEvents = 0;
  readonly #doubleEntry: DoubleEntry;
  #books: { atMs: number; balance: Balance } | undefined;
  readonly #sockets: SocketReadings;

  constructor(options: AgentOptions) {
    const { accounting, clock, version, kernel, store } = options;
    this.#options = options;
    this.#metrics = new Metrics(version, kernel);
    this.#budget = new SeriesBudget(options.maxApps);
    this.#startedAt = toIso(clock.nowMs());
    this.#bootedAt = toIso(clock.nowMs() - Number(clock.bootNs() / 1_000_000n));
    this.#description = new ProcessDescription({
      users: options.users,
      elapsedMs: () => this.#elapsedMs(),
      relayOf: (record) => this.#watch?.relayOf(record),
    });
    this.#totals = new Totals({
      store,
      nowMs: () => clock.nowMs(),
      describe: (record) => this.#description.of(record),
      settledOf: (record) => this.#watch?.settledOf(record),
    });
    this.#doubleEntry = new DoubleEntry({
      books: options.books,
      readTotals: () => this.#readTotals(),
      keep: (what, direction, { bytes, packets }) => {
        const at = RL_TOTALS_OFFSET[what] + (direction === 'rx' ? 0 : RL_WIRE_SIZE);
        accounting.totals.setBigUint64(at + RL_WIRE_OFFSET.bytes, BigInt(bytes), true);
        accounting.totals.setBigUint64(at + RL_WIRE_OFFSET.packets, BigInt(packets), true);
      },
      poll: () => this.#poll(),
      processesTotal: this.#totals.processes,
    });
    const maps = {
      processes: accounting.processes,
      slots: accounting.map('process_slots'),
      freeSlots: accounting.map('free_slots'),
      details: accounting.map('process_details'),
      events: accounting.events,
    };
    this.#table = new ProcessTable(maps, clock, {
      recognise: ({ executable, command }) => options.recognise(executable, command),
      restore: (record) =>
        this.#totals.restore(record, ({ relay, settled }) => this.#watch?.restore(record, relay, settled)),
      changed: (record, delta) => this.#totals.charge(record, delta),
      started: (record) => {
        this.#description.configuredPortsOf(record); // read by the time somebody asks
        this.#publish('process-started', record);
      },
      described: (record) => options.policies.noticed(record),
      ended: (record) => {
        options.policies.ended(record);
        this.#watch?.ended(record);
        this.#publish('process-ended', record);
      },
    });
    this.#sockets = new SocketReadings({
      dump: () => accounting.dumpSockets(),
      elapsedMs: () => this.#elapsedMs(),
      processOf: ({ owner, ownerGeneration }) => this.#table.bySlot(owner, ownerGeneration),
    });
    const even = new EvenClock(clock);
    this.#watch = options.flows
      ? new RelayWatch({
          flows: options.flows,
          processes: this.#table,
          ledger: new RelayLedger({ isDeclared: ({ pid, name }) => this.#isDeclared(pid, name) }),
          fingerprints: options.fingerprints,
          clock: () => ({ nowMs: even.nowMs(), monotonicNs: Number(process.hrtime.bigint()) }),
          onWall: (iso) => even.onWall(iso),
          billed: (record, delta) => this.#totals.charge(record, delta),
        })
      : undefined;
    options.policies.publishTo((type, data) => this.#events.publish(type, data));
  }

  /** Reads the whole table, then polls at the interval until disposed. */
  start(): void {
    this.#totals.withStored(() => this.#table.scan());
    if (!this.#options.accounting.adopted) this.#doubleEntry.begin();
    this.#options.policies.start();
    this.#poll();
    this.#ready = true;
    this.#timer = setInterval(() => this.#tick(), this.#options.intervalSeconds * 1000);
  }

  ready(): boolean {
    return this.#ready;
  }

  /** Polls now, unless that was done a moment ago: for what is asked about those who are there now. */
  refresh(): void {
    if (this.#elapsedMs() - this.#polledAtMs > FRESH_MS) this.#poll();
  }

  hasApp(app: string): boolean {
    return this.#totals.hasApp(app);
  }

  subscribe(listener: (event: AgentEvent) => void): () => void {
    return this.#events.subscribe(listener);
  }

  processes({ includeExited = false }: { includeExited?: boolean } = {}): Process[] {
    const processes = [this.#kernel()];
    for (const record of this.#table.records()) {
      if (record.exitedAtMs === null) processes.push(this.#description.of(record));
      else if (includeExited) processes.push(this.#description.viewOf(record));
    }
    if (includeExited) for (const process of this.#totals.ended()) processes.push(process);
    return processes;
  }

  process(pid: number): Process | undefined {
    if (pid === 0) return this.#kernel();
    this.refresh();
    const known = this.#table.records().filter(({ tgid }) => tgid === pid);
    const candidates = [...known.map((record) => this.#description.of(record)), ...this.#totals.endedWithPid(pid)];
    // ISO times in UTC sort as text.
    const latest = (a: Process, b: Process): Process => (b.startedAt > a.startedAt ? b : a);
    return candidates.find(({ exitedAt }) => exitedAt === null) ?? candidates.reduce(latest, candidates[0] as Process);
  }

  sockets(pid?: number): Socket[] {
    this.refresh();
    return this.#sockets.read(pid);
  }

  flows(pid?: number): Flow[] {
    return this.sockets(pid).flatMap((socket) => toFlow(socket) ?? []);
  }

  relays(): RelayReading[] {
    this.refresh();
    const readings = this.#watch?.relays() ?? [];
    return readings.map(({ processKey, ...reading }) => ({ ...reading, app: this.#appOf(reading.pid, processKey) }));
  }

  apps(): App[] {
    this.refresh();
    const live = [...this.#table.records()].filter(({ exitedAtMs }) => exitedAtMs === null);
    const processes = Map.groupBy(live, ({ app }) => app);
    const relays = this.#relaysByApp();
    return this.#totals.apps().map(({ app, counters }) => ({
      app,
      processes: processes.get(app)?.length ?? 0,
      traffic: { wire: wireOf(counters), payload: payloadOf(counters) },
      payloadShares: sharesOf(counters),
      relay: { ...(relays.get(app) ?? NO_RELAY), ...relayedOf(counters) },
    }));
  }

  async metrics(openMetrics: boolean): Promise<string> {
    const status = this.status();
    const apps: AppSeries[] = this.#totals.apps();
    const series = this.#budget.apply(apps, addCounters, makeCounters);
    const processes = this.#options.metricsPerProcess
      ? [...this.#table.records()]
          .filter(({ exitedAtMs }) => exitedAtMs === null)
          .map((record) => ({ process: this.#description.of(record), counters: record.counters }))
      : null;
    const verdicts = new Map([...this.#relaysByApp()].map(([app, { verdict }]) => [app, verdict]));
    const { policies, store } = this.#options;
    const input = {
      apps: series,
      processes,
      sockets: this.#countSockets(),
      verdicts,
      status,
      policies: policies.series(),
      policyErrors: policies.errors,
      historyRowsPruned: store.history.prunedRows,
    };
    return this.#metrics.write(input, series, this.#budget.dropped, openMetrics);
  }

  status(): Status {
    const { accounting, fingerprints, version, kernel, intervalSeconds } = this.#options;
    const balance = this.#balance();
    const records = [...this.#table.records()];
    const live = records.filter(({ exitedAtMs }) => exitedAtMs === null).length;
    return describeStatus({
      accounting,
      balance,
      version,
      kernel,
      startedAt: this.#startedAt,
      poll: { count: this.#pollCount, lastSeconds: this.#lastPollSeconds, intervalSeconds },
      processes: {
        live,
        exited: records.length - live + this.#totals.endedCount,
        capacity: this.#table.capacity,
        forgottenEarly: this.#totals.forgottenEarly,
      },
      tableSize: this.#table.size,
      fingerprints,
    });
  }

  /** Writes a last checkpoint; the kernel's side goes on counting. */
  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    this.#timer = undefined;
    clearTimeout(this.#secondLook);
    this.#poll();
    this.#checkpoint();
  }

  #tick(): void {
    this.#try(() => {
      this.#poll();
      this.#sockets.letGo();
      const now = this.#elapsedMs();
      const isCrowded = this.#table.isCrowded() || this.#watch?.isCrowded() === true;
      const patienceMs = isCrowded ? CROWDED_CHECKPOINT_MS : CHECKPOINT_MS;
      if (now - this.#lastCheckpointMs > patienceMs) this.#checkpoint();
      if (now - this.#lastForgetMs > GONE_INTERFACES_MS) {
        this.#lastForgetMs = now;
        this.#options.books.forgetGone();
      }
    });
  }

  #try(work: () => void): void {
    try {
      work();
    } catch (error) {
      if ((error as { code?: string }).code === 'BPF_NAMESPACE_LOST') throw error;
      this.#metrics.pollErrors.inc();
      this.#options.logger.error({ err: error }, 'poll failed; the kernel goes on counting');
    }
  }

  /** For intervals: the wall clock may be set back. */
  #elapsedMs(): number {
    return Number(this.#options.clock.bootNs() / 1_000_000n);
  }

  #poll(): void {
    const begin = process.hrtime.bigint();
    this.#options.users.refresh();
    const lostEvents = this.#readTotals().lost[RlLost.event] ?? 0;
    if (lostEvents !== this.#lostEvents) this.#table.scan();
    this.#lostEvents = lostEvents;
    this.#table.poll();
    this.#books = undefined; // of an earlier moment than the processes now
    this.#polledAtMs = this.#elapsedMs();
    if (this.#polledAtMs - this.#lastJudgeMs >= JUDGE_MS) this.#judge();
    this.#options.policies.poll((record) => this.#watch?.ruledFlows(record) ?? []);
    this.#pollCount++;
    this.#lastPollSeconds = Number(process.hrtime.bigint() - begin) / 1e9;
    this.#metrics.pollDuration.observe(this.#lastPollSeconds);
  }

  /** The gravest verdict on a live process of each app. */
  #relaysByApp(): Map<string, Relay> {
    const relays = new Map<string, Relay>();
    for (const record of this.#table.records()) {
      if (record.exitedAtMs !== null) continue;
      const relay = this.#watch?.relayOf(record) ?? NO_RELAY;
      const gravest = relays.get(record.app);
      if (!gravest || VERDICT_VALUES[relay.verdict] > VERDICT_VALUES[gravest.verdict]) relays.set(record.app, relay);
    }
    return relays;
  }

  #judge(isSecondLook = false): void {
    if (!isSecondLook) this.#lastJudgeMs = this.#polledAtMs;
    for (const change of this.#watch?.poll(isSecondLook) ?? []) {
      this.#options.logger.info(change, 'verdict');
      this.#events.publish('verdict', { ...change });
    }
    clearTimeout(this.#secondLook);
    if (isSecondLook || !this.#timer || !this.#watch?.hasVotes()) return;
    this.#secondLook = setTimeout(() => this.#try(() => this.#judge(true)), SECOND_LOOK_MS);
  }

  /** On disk first, then the slots go back to the kernel: a crash in between doubles nothing. */
  #checkpoint(): void {
    this.#watch?.settle();
    const freeable = this.#table.freeable();
    this.#options.policies.checkpoint();
    this.#totals.write(this.#table.records(), freeable);
    this.#watch?.release();
    for (const record of freeable) this.#watch?.forget(record);
    this.#table.free(freeable);
    this.#table.retire();
    this.#lastCheckpointMs = this.#elapsedMs();
  }

  /** The administrator has said that this app or program serves others. */
  #isDeclared(pid: number, name: string): boolean {
    const { services } = this.#options;
    if (services.size === 0) return false;
    if (services.has(name)) return true;
    for (const record of this.#table.records()) if (record.tgid === pid && services.has(record.app)) return true;
    return false;
  }

  #appOf(pid: number, identity: string): string {
    for (const record of this.#table.records()) {
      if (record.tgid === pid && identityOf(record) === identity) return record.app;
    }
    return this.#totals.endedAs(identity)?.app ?? '';
  }

  #publish(type: string, record: ProcessRecord): void {
    if (this.#events.subscribers > 0) this.#events.publish(type, { process: this.#description.of(record) });
  }

  #readTotals(): RlTotals {
    return readRlTotals(this.#options.accounting.totals, 0);
  }

  #balance(): Balance {
    if (this.#books && this.#elapsedMs() - this.#books.atMs <= FRESH_MS) return this.#books.balance;
    const balance = this.#doubleEntry.balance();
    this.#books = { atMs: this.#elapsedMs(), balance };
    return balance;
  }

  /** The row of process 0. */
  #kernel(): Process {
    return kernelProcess(this.#balance().unattributed, this.#bootedAt);
  }

  #countSockets(): Map<string, Map<string, number>> {
    this.refresh();
    return this.#sockets.count((app) => (this.#budget.has(app) ? app : 'other'));
  }
}
