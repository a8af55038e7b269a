import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Accounting } from '../../../agent/accounting.ts';
import { KernelEnforcer } from '../../../agent/enforcement/kernel-enforcer.ts';
import { findCgroupRoot } from '../../../agent/mounts.ts';
import type { KernelPolicy, ProcessSlot } from '../../../agent/policies/enforcer.ts';
import {
  RL_FLOW_OFFSET,
  RL_FLOW_SIZE,
  RL_PROCESS_KEY_OFFSET,
  RL_PROCESS_OFFSET,
  RL_PROCESS_SIZE,
} from '../../../bpf/layouts.ts';
import { pinsFor } from '../agent.ts';
import { atEnd } from '../at-end.ts';
import { type Host, Hosts, type Running, start, waitForPort } from '../hosts.ts';

const sources = join(import.meta.dirname, '..', '..');
type Program = 'flows' | 'dialogue' | 'options';
const programs: Readonly<Record<Program, string>> = {
  flows: join(sources, 'bench', 'caps', 'programs', 'flows.c'),
  dialogue: join(sources, 'e2e', 'programs', 'dialogue.c'),
  options: join(sources, 'e2e', 'programs', 'options.c'),
};

export interface StreamOptions {
  flows?: number;
  protocol?: 'tcp' | 'udp';
  /** A connection ends after so many and another takes its place; 0: none ever ends. */
  bytesEach?: number;
  /** Bytes per second that each connection asks for itself; 0: no limit. */
  pace?: number;
}

/** What flows over UDP send, all together. */
const UDP_BYTES_PER_SECOND = 20_000_000;

/** A policy that does nothing yet. */
export function policy(changes: Partial<KernelPolicy>): KernelPolicy {
  return { name: 'test', scope: 'all', rate: null, quota: null, deny: null, expiresAtMs: null, ...changes };
}

/** Two hosts, the accounting and the enforcer; all gone when it is disposed of. */
export class EnforcementGround implements AsyncDisposable {
  readonly hosts: Hosts;
  readonly folder: string = mkdtempSync(join(tmpdir(), 'rl-enforcement-'));
  readonly bpffs: string;
  accounting: Accounting;
  enforcer: KernelEnforcer;
  #count = 0;

  private constructor(hosts: Hosts) {
    this.hosts = hosts;
    this.bpffs = pinsFor('enforcement');
    atEnd(() => Accounting.remove(this.bpffs));
    this.accounting = Accounting.start({ bpffs: this.bpffs, cgroup: findCgroupRoot() });
    this.enforcer = new KernelEnforcer(this.accounting);
    for (const [name, source] of Object.entries(programs)) {
      execFileSync('gcc', ['-O1', '-Wall', '-Wextra', '-Werror', '-o', join(this.folder, name), source]);
    }
  }

  static async make(): Promise<EnforcementGround> {
    return new EnforcementGround(await Hosts.make({ offloads: true }));
  }

  /** As an agent that was killed and comes back. */
  restartAgent(): void {
    this.enforcer[Symbol.dispose]();
    this.accounting[Symbol.dispose]();
    this.accounting = Accounting.start({ bpffs: this.bpffs, cgroup: findCgroupRoot() });
    this.enforcer = new KernelEnforcer(this.accounting);
  }

  /** Starts a program under a name of its own, by which policies can tell it. */
  start(host: Host, program: Program, name: string, rest: readonly string[]): Running {
    const copy = join(this.folder, name);
    copyFileSync(join(this.folder, program), copy);
    const output = join(this.folder, `${name}-${this.#count++}`);
    const running = start(host, [copy, ...rest], { output, errors: `${output}.errors` });
    atEnd(() => running.child.kill('SIGKILL'));
    return Object.assign(running, { output });
  }

  /**
   * Flows from the client to a sink on the server, which is called `NAME-sink`.
   * @returns the pid of who sends, once some of it has arrived
   */
  async stream(name: string, port: number, options: StreamOptions = {}): Promise<number> {
    const { flows = 4, protocol = 'tcp', bytesEach = 0, pace = 0 } = options;
    const { client, server } = this.hosts;
    const sink = `${name}-sink`;
    this.start(server, 'flows', sink, ['sink', this.counters(sink), String(port), protocol]);
    await waitForPort(server, protocol, port);
    const last = protocol === 'udp' ? UDP_BYTES_PER_SECOND : 'cubic';
    const to = [server.address4, port, protocol, flows, last, bytesEach, 0, pace];
    const { pid } = this.start(client, 'flows', name, ['send', this.counters(name), ...to.map(String)]);
    for (const end = Date.now() + 5000; Date.now() < end && this.moved(sink) === 0; ) await sleep(10);
    return pid;
  }

  counters(name: string): string {
    return join(this.folder, `${name}.counters`);
  }

  /** Of all flows of a `flows` program. */
  moved(name: string): number {
    const buffer = readFileSync(this.counters(name));
    let total = 0;
    for (let at = 0; at < buffer.length; at += 32) total += Number(buffer.readBigUInt64LE(at));
    return total;
  }

  async rate(name: string, ms: number): Promise<number> {
    const [before, at] = [this.moved(name), performance.now()];
    await sleep(ms);
    return ((this.moved(name) - before) / (performance.now() - at)) * 1000;
  }

  /** What came of each question. */
  async ask(host: Host, name: string, how: string, address: string, port: number, questions = 1): Promise<string[]> {
    const running = this.start(host, 'dialogue', name, ['ask', how, address, String(port), String(questions)]);
    await running.done;
    return readFileSync((running as Running & { output: string }).output, 'utf8')
      .trim()
      .split('\n');
  }

  /** The kernel's record of a process, once it has touched the network. */
  async process(pid: number): Promise<ProcessSlot> {
    const { processes } = this.accounting;
    for (const end = Date.now() + 5000; Date.now() < end; await sleep(10)) {
      for (const [key, value] of this.accounting.map('process_slots').entries()) {
        if (key.readUInt32LE(RL_PROCESS_KEY_OFFSET.tgid) !== pid) continue;
        const slot = value.readUInt32LE(0);
        processes.reach(slot + 1);
        const at = slot * RL_PROCESS_SIZE + RL_PROCESS_OFFSET.generation;
        return { slot, generation: new DataView(processes.buffer).getUint32(at, true) };
      }
    }
    throw new Error(`process ${pid} has not touched the network`);
  }

  /** The ids of a process's flows. */
  flowsOf(slot: number): number[] {
    using mapping = this.accounting.map('flows').mmap();
    const view = new DataView(mapping.buffer);
    const found: number[] = [];
    for (let index = 1; index < view.byteLength / RL_FLOW_SIZE; index++) {
      const at = index * RL_FLOW_SIZE;
      if (view.getUint32(at + RL_FLOW_OFFSET.slot, true) !== slot) continue;
      found.push(view.getUint32(at + RL_FLOW_OFFSET.generation, true) * 2 ** 32 + index);
    }
    return found;
  }

  sentOn(flow: number): number {
    this.accounting.settleFlows();
    using mapping = this.accounting.map('flows').mmap();
    return Number(
      new DataView(mapping.buffer).getBigUint64((flow % 2 ** 32) * RL_FLOW_SIZE + RL_FLOW_OFFSET.sent, true),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.enforcer[Symbol.dispose]();
    this.accounting[Symbol.dispose]();
    Accounting.remove(this.bpffs);
    this.hosts.remove();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
