import type { DatabaseSync } from 'node:sqlite';
import { AgentError } from '../errors.ts';
import { transaction } from '../transaction.ts';
import type { Bound } from './match.ts';
import type { Policy } from './policy.ts';

/** A process that a policy leaves alone, because the session of who put it runs through there. */
export interface Spared {
  pid: number;
  startTicks: number;
  name: string;
}

/** A policy as it is kept on disk. */
export interface StoredPolicy {
  name: string;
  policy: Policy;
  createdAtMs: number;
  changedAtMs: number;
  /** Which process `match.pid` means. */
  bound: Bound | null;
  spared: readonly Spared[];
  /** Protected processes are held, too. */
  forced: boolean;
}

/** What a quota's period has used. */
export interface StoredQuota {
  name: string;
  periodStartMs: number;
  usedBytes: number;
  /** What is to be done when it is used up has been done in this period. */
  acted: boolean;
}

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS policies (
    name TEXT PRIMARY KEY, policy TEXT NOT NULL, created_at_ms INTEGER NOT NULL, changed_at_ms INTEGER NOT NULL,
    bound TEXT, spared TEXT NOT NULL, forced INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE IF NOT EXISTS quota_uses (
    name TEXT PRIMARY KEY, period_start_ms INTEGER NOT NULL, used_bytes INTEGER NOT NULL, acted INTEGER NOT NULL
  ) STRICT;
`;

/** Policies that REST has put, and how much of each quota is used: both outlive a reboot. */
export class PolicyRecords {
  readonly #db: DatabaseSync;

  constructor(db: DatabaseSync) {
    this.#db = db;
    db.exec(SCHEMA);
  }

  policies(): StoredPolicy[] {
    const rows = this.#db.prepare('SELECT * FROM policies ORDER BY created_at_ms, name').all();
    return rows.map((row) => ({
      name: String(row['name']),
      policy: JSON.parse(String(row['policy'])) as Policy,
      createdAtMs: Number(row['created_at_ms']),
      changedAtMs: Number(row['changed_at_ms']),
      bound: row['bound'] === null ? null : (JSON.parse(String(row['bound'])) as Bound),
      spared: JSON.parse(String(row['spared'])) as Spared[],
      forced: row['forced'] !== 0,
    }));
  }

  /**
   * In one piece. Where it has no quota, what an earlier one of this name had used is forgotten.
   * @throws AGENT_STATE_UNUSABLE where the disk is full or gone; so do the others that write
   */
  put(stored: StoredPolicy): void {
    this.#together(() => {
      this.#insert(stored);
      if (!stored.policy.quota) this.#deleteQuota(stored.name);
    });
  }

  #insert({ name, policy, createdAtMs, changedAtMs, bound, spared, forced }: StoredPolicy): void {
    this.#db
      .prepare('INSERT OR REPLACE INTO policies VALUES (?, ?, ?, ?, ?, ?, ?)')
      .run(
        name,
        JSON.stringify(policy),
        createdAtMs,
        changedAtMs,
        bound && JSON.stringify(bound),
        JSON.stringify(spared),
        forced ? 1 : 0,
      );
  }

  /** With its quota's use: a policy of the same name that is put later begins anew. */
  delete(name: string): void {
    this.#together(() => {
      this.#db.prepare('DELETE FROM policies WHERE name = ?').run(name);
      this.#deleteQuota(name);
    });
  }

  quotas(): StoredQuota[] {
    const rows = this.#db.prepare('SELECT * FROM quota_uses').all();
    return rows.map((row) => ({
      name: String(row['name']),
      periodStartMs: Number(row['period_start_ms']),
      usedBytes: Number(row['used_bytes']),
      acted: row['acted'] !== 0,
    }));
  }

  putQuota({ name, periodStartMs, usedBytes, acted }: StoredQuota): void {
    const statement = 'INSERT OR REPLACE INTO quota_uses VALUES (?, ?, ?, ?)';
    this.#write(() => this.#db.prepare(statement).run(name, periodStartMs, usedBytes, acted ? 1 : 0));
  }

  #deleteQuota(name: string): void {
    this.#db.prepare('DELETE FROM quota_uses WHERE name = ?').run(name);
  }

  #together(work: () => void): void {
    this.#write(() => transaction(this.#db, work));
  }

  #write(work: () => void): void {
    try {
      work();
    } catch (cause) {
      const message = `the policy can't be written to disk: ${(cause as Error).message}; see --state-dir`;
      throw new AgentError('AGENT_STATE_UNUSABLE', message, { cause });
    }
  }
}
