import type { ProcStat } from './proc-stat.ts';

/* Which processes are not to be harmed by mistake? Pure, but for what it is told of /proc. */

/** Programs that carry an administrator's session: without them nobody could take back what went wrong. */
const SESSION_CARRIERS: ReadonlySet<string> = new Set([
  'sshd',
  'sshd-session',
  'dropbear',
  'mosh-server',
  'in.telnetd',
  'telnetd',
  'login',
  'ttyd',
  'cockpit-bridge',
]);

export interface ProtectionOptions {
  agentPid: number;
  /** Program names and executables, from the configuration. */
  names: readonly string[];
}

/** Tells, in words, why a process must not be touched without `force`; null where it may be. */
export class Protection {
  readonly #agentPid: number;
  readonly #names: ReadonlySet<string>;

  constructor({ agentPid, names }: ProtectionOptions) {
    this.#agentPid = agentPid;
    this.#names = new Set(names);
  }

  /** Names and executables that policies leave alone, by whatever they are matched. */
  programs(): string[] {
    return [...this.#names, ...SESSION_CARRIERS];
  }

  /** Whoever asks. */
  reasonFor(process: { pid: number; name: string; executable: string | null; app: string | null }): string | null {
    const { pid, name, executable, app } = process;
    if (pid <= 0) return 'it is the kernel';
    if (pid === 1) return 'it is pid 1, the init process';
    if (pid === this.#agentPid) return 'it is the agent itself';
    const base = executable?.slice(executable.lastIndexOf('/') + 1);
    for (const known of [name, executable, base, app]) {
      if (known && this.#names.has(known)) return `the configuration protects ${known}`;
    }
    return null;
  }

  /** For killing: the caller would end itself, or what started it. */
  reasonForCaller(pid: number, ancestors: readonly ProcStat[]): string | null {
    if (ancestors[0]?.pid === pid) return 'it is the caller itself';
    const found = ancestors.find((ancestor) => ancestor.pid === pid);
    return found ? `it is an ancestor of the caller (${found.name})` : null;
  }
}

/** Whether an administrator's session may run through it. */
export function carriesSessions({ name }: { name: string }): boolean {
  return SESSION_CARRIERS.has(name);
}

/** Of the caller's ancestors those that a policy leaves alone: a cap or a deny there would cut the session off. */
export function sessionCarriers(ancestors: readonly ProcStat[]): ProcStat[] {
  return ancestors.filter(carriesSessions);
}
