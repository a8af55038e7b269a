import { setTimeout as sleep } from 'node:timers/promises';
import type { Flow, Process, RelayReading } from '../../../agent/readings.ts';
import type { Agent } from '../../e2e/agent.ts';
import type { FlowSamples } from './baselines.ts';

const TICK_MS = 100;
/** Ticks between two looks at all processes. */
const PROCESSES_EVERY = 3;

interface Samples {
  pid: number;
  samples: { atMs: number; receivedBytes: number; sentBytes: number }[];
}

/** What the agent says of one host's processes, as time goes by. */
export class Watch {
  readonly #netns: number;
  readonly #beginMs = Date.now();
  readonly #pids = new Set<number>();
  readonly #flows = new Map<string, Samples>();
  readonly #relays = new Map<string, RelayReading>();
  #endMs = Number.POSITIVE_INFINITY;
  #relayAtMs: number | undefined;

  constructor(netns: number) {
    this.#netns = netns;
  }

  /** Whether it is one of this host's, started while it was there: the number of its namespace is used again. */
  concerns({ netns, startedAt }: Process): boolean {
    const startedAtMs = Date.parse(startedAt);
    // The kernel's clock and ours differ by some milliseconds.
    return netns === this.#netns && startedAtMs >= this.#beginMs - 100 && startedAtMs <= this.#endMs;
  }

  /** To be called before the host is removed. */
  end(): void {
    this.#endMs = Date.now();
  }

  seeProcesses(processes: readonly Process[]): void {
    for (const process of processes) {
      if (process.pid === 0 || !this.concerns(process)) continue;
      this.#pids.add(process.pid);
    }
  }

  /** @param flagged all that the agent calls relays now, ended ones included */
  seeVerdicts(flagged: readonly Process[]): void {
    if (flagged.some((process) => this.concerns(process))) this.#relayAtMs ??= Date.now();
  }

  seeRelays(relays: readonly RelayReading[]): void {
    for (const relay of relays.filter(({ pid }) => this.#pids.has(pid))) {
      const { pid, since, from, to } = relay;
      const peers = [from[0], to[0]].map((peer) => `${peer?.address} ${peer?.port}`);
      this.#relays.set(`${pid} ${since} ${peers.join(' ')}`, relay);
    }
  }

  seeFlows(flows: readonly Flow[], atMs: number): void {
    for (const { pid, cookie, payload } of flows) {
      const key = `${pid} ${cookie}`;
      const known = this.#flows.get(key) ?? { pid, samples: [] };
      known.samples.push({ atMs, ...payload });
      this.#flows.set(key, known);
    }
  }

  get pids(): ReadonlySet<number> {
    return this.#pids;
  }

  /** When a process of the host was first seen with the verdict `relay`. */
  get relayAtMs(): number | undefined {
    return this.#relayAtMs;
  }

  /** The last of each that `/v1/relays` said. */
  get relays(): RelayReading[] {
    return [...this.#relays.values()];
  }

  get flows(): FlowSamples[] {
    return [...this.#flows.values()];
  }
}

/** Asks the agent ten times a second, for all watches together. */
export class Watcher implements AsyncDisposable {
  readonly #agent: Agent;
  readonly #watches = new Set<Watch>();
  readonly #loop: Promise<void>;
  #stopped = false;
  #failures = 0;

  constructor(agent: Agent) {
    this.#agent = agent;
    this.#loop = this.#run();
  }

  watch(netns: number): Watch {
    const watch = new Watch(netns);
    this.#watches.add(watch);
    return watch;
  }

  release(watch: Watch): void {
    this.#watches.delete(watch);
  }

  /** Requests that were not answered. */
  get failures(): number {
    return this.#failures;
  }

  async #run(): Promise<void> {
    for (let tick = 0; !this.#stopped; tick++) {
      const next = performance.now() + TICK_MS;
      if (this.#watches.size > 0) {
        try {
          await this.#look(tick);
        } catch {
          this.#failures++;
        }
      }
      await sleep(Math.max(5, next - performance.now()));
    }
  }

  async #look(tick: number): Promise<void> {
    if (tick % PROCESSES_EVERY === 0) {
      const { processes } = await this.#agent.api<{ processes: Process[] }>('/v1/processes');
      const { relays } = await this.#agent.api<{ relays: RelayReading[] }>('/v1/relays');
      for (const watch of this.#watches) {
        watch.seeProcesses(processes);
        watch.seeRelays(relays);
      }
    }
    const flagged = '/v1/processes?includeExited=true&verdict=relay';
    const { processes } = await this.#agent.api<{ processes: Process[] }>(flagged);
    for (const watch of this.#watches) {
      watch.seeVerdicts(processes);
      // By pid: the agent keeps the list of everybody's for some time.
      for (const pid of watch.pids) {
        const { flows } = await this.#agent.api<{ flows: Flow[] }>(`/v1/flows?pid=${pid}`);
        watch.seeFlows(flows, Date.now());
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    await this.#loop;
  }
}
