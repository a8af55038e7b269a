import { COUNTERS, type Counters, makeCounters, payloadOf, sharesOf, wireOf } from './counters.ts';
import { lazyRows } from './lazy-rows.ts';
import type { ProcessRow } from './process-description.ts';
import type { Process, Relay } from './readings.ts';
import { NO_RELAY } from './relay/reading.ts';
import { toIso } from './wall-time.ts';

/** What processes have in common that ran the same program. */
type Common = Pick<
  Process,
  'name' | 'executable' | 'user' | 'uid' | 'app' | 'unit' | 'container' | 'profile' | 'netns' | 'configuredPorts'
>;

interface Program extends Common {
  readonly key: string;
  /** Of the first of them: most have the same. */
  readonly command: string;
  /** How many share this. */
  processes: number;
}

/** As it is answered, less what its counters say. */
export type Described = Omit<Process, 'traffic' | 'payloadShares'>;

/**
 * Processes that have ended and given their slots back, readable until they are forgotten. Made for tens of thousands
 * of the same few programs: what they have in common is kept once, of the counters those that moved, and the shape that
 * the API answers with is made when it is read. Some 500 bytes a process.
 */
export class EndedProcesses {
  readonly #limit: number;
  /** By identity, in the order in which they came, which is about that of their ends. */
  readonly #processes = new Map<string, Kept>();
  readonly #programs = new Map<string, Program>();
  #dropped: string[] = [];
  #forgottenEarly = 0;

  /** @param limit processes; where there are more, the oldest are forgotten before their time, and counted */
  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#processes.size;
  }

  /** How many were forgotten because there were too many. */
  get forgottenEarly(): number {
    return this.#forgottenEarly;
  }

  /** @param counters are copied */
  add(identity: string, process: Described, counters: Counters, exitedAtMs: number): void {
    this.delete(identity);
    const { pid, parentPid, command, relay, startedAt } = process;
    const program = this.#share(process);
    this.#processes.set(identity, {
      program,
      pid,
      parentPid,
      command: command === program.command ? program.command : command,
      relay: relay.verdict === 'none' && relay.receivedBytes + relay.sentBytes === 0 ? NO_RELAY : relay,
      startedAtMs: Date.parse(startedAt),
      exitedAtMs,
      moved: pack(counters),
    });
    for (const oldest of this.#processes.keys()) {
      if (this.#processes.size <= this.#limit) break;
      this.delete(oldest);
      this.#dropped.push(oldest);
      this.#forgottenEarly++;
    }
  }

  delete(identity: string): void {
    const process = this.#processes.get(identity);
    if (!process) return;
    this.#processes.delete(identity);
    const { program } = process;
    program.processes--;
    if (program.processes === 0) this.#programs.delete(program.key);
  }

  /** @param exitedAtMs wall clock */
  forgetBefore(exitedAtMs: number): void {
    for (const [identity, process] of this.#processes) if (process.exitedAtMs < exitedAtMs) this.delete(identity);
  }

  /** Identities of those that were forgotten early since the last call: they are to go from the disk, too. */
  takeDropped(): string[] {
    const dropped = this.#dropped;
    this.#dropped = [];
    return dropped;
  }

  get(identity: string): Process | undefined {
    const kept = this.#processes.get(identity);
    return kept && rowOf(kept);
  }

  values(): IteratorObject<Process> {
    return this.#processes.values().map(rowOf);
  }

  ofPid(pid: number): Iterable<Process> {
    const kept = this.#processes.values().filter((each) => each.pid === pid);
    return kept.map(rowOf);
  }

  #share(process: Described): Program {
    const { name, executable, command, user, uid, app, unit, container, profile, netns, configuredPorts } = process;
    const key = JSON.stringify([name, executable, user, uid, app, unit, container, profile, netns, configuredPorts]);
    const known = this.#programs.get(key);
    if (known) {
      known.processes++;
      return known;
    }
    const common: Common = { name, executable, user, uid, app, unit, container, profile, netns };
    const ports = configuredPorts ? { configuredPorts } : {};
    const program: Program = { ...common, ...ports, key, command, processes: 1 };
    this.#programs.set(key, program);
    return program;
  }
}

/** What is kept of one. */
interface Kept {
  readonly program: Program;
  readonly pid: number;
  readonly parentPid: number | null;
  readonly command: string;
  readonly relay: Relay;
  /** Wall clock. */
  readonly startedAtMs: number;
  readonly exitedAtMs: number;
  readonly moved: readonly number[];
}

const rowOf = lazyRows<ProcessRow, Kept>({
  pid: ({ pid }) => pid,
  startedAt: ({ startedAtMs }) => toIso(startedAtMs),
  exitedAt: ({ exitedAtMs }) => toIso(exitedAtMs),
  name: ({ program }) => program.name,
  executable: ({ program }) => program.executable,
  command: ({ command }) => command,
  user: ({ program }) => program.user,
  uid: ({ program }) => program.uid,
  parentPid: ({ parentPid }) => parentPid,
  app: ({ program }) => program.app,
  unit: ({ program }) => program.unit,
  container: ({ program }) => program.container,
  profile: ({ program }) => program.profile,
  configuredPorts: ({ program }) => program.configuredPorts,
  netns: ({ program }) => program.netns,
  traffic: ({ moved }) => {
    const counters = unpack(moved);
    return { wire: wireOf(counters), payload: payloadOf(counters) };
  },
  payloadShares: ({ moved }) => sharesOf(unpack(moved)),
  relay: ({ relay }) => relay,
});

/** Index and value of each counter that is not zero. */
function pack(counters: Counters): number[] {
  const moved: number[] = [];
  for (let i = 0; i < COUNTERS; i++) if (counters[i] !== 0) moved.push(i, counters[i] as number);
  return moved.slice(); // without the room to grow
}

function unpack(moved: readonly number[]): Counters {
  const counters = makeCounters();
  for (let at = 0; at < moved.length; at += 2) counters[moved[at] as number] = moved[at + 1] as number;
  return counters;
}
