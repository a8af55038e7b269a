import { execFile } from 'node:child_process';
import { accessSync, chmodSync, constants, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Process, RelayReading } from '../../../agent/readings.ts';
import type { Agent } from '../../e2e/agent.ts';
import { type Running, start, waitForPort } from '../../e2e/hosts.ts';
import { type LinkBytes, type Side, ThreeHosts } from '../../e2e/three-hosts.ts';
import { type Finding, minOfInAndOut, suh } from './baselines.ts';
import { at, isTraffic, type Program, type Scenario, traffic } from './scenario.ts';
import type { Sums } from './traffic/tally.ts';
import type { Watcher } from './watch.ts';

const execute = promisify(execFile);

const DRIVERS_MS = 25_000;
/** For what is under way to arrive before the servers are asked. */
const ARRIVAL_MS = 300;
/** After the programs have ended: two judgements of the agent, and some. */
const JUDGED_MS = 2600;

/** The kernel's clock and ours differ by so much at most. */
const CLOCKS_MS = 100;

export interface Result {
  scenario: Scenario;
  /** Application payload that the middle host received to pass on, and passed on; null for what doesn't relay. */
  truth: { receivedBytes: number; sentBytes: number } | null;
  agent: Finding & { verdict: string; confidence: number };
  minOfInAndOut: Finding;
  suh: Finding;
  /** From the first byte until the agent was seen to say so. */
  detectSeconds: number | null;
  evidence: RelayReading[];
  /** Processes of the other hosts that were called relays and are not. */
  strays: string[];
}

interface Started {
  program: Program;
  running: Running;
  output: string;
  errors: string;
}

/** Why a scenario can't be run here. */
export class CannotRun extends Error {}

