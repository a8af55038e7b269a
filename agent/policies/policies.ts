import type { Logger } from 'pino';
import type { Audit, AuditAction } from '../audit.ts';
import { AgentError } from '../errors.ts';
import { type ProcStat, startTicksOf } from '../proc-stat.ts';
import type { ProcessKiller } from '../process-killer.ts';
import type { Clock, ProcessRecord } from '../process-table.ts';
import type { Protection } from '../protection.ts';
import { Assignments } from './assignments.ts';
import { Binding } from './binding.ts';
import { describePolicy } from './describe.ts';
import type { Enforcer } from './enforcer.ts';
import { byPrecedence, Held, isExpired, requireWritable } from './held.ts';
import { Installation } from './installation.ts';
import type { Policy, PolicyReading, RuledFlow } from './policy.ts';
import type { PolicySeries } from './policy-metrics.ts';
import type { PolicyRecords, Spared, StoredPolicy } from './policy-records.ts';
import { Quotas } from './quotas.ts';
import { readPolicy, requirePolicyName } from './validate.ts';

export interface PoliciesOptions {
  /** null where this host can't enforce. */
  enforcer: Enforcer | null;
  records: PolicyRecords;
  /** Of the configuration file, validated. */
  configured: ReadonlyMap<string, Policy>;
  protection: Protection;
  audit: Audit;
  clock: Clock;
  /** Changes with each boot. */
  bootId: string;
  readProcess: (pid: number) => ProcStat | undefined;
  /** Ends processes whose quota is used up. */
  killer: Pick<ProcessKiller, 'kill'>;
  logger: Logger;
}

export interface PutOptions {
  dryRun: boolean;
  forced: boolean;
  spared: readonly Spared[];
}

/** What the agent tells its listeners. */
type Publish = (type: string, data: Record<string, unknown>) => void;

/** With those that are switched off: each has its series in `/metrics`. */
const MAX_KEPT = 1000;

/** The policies that are in force: from the file, from REST, over restarts, until they expire. */
export class Policies {
  readonly #options: PoliciesOptions;
  readonly #held = new Map<string, Held>();
  readonly #assignments: Assignments;
  readonly #quotas: Quotas;
  readonly #installation: Installation;
  readonly #binding: Binding;
  #publish: Publish = () => undefined;
  #nextExpiryMs = Infinity;
  #needsStart = true;

