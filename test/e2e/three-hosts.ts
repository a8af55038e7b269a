import { execFile } from 'node:child_process';
import { statSync } from 'node:fs';
import { promisify } from 'node:util';
import { atEnd } from './at-end.ts';
import type { Host } from './hosts.ts';
import { removeLeftOvers, removeNamespace } from './test-namespaces.ts';

const execute = promisify(execFile);

export type Side = 'client' | 'middle' | 'server';

/** The names of the hosts begin with this and the id of the process that made them. */
const PREFIX = 'rl-three-';

const alive = new Set<ThreeHosts>();

/** UDP payload that crossed links. */
export interface LinkBytes {
  receivedBytes: number;
  sentBytes: number;
}

/** Ethernet, IPv4 and UDP headers. */
const UDP_HEADERS = 42;

atEnd(() => {
  for (const hosts of alive) hosts.remove();
});

/**
 * client 198.51.100.2 to .9 -- 198.51.100.1 middle 203.0.113.1 -- 203.0.113.2 to .9 server; in IPv6 client
 * 2001:db8:1::2 -- 2001:db8:1::1 middle 2001:db8:2::1 -- 2001:db8:2::2 server. Nothing is forwarded: what
 * gets from one end to the other went through a process on the middle host.
 */
export class ThreeHosts {
  static #count = 0;
  readonly hosts: Readonly<Record<Side, Host>>;

  private constructor(hosts: Readonly<Record<Side, Host>>) {
    this.hosts = hosts;
  }

  static async make(): Promise<ThreeHosts> {
    if (ThreeHosts.#count === 0) removeLeftOvers(PREFIX);
    const base = `${PREFIX}${process.pid}-${ThreeHosts.#count++}`;
    const client = `${base}c`;
    const middle = `${base}m`;
    const server = `${base}s`;
    const spare = [2, 3, 4, 5, 6, 7, 8, 9];
    const script = [
      ...[client, middle, server].map((name) => `ip netns add ${name}; ip -n ${name} link set lo up`),
      `ip netns exec ${middle} sh -c 'echo 0 > /proc/sys/net/ipv4/ip_forward'`,
      `ip link add c0 netns ${middle} type veth peer name eth0 netns ${client}`,
      `ip link add s0 netns ${middle} type veth peer name eth0 netns ${server}`,
      `ip -n ${middle} addr add 198.51.100.1/24 dev c0; ip -n ${middle} addr add 203.0.113.1/24 dev s0`,
      `ip -n ${middle} addr add 2001:db8:1::1/64 dev c0 nodad; ip -n ${middle} addr add 2001:db8:2::1/64 dev s0 nodad`,
      `ip -n ${client} addr add 2001:db8:1::2/64 dev eth0 nodad; ip -n ${server} addr add 2001:db8:2::2/64 dev eth0 nodad`,
      `ip -n ${middle} link set c0 up; ip -n ${middle} link set s0 up`,
      ...spare.map((last) => `ip -n ${client} addr add 198.51.100.${last}/24 dev eth0`),
      ...spare.map((last) => `ip -n ${server} addr add 203.0.113.${last}/24 dev eth0`),
      `ip -n ${client} link set eth0 up; ip -n ${server} link set eth0 up`,
    ];
    try {
      await execute('sh', ['-e', '-c', script.join('\n')]);
    } catch (error) {
      for (const name of [client, middle, server]) removeNamespace(name);
      throw error;
    }
    const describe = (name: string, address4: string): Host => {
      const netns = statSync(`/run/netns/${name}`).ino;
      return { name, address4, address6: '', mac: '', netns, holder: 0 };
    };
    const made = new ThreeHosts({
      client: describe(client, '198.51.100.2'),
      middle: describe(middle, '198.51.100.1'),
      server: describe(server, '203.0.113.2'),
    });
    alive.add(made);
    return made;
  }

  /** What crossed both links of the middle host, as if all of it were UDP over IPv4. */
  async linkBytes(): Promise<LinkBytes> {
    const { stdout } = await execute('ip', ['-n', this.hosts.middle.name, '-j', '-s', 'link']);
    const links = JSON.parse(stdout) as { ifname: string; stats64: Record<'rx' | 'tx', Record<string, number>> }[];
    const sum = { receivedBytes: 0, sentBytes: 0 };
    for (const { ifname, stats64 } of links) {
      if (ifname !== 'c0' && ifname !== 's0') continue;
      const { rx, tx } = stats64;
      sum.receivedBytes += (rx['bytes'] ?? 0) - UDP_HEADERS * (rx['packets'] ?? 0);
      sum.sentBytes += (tx['bytes'] ?? 0) - UDP_HEADERS * (tx['packets'] ?? 0);
    }
    return sum;
  }

  /** Ends every program in them. */
  remove(): void {
    alive.delete(this);
    for (const { name } of Object.values(this.hosts)) removeNamespace(name);
  }
}
