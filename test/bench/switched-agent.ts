import { closeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { hooksHere } from '../../agent/load-programs.ts';
import { openPin, unpin } from '../../bpf/pin.ts';
import { Agent } from '../e2e/agent.ts';
import { type SwitchedProgram, SwitchedPrograms } from './switched-programs.ts';
import { cpuShare } from './usage.ts';

/**
 * An agent that is taken out of the way of the traffic and put back within milliseconds: its programs, which are all
 * that there are, are detached and attached again. Connections, sockets' owners and flows stay as they are. Its process
 * is halted, so that short phases have no more polls in them than long ones.
 */
export class SwitchedAgent implements AsyncDisposable {
  readonly programs: SwitchedPrograms;
  readonly #agent: Agent;
  readonly #opened: readonly SwitchedProgram[];

  private constructor(agent: Agent) {
    this.#agent = agent;
    const path = (kind: string, name: string): string => join(agent.bpffs, kind, name);
    this.#opened = hooksHere()
      .filter(({ program }) => unpin(path('links', program)))
      .map(({ program, section }) => ({
        fd: openPin('program', path('programs', program)),
        section,
      }));
    this.programs = new SwitchedPrograms(this.#opened);
    process.kill(agent.pid, 'SIGSTOP');
  }

  /** It has been on, so that it knows every socket, and is then off. */
  static async start(): Promise<SwitchedAgent> {
    return new SwitchedAgent(await Agent.start({ interval: 1 }));
  }

  /** The share of a core that its process takes while it is on, polling every second. */
  async pollingShare(ms: number): Promise<number> {
    this.programs.on();
    process.kill(this.#agent.pid, 'SIGCONT');
    const share = await cpuShare(this.#agent.pid, () => sleep(ms));
    process.kill(this.#agent.pid, 'SIGSTOP');
    this.programs.off();
    return share;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.programs[Symbol.dispose]();
    process.kill(this.#agent.pid, 'SIGCONT');
    for (const { fd } of this.#opened) closeSync(fd);
    await this.#agent[Symbol.asyncDispose]();
  }
}
