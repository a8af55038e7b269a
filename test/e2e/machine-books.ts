import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { NetworkNamespaces } from '../../agent/network-namespaces.ts';
import type { Process } from '../../agent/readings.ts';
import type { Agent } from './agent.ts';
import type { Hosts } from './hosts.ts';
import { combine, none, type Sum, wireOf, withoutLinkHeaders } from './wire-sum.ts';

/** Raw counters of every interface outside the test's own hosts, by namespace and interface. */
type Elsewhere = ReadonlyMap<string, Sum>;

/** All rows of the agent as of one moment, between two readings of the machine's interfaces. */
export interface MachineReading {
  rows: readonly Process[];
  before: Elsewhere;
  after: Elsewhere;
}

/** What two readings say happened between them. */
export interface Advance {
  /** Of all processes and the kernel row. */
  rows: Sum;
  /** What crossed other interfaces at the IP layer; less than did where super-packets were among it, or what crossed while a reading went on. */
  elsewhere: Sum;
  /** `elsewhere` is exact: nothing crossed other interfaces during the readings, nor in between but over loopback. */
  isExact: boolean;
}

/** Reads the agent's rows and, for themselves, the counters of every interface of the machine. */
export class MachineBooks {
  readonly #agent: Agent;
  readonly #own: ReadonlySet<number>;
  readonly #namespaces = new NetworkNamespaces();

  /** @param hosts whose interfaces are left out */
  constructor(agent: Agent, { client, server }: Hosts) {
    this.#agent = agent;
    this.#own = new Set([client.netns, server.netns]);
  }

  /** Again and again for half a second, until nothing crosses an interface meanwhile; else as it is. */
  async settled(): Promise<MachineReading> {
    for (const end = Date.now() + 500; ; await sleep(20)) {
      const reading = await this.read();
      if (isStill(reading) || Date.now() > end) return reading;
    }
  }

  async read(): Promise<MachineReading> {
    const before = this.#elsewhere();
    // In one answer: between the pages of several the rows move on.
    const { processes: rows } = await this.#agent.api<{ processes: Process[] }>('/v1/processes?includeExited=true');
    return { rows, before, after: this.#elsewhere() };
  }

  #elsewhere(): Elsewhere {
    this.#namespaces.discover();
    const counters = new Map<string, Sum>();
    for (const inode of this.#namespaces.inodes()) {
      if (this.#own.has(inode)) continue;
      const namespace = this.#namespaces.read(inode);
      for (const each of namespace?.interfaces ?? []) {
        counters.set(`${namespace?.cookie} ${each.name}`, {
          receivedBytes: each.rxBytes,
          receivedPackets: each.rxPackets,
          sentBytes: each.txBytes,
          sentPackets: each.txPackets,
        });
      }
    }
    return counters;
  }
}

export function advanceBetween(first: MachineReading, last: MachineReading): Advance {
  const earlier = new Map(first.rows.map((row) => [keyOf(row), row.traffic.wire]));
  const had = last.rows.reduce((sum, row) => combine(sum, earlier.get(keyOf(row)) ?? none), none);
  let elsewhere = none;
  let isExact = isStill(first) && isStill(last) && first.after.size === last.before.size;
  for (const [name, counters] of last.before) {
    const known = first.after.get(name);
    const crossed = combine(counters, known ?? counters, -1);
    const isLoopback = name.endsWith(' lo');
    if (!known || (!isLoopback && !isDeepStrictEqual(crossed, none))) isExact = false;
    elsewhere = combine(elsewhere, isLoopback ? crossed : withoutLinkHeaders(crossed));
  }
  return { rows: combine(wireOf(last.rows), had, -1), elsewhere, isExact };
}

function isStill({ before, after }: MachineReading): boolean {
  return isDeepStrictEqual(before, after);
}

function keyOf({ pid, startedAt }: Process): string {
  return pid === 0 ? 'kernel' : `${pid} ${startedAt}`;
}
