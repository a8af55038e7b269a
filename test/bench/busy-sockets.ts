import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Host, Hosts, type Running, start, waitForFile, waitForPort } from '../e2e/hosts.ts';
import type { Bench } from './bench.ts';

export interface BusyOptions {
  /** Both ends of every connection: half of them with the client, half with the server. */
  sockets: number;
  /** Likewise. */
  processes: number;
}

const PORT = 7000;

/** Hosts with many TCP sockets between them, on each of which something is sent every second while they are busy. */
export class BusySockets implements AsyncDisposable {
  static #count = 0;
  readonly hosts: Hosts;
  readonly #client: Running;

  private constructor(hosts: Hosts, client: Running) {
    this.hosts = hosts;
    this.#client = client;
  }

  /** They start idle. */
  static async start({ sockets, processes }: BusyOptions, { programs, folder }: Bench): Promise<BusySockets> {
    const hosts = await Hosts.make({ offloads: true });
    try {
      const path = join(folder, `busy-${BusySockets.#count++}`);
      const run = (host: Host, side: string, ...more: string[]): Running => {
        const command = [programs.busy, side, String(processes / 2), String(PORT), ...more];
        return start(host, command, { output: `${path}.${side}`, errors: `${path}.${side}` });
      };
      run(hosts.server, 'server');
      for (let worker = 0; worker < processes / 2; worker++) await waitForPort(hosts.server, 'tcp', PORT + worker);
      const ready = `${path}.ready`;
      const client = run(hosts.client, 'client', hosts.server.address4, String(sockets / 2), ready);
      await waitForFile(ready, client).catch((cause: unknown) => {
        throw new Error(readFileSync(`${path}.client`, 'utf8').trim(), { cause });
      });
      return new BusySockets(hosts, client);
    } catch (error) {
      await hosts[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The change takes up to a second. @throws Error where the load has ended */
  async set(state: 'busy' | 'idle'): Promise<void> {
    this.#client.child.kill(state === 'busy' ? 'SIGUSR1' : 'SIGUSR2');
    await sleep(1000);
    if (this.#client.child.exitCode !== null) throw new Error('the load has ended early');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.hosts[Symbol.asyncDispose]();
  }
}
