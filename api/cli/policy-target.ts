import type { NameMeaning } from '../../agent/control.ts';
import type { Match } from '../../agent/policies/policy.ts';
import { ApiError } from '../errors.ts';
import type { ApiClient } from './client.ts';
import { printable } from './text.ts';

/** Whom a policy of the command line is about. */
export interface Target {
  match: Match;
  /** In words: `the app skype`. */
  who: string;
  isKnown: boolean;
}

const SHOWN_BY_PS = '"relayledger ps" shows them';

/** Asks the agent what NAME means: `pid:4711`, an app, or the name of a process; nothing is guessed from parts. */
export async function resolveTarget(client: ApiClient, argument: string): Promise<Target> {
  if (argument.startsWith('pid:')) {
    const pid = parsePid(argument);
    return { match: { pid }, who: `process ${pid}`, isKnown: true };
  }
  if (argument.trim() === '') throw new ApiError('usage', `whom? Give an app or the name of a process: ${SHOWN_BY_PS}`);
  const meaning = await client.get<NameMeaning>(`/v1/names/${encodeURIComponent(argument)}`);
  // Who types a pid means that process; taken for a name it would hold nobody.
  if (!meaning.isKnown && /^\d+$/.test(argument)) {
    throw new ApiError(
      'usage',
      `nothing goes by the name ${argument}: write pid:${argument} for the process with that pid`,
    );
  }
  const who = meaning.by === 'app' ? `the app ${printable(argument)}` : `processes called ${printable(argument)}`;
  return { match: meaning.match, who, isKnown: meaning.isKnown };
}

/** `4711` or `pid:4711`. */
export function parsePid(argument: string): number {
  const digits = /^(?:pid:)?([0-9]{1,10})$/.exec(argument)?.[1];
  if (digits !== undefined) return Number(digits);
  throw new ApiError('usage', `"${argument}" is not a pid: write a number such as 4711; ${SHOWN_BY_PS}`);
}

/** The same for the same NAME, so that a command that is given again changes the policy and adds none. */
export function policyNameOf(prefix: string, argument: string): string {
  const name = `${prefix}-${argument.replace(/^pid:/, 'pid-')}`;
  const clean = name.replace(/[^A-Za-z0-9._:@+-]/g, '-').slice(0, 63);
  if (clean === name) return name;
  // Two names must not meet in one policy for what was cut off or replaced.
  let hash = 0;
  for (const character of name) hash = (Math.imul(hash, 31) + (character.codePointAt(0) ?? 0)) >>> 0;
  return `${clean.slice(0, 54)}-${hash.toString(36)}`;
}
