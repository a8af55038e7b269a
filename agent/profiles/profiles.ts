import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { AgentError } from '../errors.ts';
import { type Profile, parseProfile } from './profile.ts';
import { type Candidate, findProfile } from './recognise.ts';

export { describe, type Profile } from './profile.ts';
export type { Candidate } from './recognise.ts';

const CATALOGUE: string = join(import.meta.dirname, 'catalogue');
/** Where an administrator adds profiles, or replaces those of the same id. */
export const OVERRIDES_FOLDER = '/etc/relayledger/profiles.d';

/** The catalogue in force. It names and explains; whether a process relays is for the ledger alone to say. */
export class Profiles {
  readonly all: readonly Profile[];
  readonly #byId: ReadonlyMap<string, Profile>;

  constructor(profiles: readonly Profile[]) {
    this.all = profiles;
    this.#byId = new Map(profiles.map((profile) => [profile.id, profile]));
  }

  byId(id: string): Profile | null {
    return this.#byId.get(id) ?? null;
  }

  /** Pure, but for `hasConfiguration` where the caller gives it. */
  recognise(candidate: Candidate): Profile | null {
    return findProfile(this.all, candidate);
  }
}

/**
 * Our catalogue, and before it the administrator's: an entry of theirs replaces ours of the same id as a whole.
 * @param overrides a folder of .yaml files, each with one entry or a list of them; it need not be there
 * @throws AGENT_CONFIG_UNREADABLE: a file is not YAML, an entry is not valid, or an id is there twice
 */
export function loadProfiles(overrides: string = OVERRIDES_FOLDER, catalogue: string = CATALOGUE): Profiles {
  const theirs = readFolder(overrides, true);
  const ids = new Set(theirs.map(({ id }) => id));
  return new Profiles([...theirs, ...readFolder(catalogue, false).filter(({ id }) => !ids.has(id))]);
}

/** How an app gets the name of its profile; without profiles it gets none. */
export function recogniser(profiles: Profiles | null): (executable: string | null, command: string) => string | null {
  return (executable, command) => profiles?.recognise({ executable, command })?.id ?? null;
}

function readFolder(folder: string, optional: boolean): Profile[] {
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch (cause) {
    if (optional && (cause as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw unreadable(`cannot read the profiles in ${folder}: ${(cause as Error).message}`, cause);
  }
  const profiles = new Map<string, Profile>();
  for (const name of names.filter((name) => name.endsWith('.yaml') && !name.startsWith('.')).sort()) {
    for (const profile of readProfiles(join(folder, name))) {
      const other = profiles.get(profile.id);
      if (other) throw unreadable(`profile in ${profile.origin}: the id ${profile.id} is in ${other.origin} already`);
      profiles.set(profile.id, profile);
    }
  }
  return [...profiles.values()];
}

function readProfiles(path: string): Profile[] {
  let content: unknown;
  try {
    content = parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw unreadable(`cannot read the profile ${path}: ${(cause as Error).message.split('\n')[0]}`, cause);
  }
  if (content === null) return [];
  return [content].flat().map((entry) => parseProfile(entry, path));
}

function unreadable(message: string, cause?: unknown): AgentError {
  return new AgentError('AGENT_CONFIG_UNREADABLE', message, cause === undefined ? undefined : { cause });
}
