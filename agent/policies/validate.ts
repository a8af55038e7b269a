import { AgentError } from '../errors.ts';
import { toIso } from '../wall-time.ts';
import type { Deny, Match, Policy, Quota, Rate } from './policy.ts';

/* Reads a policy from JSON or YAML. Everything that is wrong with it is said at once. Pure. */

/** One thing wrong, and where: `rate.bytesPerSecond`. */
export interface PolicyFault {
  name: string;
  detail: string;
}

export class PolicyInvalidError extends AgentError {
  readonly faults: readonly PolicyFault[];

  constructor(faults: readonly PolicyFault[]) {
    super('POLICY_INVALID', faults.map(({ name, detail }) => (name ? `${name} ${detail}` : detail)).join('; '));
    this.faults = faults;
  }
}

/** The kernel's comm has room for 15 bytes. */
const MAX_NAME_BYTES = 15;
const MAX_TEXT = 4096;
const MAX_PID = 2_147_483_647;
/** (uid_t)-1 means "no uid". */
const MAX_UID = 4_294_967_294;
const MAX_RATE = 1_000_000_000_000;
const DEFAULT_THROTTLE = 4096;
const POLICY_NAME = /^[A-Za-z0-9][A-Za-z0-9._:@+-]{0,62}$/;
const DATE_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)$/;

/** @throws POLICY_INVALID */
export function requirePolicyName(name: string): string {
  if (POLICY_NAME.test(name)) return name;
  const detail = 'must begin with a letter or a digit and have at most 63 letters, digits and . _ : @ + -';
  throw new PolicyInvalidError([{ name: 'name', detail }]);
}

/**
 * The policy with its defaults filled in.
 * @throws POLICY_INVALID with every fault that was found
 */
export function readPolicy(input: unknown, nowMs: number): Policy {
  const faults: PolicyFault[] = [];
  const at = new Reader('', input, faults);
  const policy: Policy = {
    match: readMatch(at.child('match')),
    scope: at.choice('scope', ['relay', 'all'], 'relay'),
    enabled: at.flag('enabled', true),
    expiresAt: readExpiry(at, nowMs),
    rate: at.has('rate') ? readRate(at.child('rate')) : null,
    quota: at.has('quota') ? readQuota(at.child('quota')) : null,
    deny: at.has('deny') ? readDeny(at.child('deny')) : null,
  };
  at.refuseOthers();
  if (faults.length === 0 && !policy.rate && !policy.quota && !policy.deny) {
    at.fault('', 'a policy needs a rate, a quota or a deny: this one would do nothing');
  }
  if (faults.length > 0) throw new PolicyInvalidError(faults);
  return policy;
}

/** `80` or `1024-65535`, inclusive; null where it is neither. */
export function parsePorts(text: string): { first: number; last: number } | null {
  const found = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text);
  if (!found) return null;
  const first = Number(found[1]);
  const last = Number(found[2] ?? found[1]);
  return first >= 1 && last <= 65_535 && first <= last ? { first, last } : null;
}

function readMatch(at: Reader): Match {
  const match: Match = {};
  for (const key of ['app', 'profile', 'name', 'executable', 'unit', 'container'] as const) {
    const text = at.text(key);
    if (text !== undefined) match[key] = text;
  }
  const pid = at.integer('pid', 1, MAX_PID);
  const uid = at.integer('uid', 0, MAX_UID);
  if (pid !== undefined) match.pid = pid;
  if (uid !== undefined) match.uid = uid;
  at.refuseOthers();
  if (match.name !== undefined && Buffer.byteLength(match.name) > MAX_NAME_BYTES) {
    at.fault('name', `is longer than the kernel's names (${MAX_NAME_BYTES} bytes): match its app or its executable`);
  }
  if (match.executable !== undefined && !match.executable.startsWith('/')) {
    at.fault('executable', 'must be an absolute path');
  }
  if (at.isSound && Object.keys(match).length === 0) {
    at.fault('', 'must have at least one of app, profile, name, executable, pid, uid, unit, container');
  }
  return match;
}

function readExpiry(at: Reader, nowMs: number): string | null {
  if (!at.has('expiresAt')) return null;
  const text = at.text('expiresAt') ?? '';
  const ms = DATE_TIME.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(ms)) at.fault('expiresAt', 'must be a time such as 2026-11-22T05:00:00Z');
  else if (ms <= nowMs) at.fault('expiresAt', `must be in the future; it is ${toIso(nowMs)} now`);
  else return toIso(ms);
  return null;
}

