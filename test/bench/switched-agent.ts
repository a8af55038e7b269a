import { closeSync, constants, openSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { HOOKS } from '../../agent/hooks.ts';
import { findCgroupRoot } from '../../agent/mounts.ts';
import { BpfLink } from '../../bpf/link.ts';
import { openPin, unpin } from '../../bpf/pin.ts';
import { Agent } from '../e2e/agent.ts';
import { cpuShare } from './usage.ts';

/** `enum bpf_attach_type`, by section. */
const ATTACH_TYPES: Readonly<Record<string, number>> = {
  'cgroup_skb/ingress': 0,
  'cgroup_skb/egress': 1,
  'cgroup/sock_create': 2,
  'cgroup/connect4': 10,
  'cgroup/connect6': 11,
  'cgroup/post_bind4': 12,
  'cgroup/post_bind6': 13,
  'cgroup/sendmsg4': 14,
  'cgroup/sendmsg6': 15,
  'cgroup/recvmsg4': 19,
  'cgroup/recvmsg6': 20,
  'cgroup/sock_release': 34,
};
/** Kernel 5.19: a link to a `tp_btf` program by its number. The program itself knows its tracepoint. */
const BPF_TRACE_RAW_TP = 23;

/**
 * An agent that is taken out of the way of the traffic and put back within milliseconds: its programs, which are all
 * that there are, are detached and attached again. Connections, sockets' owners and flows stay as they are. Its process
 * is halted, so that short phases have no more polls in them than long ones.
 */
export class SwitchedAgent implements AsyncDisposable {
  readonly #agent: Agent;
  readonly #programs: readonly { fd: number; section: string }[];
  readonly #cgroup: number;
  #links: BpfLink[] = [];

  private constructor(agent: Agent) {
    this.#agent = agent;
    const path = (kind: string, name: string): string => join(agent.bpffs, kind, name);
    this.#programs = HOOKS.filter(({ program }) => unpin(path('links', program))).map(({ program, section }) => ({
      fd: openPin('program', path('programs', program)),
      section,
    }));
    this.#cgroup = openSync(findCgroupRoot(), constants.O_RDONLY | constants.O_DIRECTORY);
    process.kill(agent.pid, 'SIGSTOP');
  }

  /** It starts on, so that it knows every socket, and is then off. */
  static async start(): Promise<SwitchedAgent> {
    return new SwitchedAgent(await Agent.start({ interval: 1 }));
  }

  /** How many programs are switched. */
  get programs(): number {
    return this.#programs.length;
  }

  on(): void {
    for (const { fd, section } of this.#programs) {
      const type = ATTACH_TYPES[section];
      this.#links.push(BpfLink.create(fd, type === undefined ? 0 : this.#cgroup, type ?? BPF_TRACE_RAW_TP));
    }
  }

  off(): void {
    for (const link of this.#links.toReversed()) link[Symbol.dispose]();
    this.#links = [];
  }

  /** The share of a core that its process takes while it is on, polling every second. */
  async pollingShare(ms: number): Promise<number> {
    this.on();
    process.kill(this.#agent.pid, 'SIGCONT');
    const share = await cpuShare(this.#agent.pid, () => sleep(ms));
    process.kill(this.#agent.pid, 'SIGSTOP');
    this.off();
    return share;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#links.length > 0) this.off();
    process.kill(this.#agent.pid, 'SIGCONT');
    for (const { fd } of this.#programs) closeSync(fd);
    closeSync(this.#cgroup);
    await this.#agent[Symbol.asyncDispose]();
  }
}
