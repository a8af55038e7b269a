import { basenameOf, INTERPRETER, type Profile, type RecognitionRule } from './profile.ts';

/** What is known of a process when it is looked up. The kernel's name for it plays no part. */
export interface Candidate {
  executable: string | null;
  /** argv, joined by blanks. */
  command: string;
  /** The package that owns the executable, where somebody has looked. */
  package?: string | null;
  /** Whether this file is there; the path begins with `/` or with `$HOME/`, the home of the process's user. */
  hasConfiguration?: (where: string) => boolean;
}

/** What the rules are held against: the program, or the script that an interpreter runs. */
interface Subject {
  path: string;
  basename: string;
  arguments: string;
}

/** A user writes the arguments: no pattern is run over more of them than this. */
const ARGUMENTS_LIMIT = 4096;

/** Options of interpreters that take the next argument as their value. */
const VALUE_OPTION =
  /^(?:-[WX]|-r|--require|--import|--loader|--conditions|-C|--env-file|-I|-cp|-classpath|--class-path|--module-path|-o|\+o|--rcfile|--init-file|--preload|--library-path|--argv0)$/;
/** Options after which there is no script: a program in the arguments, a module's name, a prompt. */
const NO_SCRIPT = /^(?:-[cem]|-p|--eval|--print|--module|-s|-i|-)$/;

/**
 * The profile whose rule says most: a path before a package, a package before arguments or a configuration file, a file
 * name alone last; among equals the first of `profiles`.
 */
export function findProfile(profiles: readonly Profile[], candidate: Candidate): Profile | null {
  const subject = subjectOf(candidate.executable, candidate.command);
  if (!subject) return null;
  // A script's package is not its interpreter's.
  const owner = subject.path === candidate.executable ? (candidate.package ?? null) : null;
  let best: Profile | null = null;
  let most = 0;
  for (const profile of profiles) {
    for (const rule of profile.recognise) {
      const weight = weightOf(rule);
      if (weight <= most || !holds(rule, subject, owner)) continue;
      if (rule.configured && !isConfigured(profile, candidate)) continue;
      best = profile;
      most = weight;
    }
  }
  return best;
}

function isConfigured({ configuration }: Profile, { hasConfiguration }: Candidate): boolean {
  return configuration.some(({ where }) => /^(?:\/|\$HOME\/)[^*]*$/.test(where) && hasConfiguration?.(where) === true);
}

function weightOf(rule: RecognitionRule): number {
  if (rule.executable.length > 0) return 4;
  if (rule.package.length > 0) return 3;
  return rule.nameOnly ? 1 : 2;
}

function holds(rule: RecognitionRule, subject: Subject, owner: string | null): boolean {
  if (rule.executable.length > 0 && !rule.executable.some((glob) => matchesGlob(glob, subject.path))) return false;
  if (rule.basename.length > 0 && !rule.basename.some((glob) => matchesGlob(glob, subject.basename))) return false;
  if (rule.package.length > 0 && (owner === null || !rule.package.includes(owner))) return false;
  return rule.arguments === null || rule.arguments.test(subject.arguments);
}

function subjectOf(executable: string | null, command: string): Subject | null {
  if (!executable) return null;
  const rest = argumentsOf(executable, command.slice(0, ARGUMENTS_LIMIT));
  const basename = basenameOf(executable);
  if (!INTERPRETER.test(basename)) return { path: executable, basename, arguments: rest };
  return scriptOf(rest);
}

/** A path with blanks in argv[0] is seen where it is the executable's own. */
function argumentsOf(executable: string, command: string): string {
  if (command === executable) return '';
  if (command.startsWith(`${executable} `)) return command.slice(executable.length + 1);
  const blank = command.indexOf(' ');
  return blank < 0 ? '' : command.slice(blank + 1);
}

function scriptOf(rest: string): Subject | null {
  const words = rest.split(' ');
  for (let i = 0; i < words.length; i++) {
    const word = words[i] as string;
    if (NO_SCRIPT.test(word)) return null;
    if (VALUE_OPTION.test(word)) i++;
    else if (word !== '' && !/^[-+]./.test(word)) {
      return { path: word, basename: basenameOf(word), arguments: words.slice(i + 1).join(' ') };
    }
  }
  return null;
}

/** Component by component, each `*` greedy with one point to come back to: linear, whatever the text. */
function matchesGlob(glob: string, text: string): boolean {
  if (!glob.includes('*')) return glob === text;
  const globs = glob.split('/');
  const parts = text.split('/');
  return globs.length === parts.length && globs.every((part, i) => matchesComponent(part, parts[i] as string));
}

function matchesComponent(glob: string, text: string): boolean {
  const [first = '', ...others] = glob.split('*');
  const last = others.pop();
  if (last === undefined) return glob === text;
  if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last)) return false;
  let at = first.length;
  for (const piece of others) {
    const found = text.indexOf(piece, at);
    if (found < 0) return false;
    at = found + piece.length;
  }
  return at <= text.length - last.length;
}
