import { COUNTERS, type Counters, makeCounters, payloadOf, sharesOf, wireOf } from './counters.ts';
import { plainProcess } from './plain-process.ts';
import type { PayloadShare, Process, Relay } from './readings.ts';
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
  readonly #processes = new Map<string, EndedProcess>();
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
    this.#processes.set(identity, new EndedProcess(process, this.#share(process), counters, exitedAtMs));
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
    return this.#processes.get(identity);
  }

  values(): IteratorObject<Process> {
    return this.#processes.values();
  }

  ofPid(pid: number): Iterable<Process> {
    return this.values().filter((process) => process.pid === pid);
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

class EndedProcess implements Process {
  readonly program: Program;
  readonly pid: number;
  readonly parentPid: number | null;
  readonly command: string;
  readonly relay: Relay;
  /** Wall clock. */
  readonly exitedAtMs: number;
  readonly #startedAtMs: number;
  readonly #moved: readonly number[];

  constructor(process: Described, program: Program, counters: Counters, exitedAtMs: number) {
    const { pid, parentPid, command, relay, startedAt } = process;
    this.program = program;
    this.pid = pid;
    this.parentPid = parentPid;
    this.command = command === program.command ? program.command : command;
    this.relay = relay.verdict === 'none' && relay.receivedBytes + relay.sentBytes === 0 ? NO_RELAY : relay;
    this.exitedAtMs = exitedAtMs;
    this.#startedAtMs = Date.parse(startedAt);
    this.#moved = pack(counters);
  }

  toJSON(): Process {
    return plainProcess(this);
  }

  get startedAt(): string {
    return toIso(this.#startedAtMs);
  }

  get exitedAt(): string {
    return toIso(this.exitedAtMs);
  }

  get name(): string {
    return this.program.name;
  }

  get executable(): string | null {
    return this.program.executable;
  }

  get user(): string | null {
    return this.program.user;
  }

  get uid(): number {
    return this.program.uid;
  }

  get app(): string {
    return this.program.app;
  }

  get unit(): string | null {
    return this.program.unit;
  }

  get container(): string | null {
    return this.program.container;
  }

  get profile(): string | null {
    return this.program.profile;
  }

  get configuredPorts(): number[] {
    return this.program.configuredPorts as number[]; // absent there is absent here
  }

  get netns(): number | null {
    return this.program.netns;
  }

  get traffic(): Process['traffic'] {
    const counters = unpack(this.#moved);
    return { wire: wireOf(counters), payload: payloadOf(counters) };
  }

  get payloadShares(): PayloadShare[] {
    return sharesOf(unpack(this.#moved));
  }
}

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