function isInstalled(name: string): boolean {
  const folders = name.includes('/')
    ? ['']
    : [...(process.env['PATH'] ?? '').split(':'), '/usr/sbin', '/usr/local/sbin'];
  return folders.some((folder) => {
    try {
      accessSync(join(folder, name), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Runs one scenario on hosts of its own and asks the agent about it; everything is gone again afterwards. */
export async function runScenario(scenario: Scenario, agent: Agent, watcher: Watcher, parent: string): Promise<Result> {
  for (const { command } of [...scenario.programs, ...scenario.drivers]) {
    const [name = ''] = command;
    if (!isInstalled(name)) throw new CannotRun(`${name} is not installed`);
  }
  const folder = join(parent, scenario.name);
  mkdirSync(folder);
  chmodSync(folder, 0o777);
  const three = await ThreeHosts.make();
  const watch = watcher.watch(three.hosts.middle.netns);
  const beginMs = Date.now();
  try {
    const stage = new Stage(three, folder);
    await stage.prepare(scenario);
    const driven = await stage.drive(scenario);
    const endMs = Date.now();
    watch.end();
    three.remove();
    await sleep(JUDGED_MS);

    // Not those of a scenario that was given the numbers of this one's namespaces meanwhile.
    const isOfThisRun = ({ startedAt }: Process): boolean =>
      Date.parse(startedAt) >= beginMs - CLOCKS_MS && Date.parse(startedAt) <= endMs;
    const processes = (await agent.processes()).filter(isOfThisRun);
    const middle = processes.filter((process) => watch.concerns(process));
    const others = [three.hosts.client.netns, three.hosts.server.netns];
    const flagged = middle.filter(({ relay }) => relay.verdict === 'relay');
    const { startedAtMs, truth } = driven;
    const { relayAtMs } = watch;
    return {
      scenario,
      truth: scenario.relays ? truth : null,
      agent: {
        flagged: flagged.length > 0,
        verdict: gravest(middle),
        confidence: Math.max(0, ...middle.map(({ relay }) => relay.confidence)),
        receivedBytes: middle.reduce((sum, { relay }) => sum + relay.receivedBytes, 0),
        sentBytes: middle.reduce((sum, { relay }) => sum + relay.sentBytes, 0),
      },
      minOfInAndOut: minOfInAndOut(middle.map(({ traffic }) => traffic.payload)),
      suh: suh(watch.flows),
      detectSeconds: relayAtMs === undefined ? null : Math.max(0, (relayAtMs - startedAtMs) / 1000),
      evidence: watch.relays,
      strays: processes
        .filter(({ netns, relay }) => netns !== null && others.includes(netns) && relay.verdict === 'relay')
        .filter(({ name }) => !scenario.alsoRelay?.includes(name))
        .map(({ name, pid }) => `${name} (${pid})`),
    };
  } finally {
    watcher.release(watch);
    three.remove();
    rmSync(folder, { recursive: true, force: true });
  }
}

function gravest(processes: readonly Process[]): string {
  const verdicts = processes.map(({ relay }) => relay.verdict);
  return (['relay', 'suspected'] as const).find((verdict) => verdicts.includes(verdict)) ?? 'none';
}

/** The programs of one scenario. */
class Stage {
  readonly #three: ThreeHosts;
  readonly #folder: string;
  readonly #started: Started[] = [];

  constructor(three: ThreeHosts, folder: string) {
    this.#three = three;
    this.#folder = folder;
  }

  async prepare({ prepare, files = {}, programs, listening, reach }: Scenario): Promise<void> {
    for (const [name, text] of Object.entries(files)) {
      writeFileSync(join(this.#folder, name), this.#place(text), { mode: 0o644 });
    }
    if (prepare !== undefined) await this.#shell(this.#place(prepare));
    for (const program of programs) {
      this.#start(program);
      if (program.listens !== undefined) await this.#listening(program.at, ...program.listens);
    }
    for (const [protocol, port, side = 'middle'] of listening ?? [['tcp', 8000] as const]) {
      await this.#listening(side, protocol, port);
    }
    if (reach !== undefined) {
      const { running } = this.#start(at('client', ...traffic('reach', { to: [reach, 9], seconds: 10 })));
      if ((await running.done).code !== 0) throw new CannotRun(`${reach} could not be reached${this.#said()}`);
    }
  }

  /** @returns what is true of the traffic, by its ends or by the middle host's links */
  async drive({ drivers, truth, name }: Scenario): Promise<{ startedAtMs: number; truth: LinkBytes }> {
    const linksBefore = await this.#three.linkBytes();
    const beginMs = Date.now();
    const driving = drivers.map((program) => this.#start(program));
    const ended = Promise.all(driving.map(({ running }) => running.done));
    const late = new AbortController();
    const exits = await Promise.race([ended, sleep(DRIVERS_MS, null, { signal: late.signal }).catch(() => null)]);
    late.abort();
    if (exits === null) throw new CannotRun(`its traffic did not end in ${DRIVERS_MS / 1000} s${this.#said()}`);
    const failed = driving.filter((_, i) => exits[i]?.code !== 0);
    if (failed.length > 0) throw new CannotRun(`the traffic of ${name} failed${this.#said()}`);
    await sleep(ARRIVAL_MS);
    const links = await this.#three.linkBytes();

    for (const { program, running } of this.#started) {
      if (isTraffic(program) && running.child.exitCode === null) running.child.kill('SIGTERM');
    }
    const sums = await this.#sums();
    const first = Math.min(...sums.flatMap(({ startedAtMs }) => startedAtMs ?? []));
    return {
      startedAtMs: Number.isFinite(first) ? first : beginMs,
      truth:
        truth === 'links'
          ? {
              receivedBytes: links.receivedBytes - linksBefore.receivedBytes,
              sentBytes: links.sentBytes - linksBefore.sentBytes,
            }
          : // What the ends sent is what the middle received.
            {
              receivedBytes: sums.reduce((sum, { sentBytes }) => sum + sentBytes, 0),
              sentBytes: sums.reduce((sum, { receivedBytes }) => sum + receivedBytes, 0),
            },
    };
  }

  /** Of the ends that are not a program's own. */
  async #sums(): Promise<Sums[]> {
    const sums: Sums[] = [];
    for (const { program, running, output } of this.#started.filter(({ program }) => isTraffic(program))) {
      await running.done;
      const line = readFileSync(output, 'utf8').trim().split('\n').at(-1) ?? '';
      if (line === '') throw new CannotRun(`an end of the traffic counted nothing${this.#said()}`);
      const { own, ...counted } = JSON.parse(line) as Sums & { own: boolean };
      if (!own && program.at !== 'middle') sums.push(counted);
    }
    return sums;
  }

  #place(text: string): string {
    return text.replaceAll('{dir}', this.#folder);
  }

  #start(program: Program): Started {
    const path = join(this.#folder, `program-${this.#started.length}`);
    const files = { output: `${path}.output`, errors: `${path}.errors` };
    const command = program.command.map((word) => this.#place(word));
    const environment = { PATH: `${process.env['PATH'] ?? ''}:/usr/sbin`, GIT_CONFIG_GLOBAL: '/dev/null' };
    const running = start(this.#three.hosts[program.at], command, { ...files, environment });
    const started = { program, running, ...files };
    this.#started.push(started);
    return started;
  }

  async #shell(script: string): Promise<void> {
    await execute('sh', ['-e', '-c', script], { cwd: this.#folder }).catch((error: Error) => {
      throw new CannotRun(`could not be prepared: ${error.message.split('\n').slice(0, 3).join(' ')}`);
    });
  }

  async #listening(side: Side, protocol: 'tcp' | 'udp', port: number): Promise<void> {
    await waitForPort(this.#three.hosts[side], protocol, port).catch((error: Error) => {
      const ended = this.#started.filter(({ running }) => running.child.exitCode !== null);
      const names = ended.map(({ program }) => `${program.command[0]} ended; `).join('');
      throw new CannotRun(`${names}${error.message}${this.#said()}`);
    });
  }

  /** The last words of every program. */
  #said(): string {
    const words = this.#started.flatMap(({ output, errors, program }) => {
      const text = `${readFileSync(errors, 'utf8')}\n${readFileSync(output, 'utf8')}`.trim().slice(-300);
      return text === '' ? [] : [`${program.command[0]?.split('/').at(-1)}: ${text.replaceAll('\n', ' | ')}`];
    });
    return words.length === 0 ? '' : `; ${words.join('; ')}`;
  }
}
