import type { Actor, Audit, AuditAction, AuditEntry } from './audit.ts';
import { AgentError } from './errors.ts';
import type { History, HistoryQuery, HistoryRecords } from './history.ts';
import { toTarget } from './policies/describe.ts';
import type { Destroyed, Enforcer } from './policies/enforcer.ts';
import type { Policies } from './policies/policies.ts';
import type { Match, PolicyReading, PolicyTarget } from './policies/policy.ts';
import { type ProcStat, readAncestors, readProcStat, startTicksOf } from './proc-stat.ts';
import type { KillRequest, KillResult, ProcessKiller } from './process-killer.ts';
import type { ProcessRecord } from './process-table.ts';
import { sessionCarriers } from './protection.ts';

/** How something is asked for that may be protected. */
export interface Force {
  forced: boolean;
  /** Goes into the audit; needed with `forced`. */
  reason: string | null;
}

export interface PutPolicy extends Force {
  name: string;
  /** As it was sent. */
  policy: unknown;
  dryRun: boolean;
}

export interface DisconnectRequest {
  pid: number;
  scope: 'relay' | 'all';
  startedAtMs: number | undefined;
}

export interface Disconnected extends Destroyed, PolicyTarget {}

/** What a name on the command line means. */
export interface NameMeaning {
  match: Match;
  by: 'app' | 'name';
  /** Whether anything goes by that name now, or has. */
  isKnown: boolean;
  processes: PolicyTarget[];
}

/** The door through which the API changes anything, and what is said of such changes. */
export interface Control {
  policies(): PolicyReading[];
  policy(name: string): PolicyReading;
  putPolicy(request: PutPolicy, actor: Actor): PolicyReading;
  removePolicy(name: string, actor: Actor): PolicyReading;
  disconnect(request: DisconnectRequest & Force, actor: Actor): Disconnected;
  kill(request: KillRequest & Force, actor: Actor): KillResult;
  /** Notes that somebody was turned away who is known. */
  refuse(target: string, problem: { code: string; message: string }, actor: Actor): void;
  meaningOf(name: string): NameMeaning;
  audit(): AuditEntry[];
  history(query: HistoryQuery): History;
}

export interface ControlOptions {
  policies: Policies;
  enforcer: Enforcer | null;
  killer: ProcessKiller;
  audit: Audit;
  history: HistoryRecords;
  nowMs: () => number;
  /** Looks who is there now: what follows is about those who came since the last poll, too. */
  refresh: () => void;
  /** The live process with this pid that has touched the network. */
  find: (pid: number) => ProcessRecord | undefined;
  readProcess?: (pid: number) => ProcStat | undefined;
  /** Live processes that have touched the network. */
  processes: () => PolicyTarget[];
  /** Apps that were ever seen, and those that the catalogue of programs knows. */
  isApp: (name: string) => boolean;
}

export class HostControl implements Control {
  readonly #options: ControlOptions;

  constructor(options: ControlOptions) {
    this.#options = options;
  }

  policies(): PolicyReading[] {
    this.#options.refresh();
    return this.#options.policies.list();
  }

  policy(name: string): PolicyReading {
    this.#options.refresh();
    return this.#options.policies.get(name);
  }

