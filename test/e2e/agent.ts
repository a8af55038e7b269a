import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Process, Status } from '../../agent/readings.ts';
import { atEnd } from './at-end.ts';
import type { Exit } from './hosts.ts';
import { patience } from './patience.ts';

const program = join(import.meta.dirname, '../../relayledger');

const bpfFileSystem = '/sys/fs/bpf';
/** The pins of all tests begin with this and the id of the process that made them. */
const prefix = 'relayledger-test-';

/**
 * Where a test pins. What it leaves there if it is killed outright a later one removes.
 * @param what tells it from others of this process
 */
export function pinsFor(what: string | number): string {
  return join(bpfFileSystem, `${prefix}${process.pid}-${what}`);
}

/** tap has every Node program that a test starts load hooks of its own; the agent runs as its users run it. */
const withoutTap = ['--unset=NODE_OPTIONS', 'setpriv', '--pdeathsig', 'KILL'];

function removePins(bpffs: string, stateDir: string): void {
  const command = [...withoutTap, program, 'doctor', '--remove', '--bpffs', bpffs, '--state-dir', stateDir];
  execFileSync('env', command, { stdio: 'ignore' });
}

/** Test runs that were killed outright could not clean up after themselves. */
function removeLeftOvers(): void {
  const names = existsSync(bpfFileSystem) ? readdirSync(bpfFileSystem) : [];
  for (const name of names.filter((one) => one.startsWith(prefix))) {
    const owner = Number.parseInt(name.slice(prefix.length), 10);
    if (Number.isNaN(owner) || existsSync(`/proc/${owner}`)) continue;
    const stateDir = mkdtempSync(join(tmpdir(), name));
    removePins(join(bpfFileSystem, name), stateDir);
    rmSync(stateDir, { recursive: true });
  }
}

export interface AgentOptions {
  /** More arguments for `relayledger agent`. */
  arguments?: string[];
  /** Seconds between polls. */
  interval?: number;
}

/** An agent of its own for a test: own pins, own state, own port. Disposing takes everything out of the kernel. */
export class Agent implements AsyncDisposable {
  static #count = 0;
  static readonly #all = new Set<Agent>();
  readonly folder: string;
  readonly bpffs: string;
  readonly stateDir: string;
  readonly socket: string;
  readonly #options: AgentOptions;
  #child: ChildProcess | undefined;
  #ended = '';
  #port = 0;

