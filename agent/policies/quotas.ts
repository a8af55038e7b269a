import type { Logger } from 'pino';
import type { Audit } from '../audit.ts';
import type { ProcessKiller } from '../process-killer.ts';
import type { ProcessRecord } from '../process-table.ts';
import type { Held, QuotaState } from './held.ts';
import { type Period, periodAt } from './period.ts';
import type { Quota } from './policy.ts';
import type { PolicyRecords, StoredQuota } from './policy-records.ts';

export interface QuotasOptions {
  records: PolicyRecords;
  audit: Audit;
  logger: Logger;
  publish: (type: string, data: Record<string, unknown>) => void;
  /** The processes whose traffic it counts. */
  countedBy: (held: Held) => ProcessRecord[];
  /** Tells the kernel when the period ends, and whether it is one that begins. */
  setPeriod: (policy: string, endsAtMs: number | null, isNew: boolean) => void;
  killer: Pick<ProcessKiller, 'kill'>;
}

/** Both clocks are read one after the other: from here on they differ because one of them was set. */
const CLOCK_NOISE_MS = 20;

/**
 * The kernel counts and holds back; here is what it can't do: months, a wall clock that is set, actions once a period,
 * and the journal. A clock that is set forward into another period begins that; one that is set back begins none, and
 * what was used goes on counting.
 */
export class Quotas {
  readonly #options: QuotasOptions;
  /** Processes that were told to end, by policy: once each. */
  readonly #killed = new Map<string, Set<ProcessRecord>>();
  readonly #journalled = new Map<string, string>();

  constructor(options: QuotasOptions) {
    this.#options = options;
  }

  /** Where an earlier agent left it. */
  resume(quota: Quota, stored: StoredQuota | undefined, nowMs: number): QuotaState {
    const { startMs } = periodAt(quota.period, nowMs);
    if (!stored || stored.periodStartMs < startMs) return begin(startMs);
    const { periodStartMs, usedBytes, acted } = stored;
    const exhausted = usedBytes >= quota.bytes;
    return { periodStartMs, clockStartMs: startMs, usedBytes, peakBytes: usedBytes, acted, exhausted };
  }

  /** Where the policy that is replaced left it, if that counted the same kind of period. */
  succeed(quota: Quota, before: Held | undefined, nowMs: number): QuotaState {
    const { startMs } = periodAt(quota.period, nowMs);
    const earlier = before?.policy.quota?.period === quota.period ? before.quota : null;
    if (!earlier || earlier.periodStartMs < startMs) return begin(startMs);
    const isRaised = earlier.usedBytes < quota.bytes;
    return { ...earlier, clockStartMs: startMs, exhausted: !isRaised, acted: earlier.acted && !isRaised };
  }

  /** Once a poll, after its counters were read. @param endsAtMs when the kernel begins the next period */
  watch(held: Held, nowMs: number, endsAtMs: number | null): void {
    const { quota } = held.policy;
    const state = held.quota;
    if (!quota || !state) return;
    const period = periodAt(quota.period, nowMs);
    const isReached = period.startMs > state.clockStartMs && period.startMs !== state.periodStartMs;
    if (isReached) {
      this.#rollOver(held, quota, period);
      return;
    }
    state.clockStartMs = period.startMs;
    const isOff = period.endMs !== null && Math.abs((endsAtMs ?? 0) - period.endMs) > CLOCK_NOISE_MS;
    if (isOff) this.#options.setPeriod(held.name, period.endMs, false);
    if (!state.exhausted) return;
    if (!state.acted) this.#act(held, quota, state);
    if (quota.then === 'kill') this.#kill(held);
  }

  /**
   * Writes down what is used, where that has changed. What can't be written now is tried again at the next checkpoint:
   * it is no reason to leave undone what the quota is there for.
   */
  journal(held: Held): void {
    const state = held.quota;
    if (!state || held.state !== 'active') return;
    const { periodStartMs, usedBytes, acted } = state;
    const text = `${periodStartMs} ${usedBytes} ${acted}`;
    if (this.#journalled.get(held.name) === text) return;
    const { logger, records } = this.#options;
    try {
      records.putQuota({ name: held.name, periodStartMs, usedBytes, acted });
      this.#journalled.set(held.name, text);
    } catch (error) {
      logger.error({ policy: held.name, err: error }, "what is used of a quota can't be written to disk");
    }
  }

  ended(record: ProcessRecord): void {
    for (const killed of this.#killed.values()) killed.delete(record);
  }

  forget(policy: string): void {
    this.#killed.delete(policy);
    this.#journalled.delete(policy);
  }

  #rollOver(held: Held, { period }: Quota, { startMs, endMs }: Period): void {
    const { logger, publish, setPeriod } = this.#options;
    const usedBytes = held.quota?.peakBytes ?? 0;
    held.quota = begin(startMs);
    this.#killed.delete(held.name);
    this.journal(held);
    setPeriod(held.name, endMs, true);
    logger.info({ policy: held.name, period, usedBytes }, 'a new quota period begins');
    publish('quota-period', { policy: held.name, period, usedBytes });
  }

  #act(held: Held, { bytes, period, then: action }: Quota, state: QuotaState): void {
    const { audit, logger, publish } = this.#options;
    state.acted = true;
    held.actions.set(action, (held.actions.get(action) ?? 0) + 1);
    this.journal(held);
    const detail = { policy: held.name, action, bytes, usedBytes: state.usedBytes, period };
    logger.warn(detail, 'a quota is used up');
    publish('quota-used-up', detail);
    audit.record({ actor: null, action: 'quota-used-up', target: held.name, result: 'done', detail });
  }

  #kill(held: Held): void {
    const killed = this.#killed.get(held.name) ?? new Set();
    this.#killed.set(held.name, killed);
    for (const record of this.#options.countedBy(held)) {
      if (killed.has(record)) continue;
      killed.add(record);
      this.#end(record, held);
    }
  }

  #end(record: ProcessRecord, { name: policy, forced }: Held): void {
    const { audit, killer } = this.#options;
    const { tgid: pid, name, startedAtMs } = record;
    const entry = { actor: null, action: 'kill', target: `process ${pid} (${name})`, detail: { policy } } as const;
    try {
      killer.kill({ pid, signal: 'SIGTERM', startedAtMs, executable: undefined, forced }, []);
      audit.record({ ...entry, result: 'done' });
    } catch (error) {
      const { code, message } = error as { code?: string; message: string };
      audit.record({ ...entry, detail: { policy, message }, result: code ?? 'failed' });
    }
  }
}

function begin(periodStartMs: number): QuotaState {
  return { periodStartMs, clockStartMs: periodStartMs, usedBytes: 0, peakBytes: 0, acted: false, exhausted: false };
}
