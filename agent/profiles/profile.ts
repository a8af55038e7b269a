import { AgentError } from '../errors.ts';

/** Ways to recognise a program. All that a rule states must hold; one rule of a profile is enough. */
export interface RecognitionRule {
  /** Absolute paths; `*` stands for anything within one component. */
  executable: readonly string[];
  /** File names of the executable, or of the script an interpreter runs; `*` as above. */
  basename: readonly string[];
  /** Packages of which one must own the executable. */
  package: readonly string[];
  /** What the arguments, joined by blanks and without argv[0], must match. */
  arguments: RegExp | null;
  /** One of the profile's configuration files must be there for the process's user. */
  configured: boolean;
  /** The file name alone is taken as enough, because nothing else is known of the program. */
  nameOnly: boolean;
}

export interface ProfilePort {
  protocol: 'tcp' | 'udp';
  from: number;
  /** The same as `from` for a single port. */
  to: number;
  use: string;
}

export interface ConfigurationPlace {
  /** A path, in which $HOME is the process's user's, or words such as `command line`. */
  where: string;
  keys: readonly string[];
}

/** The parts of a profile that state facts about a program, and so need a source. */
export const FACTS = ['recognise', 'relays', 'ports', 'configuration', 'switchOff'] as const;
export type Fact = (typeof FACTS)[number];

/** What is known of a program that relays. Descriptive only: no verdict depends on it. */
export interface Profile {
  id: string;
  title: string;
  recognise: readonly RecognitionRule[];
  /** What it relays, in a sentence or two. */
  relays: string;
  /** Those it usually has open; empty where they are chosen freely or not known. */
  ports: readonly ProfilePort[];
  configuration: readonly ConfigurationPlace[];
  /** How relaying is stopped in the program itself; null where it is not known. */
  switchOff: string | null;
  /** A service whose purpose is to relay for those its administrator serves. */
  declaredService: boolean;
  sources: Readonly<Partial<Record<Fact, string>>>;
  /** The file it was read from. */
  origin: string;
}

type Fields = Record<string, unknown>;

const PROFILE_KEYS = ['id', 'title', ...FACTS, 'declaredService', 'sources'];
const RULE_KEYS = ['executable', 'basename', 'package', 'arguments', 'configured', 'nameOnly'];
const LONGEST_PATTERN = 200;

/** Programs that run others' scripts: whoever they run is recognised, never they themselves. */
export const INTERPRETER: RegExp =
  /^(?:python[\d.]*|pypy[\d.]*|perl[\d.]*|ruby[\d.]*|node|nodejs|bun|deno|php[\d.]*|lua[\d.]*|luajit|tclsh[\d.]*|bash|dash|sh|zsh|ksh|mksh|busybox|java|ld\.so|ld-linux.*\.so.*|ld-musl.*\.so.*)$/;

/**
 * @param content one entry of a catalogue file, as parsed from YAML
 * @param origin the file, for messages
 * @throws AGENT_CONFIG_UNREADABLE with the file, the field and what is wrong
 */
export function parseProfile(content: unknown, origin: string): Profile {
  const refuse = (what: string): never => {
    throw new AgentError('AGENT_CONFIG_UNREADABLE', `profile in ${origin}: ${what}`);
  };
  const fields = mapping(content, 'the entry', PROFILE_KEYS, refuse);
  const id = text(fields['id'], 'id', refuse);
  if (!/^[a-z0-9][a-z0-9-]{0,63}$/.test(id)) refuse(`id must be lower-case letters, digits and hyphens, not "${id}"`);
  const at = (field: string): string => `${id}: ${field}`;
  const rules = list(fields['recognise'], at('recognise'), refuse);
  if (rules.length === 0) refuse(`${at('recognise')} needs at least one rule`);
  const declaredService = fields['declaredService'];
  if (typeof declaredService !== 'boolean') refuse(`${at('declaredService')} must be true or false`);
  const profile: Profile = {
    id,
    title: text(fields['title'], at('title'), refuse),
    recognise: rules.map((rule, i) => parseRule(rule, at(`recognise[${i}]`), refuse)),
    relays: text(fields['relays'], at('relays'), refuse),
    ports: list(fields['ports'] ?? [], at('ports'), refuse).map((port, i) =>
      parsePort(port, at(`ports[${i}]`), refuse),
    ),
    configuration: list(fields['configuration'] ?? [], at('configuration'), refuse).map((place, i) =>
      parsePlace(place, at(`configuration[${i}]`), refuse),
    ),
    switchOff: fields['switchOff'] == null ? null : text(fields['switchOff'], at('switchOff'), refuse),
    declaredService: declaredService as boolean,
    sources: parseSources(fields['sources'], at('sources'), refuse),
    origin,
  };
  for (const fact of FACTS) {
    const stated = profile[fact] !== null && profile[fact]?.length !== 0;
    if (stated && !profile.sources[fact]) refuse(`${at(`sources.${fact}`)} must say where the fact is from`);
  }
  return profile;
}

type Refuse = (what: string) => never;

