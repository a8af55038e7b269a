import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { type Counters, makeCounters } from './counters.ts';
import { AgentError } from './errors.ts';
import { makeFolders } from './folders.ts';
import { HistoryRecords } from './history.ts';
import { PolicyRecords } from './policies/policy-records.ts';
import { transaction } from './transaction.ts';

/** A process as it is kept on disk: its identity, what of its traffic is in its app's total, and how it was described. */
export interface StoredProcess {
  tgid: number;
  /** CLOCK_BOOTTIME of its start, ns; too large for a number after 104 days of uptime. */
  startNs: bigint;
  app: string;
  counters: Counters;
  /** Wall clock, ms; null while it lives. */
  exitedAtMs: number | null;
  /** Its slot in the kernel's table was given back, or is about to be. */
  freed: boolean;
  description: string;
}

export interface Checkpoint {
  apps: Iterable<readonly [app: string, counters: Counters]>;
  processes: Iterable<StoredProcess>;
  freed: Counters;
  /** Ended before this are forgotten; wall clock, ms. */
  forgetBeforeMs: number;
  /** Others to forget, as `tgid:startNs`. */
  forget?: readonly string[];
}

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS apps (app TEXT PRIMARY KEY, counters TEXT NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS processes (
    tgid INTEGER NOT NULL, start_ns TEXT NOT NULL, app TEXT NOT NULL, counters TEXT NOT NULL,
    exited_at_ms INTEGER, freed INTEGER NOT NULL, description TEXT NOT NULL, PRIMARY KEY (tgid, start_ns)
  ) STRICT;
  CREATE TABLE IF NOT EXISTS closed_interfaces (key TEXT PRIMARY KEY, seen TEXT NOT NULL) STRICT;
  CREATE INDEX IF NOT EXISTS processes_exited ON processes (exited_at_ms);
`;
const FILE = 'ledger.sqlite';
const VERSION = '1';

/** In the column `freed`: of an earlier epoch. The process may well live on, with counters that began at zero again. */
const FREED_EARLIER = 2;

/**
 * What must survive the agent: totals by app, and how much of each process's kernel counters they already hold. Both
 * are written in one transaction, so that a crash at any moment neither loses nor doubles a byte.
 */
export class Store implements Disposable {
  readonly #db: DatabaseSync;
  readonly #path: string;
  readonly policies: PolicyRecords;
  readonly history: HistoryRecords;

  private constructor(db: DatabaseSync, path: string) {
    this.#db = db;
    this.#path = path;
    this.policies = new PolicyRecords(db);
    this.history = new HistoryRecords(db);
  }

  /** For what keeps tables of its own beside these. */
  get database(): DatabaseSync {
    return this.#db;
  }

  static isIn(stateDir: string): boolean {
    return existsSync(join(stateDir, FILE));
  }

  /** @throws AGENT_STATE_UNUSABLE */
  static open(stateDir: string): Store {
    const path = join(stateDir, FILE);
    try {
      makeFolders(stateDir, 0o750);
      const db = new DatabaseSync(path);
      // WAL with NORMAL: an operating system crash may lose the last checkpoint, never the file.
      db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA busy_timeout = 2000;');
      db.exec(SCHEMA);
      const store = new Store(db, path);
      const version = store.#meta('version') ?? VERSION;
      if (version !== VERSION) throw new Error(`it has version ${version}, this agent knows ${VERSION}`);
      store.#setMeta('version', VERSION);
      return store;
    } catch (cause) {
      const reason = (cause as Error).message;
      const message = `cannot use the state in ${path}: ${reason}; give another folder with --state-dir`;
      throw new AgentError('AGENT_STATE_UNUSABLE', message, { cause });
    }
  }

  /** Of which run of the kernel's counters its processes are; undefined before any. */
  get epoch(): string | undefined {
    return this.#meta('epoch');
  }

  /**
   * Tells the store which run of the kernel's counters it is about to see. What it knows of processes of an earlier
   * run stays in their apps' totals; their own counters are history.
   * @param epoch changes with each boot and each time the counters start from zero
   */
  beginEpoch(epoch: string, nowMs: number): void {
    if (this.epoch === epoch) return;
    transaction(this.#db, () => {
      this.#db.prepare('UPDATE processes SET exited_at_ms = ? WHERE exited_at_ms IS NULL').run(nowMs);
      this.#db.prepare('UPDATE processes SET freed = ?').run(FREED_EARLIER);
      this.#db.exec('DELETE FROM closed_interfaces');
      this.#setMeta('epoch', epoch);
      this.#setMeta('freed', encode(makeCounters()));
    });
  }

  /** The sum over all processes of this epoch whose slots were given back. */
  freed(): Counters {
    return decode(this.#meta('freed') ?? '[]');
  }

  /** What passed the interfaces of this epoch that are gone, by interface. */
  closedInterfaces(): Map<string, string> {
    const rows = this.#db.prepare('SELECT key, seen FROM closed_interfaces').all();
    return new Map(rows.map((row) => [String(row['key']), String(row['seen'])]));
  }

  closeInterface(key: string, seen: string): void {
    this.#db.prepare('INSERT OR REPLACE INTO closed_interfaces (key, seen) VALUES (?, ?)').run(key, seen);
  }

  /** In the order in which they were first seen, so that a budget of series admits the same ones again. */
  apps(): Map<string, Counters> {
    const rows = this.#db.prepare('SELECT app, counters FROM apps ORDER BY rowid').all();
    return new Map(rows.map((row) => [String(row['app']), decode(row['counters'])]));
  }

  /** Those of this epoch. */
  processes(): StoredProcess[] {
    return [...this.#processes(`freed <> ${FREED_EARLIER}`)];
  }

  /** Those whose slots were given back, in this epoch or an earlier one; who ended first comes first. */
  freedProcesses(): IteratorObject<StoredProcess> {
    return this.#processes('freed <> 0 ORDER BY exited_at_ms');
  }

  #processes(condition: string): IteratorObject<StoredProcess> {
    const rows = this.#db.prepare(`SELECT * FROM processes WHERE ${condition}`).iterate();
    return Iterator.from(rows).map((row) => ({
      tgid: Number(row['tgid']),
      startNs: BigInt(String(row['start_ns'])),
      app: String(row['app']),
      counters: decode(row['counters']),
      exitedAtMs: row['exited_at_ms'] === null ? null : Number(row['exited_at_ms']),
      freed: row['freed'] !== 0,
      description: String(row['description']),
    }));
  }

  /** Writes all or nothing. @throws AGENT_STATE_UNUSABLE where the disk is full or gone */
  checkpoint({ apps, processes, freed, forgetBeforeMs, forget = [] }: Checkpoint): void {
    const putApp = this.#db.prepare(
      'INSERT INTO apps (app, counters) VALUES (?, ?) ON CONFLICT (app) DO UPDATE SET counters = excluded.counters',
    );
    const dropProcess = this.#db.prepare('DELETE FROM processes WHERE tgid = ? AND start_ns = ? AND freed <> 0');
    const putProcess = this.#db.prepare(
      `INSERT OR REPLACE INTO processes (tgid, start_ns, app, counters, exited_at_ms, freed, description)
       VALUES (?, ?, ?, ?, ?, ?, ?)`,
    );
    try {
      transaction(this.#db, () => {
        // First: the kernel still has the slots of those that are freed in this checkpoint.
        this.#db.prepare('DELETE FROM processes WHERE freed <> 0 AND exited_at_ms < ?').run(forgetBeforeMs);
        for (const identity of forget) dropProcess.run(...identity.split(':'));
        for (const [app, counters] of apps) putApp.run(app, encode(counters));
        for (const process of processes) {
          const { tgid, startNs, app, counters, exitedAtMs, description } = process;
          const freed = process.freed ? 1 : 0;
          putProcess.run(tgid, String(startNs), app, encode(counters), exitedAtMs, freed, description);
        }
        this.#setMeta('freed', encode(freed));
        this.history.write();
      });
    } catch (cause) {
      const message = `cannot write to ${this.#path}: ${(cause as Error).message}`;
      throw new AgentError('AGENT_STATE_UNUSABLE', message, { cause });
    }
    this.history.written();
  }

  [Symbol.dispose](): void {
    this.#db.close();
  }

  #meta(key: string): string | undefined {
    const row = this.#db.prepare('SELECT value FROM meta WHERE key = ?').get(key);
    return row === undefined ? undefined : String(row['value']);
  }

  #setMeta(key: string, value: string): void {
    this.#db.prepare('INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)').run(key, value);
  }
}

function encode(counters: Counters): string {
  return JSON.stringify([...counters]);
}

function decode(text: unknown): Counters {
  return makeCounters(JSON.parse(String(text)) as number[]);
}
