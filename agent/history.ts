import type { DatabaseSync } from 'node:sqlite';
import { type Counters, payloadOf, relayedOf, WIRE_RX_BYTES, WIRE_TX_BYTES } from './counters.ts';
import { AgentError } from './errors.ts';
import { toIso } from './wall-time.ts';

/** A range that can't be answered, and which parameter is to be changed. */
export class HistoryRangeError extends AgentError {
  readonly faults: readonly { in: 'query'; name: string; detail: string }[];

  constructor(name: string, detail: string) {
    super('HISTORY_RANGE_INVALID', `${name} ${detail}`);
    this.faults = [{ in: 'query', name, detail }];
  }
}

interface Bytes {
  receivedBytes: number;
  sentBytes: number;
}

/** What an app moved in one step. */
export interface HistoryPoint {
  /** When the step began. */
  at: string;
  wire: Bytes;
  payload: Bytes;
  relayed: Bytes;
}

export interface HistorySeries {
  app: string;
  points: HistoryPoint[];
}

export interface HistoryQuery {
  /** undefined: every app that moved anything. */
  app?: string | undefined;
  fromMs?: number | undefined;
  toMs?: number | undefined;
  stepSeconds?: number | undefined;
}

export interface History {
  from: string;
  to: string;
  stepSeconds: number;
  /** The oldest step of this resolution that the store still has; null where it has none. */
  since: string | null;
  series: HistorySeries[];
}

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** How finely, and for how long. A step without traffic takes no row. */
const RESOLUTIONS = [
  { stepMs: MINUTE_MS, keptMs: 2 * DAY_MS },
  { stepMs: HOUR_MS, keptMs: 400 * DAY_MS },
] as const;

/** Of each resolution, some 40 MB: where there are more the oldest go before their time. */
const MAX_ROWS = 400_000;
const PRUNE_EVERY_MS = 10 * MINUTE_MS;
const MAX_POINTS = 100_000;
const DEFAULT_RANGE_MS = HOUR_MS;
/** Up to this range the default step is a minute. */
const FINE_RANGE_MS = 6 * HOUR_MS;

const FIELDS = 6;
type Values = Float64Array;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS history_apps (id INTEGER PRIMARY KEY, app TEXT NOT NULL UNIQUE) STRICT;
  CREATE TABLE IF NOT EXISTS history (
    step_ms INTEGER NOT NULL, at_ms INTEGER NOT NULL, app INTEGER NOT NULL,
    wire_rx INTEGER NOT NULL, wire_tx INTEGER NOT NULL, payload_rx INTEGER NOT NULL, payload_tx INTEGER NOT NULL,
    relayed_rx INTEGER NOT NULL, relayed_tx INTEGER NOT NULL, PRIMARY KEY (step_ms, at_ms, app)
  ) STRICT, WITHOUT ROWID;
