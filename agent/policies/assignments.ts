import type { Logger } from 'pino';
import { startTicksOf } from '../proc-stat.ts';
import type { ProcessRecord } from '../process-table.ts';
import { carriesSessions, type Protection } from '../protection.ts';
import type { Enforcer } from './enforcer.ts';
import { type Bound, isExplicit, isMatch } from './match.ts';
import type { Policy, RuledFlow } from './policy.ts';
import type { Spared } from './policy-records.ts';

/** A policy that is in force, as far as it takes to tell whom it holds. In order of precedence. */
export interface Applicable {
  readonly name: string;
  readonly policy: Policy;
  readonly bound: Bound | null;
  readonly spared: readonly Spared[];
  readonly forced: boolean;
}

/** What holds for one process, and what would but for a reason. */
export interface Selection {
  readonly held: readonly string[];
  readonly exempt: ReadonlyMap<string, string>;
}

/** Live processes that a policy holds, and those that match and are left alone. */
export interface Reach {
  readonly matches: ProcessRecord[];
  readonly exempt: { record: ProcessRecord; reason: string }[];
}

/** The policies that hold for a process. Pure, but for who is protected. */
function selectPolicies(
  record: ProcessRecord,
  policies: readonly Applicable[],
  perProcess: number,
  protection: Protection,
): Selection {
  const held: string[] = [];
  const exempt = new Map<string, string>();
  for (const { name, policy, bound, spared, forced } of policies) {
    if (!isMatch(policy.match, record, bound)) continue;
    const reason = forced
      ? null
      : (protectedReason(record, protection) ?? sparedReason(record, spared) ?? sessionReason(record, policy));
    if (reason !== null) exempt.set(name, reason);
    else if (held.length >= perProcess)
      exempt.set(name, `${perProcess} policies hold for it already, the most there can be`);
    else held.push(name);
  }
  return { held, exempt };
}

interface Subject {
  record: ProcessRecord;
  selection: Selection;
  /** As the kernel was told. */
  told: readonly string[] | null;
  /** Flows that were ruled relayed. */
  ruled: ReadonlySet<number>;
}

const NOTHING: Selection = { held: [], exempt: new Map() };
const NO_FLOWS: ReadonlySet<number> = new Set();

/** Keeps the kernel told which policies hold for which process, and which flows are relayed. */
export class Assignments {
  readonly #enforcer: Enforcer | null;
  readonly #protection: Protection;
  readonly #logger: Logger;
  #policies: readonly Applicable[] = [];
  readonly #subjects = new Map<ProcessRecord, Subject>();
  readonly #changed = new Set<Subject>();
  #hasRuled = false;
  #errors = 0;

  constructor(enforcer: Enforcer | null, protection: Protection, logger: Logger) {
    this.#enforcer = enforcer;
    this.#protection = protection;
    this.#logger = logger;
  }

  /** Times that the kernel could not be told. */
  get errors(): number {
    return this.#errors;
  }

  /** A process is new, or goes by other names than before. */
  noticed(record: ProcessRecord): void {
    if (record.exitedAtMs !== null) return;
    const subject = this.#subjects.get(record) ?? { record, selection: NOTHING, told: null, ruled: NO_FLOWS };
    subject.told = null; // at exec the kernel matches by itself
    this.#subjects.set(record, subject);
    this.#changed.add(subject);
  }

  ended(record: ProcessRecord): void {
    const subject = this.#subjects.get(record);
    if (!subject) return;
    this.#subjects.delete(record);
    this.#changed.delete(subject);
  }

  /** Other policies are in force from now on. */
  use(policies: readonly Applicable[]): void {
    this.#policies = policies;
    for (const subject of this.#subjects.values()) {
      subject.told = null; // a policy that was removed has been taken off by the kernel's side
      this.#changed.add(subject);
    }
    this.apply();
  }

