import { execFileSync } from 'node:child_process';
import { type Host, Hosts, start } from '../../e2e/hosts.ts';
import { removeNamespace } from '../../e2e/test-namespaces.ts';

/** Where the flows go. */
export type PathKind = 'veth' | 'delayed' | 'loopback';

/** What the delayed path takes, there and back. */
export const DELAY_US = 40_000;

export interface Path {
  hosts: Hosts;
  sender: Host;
  receiver: Host;
  /** The receiver's address as the sender reaches it. */
  address: string;
}

/** `delayed` puts a third host between the two that holds every frame for half of the delay each way. */
export async function makePath(kind: PathKind, delayProgram: string, folder: string): Promise<Path> {
  const hosts = await Hosts.make({ offloads: kind !== 'delayed' });
  const { client, server } = hosts;
  if (kind === 'loopback') {
    for (const device of ['lo']) ip(client, ['link', 'set', device, 'up']);
    return { hosts, sender: client, receiver: client, address: '127.0.0.1' };
  }
  if (kind === 'delayed') insertDelay(client, server, delayProgram, folder);
  return { hosts, sender: client, receiver: server, address: server.address4 };
}

/** The middle host's interfaces take the places of the two hosts' ends of their link. */
function insertDelay(client: Host, server: Host, program: string, folder: string): void {
  const middle = `${client.name}m`;
  execFileSync('ip', ['netns', 'add', middle]);
  ip(client, ['link', 'del', 'eth0']);
  for (const [host, other, device] of [
    [client, server, 'near'],
    [server, client, 'far'],
  ] as const) {
    const pair = ['link', 'add', 'eth0', 'address', host.mac, 'netns', host.name, 'type', 'veth'];
    execFileSync('ip', [...pair, 'peer', 'name', device, 'netns', middle]);
    ip(host, ['addr', 'add', `${host.address4}/24`, 'dev', 'eth0']);
    ip(host, ['link', 'set', 'eth0', 'up']);
    execFileSync('ip', ['-n', middle, 'link', 'set', device, 'up']);
    ip(host, ['neigh', 'add', other.address4, 'lladdr', other.mac, 'dev', 'eth0', 'nud', 'permanent']);
    // Every frame a packet of its own, and whole: the program in the middle makes no checksums.
    const features = ['tso', 'off', 'gso', 'off', 'gro', 'off', 'tx', 'off'];
    execFileSync('ip', ['netns', 'exec', host.name, 'ethtool', '-K', 'eth0', ...features], { stdio: 'ignore' });
  }
  start({ ...client, name: middle }, [program, 'near', 'far', String(DELAY_US / 2)], {
    output: `${folder}/delay.output`,
    errors: `${folder}/delay.errors`,
  });
}

/** Ends the programs in the middle host too. */
export function removePath({ hosts }: Path): void {
  removeNamespace(`${hosts.client.name}m`); // where there was a delay on this path
  hosts.remove();
}

function ip(host: Host, command: string[]): void {
  execFileSync('ip', ['-n', host.name, ...command]);
}