  constructor(options: PoliciesOptions) {
    const { clock, enforcer, protection, logger } = options;
    this.#options = options;
    this.#assignments = new Assignments(enforcer, protection, logger);
    this.#installation = new Installation({ enforcer, clock, apply: () => this.#apply() });
    this.#binding = new Binding({ ...options, live: (pid) => this.live(pid) });
    this.#quotas = new Quotas({
      ...options,
      publish: (type, data) => this.#publish(type, data),
      setPeriod: (name, endsAtMs, isNew) => enforcer?.setPeriod(name, endsAtMs, isNew),
      countedBy: ({ name, policy }) =>
        policy.scope === 'relay' ? this.#assignments.relayingUnder(name) : this.#assignments.reachOf(name).matches,
    });
  }

  /** Times that the kernel could not be told whom a policy holds. */
  get errors(): number {
    return this.#assignments.errors;
  }

  publishTo(publish: Publish): void {
    this.#publish = publish;
  }

  /** Takes up what the file says and what an earlier agent left, in the store and in the kernel. */
  start(): void {
    const { configured, enforcer, records, logger } = this.#options;
    const nowMs = this.#nowMs();
    const quotas = new Map(records.quotas().map((quota) => [quota.name, quota]));
    const take = (held: Held): void => {
      this.#held.set(held.name, held);
      if (held.policy.quota) held.quota = this.#quotas.resume(held.policy.quota, quotas.get(held.name), nowMs);
    };
    for (const [name, policy] of configured) {
      if (isExpired(policy, nowMs)) logger.warn({ policy: name }, 'a policy of the configuration file has expired');
      else
        take(
          new Held(
            { name, policy, createdAtMs: nowMs, changedAtMs: nowMs, bound: null, spared: [], forced: false },
            'config',
          ),
        );
    }
    const stored = records.policies();
    for (const each of stored) {
      if (isExpired(each.policy, nowMs)) this.#expire(each.name, each.policy);
      else if (this.#binding.isOver(each)) records.delete(each.name);
      else if (this.#held.has(each.name))
        logger.warn(
          { policy: each.name },
          'the configuration file has a policy of this name: the one put by REST waits',
        );
      else take(new Held(each, 'api'));
    }
    for (const name of enforcer?.installed() ?? []) {
      if (this.#held.get(name)?.policy.enabled) continue;
      enforcer?.remove(name);
      // An earlier agent's file had it.
      if (!configured.has(name) && !stored.some((policy) => policy.name === name))
        this.#auditFile('policy-removed', name, 'done');
    }
    for (const held of this.#held.values()) {
      if (!held.policy.enabled) continue;
      try {
        this.#installation.install(held);
      } catch (error) {
        held.state = 'failed';
        held.problem = (error as Error).message;
        logger.error({ policy: held.name, err: error }, 'a policy could not be installed');
      }
      if (held.source === 'config')
        this.#auditFile('policy-put', held.name, held.state === 'failed' ? 'failed' : 'done', { policy: held.policy });
    }
    this.#needsStart = false;
    this.#apply();
  }

  noticed(record: ProcessRecord): void {
    this.#assignments.noticed(record);
  }

  ended(record: ProcessRecord): void {
    this.#assignments.ended(record);
    this.#quotas.ended(record);
    for (const held of this.#held.values()) {
      const isBound = held.policy.match.pid === record.tgid && held.bound?.startTicks === startTicksOf(record.startNs);
      if (isBound) this.#end(held);
    }
  }

  /** After each poll of the process table. */
  poll(ruledFlows: (record: ProcessRecord) => readonly RuledFlow[]): void {
    if (this.#needsStart) return;
    const { clock, enforcer, logger } = this.#options;
    const nowMs = this.#nowMs();
    if (nowMs >= this.#nextExpiryMs) this.#expireAll(nowMs);
    this.#assignments.apply();
    if (!enforcer) return;
    this.#assignments.rule(ruledFlows);
    for (const held of this.#held.values()) {
      if (held.state !== 'active') continue;
      try {
        const counters = enforcer.counters(held.name);
        held.watch(counters, nowMs, clock.bootNs());
        this.#quotas.watch(held, nowMs, counters.quotaEndsAtMs);
        if (held.policy.expiresAt !== null) enforcer.setExpiry(held.name, Date.parse(held.policy.expiresAt));
      } catch (error) {
        logger.error({ policy: held.name, err: error }, 'a policy could not be read');
      }
    }
  }

  /** With each checkpoint, and at the end: how much of each quota is used goes to disk. */
  checkpoint(): void {
    for (const held of this.#held.values()) {
      this.#quotas.journal(held);
      if (held.state !== 'over' && this.#binding.isOver(held)) this.#end(held);
    }
  }

  list(): PolicyReading[] {
    return [...this.#held.values()].map((held) => this.#describe(held)).sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** For `/metrics`; those that are switched off keep their counters. */
  series(): PolicySeries[] {
    return [...this.#held.values()].map((held) => {
      this.#installation.refresh(held);
      const { matches, exempt } = this.#assignments.reachOf(held.name);
      return {
        name: held.name,
        policy: held.policy,
        sums: held.sums,
        quotaUsedBytes: held.quota?.usedBytes ?? 0,
        processes: matches.length,
        notApplied: exempt.length,
        actions: held.actions,
      };
    });
  }

  /** @throws POLICY_UNKNOWN */
  get(name: string): PolicyReading {
    return this.#describe(this.#require(name));
  }

  /**
   * Puts a policy in force, in the place of the one with this name.
   * @throws POLICY_INVALID, POLICY_READ_ONLY, ENFORCEMENT_*; nothing has changed then
   */
  put(name: string, request: unknown, { dryRun, forced, spared }: PutOptions): PolicyReading {
    const { records } = this.#options;
    const nowMs = this.#nowMs();
    requirePolicyName(name);
    const policy = readPolicy(request, nowMs);
    const before = this.#held.get(name);
    if (before) requireWritable(before);
    else if (this.#held.size >= MAX_KEPT) {
      throw new AgentError(
        'ENFORCEMENT_FULL',
        `there are ${MAX_KEPT} policies already, in force or not: remove one first`,
      );
    }
    const bound = policy.match.pid === undefined ? null : this.#binding.bind(policy.match.pid, forced);
    const isSame =
      before !== undefined && sameJson([before.policy, before.bound, before.forced], [policy, bound, forced]);
    const stored: StoredPolicy = {
      name,
      policy,
      bound,
      spared,
      forced,
      createdAtMs: before?.createdAtMs ?? nowMs,
      changedAtMs: isSame ? before.changedAtMs : nowMs,
    };
    const held = new Held(stored, 'api');
    if (policy.quota) held.quota = this.#quotas.succeed(policy.quota, before, nowMs);
    if (dryRun) return this.#preview(held);
    if (policy.enabled) this.#installation.install(held, before);
    try {
      records.put(stored);
    } catch (error) {
      this.#installation.undo(held, before);
      throw error;
    }
    if (!policy.enabled) this.#installation.uninstall(before);
    held.inherit(before);
    this.#held.set(name, held);
    this.#apply();
    this.#quotas.journal(held);
    this.#publish('policy-put', { policy: name });
    return this.#describe(held);
  }

  /** @throws POLICY_UNKNOWN, POLICY_READ_ONLY */
  remove(name: string): PolicyReading {
    const held = this.#require(name);
    requireWritable(held);
    const last = this.#describe(held);
    this.#drop(held);
    this.#publish('policy-removed', { policy: name });
    return last;
  }

  live(pid: number): ProcessRecord | undefined {
    return this.#assignments.live(pid);
  }

  #drop(held: Held): void {
    this.#quotas.forget(held.name);
    this.#options.records.delete(held.name);
    this.#installation.uninstall(held);
    this.#held.delete(held.name);
    this.#apply();
  }

  /** The order is that of precedence: what the file says first, then the older before the newer. */
  #apply(): void {
    const active = [...this.#held.values()].filter(({ state }) => state === 'active');
    this.#assignments.use(active.sort(byPrecedence));
    const expiries = [...this.#held.values()].map(({ policy }) => Date.parse(policy.expiresAt ?? ''));
    this.#nextExpiryMs = Math.min(Infinity, ...expiries.filter((ms) => !Number.isNaN(ms)));
  }

  #preview(held: Held): PolicyReading {
    const others = [...this.#held.values()].filter(({ name, state }) => name !== held.name && state === 'active');
    held.state = held.policy.enabled ? 'active' : 'disabled';
    const reach = this.#assignments.preview(held.name, [...others, held].sort(byPrecedence));
    return describePolicy(held, reach, { dryRun: true });
  }

  #describe(held: Held): PolicyReading {
    this.#installation.refresh(held);
    return describePolicy(held, this.#assignments.reachOf(held.name));
  }

  /** Its process has ended: it is listed until it is removed, and holds nobody. */
  #end(held: Held): void {
    this.#installation.uninstall(held);
    held.state = 'over';
    this.#apply();
    this.#publish('policy-over', { policy: held.name });
  }

  #expireAll(nowMs: number): void {
    for (const held of [...this.#held.values()]) {
      if (!isExpired(held.policy, nowMs)) continue;
      this.#installation.uninstall(held);
      this.#held.delete(held.name);
      this.#expire(held.name, held.policy);
    }
    this.#apply();
  }

  /** Whoever wrote the file is not known; what it put in force, and no longer does, is told at each start. */
  #auditFile(action: AuditAction, name: string, result: string, detail: Record<string, unknown> = {}): void {
    this.#options.audit.record({ actor: null, action, target: name, result, detail: { source: 'config', ...detail } });
  }

  /** What can't be taken off the disk now is at the next start. */
  #expire(name: string, { expiresAt }: Policy): void {
    const { audit, logger, records } = this.#options;
    try {
      records.delete(name);
    } catch (error) {
      logger.error({ policy: name, err: error }, "a policy that has expired can't be taken off the disk");
    }
    audit.record({
      actor: null,
      action: 'policy-expired',
      target: name,
      result: 'done',
      detail: { expiresAt },
    });
    this.#publish('policy-expired', { policy: name, expiresAt });
  }

  /** Whole ms: the wall clock has fractions of them. */
  #nowMs(): number {
    return Math.round(this.#options.clock.nowMs());
  }

  #require(name: string): Held {
    const held = this.#held.get(name);
    if (!held) throw new AgentError('POLICY_UNKNOWN', `there is no policy called ${name}`);
    return held;
  }
}

function sameJson(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}
