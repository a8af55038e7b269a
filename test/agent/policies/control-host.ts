import { DatabaseSync } from 'node:sqlite';
import { pino } from 'pino';
import { Audit } from '../../../agent/audit.ts';
import { HostControl } from '../../../agent/control.ts';
import { makeCounters as makeVector } from '../../../agent/counters.ts';
import { HistoryRecords } from '../../../agent/history.ts';
import { Policies } from '../../../agent/policies/policies.ts';
import type { Policy, PolicyTarget, RuledFlow } from '../../../agent/policies/policy.ts';
import { PolicyRecords } from '../../../agent/policies/policy-records.ts';
import type { ProcStat } from '../../../agent/proc-stat.ts';
import { ProcessKiller } from '../../../agent/process-killer.ts';
import type { ProcessRecord } from '../../../agent/process-table.ts';
import { Protection } from '../../../agent/protection.ts';
import { FakeClock } from '../fake-clock.ts';
import { FakeEnforcer } from './fake-enforcer.ts';

export const AGENT_PID = 4000;
let nextSlot = 1;

/** A live process as the process table has it. */
export function makeRecord(override: Partial<ProcessRecord> & { executable?: string } = {}): ProcessRecord {
  const { executable = '/usr/bin/socat', ...rest } = override;
  const slot = nextSlot++;
  return {
    slot,
    generation: 1,
    tgid: 4711,
    startNs: 100_000_000_000n,
    startedAtMs: Date.UTC(2026, 10, 22, 5),
    exitedAtMs: null,
    name: 'socat',
    uid: 0,
    details: { executable, command: 'socat', cgroup: '/', parentPid: 1, netns: 1, fifos: [] },
    unit: null,
    container: null,
    profile: null,
    app: 'socat',
    counters: makeVector(),
    dirty: false,
    phase: 'live',
    ...rest,
  };
}

export function statOf({ tgid, startNs, name, details }: ProcessRecord): ProcStat {
  return {
    pid: tgid,
    name,
    state: 'S',
    parentPid: details.parentPid ?? 1,
    isKernelThread: false,
    startTicks: Number(startNs / 10_000_000n),
  };
}

export interface ControlHostOptions {
  enforcer?: FakeEnforcer | null;
  configured?: ReadonlyMap<string, Policy>;
  protectedNames?: string[];
  bootId?: string;
  db?: DatabaseSync;
  clock?: FakeClock;
  records?: ProcessRecord[];
  /** What /proc shows beside the records. */
  stats?: ProcStat[];
}

/** The agent's control side over a fake kernel, a fake /proc, and a store in memory. */
export class ControlHost {
  readonly db: DatabaseSync;
  readonly clock: FakeClock;
  readonly enforcer: FakeEnforcer | null;
  readonly policies: Policies;
  readonly control: HostControl;
  readonly history: HistoryRecords;
  readonly stats: Map<number, ProcStat> = new Map();
  readonly signals: string[] = [];
  readonly events: { type: string; data: Record<string, unknown> }[] = [];
  readonly records: ProcessRecord[] = [];
  readonly apps: Set<string> = new Set();
  /** What the ledger has ruled, by pid. */
  readonly ruled: Map<number, RuledFlow[]> = new Map();

  constructor(options: ControlHostOptions = {}) {
    this.db = options.db ?? new DatabaseSync(':memory:');
    // The real one has fractions of a millisecond.
    this.clock = options.clock ?? new FakeClock({ wallMs: Date.UTC(2026, 10, 22, 5) + 0.25 });
    this.enforcer = options.enforcer === undefined ? new FakeEnforcer() : options.enforcer;
    const logger = pino({ level: 'silent' });
    const nowMs = (): number => this.clock.nowMs();
    const audit = new Audit({ db: this.db, logger, nowMs, userName: (uid) => (uid === 0 ? 'root' : null) });
    const protection = new Protection({ agentPid: AGENT_PID, names: options.protectedNames ?? [] });
    this.history = new HistoryRecords(this.db);
    const killer = new ProcessKiller({
      protection,
      find: (pid) => this.policies.live(pid),
      toWallMs: (ns) => this.clock.nowMs() - Number(this.clock.bootNs() - ns) / 1e6,
      open: (pid) => ({
        signal: (signal) => void this.signals.push(`${signal} ${pid}`),
        [Symbol.dispose]: () => undefined,
      }),
      readStat: (pid) => this.stats.get(pid),
      readExecutable: (pid) => this.records.find(({ tgid }) => tgid === pid)?.details.executable ?? null,
    });
    this.policies = new Policies({
      enforcer: this.enforcer,
      records: new PolicyRecords(this.db),
      configured: options.configured ?? new Map(),
      protection,
      audit,
      clock: this.clock,
      bootId: options.bootId ?? 'this-boot',
      readProcess: (pid) => this.stats.get(pid),
      killer,
      logger,
    });
    this.policies.publishTo((type, data) => this.events.push({ type, data }));
    this.control = new HostControl({
      policies: this.policies,
      enforcer: this.enforcer,
      killer,
      audit,
      history: this.history,
      nowMs,
      refresh: () => undefined,
      find: (pid) => this.policies.live(pid),
      readProcess: (pid) => this.stats.get(pid),
      processes: () => this.records.filter(({ exitedAtMs }) => exitedAtMs === null).map(toReading),
      isApp: (name) => this.apps.has(name),
    });
    for (const stat of options.stats ?? []) this.stats.set(stat.pid, stat);
    for (const record of options.records ?? []) this.add(record);
    this.policies.start();
  }

  add(record: ProcessRecord): ProcessRecord {
    this.records.push(record);
    this.stats.set(record.tgid, statOf(record));
    this.policies.noticed(record);
    return record;
  }

  end(record: ProcessRecord): void {
    record.exitedAtMs = this.clock.nowMs();
    this.stats.delete(record.tgid);
    this.policies.ended(record);
  }

  poll(advanceMs = 1000): void {
    this.clock.advance(advanceMs);
    this.policies.poll((record) => this.ruled.get(record.tgid) ?? []);
  }
}

/** As the agent's readings are: with more than is asked for. */
function toReading({ tgid: pid, startedAtMs, name, app }: ProcessRecord): PolicyTarget & { command: string } {
  return { pid, startedAt: new Date(startedAtMs).toISOString(), name, app, command: 'secret' };
}
