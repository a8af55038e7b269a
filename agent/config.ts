import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { parse } from 'yaml';
import { AgentError } from './errors.ts';
import type { Policy } from './policies/policy.ts';
import { PolicyInvalidError, readPolicy, requirePolicyName } from './policies/validate.ts';

/** How the agent was told to run. */
export interface Config {
  /** Where the API listens, as HOST:PORT; several are allowed. */
  listen: string[];
  socket: string;
  stateDir: string;
  bpffs: string;
  /** A cgroup2 directory; undefined: the mount is looked for, and made where there is none. */
  cgroup: string | undefined;
  tokenFile: string | undefined;
  /** Seconds between two polls. */
  interval: number;
  logLevel: string;
  /** Apps that `/metrics` gives series of their own; what comes later goes to `other`. */
  maxApps: number;
  /** Adds series by pid and name. */
  metricsPerProcess: boolean;
  /** Apps or program names that are meant to relay. */
  services: string[];
  /** Whether the catalogue of known programs is used. */
  profiles: boolean;
  /** Whether the content of suspected flows is compared, by keyed hashes that stay in the kernel. */
  fingerprints: boolean;
  /** Takes everything out of the kernel when the agent stops. */
  detachOnExit: boolean;
  /** Programs and executables that nobody kills, cuts off or caps without force. */
  protected: string[];
  /** Of the file alone; REST can't change them. */
  policies: ReadonlyMap<string, Policy>;
}

type Kind = 'string' | 'strings' | 'seconds' | 'count' | 'flag';

interface Option {
  key: keyof Config;
  kind: Kind;
  help: string;
}

const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'];

/** By flag name; the environment variable is RELAYLEDGER_ + the name in capitals, the YAML key is the name. */
export const OPTIONS: Readonly<Record<string, Option>> = {
  listen: { key: 'listen', kind: 'strings', help: 'HOST:PORT of the API; may be given several times' },
  socket: { key: 'socket', kind: 'string', help: 'Unix socket of the API' },
  'state-dir': { key: 'stateDir', kind: 'string', help: 'where totals are kept on disk' },
  bpffs: { key: 'bpffs', kind: 'string', help: 'directory on a bpffs that holds the pinned maps and links' },
  cgroup: { key: 'cgroup', kind: 'string', help: 'cgroup2 directory to account for (default: the root)' },
  'token-file': { key: 'tokenFile', kind: 'string', help: 'bearer tokens and their roles' },
  interval: { key: 'interval', kind: 'seconds', help: 'seconds between two polls, 0.1 to 3600' },
  'log-level': { key: 'logLevel', kind: 'string', help: LOG_LEVELS.join(', ') },
  'max-apps': { key: 'maxApps', kind: 'count', help: 'apps with series of their own in /metrics' },
  service: {
    key: 'services',
    kind: 'strings',
    help: 'app or program that is meant to relay; may be given several times',
  },
  profiles: {
    key: 'profiles',
    kind: 'flag',
    help: 'names known programs by their profiles (default; --no-profiles: by executable)',
  },
  fingerprints: {
    key: 'fingerprints',
    kind: 'flag',
    help: 'compares what suspected relays send with what came in, by hashes of samples (default: off)',
  },
  protected: {
    key: 'protected',
    kind: 'strings',
    help: 'program or executable that nobody kills or caps without --force; may be given several times',
  },
  'metrics-per-process': { key: 'metricsPerProcess', kind: 'flag', help: 'adds series by pid and name' },
  'detach-on-exit': { key: 'detachOnExit', kind: 'flag', help: 'takes everything out of the kernel at exit' },
};

const DEFAULTS: Config = {
  listen: ['127.0.0.1:9745'],
  socket: '/run/relayledger/api.sock',
  stateDir: '/var/lib/relayledger',
  bpffs: '/sys/fs/bpf/relayledger',
  cgroup: undefined,
  tokenFile: undefined,
  interval: 1,
  logLevel: 'info',
  maxApps: 1000,
  metricsPerProcess: false,
  services: [],
  profiles: true,
  fingerprints: false,
  detachOnExit: false,
  protected: [],
  policies: new Map(),
};

const DEFAULT_FILE = '/etc/relayledger/config.yaml';

/**
 * Flags before environment before file before defaults.
 * @throws AGENT_OPTION_INVALID, AGENT_CONFIG_UNREADABLE
 */
export function readConfig(argv: readonly string[], environment: NodeJS.ProcessEnv): Config {
  const flags = readFlags(argv);
  const path = flags['config'] ?? (environment['RELAYLEDGER_CONFIG'] || undefined);
  const config = structuredClone(DEFAULTS);
  const { policies, ...file } = readFile(typeof path === 'string' ? path : undefined);
  apply(config, file, (name) => `${name} in the configuration file`);
  config.policies = readPolicies(policies);
  apply(config, readEnvironment(environment), (name) => `RELAYLEDGER_${constantCase(name)}`);
  const { config: _path, ...rest } = flags;
  apply(config, rest, (name) => `--${name}`);
  return config;
}

/** One line per option for `--help`. */
export function describeOptions(): string[] {
  const lines = Object.entries(OPTIONS).map(([name, { key, kind, help }]) => {
    const value = kind === 'flag' ? '' : ` ${kind === 'count' || kind === 'seconds' ? 'N' : 'VALUE'}`;
    const standard = DEFAULTS[key];
    const shown = kind === 'flag' ? '' : String(standard ?? '');
    return `  --${name}${value}`.padEnd(28) + help + (shown && ` (default ${shown})`);
  });
  return [...lines, `${'  --config VALUE'.padEnd(28)}YAML file with these options (default ${DEFAULT_FILE})`];
}

