import { addCounters, type Counters, makeCounters } from './counters.ts';
import { type Described, EndedProcesses } from './ended-processes.ts';
import { identityOf } from './process-description.ts';
import type { ProcessRecord } from './process-table.ts';
import type { PayloadTraffic, Process, Relay } from './readings.ts';
import type { Store, StoredProcess } from './store.ts';

export interface TotalsOptions {
  store: Store;
  nowMs: () => number;
  describe: (record: ProcessRecord) => Process;
  /** Relayed payload that has been billed for good; a later agent goes on from there. */
  settledOf: (record: ProcessRecord) => PayloadTraffic | undefined;
}

/** What a process that lives had relayed when an earlier agent wrote it down. */
export interface RestoredRelay {
  relay: Relay;
  settled: PayloadTraffic;
}

interface AppTotal {
  counters: Counters;
  dirty: boolean;
}

const FORGET_MS = 15 * 60_000;
/** Ended processes; as many as the kernel has slots for. */
const MAX_REMEMBERED = 32_768;
const NOTHING: PayloadTraffic = { receivedBytes: 0, sentBytes: 0 };

/** The totals by app, of all processes, and the processes that have ended: in memory, and on disk with each checkpoint. */
export class Totals {
  /** Of this epoch: all processes, ended ones included. */
  readonly processes: Counters;
  readonly #options: TotalsOptions;
  readonly #apps = new Map<string, AppTotal>();
  /** Those whose slots were given back; kept for 15 minutes after their end. */
  readonly #gone = new EndedProcesses(MAX_REMEMBERED);
  /** What an earlier agent knew of processes that may be there still; while they are taken up. */
  #stored: ReadonlyMap<string, StoredProcess> | undefined;
  /** Of `processes`, those whose slots were given back. */
  readonly #freed: Counters;

  constructor(options: TotalsOptions) {
    const { store } = options;
    this.#options = options;
    this.#freed = store.freed();
    this.processes = makeCounters(this.#freed);
    for (const [app, counters] of store.apps()) this.#apps.set(app, { counters, dirty: false });
    for (const row of store.freedProcesses()) this.#remember(row);
  }

  hasApp(app: string): boolean {
    return this.#apps.has(app);
  }

  apps(): { app: string; counters: Counters }[] {
    return [...this.#apps].map(([app, { counters }]) => ({ app, counters }));
  }

  /** Ended processes that are no longer in the kernel's table. */
  ended(): Iterable<Process> {
    return this.#gone.values();
  }

  endedWithPid(pid: number): Iterable<Process> {
    return this.#gone.ofPid(pid);
  }

  get endedCount(): number {
    return this.#gone.size;
  }

  /** How many were forgotten before their 15 minutes because there were too many. */
  get forgottenEarly(): number {
    return this.#gone.forgottenEarly;
  }

  endedAs(identity: string): Process | undefined {
    return this.#gone.get(identity);
  }

  charge(record: ProcessRecord, delta: Counters): void {
    addCounters(this.processes, delta);
    let total = this.#apps.get(record.app);
    if (!total) {
      total = { counters: makeCounters(), dirty: true };
      this.#apps.set(record.app, total);
    }
    addCounters(total.counters, delta);
    total.dirty = true;
    this.#options.store.history.add(record.app, delta, this.#options.nowMs());
  }

  /** Reads from disk what `restore` needs, and lets it go after `take`: whoever is seen later has begun later. */
  withStored(take: () => void): void {
    this.#stored = new Map(this.#options.store.processes().map((row) => [identityOf(row), row]));
    take();
    this.#stored = undefined;
  }

  /**
   * Takes up a process of the kernel's table where an earlier agent left it: what the totals on disk hold of it is not
   * added to them again.
   * @param relay told what it had relayed by then
   */
  restore(record: ProcessRecord, relay: (restored: RestoredRelay) => void): 'keep' | 'freed' {
    const row = this.#stored?.get(identityOf(record));
    if (row?.freed) return 'freed';
    this.#gone.delete(identityOf(record)); // of an earlier epoch, and it lives on
    if (row) {
      record.counters.set(row.counters);
      addCounters(this.processes, row.counters);
      const described = JSON.parse(row.description) as Described & { settled?: PayloadTraffic };
      record.startedAtMs = Date.parse(described.startedAt);
      relay({ relay: described.relay, settled: described.settled ?? NOTHING });
    }
    return 'keep';
  }

  /**
   * Writes to disk what has changed. Done before the slots go back to the kernel: a crash in between doubles nothing.
   * @param freeable of `records`, those whose slots are about to be given back
   */
  write(records: Iterable<ProcessRecord>, freeable: readonly ProcessRecord[]): void {
    const { store, nowMs, describe } = this.#options;
    const now = nowMs();
    const freedTotal = makeCounters(this.#freed);
    for (const record of freeable) {
      addCounters(freedTotal, record.counters);
      record.dirty = true;
    }
    const freed = new Set(freeable);
    const dirty = [...records].filter((record) => record.dirty);
    const dirtyApps = [...this.#apps].filter(([, total]) => total.dirty);
    store.checkpoint({
      apps: dirtyApps.map(([app, { counters }]) => [app, counters] as const),
      processes: dirty.values().map((record) => this.#toStored(record, freed.has(record))),
      freed: freedTotal,
      forgetBeforeMs: now - FORGET_MS,
      forget: this.#gone.takeDropped(),
    });
    store.history.prune(now);
    this.#freed.set(freedTotal);
    for (const record of dirty) record.dirty = false;
    for (const [, total] of dirtyApps) total.dirty = false;
    for (const record of freeable) {
      this.#gone.add(identityOf(record), describe(record), record.counters, record.exitedAtMs ?? now);
    }
    this.#gone.forgetBefore(now - FORGET_MS);
  }

  /** Ended processes of an earlier agent stay readable. */
  #remember(row: StoredProcess): void {
    if (row.exitedAtMs === null) return;
    this.#gone.add(identityOf(row), JSON.parse(row.description) as Described, row.counters, row.exitedAtMs);
  }

  #toStored(record: ProcessRecord, freed: boolean): StoredProcess {
    const { tgid, startNs, app, counters, exitedAtMs } = record;
    const settled = this.#options.settledOf(record) ?? NOTHING;
    const { traffic: _traffic, payloadShares: _shares, ...described } = this.#options.describe(record); // in `counters`
    const description = JSON.stringify({ ...described, settled });
    return { tgid, startNs, app, counters, exitedAtMs, freed, description };
  }
}