function readRate(at: Reader): Rate {
  const rate: Rate = {
    bytesPerSecond: at.required('bytesPerSecond', at.integer('bytesPerSecond', 1, MAX_RATE), 1),
    direction: at.choice('direction', ['sent', 'received', 'both'], 'both'),
  };
  at.refuseOthers();
  return rate;
}

function readQuota(at: Reader): Quota {
  const quota: Quota = {
    bytes: at.required('bytes', at.integer('bytes', 1, Number.MAX_SAFE_INTEGER), 1),
    period: at.choice('period', ['hour', 'day', 'month', 'total']),
    then: at.choice('then', ['notify', 'throttle', 'deny', 'kill']),
    throttleBytesPerSecond: at.integer('throttleBytesPerSecond', 1, MAX_RATE) ?? DEFAULT_THROTTLE,
  };
  at.refuseOthers();
  return quota;
}

function readDeny(at: Reader): Deny {
  const ports = at.has('ports') ? (at.text('ports') ?? null) : null;
  const deny: Deny = {
    inbound: at.flag('inbound', false),
    outbound: at.flag('outbound', false),
    ports,
    how: at.choice('how', ['drop', 'reject'], 'drop'),
  };
  at.refuseOthers();
  if (ports !== null && !parsePorts(ports)) {
    at.fault('ports', 'must be a port such as "80" or a range such as "1024-65535", from 1 to 65535');
  }
  if (at.isSound && !deny.inbound && !deny.outbound) at.fault('', 'must deny inbound, outbound or both');
  return deny;
}

/** The members of one object; what is wrong with them is collected. */
class Reader {
  readonly #path: string;
  readonly #members: Record<string, unknown>;
  readonly #faults: PolicyFault[];
  readonly #known = new Set<string>();
  #isSound = true;

  constructor(path: string, value: unknown, faults: PolicyFault[]) {
    this.#path = path;
    this.#faults = faults;
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    this.#members = isObject ? (value as Record<string, unknown>) : {};
    if (!isObject) this.fault('', value === undefined ? 'is missing' : 'must be an object');
  }

  /** Whether nothing is wrong so far: else what is missing would be said twice. */
  get isSound(): boolean {
    return this.#isSound;
  }

  fault(key: string, detail: string): void {
    this.#isSound = false;
    const name = [this.#path, key].filter((part) => part !== '').join('.');
    this.#faults.push({ name, detail });
  }

  /** Absent and null mean the same. */
  has(key: string): boolean {
    this.#known.add(key);
    return Object.hasOwn(this.#members, key) && this.#members[key] !== null;
  }

  child(key: string): Reader {
    const value = this.has(key) ? this.#members[key] : undefined;
    return new Reader(this.#path === '' ? key : `${this.#path}.${key}`, value, this.#faults);
  }

  text(key: string): string | undefined {
    if (!this.has(key)) return undefined;
    const value = this.#members[key];
    if (typeof value !== 'string' || value.trim() === '') this.fault(key, 'must be text, and not empty');
    else if (value.length > MAX_TEXT) this.fault(key, `must have at most ${MAX_TEXT} characters`);
    else if (/\p{Cc}/u.test(value)) this.fault(key, 'must not have control characters');
    else if (!value.isWellFormed()) this.fault(key, 'must not have half of a surrogate pair');
    else return value;
    return undefined;
  }

  integer(key: string, least: number, most: number): number | undefined {
    if (!this.has(key)) return undefined;
    const value = this.#members[key];
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= least && value <= most) return value;
    this.fault(key, `must be a whole number from ${least} to ${most}`);
    return undefined;
  }

  required<T>(key: string, value: T | undefined, otherwise: T): T {
    if (value === undefined && !this.has(key)) this.fault(key, 'is missing');
    return value ?? otherwise;
  }

  flag(key: string, otherwise: boolean): boolean {
    if (!this.has(key)) return otherwise;
    const value = this.#members[key];
    if (typeof value === 'boolean') return value;
    this.fault(key, 'must be true or false');
    return otherwise;
  }

  choice<const T extends string>(key: string, values: readonly T[], otherwise?: T): T {
    const value = this.has(key) ? this.#members[key] : otherwise;
    const found = values.find((one) => one === value);
    if (found !== undefined) return found;
    this.fault(key, value === undefined ? 'is missing' : `must be one of ${values.join(', ')}`);
    return values[0] as T;
  }

  refuseOthers(): void {
    for (const key of Object.keys(this.#members)) {
      if (this.#known.has(key)) continue;
      this.fault(key.slice(0, 60), `is not known here; there are ${[...this.#known].join(', ')}`);
    }
  }
}