`;

/**
 * What each app moved, by the minute for two days and by the hour for 400. A byte is in the step in which the agent
 * saw it: what moved while no agent ran is in the step of the next start. Written with the checkpoints, in their
 * transaction, so that a crash neither loses nor doubles a byte.
 */
export class HistoryRecords {
  readonly #db: DatabaseSync;
  /** Since the last flush, by minute and app. */
  readonly #pending = new Map<number, Map<string, Values>>();
  #lastPruneMs = 0;
  #prunedRows = 0;

  constructor(db: DatabaseSync) {
    this.#db = db;
    db.exec(SCHEMA);
  }

  /** Rows that went before their time. */
  get prunedRows(): number {
    return this.#prunedRows;
  }

  add(app: string, delta: Counters, nowMs: number): void {
    const minute = Math.floor(nowMs / MINUTE_MS) * MINUTE_MS;
    let apps = this.#pending.get(minute);
    if (!apps) {
      apps = new Map();
      this.#pending.set(minute, apps);
    }
    let values = apps.get(app);
    if (!values) {
      values = new Float64Array(FIELDS);
      apps.set(app, values);
    }
    const payload = payloadOf(delta);
    const relayed = relayedOf(delta);
    values[0] = (values[0] as number) + (delta[WIRE_RX_BYTES] as number);
    values[1] = (values[1] as number) + (delta[WIRE_TX_BYTES] as number);
    values[2] = (values[2] as number) + payload.receivedBytes;
    values[3] = (values[3] as number) + payload.sentBytes;
    values[4] = (values[4] as number) + relayed.receivedBytes;
    values[5] = (values[5] as number) + relayed.sentBytes;
  }

  /** Inside the checkpoint's transaction; `written` is called once that is committed. */
  write(): void {
    if (this.#pending.size === 0) return;
    const addApp = this.#db.prepare('INSERT OR IGNORE INTO history_apps (app) VALUES (?)');
    const addRow = this.#db.prepare(`
      INSERT INTO history SELECT ?, ?, id, ?, ?, ?, ?, ?, ? FROM history_apps WHERE app = ?
      ON CONFLICT DO UPDATE SET wire_rx = wire_rx + excluded.wire_rx, wire_tx = wire_tx + excluded.wire_tx,
        payload_rx = payload_rx + excluded.payload_rx, payload_tx = payload_tx + excluded.payload_tx,
        relayed_rx = relayed_rx + excluded.relayed_rx, relayed_tx = relayed_tx + excluded.relayed_tx
    `);
    for (const [minute, apps] of this.#pending) {
      for (const [app, values] of apps) {
        if (values.every((value) => value === 0)) continue;
        addApp.run(app);
        for (const { stepMs } of RESOLUTIONS) {
          addRow.run(stepMs, Math.floor(minute / stepMs) * stepMs, ...(values as unknown as number[]), app);
        }
      }
    }
  }

  written(): void {
    this.#pending.clear();
  }

  /** Lets go of what is too old or too much; at most every ten minutes. */
  prune(nowMs: number): void {
    if (Math.abs(nowMs - this.#lastPruneMs) < PRUNE_EVERY_MS) return;
    this.#lastPruneMs = nowMs;
    this.#prune(nowMs);
  }

  /** @throws HISTORY_RANGE_INVALID */
  read(query: HistoryQuery, nowMs: number): History {
    const { fromMs, toMs, stepMs, rowStepMs } = planOf(query, nowMs);
    const apps = new Map<string, Map<number, Values>>();
    const addTo = (app: string, atMs: number, values: ArrayLike<number>): void => {
      if (atMs < fromMs || atMs >= toMs || (query.app !== undefined && query.app !== app)) return;
      const at = fromMs + Math.floor((atMs - fromMs) / stepMs) * stepMs;
      const steps = apps.get(app) ?? new Map<number, Values>();
      apps.set(app, steps);
      const sum = steps.get(at) ?? new Float64Array(FIELDS);
      steps.set(at, sum);
      for (let i = 0; i < FIELDS; i++) sum[i] = (sum[i] as number) + (values[i] as number);
    };
    const rows = this.#db
      .prepare(
        `SELECT history.*, history_apps.app AS name FROM history JOIN history_apps ON history_apps.id = history.app
         WHERE step_ms = ? AND at_ms >= ? AND at_ms < ? AND (? IS NULL OR history_apps.app = ?)`,
      )
      .iterate(rowStepMs, fromMs, toMs, query.app ?? null, query.app ?? null);
    for (const row of rows) addTo(String(row['name']), Number(row['at_ms']), columnsOf(row));
    for (const [minute, pending] of this.#pending) {
      const at = Math.floor(minute / rowStepMs) * rowStepMs;
      for (const [app, values] of pending) addTo(app, at, values);
    }
    if (query.app !== undefined && !apps.has(query.app)) apps.set(query.app, new Map());
    const steps = Math.ceil((toMs - fromMs) / stepMs);
    if (steps * apps.size > MAX_POINTS) {
      throw tooMany(`${apps.size} apps of ${steps} steps each are more than ${MAX_POINTS} points`);
    }
    const series = [...apps].sort(([a], [b]) => (a < b ? -1 : 1));
    return {
      from: toIso(fromMs),
      to: toIso(toMs),
      stepSeconds: stepMs / 1000,
      since: this.#since(rowStepMs),
      series: series.map(([app, found]) => ({
        app,
        points: Array.from({ length: steps }, (_, i) => toPoint(fromMs + i * stepMs, found.get(fromMs + i * stepMs))),
      })),
    };
  }

  #since(stepMs: number): string | null {
    const row = this.#db.prepare('SELECT min(at_ms) AS at FROM history WHERE step_ms = ?').get(stepMs);
    return row?.['at'] == null ? null : toIso(Number(row['at']));
  }

  #prune(nowMs: number): void {
    for (const { stepMs, keptMs } of RESOLUTIONS) {
      this.#db.prepare('DELETE FROM history WHERE step_ms = ? AND at_ms < ?').run(stepMs, nowMs - keptMs);
      const { count } = this.#db.prepare('SELECT count(*) AS count FROM history WHERE step_ms = ?').get(stepMs) as {
        count: number;
      };
      if (count <= MAX_ROWS) continue;
      const { changes } = this.#db
        .prepare(
          `DELETE FROM history WHERE step_ms = ?1 AND at_ms <=
           (SELECT at_ms FROM history WHERE step_ms = ?1 ORDER BY at_ms LIMIT 1 OFFSET ?2)`,
        )
        .run(stepMs, count - MAX_ROWS);
      this.#prunedRows += Number(changes);
    }
    this.#db.exec('DELETE FROM history_apps WHERE id NOT IN (SELECT DISTINCT app FROM history)');
  }
}

interface Plan {
  fromMs: number;
  toMs: number;
  stepMs: number;
  /** Of the rows that the steps are made from. */
  rowStepMs: number;
}

/** From and to lie on whole steps: the step that a moment is in belongs to the range. */
function planOf(query: HistoryQuery, nowMs: number): Plan {
  const toMs = query.toMs ?? nowMs;
  const fromMs = query.fromMs ?? toMs - DEFAULT_RANGE_MS;
  if (fromMs >= toMs) throw new HistoryRangeError('from', 'must be before to');
  const isFine = toMs - fromMs <= FINE_RANGE_MS && fromMs >= nowMs - RESOLUTIONS[0].keptMs;
  const stepMs = query.stepSeconds === undefined ? (isFine ? MINUTE_MS : HOUR_MS) : query.stepSeconds * 1000;
  if (stepMs < MINUTE_MS || stepMs % MINUTE_MS !== 0) {
    throw new HistoryRangeError('step', 'must be a multiple of 60 seconds');
  }
  const rowStepMs = stepMs % HOUR_MS === 0 ? HOUR_MS : MINUTE_MS;
  if (rowStepMs === MINUTE_MS && toMs < nowMs - RESOLUTIONS[0].keptMs) {
    throw new HistoryRangeError('step', 'must be a multiple of 3600 seconds there: minutes are kept for two days');
  }
  const start = Math.floor(fromMs / stepMs) * stepMs;
  const end = Math.ceil(toMs / stepMs) * stepMs;
  if ((end - start) / stepMs > MAX_POINTS) throw tooMany(`${(end - start) / stepMs} steps are more than ${MAX_POINTS}`);
  return { fromMs: start, toMs: end, stepMs, rowStepMs };
}

function tooMany(what: string): HistoryRangeError {
  return new HistoryRangeError('step', `is too short, ${what}; or give a shorter range, or an app`);
}

function columnsOf(row: Record<string, unknown>): number[] {
  return ['wire_rx', 'wire_tx', 'payload_rx', 'payload_tx', 'relayed_rx', 'relayed_tx'].map((name) =>
    Number(row[name]),
  );
}

function toPoint(atMs: number, values: ArrayLike<number> = []): HistoryPoint {
  const pair = (at: number): Bytes => ({ receivedBytes: values[at] ?? 0, sentBytes: values[at + 1] ?? 0 });
  return { at: toIso(atMs), wire: pair(0), payload: pair(2), relayed: pair(4) };
}