  /** Costs nothing where nothing has changed. */
  apply(): void {
    const changed = [...this.#changed];
    this.#changed.clear();
    for (const subject of changed) this.#assign(subject);
  }

  /** Tells the kernel what the ledger has ruled on flows of processes under policies for relayed traffic. */
  rule(ruledFlows: (record: ProcessRecord) => readonly RuledFlow[]): void {
    const relayPolicies = new Map(
      this.#policies.filter(({ policy }) => policy.scope === 'relay').map((one) => [one.name, one.policy]),
    );
    if (relayPolicies.size === 0 && !this.#hasRuled) return;
    this.#hasRuled = relayPolicies.size > 0;
    for (const subject of this.#subjects.values()) {
      const policies = subject.selection.held.flatMap((name) => relayPolicies.get(name) ?? []);
      if (policies.length === 0 && subject.ruled.size === 0) continue;
      const anyRole = policies.some(({ match }) => isExplicit(match));
      const flows = policies.length === 0 ? [] : ruledFlows(subject.record);
      this.#rule(
        subject,
        flows.filter(({ role }) => anyRole || role === 'third-party'),
      );
    }
  }

  reachOf(name: string): Reach {
    return reachAmong(this.#subjects.values(), name);
  }

  /** Those of its matches that a policy for relayed traffic is really about: they have flows which are ruled relayed. */
  relayingUnder(name: string): ProcessRecord[] {
    return this.reachOf(name).matches.filter((record) => (this.#subjects.get(record)?.ruled.size ?? 0) > 0);
  }

  /** What `reachOf` would say if these policies were in force. */
  preview(name: string, policies: readonly Applicable[]): Reach {
    const selections = this.#subjects.values().map(({ record }) => {
      return { record, selection: this.#select(record, policies) };
    });
    return reachAmong(selections, name);
  }

  live(pid: number): ProcessRecord | undefined {
    for (const { record } of this.#subjects.values()) if (record.tgid === pid) return record;
    return undefined;
  }

  #select(record: ProcessRecord, policies: readonly Applicable[]): Selection {
    return selectPolicies(record, policies, this.#enforcer?.limits.perProcess ?? Infinity, this.#protection);
  }

  #assign(subject: Subject): void {
    const { record } = subject;
    const selection = this.#policies.length === 0 ? NOTHING : this.#select(record, this.#policies);
    subject.selection = selection;
    if (!this.#enforcer) return;
    try {
      const told = subject.told ?? this.#enforcer.assigned(record);
      if (!isSame(told, selection.held)) this.#enforcer.assign(record, selection.held);
      subject.told = selection.held;
    } catch (error) {
      this.#fail(error, record);
      subject.told = null;
      this.#changed.add(subject); // again at the next poll
    }
  }

  #rule(subject: Subject, flows: readonly RuledFlow[]): void {
    const wanted = new Set(flows.map(({ flow }) => flow));
    try {
      for (const { flow, relayedBytes } of flows) {
        if (!subject.ruled.has(flow)) this.#enforcer?.rule(flow, true, relayedBytes);
      }
      for (const flow of subject.ruled) if (!wanted.has(flow)) this.#enforcer?.rule(flow, false, 0);
    } catch (error) {
      this.#fail(error, subject.record);
    }
    subject.ruled = wanted;
  }

  #fail(error: unknown, { tgid, name }: ProcessRecord): void {
    this.#errors++;
    this.#logger.error({ err: error, pid: tgid, name }, 'the kernel could not be told which policies hold');
  }
}

function reachAmong(subjects: Iterable<Pick<Subject, 'record' | 'selection'>>, name: string): Reach {
  const reach: Reach = { matches: [], exempt: [] };
  for (const { record, selection } of subjects) {
    const reason = selection.exempt.get(name);
    if (reason !== undefined) reach.exempt.push({ record, reason });
    else if (selection.held.includes(name)) reach.matches.push(record);
  }
  return reach;
}

function protectedReason({ tgid, name, details, app }: ProcessRecord, protection: Protection): string | null {
  return protection.reasonFor({ pid: tgid, name, executable: details.executable, app });
}

function sparedReason({ tgid, startNs }: ProcessRecord, spared: readonly Spared[]): string | null {
  const found = spared.find(({ pid, startTicks }) => pid === tgid && startTicks === startTicksOf(startNs));
  return found ? `it carries the session of who made this policy (${found.name})` : null;
}

/** Of the file, of a token and of a quota's end nobody knows whose session they would cut off. */
function sessionReason(record: ProcessRecord, { match }: Policy): string | null {
  if (isExplicit(match) || !carriesSessions(record)) return null;
  return `it may carry an administrator's session, and the policy does not name it (${record.name})`;
}

function isSame(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((name) => other.includes(name));
}