function parseRule(content: unknown, at: string, refuse: Refuse): RecognitionRule {
  const fields = mapping(content, at, RULE_KEYS, refuse);
  const rule: RecognitionRule = {
    executable: texts(fields['executable'], `${at}.executable`, refuse),
    basename: texts(fields['basename'], `${at}.basename`, refuse),
    package: texts(fields['package'], `${at}.package`, refuse),
    arguments: parsePattern(fields['arguments'], `${at}.arguments`, refuse),
    configured: flag(fields['configured'], `${at}.configured`, refuse),
    nameOnly: flag(fields['nameOnly'], `${at}.nameOnly`, refuse),
  };
  for (const path of rule.executable) {
    if (!path.startsWith('/') || path.split('/').includes('..'))
      refuse(`${at}.executable must be absolute, not "${path}"`);
  }
  for (const name of rule.basename) {
    if (name.includes('/') || !/[^*]/.test(name)) refuse(`${at}.basename must be a file name, not "${name}"`);
  }
  for (const name of [...rule.executable.map(basenameOf), ...rule.basename]) {
    if (INTERPRETER.test(name)) refuse(`${at} names the interpreter ${name}; name the script that it runs`);
  }
  if (rule.executable.length === 0 && rule.basename.length === 0) refuse(`${at} needs executable or basename`);
  const more = rule.executable.length + rule.package.length > 0 || rule.arguments !== null || rule.configured;
  if (!more && !rule.nameOnly) {
    refuse(`${at}: a file name alone is not enough; add executable, package, arguments, configured or nameOnly`);
  }
  if (more && rule.nameOnly) refuse(`${at}: nameOnly is for a rule with basename and nothing else`);
  return rule;
}

function parsePattern(value: unknown, at: string, refuse: Refuse): RegExp | null {
  if (value === undefined) return null;
  const pattern = text(value, at, refuse);
  if (pattern.length > LONGEST_PATTERN) refuse(`${at} is longer than ${LONGEST_PATTERN} characters`);
  try {
    return new RegExp(pattern, 'u');
  } catch (error) {
    return refuse(`${at} is not a regular expression: ${(error as Error).message}`);
  }
}

function parsePort(content: unknown, at: string, refuse: Refuse): ProfilePort {
  const fields = mapping(content, at, ['port', 'protocol', 'use'], refuse);
  const protocol = fields['protocol'];
  if (protocol !== 'tcp' && protocol !== 'udp')
    return refuse(`${at}.protocol must be tcp or udp, not ${String(protocol)}`);
  const range = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(String(fields['port']));
  const from = Number(range?.[1]);
  const to = Number(range?.[2] ?? range?.[1]);
  if (!(from >= 1 && from <= to && to <= 65535)) {
    refuse(`${at}.port must be 1 to 65535 or a range of them, not ${String(fields['port'])}`);
  }
  return { protocol, from, to, use: text(fields['use'], `${at}.use`, refuse) };
}

function parsePlace(content: unknown, at: string, refuse: Refuse): ConfigurationPlace {
  const fields = mapping(content, at, ['where', 'keys'], refuse);
  return { where: text(fields['where'], `${at}.where`, refuse), keys: texts(fields['keys'], `${at}.keys`, refuse) };
}

function parseSources(content: unknown, at: string, refuse: Refuse): Partial<Record<Fact, string>> {
  const fields = mapping(content, at, FACTS, refuse);
  return Object.fromEntries(Object.entries(fields).map(([fact, from]) => [fact, text(from, `${at}.${fact}`, refuse)]));
}

function mapping(content: unknown, what: string, allowed: readonly string[], refuse: Refuse): Fields {
  if (typeof content !== 'object' || content === null || Array.isArray(content))
    return refuse(`${what} must be a mapping`);
  const stranger = Object.keys(content).find((key) => !allowed.includes(key));
  if (stranger !== undefined) refuse(`${what} has no field "${stranger}"; there are ${allowed.join(', ')}`);
  return content as Fields;
}

function list(value: unknown, what: string, refuse: Refuse): unknown[] {
  return Array.isArray(value) ? value : refuse(`${what} must be a list`);
}

function text(value: unknown, what: string, refuse: Refuse): string {
  if (typeof value !== 'string' || value.trim() === '') return refuse(`${what} must be text, and not empty`);
  return value.trim();
}

function texts(value: unknown, what: string, refuse: Refuse): string[] {
  return value === undefined ? [] : [value].flat().map((item) => text(item, what, refuse));
}

function flag(value: unknown, what: string, refuse: Refuse): boolean {
  return value === undefined || typeof value === 'boolean' ? value === true : refuse(`${what} must be true or false`);
}

export function basenameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

/** A few lines for people: what it relays, where, and how to stop it. */
export function describe(profile: Profile): string {
  const ports = profile.ports.map(({ protocol, from, to, use }) => {
    return `${from === to ? from : `${from}-${to}`}/${protocol} (${use})`;
  });
  const places = profile.configuration.map(({ where, keys }) =>
    keys.length > 0 ? `${where}: ${keys.join(', ')}` : where,
  );
  const lines = [
    `${profile.title} [${profile.id}]${profile.declaredService ? ', a service that is meant to relay' : ''}`,
    `  relays: ${profile.relays}`,
    ...(ports.length > 0 ? [`  usual ports: ${ports.join(', ')}`] : []),
    ...(places.length > 0 ? [`  its own settings: ${places.join('; ')}`] : []),
    `  to stop it there: ${profile.switchOff ?? 'not known'}`,
    ...(profile.recognise.every(({ nameOnly }) => nameOnly) ? ['  recognised by its file name only'] : []),
  ];
  return lines.join('\n');
}