  putPolicy({ name, policy, dryRun, forced, reason }: PutPolicy, actor: Actor): PolicyReading {
    const { policies, refresh } = this.#options;
    refresh();
    const spared = sessionCarriers(this.#ancestorsOf(actor)).map(({ pid, startTicks, name: carrier }) => {
      return { pid, startTicks, name: carrier };
    });
    const put = (): PolicyReading => {
      requireReason({ forced, reason });
      return policies.put(name, policy, { dryRun, forced, spared });
    };
    if (dryRun) return put();
    return this.#audited('policy-put', name, { forced, reason }, actor, put, { policy });
  }

  removePolicy(name: string, actor: Actor): PolicyReading {
    const remove = (): PolicyReading => this.#options.policies.remove(name);
    return this.#audited('policy-removed', name, NOT_FORCED, actor, remove);
  }

  disconnect({ pid, scope, startedAtMs, forced, reason }: DisconnectRequest & Force, actor: Actor): Disconnected {
    const record = this.#find(pid);
    const disconnect = (): Disconnected => {
      const { enforcer, killer, readProcess = readProcStat } = this.#options;
      requireReason({ forced, reason });
      if (!record) throw new AgentError('PROCESS_UNKNOWN', `no live process with pid ${pid} has used the network`);
      const isOther = startTicksOf(record.startNs) !== readProcess(pid)?.startTicks;
      if (isOther || (startedAtMs !== undefined && startedAtMs !== record.startedAtMs)) {
        throw new AgentError('PROCESS_CHANGED', `process ${pid} is not that one any more`);
      }
      const isCarrier = sessionCarriers(this.#ancestorsOf(actor)).some((carrier) => carrier.pid === pid);
      const session = isCarrier ? "it carries the caller's session" : null;
      const protectedBy = forced ? null : (killer.protects(record) ?? session);
      if (protectedBy) {
        const message = `process ${pid} (${record.name}) is protected: ${protectedBy}; use force and give a reason`;
        throw new AgentError('PROCESS_PROTECTED', message);
      }
      if (!enforcer) {
        throw new AgentError('ENFORCEMENT_UNAVAILABLE', 'this agent cannot destroy connections on this host');
      }
      return { ...toTarget(record), ...enforcer.disconnect(record, scope) };
    };
    const target = describeTarget(pid, record);
    return this.#audited('disconnect', target, { forced, reason }, actor, disconnect, { scope }, ({ tcp, udp }) => ({
      tcp,
      udp,
    }));
  }

  kill(request: KillRequest & Force, actor: Actor): KillResult {
    const { pid, signal, forced, reason } = request;
    const kill = (): KillResult => {
      requireReason({ forced, reason });
      return this.#options.killer.kill(request, this.#ancestorsOf(actor));
    };
    const target = describeTarget(pid, this.#options.find(pid));
    return this.#audited('kill', target, { forced, reason }, actor, kill, { signal });
  }

  refuse(target: string, { code, message }: { code: string; message: string }, actor: Actor): void {
    this.#options.audit.record({ actor, action: 'access', target, result: code, detail: { message } });
  }

  meaningOf(name: string): NameMeaning {
    const { isApp, processes, refresh } = this.#options;
    refresh();
    const live = processes().map(({ pid, startedAt, name, app }): PolicyTarget => ({ pid, startedAt, name, app }));
    const byApp = live.filter(({ app }) => app === name);
    const byName = live.filter((process) => process.name === name);
    if (byApp.length > 0) return { match: { app: name }, by: 'app', isKnown: true, processes: byApp };
    if (byName.length > 0) return { match: { name }, by: 'name', isKnown: true, processes: byName };
    if (isApp(name)) return { match: { app: name }, by: 'app', isKnown: true, processes: [] };
    // A script goes by its own name, and its app by its interpreter's; longer names the kernel doesn't have.
    if (Buffer.byteLength(name) <= 15) return { match: { name }, by: 'name', isKnown: false, processes: [] };
    return { match: { app: name }, by: 'app', isKnown: false, processes: [] };
  }

  audit(): AuditEntry[] {
    return this.#options.audit.entries();
  }

  history(query: HistoryQuery): History {
    const { history, nowMs } = this.#options;
    return history.read(query, nowMs());
  }

  /** One that is known already may have ended since: that it is not that one any more is to be noticed. */
  #find(pid: number): ProcessRecord | undefined {
    const { find, refresh } = this.#options;
    const known = find(pid);
    if (known) return known;
    refresh();
    return find(pid);
  }

  #ancestorsOf({ pid }: Actor): ProcStat[] {
    return pid === null ? [] : readAncestors(pid, this.#options.readProcess);
  }

  /** Does it, and notes who did what with what result; also what was refused. */
  #audited<T>(
    action: AuditAction,
    target: string,
    { forced, reason }: Force,
    actor: Actor,
    work: () => T,
    asked: Record<string, unknown> = {},
    outcome: (result: T) => Record<string, unknown> = () => ({}),
  ): T {
    const { audit } = this.#options;
    const said = { reason, detail: { ...asked, ...(forced ? { forced } : {}) } };
    let result: T;
    try {
      result = work();
    } catch (error) {
      const { code, message } = error as { code?: unknown; message: string };
      const result = typeof code === 'string' ? code : 'failed';
      audit.record({ actor, action, target, ...said, detail: { ...said.detail, message }, result });
      throw error;
    }
    audit.record({ actor, action, target, ...said, detail: { ...said.detail, ...outcome(result) }, result: 'done' });
    return result;
  }
}

const NOT_FORCED: Force = { forced: false, reason: null };

/** @throws REASON_MISSING */
function requireReason({ forced, reason }: Force): void {
  if (!forced || reason !== null) return;
  throw new AgentError('REASON_MISSING', 'force needs a reason, which goes into the audit');
}

function describeTarget(pid: number, record: ProcessRecord | undefined): string {
  return record ? `process ${pid} (${record.name})` : `process ${pid}`;
}