function readFlags(argv: readonly string[]): Record<string, unknown> {
  const options = Object.fromEntries(
    Object.entries(OPTIONS).map(([name, { kind }]) => [
      name,
      kind === 'flag' ? ({ type: 'boolean' } as const) : ({ type: 'string', multiple: kind === 'strings' } as const),
    ]),
  );
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: { ...options, config: { type: 'string' } },
      allowNegative: true,
    });
    return values;
  } catch (cause) {
    throw invalid(`${(cause as Error).message.split('. ')[0]}; see relayledger agent --help`, cause);
  }
}

function readEnvironment(environment: NodeJS.ProcessEnv): Record<string, unknown> {
  const found = Object.keys(OPTIONS).map((name) => [name, environment[`RELAYLEDGER_${constantCase(name)}`]] as const);
  return Object.fromEntries(found.filter(([, value]) => value !== undefined && value !== ''));
}

function readFile(path: string | undefined): Record<string, unknown> {
  let text: string;
  try {
    text = readFileSync(path ?? DEFAULT_FILE, 'utf8');
  } catch (cause) {
    if (path === undefined && (cause as NodeJS.ErrnoException).code === 'ENOENT') return {};
    const message = `cannot read the configuration file ${path ?? DEFAULT_FILE}: ${(cause as Error).message}`;
    throw new AgentError('AGENT_CONFIG_UNREADABLE', message, { cause });
  }
  let content: unknown;
  try {
    content = parse(text) ?? {};
  } catch (cause) {
    const message = `${path ?? DEFAULT_FILE} is not YAML: ${(cause as Error).message.split('\n')[0]}`;
    throw new AgentError('AGENT_CONFIG_UNREADABLE', message, { cause });
  }
  if (typeof content !== 'object' || content === null || Array.isArray(content)) {
    throw new AgentError('AGENT_CONFIG_UNREADABLE', `${path ?? DEFAULT_FILE} must be a YAML mapping of options`);
  }
  return content as Record<string, unknown>;
}

function apply(config: Config, values: Record<string, unknown>, describe: (name: string) => string): void {
  for (const [name, value] of Object.entries(values)) {
    const option = Object.hasOwn(OPTIONS, name) ? OPTIONS[name] : undefined;
    if (!option) throw invalid(`${describe(name)}: there is no such option; see relayledger agent --help`);
    if (value === undefined) continue;
    Object.assign(config, { [option.key]: convert(option.kind, value, describe(name)) });
    if (LOG_LEVELS.includes(config.logLevel)) continue;
    throw invalid(`${describe(name)} must be one of ${LOG_LEVELS.join(', ')}, not ${config.logLevel}`);
  }
}

/** By name. One that has expired is no mistake: the file is older than the moment. */
function readPolicies(section: unknown): Map<string, Policy> {
  const where = 'policies in the configuration file';
  if (section === undefined || section === null) return new Map();
  if (typeof section !== 'object' || Array.isArray(section)) throw invalid(`${where} must be a mapping of names`);
  const policies = new Map<string, Policy>();
  for (const [name, input] of Object.entries(section)) {
    try {
      const policy = readPolicy(input, 0);
      if (policy.match.pid !== undefined) {
        throw new PolicyInvalidError([{ name: 'match.pid', detail: 'means another process after each start' }]);
      }
      policies.set(requirePolicyName(name), policy);
    } catch (cause) {
      if (!(cause instanceof PolicyInvalidError)) throw cause;
      throw invalid(`${where}: ${name}: ${cause.message}`, cause);
    }
  }
  return policies;
}

function convert(kind: Kind, value: unknown, what: string): string | string[] | number | boolean {
  switch (kind) {
    case 'string':
      return nonEmpty(value, what);
    case 'strings':
      return (typeof value === 'string' ? value.split(',') : [value].flat()).map((item) => nonEmpty(item, what));
    case 'flag':
      if (value === true || value === 'true' || value === '1') return true;
      if (value === false || value === 'false' || value === '0') return false;
      throw invalid(`${what} must be true or false, not ${String(value)}`);
    case 'seconds':
      return inRange(value, 0.1, 3600, what);
    case 'count': {
      const count = inRange(value, 1, 100_000, what);
      if (!Number.isInteger(count)) throw invalid(`${what} must be a whole number, not ${String(value)}`);
      return count;
    }
  }
}

function nonEmpty(value: unknown, what: string): string {
  if (typeof value !== 'string' || value.trim() === '') throw invalid(`${what} must be text, and not empty`);
  return value.trim();
}

function inRange(value: unknown, least: number, most: number, what: string): number {
  const number = typeof value === 'number' ? value : typeof value === 'string' && value.trim() ? Number(value) : NaN;
  if (number >= least && number <= most) return number;
  throw invalid(`${what} must be a number from ${least} to ${most}, not ${String(value)}`);
}

function constantCase(name: string): string {
  return name.toUpperCase().replaceAll('-', '_');
}

function invalid(message: string, cause?: unknown): AgentError {
  return new AgentError('AGENT_OPTION_INVALID', message, cause === undefined ? undefined : { cause });
}
