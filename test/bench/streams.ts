import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { withNetworkNamespace } from '../../bpf/namespace.ts';
import { type Host, type Hosts, type Running, start, waitForPort } from '../e2e/hosts.ts';
import type { Bench } from './bench.ts';
import { cpuNs } from './usage.ts';

export type Kind = 'tcp' | 'udp';

export interface Rate {
  bytesPerSecond: number;
  packetsPerSecond: number;
  /** Of one core, by both ends together: others on the machine take from the rate, hardly from the rate over this. */
  cpuShare: number;
}

/** It runs, and nothing was sent: on a busy machine neither end may have had the CPU. */
export class StalledError extends Error {}

interface Ends {
  client: Running;
  server: Running;
}

const PORTS: Readonly<Record<Kind, number>> = { tcp: 5201, udp: 5202 };
const ARGUMENTS: Readonly<Record<Kind, readonly string[]>> = { tcp: [], udp: ['--udp', '--length', '64', '-b', '0'] };
/** Longer than any run. */
const FOREVER = '86400';
const SETTLE_MS = 150;

/**
 * iperf3 from client to server, one connection a kind for the whole measurement, halted by SIGSTOP in between: what
 * differs between two connections (window, port, CPU) would drown what is measured.
 */
export class Streams {
  readonly #hosts: Hosts;
  readonly #folder: string;
  readonly #ends: ReadonlyMap<Kind, Ends>;

  private constructor(hosts: Hosts, folder: string, ends: ReadonlyMap<Kind, Ends>) {
    this.#hosts = hosts;
    this.#folder = folder;
    this.#ends = ends;
  }

  /**
   * They end with the hosts.
   * @param isTight sender and receiver share a CPU and 128 KB of window: the CPU is the limit, and what is on its way
   * stays in its cache
   */
  static async start(hosts: Hosts, kinds: readonly Kind[], bench: Bench, isTight = false): Promise<Streams> {
    const ends = new Map<Kind, Ends>();
    for (const kind of kinds) {
      const server = iperf3(hosts.server, bench, kind, ['--server', '--port', String(PORTS[kind])]);
      await waitForPort(hosts.server, 'tcp', PORTS[kind]);
      // Sender and receiver each on a CPU of their own, where the scheduler can't move them between rounds.
      const apart = cpus().length > 1 ? ['--affinity', '0,1'] : [];
      const affinity = isTight ? ['--affinity', '0,0', '--window', '128K'] : apart;
      const to = ['--client', hosts.server.address4, '--port', String(PORTS[kind]), '--time', FOREVER];
      const client = iperf3(hosts.client, bench, kind, [...to, ...ARGUMENTS[kind], ...affinity]);
      ends.set(kind, { client, server });
      await sleep(1000);
      client.child.kill('SIGSTOP');
    }
    return new Streams(hosts, bench.folder, ends);
  }

  /** Sender and receiver. */
  pids(kind: Kind): number[] {
    const { client, server } = this.#ends.get(kind) as Ends;
    return [client.pid, server.pid];
  }

  /**
   * Lets one kind run for `ms`, after a moment to get going.
   * @param atEdge called right before and right after
   * @throws Error where nothing is sent
   */
  async run(kind: Kind, ms: number, atEdge: () => void = () => {}): Promise<Rate> {
    return await this.during(kind, async () => {
      await sleep(SETTLE_MS);
      atEdge();
      const rate = await this.rate(kind, ms);
      atEdge();
      return rate;
    });
  }

  /** Lets one kind run until `work` is done. */
  async during<T>(kind: Kind, work: () => Promise<T>): Promise<T> {
    const { child } = (this.#ends.get(kind) as Ends).client;
    child.kill('SIGCONT');
    try {
      return await work();
    } finally {
      child.kill('SIGSTOP');
      await sleep(20);
    }
  }

  /** What one kind that runs sends in the next `ms`. @throws Error where that is nothing */
  async rate(kind: Kind, ms: number): Promise<Rate> {
    const { client, server } = this.#ends.get(kind) as Ends;
    const cpu = (): number => cpuNs(client.pid) + cpuNs(server.pid);
    const cpuBefore = cpu();
    const before = this.#sent();
    const begin = performance.now();
    await sleep(ms);
    const after = this.#sent();
    const seconds = (performance.now() - begin) / 1000;
    const cpuSeconds = (cpu() - cpuBefore) / 1e9;
    const { child } = client;
    if (child.exitCode !== null || child.signalCode !== null || after.packets === before.packets) {
      const state = child.exitCode ?? child.signalCode ?? 'still there';
      const said = readFileSync(`${pathOf(this.#hosts.client, this.#folder, kind)}.errors`, 'utf8').trim();
      const isThere = state === 'still there';
      throw new (isThere ? StalledError : Error)(`iperf3 sent no ${kind} for ${ms} ms (${state}) ${said}`);
    }
    return {
      bytesPerSecond: (after.bytes - before.bytes) / seconds,
      packetsPerSecond: (after.packets - before.packets) / seconds,
      cpuShare: cpuSeconds / seconds,
    };
  }

  /** By the client's interface: in microseconds, without a process of its own. */
  #sent(): { bytes: number; packets: number } {
    const path = `/run/netns/${this.#hosts.client.name}`;
    const text = withNetworkNamespace(path, () => readFileSync('/proc/thread-self/net/dev', 'utf8'));
    const fields = /^\s*eth0:\s*(.*)$/m.exec(text)?.[1]?.trim().split(/\s+/);
    if (fields === undefined) throw new Error('the client has no eth0');
    return { bytes: Number(fields[8]), packets: Number(fields[9]) };
  }
}

function iperf3(host: Host, { folder }: Bench, kind: Kind, commandArguments: string[]): Running {
  const path = pathOf(host, folder, kind);
  return start(host, ['iperf3', '--interval', '0', ...commandArguments], {
    output: `${path}.output`,
    errors: `${path}.errors`,
  });
}

function pathOf(host: Host, folder: string, kind: Kind): string {
  return join(folder, `iperf3-${kind}-${host.name}`);
}
