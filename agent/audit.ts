import type { DatabaseSync } from 'node:sqlite';
import type { Logger } from 'pino';
import { toIso } from './wall-time.ts';

/** Who asks for something to be done. */
export interface Actor {
  /** By the Unix socket: as the kernel says. */
  uid: number | null;
  pid: number | null;
  /** Name of the bearer token. */
  token: string | null;
  address: string | null;
}

export type AuditAction =
  | 'policy-put'
  | 'policy-removed'
  | 'policy-expired'
  | 'quota-used-up'
  | 'disconnect'
  | 'kill'
  | 'access';

/** Who did what, on what, when, with what result. */
export interface AuditEntry {
  id: number;
  at: string;
  /** A user's name, a token's name, or `agent` for what it did by itself. */
  actor: string;
  uid: number | null;
  token: string | null;
  address: string | null;
  action: AuditAction;
  /** A policy's name, or a process. */
  target: string;
  /** `done`, or the code of the problem that it was refused with. */
  result: string;
  /** Why it was forced. */
  reason: string | null;
  /** What was asked; of what was refused the `message` too, in words. */
  detail: Record<string, unknown>;
}

export interface AuditEvent {
  actor: Actor | null;
  action: AuditAction;
  target: string;
  result: string;
  reason?: string | null;
  detail?: Record<string, unknown>;
}

export interface AuditOptions {
  db: DatabaseSync;
  logger: Logger;
  nowMs: () => number;
  userName: (uid: number) => string | null;
}

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, actor TEXT NOT NULL, uid INTEGER, token TEXT,
    address TEXT, action TEXT NOT NULL, target TEXT NOT NULL, result TEXT NOT NULL, reason TEXT, detail TEXT NOT NULL
  ) STRICT;
`;
/** The log has them all. */
const KEPT = 20_000;
const PRUNE_EVERY = 100;

export class Audit {
  readonly #options: AuditOptions;

  constructor(options: AuditOptions) {
    this.#options = options;
    options.db.exec(SCHEMA);
  }

  /** Into the log first: it may be sent elsewhere, and a full disk does not keep it from there. */
  record({ actor, action, target, result, reason = null, detail = {} }: AuditEvent): void {
    const { db, logger, nowMs, userName } = this.#options;
    const { uid = null, token = null, address = null, pid = null } = actor ?? {};
    const name = actor === null ? 'agent' : (token ?? (uid === null ? 'unknown' : (userName(uid) ?? String(uid))));
    const who = { actor: name, uid, token, address, callerPid: pid };
    logger.info({ ...who, action, target, result, reason, ...detail }, 'audit');
    // What was done stays done: a store that can't be written to is no reason to say otherwise.
    try {
      const { lastInsertRowid } = db
        .prepare(
          `INSERT INTO audit (at_ms, actor, uid, token, address, action, target, result, reason, detail)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
        )
        .run(Math.round(nowMs()), name, uid, token, address, action, target, result, reason, JSON.stringify(detail));
      const id = Number(lastInsertRowid);
      if (id % PRUNE_EVERY === 0) db.prepare('DELETE FROM audit WHERE id <= ?').run(id - KEPT);
    } catch (error) {
      logger.error({ err: error, action, target }, 'the audit could not be stored; this log has it');
    }
  }

  /** The newest first. */
  entries(): AuditEntry[] {
    const rows = this.#options.db.prepare('SELECT * FROM audit ORDER BY id DESC').all();
    return rows.map((row) => ({
      id: Number(row['id']),
      at: toIso(Number(row['at_ms'])),
      actor: String(row['actor']),
      uid: row['uid'] === null ? null : Number(row['uid']),
      token: row['token'] === null ? null : String(row['token']),
      address: row['address'] === null ? null : String(row['address']),
      action: String(row['action']) as AuditAction,
      target: String(row['target']),
      result: String(row['result']),
      reason: row['reason'] === null ? null : String(row['reason']),
      detail: JSON.parse(String(row['detail'])) as Record<string, unknown>,
    }));
  }
}