  private constructor(options: AgentOptions) {
    this.#options = options;
    this.folder = mkdtempSync(join(tmpdir(), 'relayledger-e2e-agent-'));
    this.bpffs = pinsFor(Agent.#count++);
    this.stateDir = join(this.folder, 'state');
    this.socket = join(this.folder, 'api.sock');
    mkdirSync(this.stateDir);
    Agent.#all.add(this);
  }

  /** Starts an agent and waits until it is ready. */
  static async start(options: AgentOptions = {}): Promise<Agent> {
    removeLeftOvers();
    const agent = new Agent(options);
    try {
      await agent.start();
    } catch (error) {
      await agent[Symbol.asyncDispose]();
      throw error;
    }
    return agent;
  }

  /** Synchronous, for the end of the process. */
  static removeAll(): void {
    for (const agent of Agent.#all) {
      agent.#child?.kill('SIGKILL');
      agent.remove();
    }
  }

  get pid(): number {
    if (this.#child?.pid === undefined) throw new Error('the agent does not run');
    return this.#child.pid;
  }

  get port(): number {
    return this.#port;
  }

  /** The arguments that name this agent's places, for other commands. */
  places(): string[] {
    return ['--bpffs', this.bpffs, '--state-dir', this.stateDir];
  }

  /** Starts it (again) with the same pins and state. */
  async start(moreArguments: string[] = []): Promise<void> {
    this.#port = await freePort();
    const log = openSync(join(this.folder, 'agent.log'), 'a');
    const listen = ['--listen', `127.0.0.1:${this.#port}`, '--socket', this.socket];
    const interval = ['--interval', String(this.#options.interval ?? 0.2)];
    const more = [...(this.#options.arguments ?? []), ...moreArguments];
    // It goes with this process, whatever ends that.
    const command = [...withoutTap, program, 'agent', ...listen, ...this.places(), ...interval, ...more];
    const child = spawn('env', command, { stdio: ['ignore', log, log] });
    closeSync(log);
    this.#child = child;
    child.once('exit', (code, signal) => {
      this.#ended = `${signal ?? code}`;
      if (this.#child === child) this.#child = undefined;
    });
    for (const end = Date.now() + patience(30_000); Date.now() < end && this.#child === child; await sleep(20)) {
      const ready = await fetch(`http://127.0.0.1:${this.#port}/readyz`).catch(() => undefined);
      await ready?.arrayBuffer();
      if (ready?.ok) return;
    }
    const state = this.#child === child ? 'is not ready in time' : `ended with ${child.exitCode ?? child.signalCode}`;
    throw new Error(`the agent ${state}:\n${this.log().split('\n').slice(-20).join('\n')}`);
  }

  log(): string {
    return readFileSync(join(this.folder, 'agent.log'), 'utf8');
  }

  /** SIGTERM; how it ended. */
  async stop(): Promise<Exit> {
    return this.#end('SIGTERM');
  }

  async kill9(): Promise<void> {
    await this.#end('SIGKILL');
  }

  async #end(signal: NodeJS.Signals): Promise<Exit> {
    const child = this.#child;
    if (child === undefined) throw new Error('the agent does not run');
    const ended = new Promise<Exit>((resolve) => {
      child.once('exit', (code, by) => resolve({ code, signal: by }));
    });
    child.kill(signal);
    return ended;
  }

  /** A kept-alive connection may be closed just as it is used again; a GET is then sent again, unless the agent has died. */
  async #fetch(url: string): Promise<Response> {
    try {
      return await fetch(url);
    } catch (error) {
      await sleep(100);
      if (this.#child === undefined) {
        throw new Error(`the agent ended with ${this.#ended}:\n${this.log().split('\n').slice(-20).join('\n')}`, {
          cause: error,
        });
      }
      return await fetch(url);
    }
  }

  async api<T>(path: string): Promise<T> {
    const response = await this.#fetch(`http://127.0.0.1:${this.#port}${path}`);
    const text = await response.text();
    if (!response.ok) throw new Error(`GET ${path}: ${response.status} ${text}`);
    return JSON.parse(text) as T;
  }

  /** All processes, ended ones too, in pages: a long list would otherwise hide that paging loses rows. */
  async processes(): Promise<Process[]> {
    const all: Process[] = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      const query: string = `includeExited=true&sort=name&order=asc&limit=1000${cursor && `&cursor=${cursor}`}`;
      const page: { processes: Process[]; nextCursor?: string | null } = await this.api(`/v1/processes?${query}`);
      all.push(...page.processes);
      cursor = page.nextCursor ?? null;
    }
    return all;
  }

  async status(): Promise<Status> {
    return this.api('/v1/status');
  }

  /** Waits until the processes that `concerns` picks have not changed for three polls, at most 5 s. */
  async settled(concerns: (process: Process) => boolean): Promise<Process[]> {
    const pause = 1000 * (this.#options.interval ?? 0.2) + 50;
    let rows: Process[] = [];
    let last = '';
    for (let still = 0, end = Date.now() + patience(5000); still < 3 && Date.now() < end; await sleep(pause)) {
      rows = (await this.processes()).filter(concerns);
      const now = JSON.stringify(rows.map((row) => [row.pid, row.startedAt, row.exitedAt, row.name, row.traffic]));
      still = now === last ? still + 1 : 0;
      last = now;
    }
    return rows;
  }

  /** Runs `relayledger doctor --remove` for this agent's pins and state, and removes its files. */
  remove(): void {
    Agent.#all.delete(this);
    if (existsSync(this.bpffs)) removePins(this.bpffs, this.stateDir);
    rmSync(this.folder, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child !== undefined) await this.stop();
    this.remove();
  }
}

atEnd(Agent.removeAll);

/** What a command of the program says and how it ends; by SIGKILL after 20 s. */
export async function run(
  commandArguments: string[],
  uid?: number,
): Promise<Exit & { output: string; errors: string }> {
  const user = uid === undefined ? [] : ['--reuid', String(uid), '--regid', String(uid), '--clear-groups'];
  const command = [...withoutTap, ...user, program, ...commandArguments];
  const child = spawn('env', command, {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: patience(20_000),
    killSignal: 'SIGKILL',
  });
  let output = '';
  let errors = '';
  child.stdout.on('data', (text) => {
    output += text;
  });
  child.stderr.on('data', (text) => {
    errors += text;
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ code, signal, output, errors }));
  });
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no free port');
  return address.port;
}
