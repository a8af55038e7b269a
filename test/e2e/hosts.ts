import { type ChildProcess, execFile, type SpawnOptions, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { atEnd } from './at-end.ts';
import { patience } from './patience.ts';
import { removeLeftOvers, removeNamespace } from './test-namespaces.ts';

const execute = promisify(execFile);

/** The names of all test hosts begin with this and the id of the process that made them. */
const prefix = 'rl-e2e-';

/** A test host: a network namespace of its own, linked to the other one by its `eth0`. */
export interface Host {
  /** As `ip netns` knows it. */
  name: string;
  address4: string;
  address6: string;
  mac: string;
  /** Inode number, as in /proc/PID/ns/net. */
  netns: number;
  /** A process that does nothing but live there, so that its /proc/PID/net shows the host's. */
  holder: number;
}

export interface InterfaceCounters {
  receivedBytes: number;
  receivedPackets: number;
  sentBytes: number;
  sentPackets: number;
}

export interface Exit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

export interface Running {
  pid: number;
  child: ChildProcess;
  done: Promise<Exit>;
}

export interface HostsOptions {
  /** Leave segmentation offload on: super-packets cross the link as one. Default: every frame is a packet of its own. */
  offloads?: boolean;
}

/** 198.51.100.0/24 and 2001:db8::/32 are for documentation: nobody on the network has them. */
const addresses = { client: ['198.51.100.1', '2001:db8::1'], server: ['198.51.100.2', '2001:db8::2'] } as const;

const settings: Record<string, string> = {
  // Everybody may open ICMP sockets.
  'net/ipv4/ping_group_range': '0 2147483647',
  // Data in the SYN without a cookie, on either side: 0x1 | 0x2 | 0x4 | 0x200 | 0x400.
  'net/ipv4/tcp_fastopen': '1543',
  'net/ipv4/ip_local_port_range': '10000 65000',
  // No packets that no program caused: no router or duplicate address search, no link-local address, and multicast
  // reports at once instead of some seconds later.
  'net/ipv6/conf/default/accept_ra': '0',
  'net/ipv6/conf/default/router_solicitations': '0',
  'net/ipv6/conf/default/accept_dad': '0',
  'net/ipv6/conf/default/addr_gen_mode': '1',
  'net/ipv6/conf/default/mldv2_unsolicited_report_interval': '10',
};

const alive = new Set<Hosts>();

function removeAll(): void {
  for (const hosts of alive) hosts.remove();
}

atEnd(removeAll);

/** Two linked test hosts. They and every program in them are gone when this is disposed of, or this process ends. */
export class Hosts implements AsyncDisposable {
  static #count = 0;
  readonly client: Host;
  readonly server: Host;

  private constructor(client: Host, server: Host) {
    this.client = client;
    this.server = server;
  }

  static async make(options: HostsOptions = {}): Promise<Hosts> {
    if (process.getuid?.() !== 0) throw new Error('these tests need root: they make network namespaces');
    removeLeftOvers(prefix);
    const base = `${prefix}${process.pid}-${Hosts.#count++}`;
    const names = { client: `${base}c`, server: `${base}s` };
    try {
      for (const name of Object.values(names)) {
        await execute('ip', ['netns', 'add', name]);
        // Before the link is there, so that it starts with them.
        await Hosts.#apply(name);
      }
      await batch(`link add eth0 netns ${names.client} type veth peer name eth0 netns ${names.server}`);
      for (const side of ['client', 'server'] as const) {
        const [address4, address6] = addresses[side];
        await batch(
          `addr add ${address4}/24 dev eth0\naddr add ${address6}/64 dev eth0 nodad\nlink set lo up\nlink set eth0 up`,
          names[side],
        );
        const state = options.offloads ? 'on' : 'off';
        const features = ['tso', state, 'gso', state, 'tx-udp-segmentation', state, 'gro', 'off'];
        for (const device of ['eth0', 'lo']) {
          await execute('ip', ['netns', 'exec', names[side], 'ethtool', '-K', device, ...features]);
        }
      }
      const hosts = new Hosts(
        await Hosts.#describe(names.client, 'client'),
        await Hosts.#describe(names.server, 'server'),
      );
      // Known neighbours: no ARP, no neighbour discovery.
      for (const [host, other] of [
        [hosts.client, hosts.server],
        [hosts.server, hosts.client],
      ] as const) {
        const neighbours = [other.address4, other.address6].map(
          (to) => `neigh add ${to} lladdr ${other.mac} dev eth0 nud permanent`,
        );
        await batch(neighbours.join('\n'), host.name);
      }
      alive.add(hosts);
      return hosts;
    } catch (error) {
      for (const name of Object.values(names)) removeNamespace(name);
      throw error;
    }
  }

  static async #apply(name: string): Promise<void> {
    const writes = Object.entries(settings).map(([key, value]) => `echo "${value}" > /proc/sys/${key}`);
    await execute('ip', ['netns', 'exec', name, 'sh', '-e', '-c', writes.join('\n')]);
  }

  static async #describe(name: string, side: 'client' | 'server'): Promise<Host> {
    const { stdout } = await execute('ip', ['-n', name, '-j', 'link', 'show', 'dev', 'eth0']);
    const [link] = JSON.parse(stdout) as { address: string }[];
    if (link === undefined) throw new Error(`eth0 is not in ${name}`);
    const [address4, address6] = addresses[side];
    const netns = statSync(`/run/netns/${name}`).ino;
    return { name, address4, address6, mac: link.address, netns, holder: await hold(name, netns) };
  }

  remove(): void {
    alive.delete(this);
    for (const { name } of [this.client, this.server]) removeNamespace(name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.remove();
  }
}

async function hold(name: string, netns: number): Promise<number> {
  const command = ['--pdeathsig', 'KILL', 'nsenter', `--net=/run/netns/${name}`, 'sleep', 'infinity'];
  const { pid } = spawn('setpriv', command, { stdio: 'ignore' }).on('error', () => undefined);
  for (const end = Date.now() + patience(10_000); pid !== undefined && Date.now() < end; await sleep(2)) {
    if (statSync(`/proc/${pid}/ns/net`, { throwIfNoEntry: false })?.ino === netns) return pid;
  }
  throw new Error(`no process could be started in ${name}`);
}

async function batch(commands: string, namespace?: string): Promise<void> {
  const child = spawn('ip', [...(namespace === undefined ? [] : ['-n', namespace]), '-batch', '-'], {
    stdio: ['pipe', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.on('data', (text) => {
    said += text;
  });
  child.stdin.end(`${commands}\n`);
  const { code } = await exitOf(child);
  if (code !== 0) throw new Error(`ip -batch: ${said.trim()}`);
}

function exitOf(child: ChildProcess): Promise<Exit> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => resolve({ code, signal }));
  });
}

/** Starts a program in a host. Its pid is the program's own: nsenter executes it. Output is appended to the files. */
export function start(
  host: Host,
  command: string[],
  options: { output: string; errors: string; environment?: Record<string, string> },
): Running {
  const files = [openSync(options.output, 'a'), openSync(options.errors, 'a')] as const;
  // Files, not pipes: Node's pipes are Unix sockets, and a write to one would be traffic of a socket.
  const spawnOptions: SpawnOptions = {
    stdio: ['ignore', ...files],
    env: { ...process.env, ...options.environment },
  };
  const child = spawn('nsenter', [`--net=/run/netns/${host.name}`, ...command], spawnOptions);
  const done = exitOf(child);
  for (const file of files) closeSync(file);
  if (child.pid === undefined) throw new Error(`could not start ${command.join(' ')}`);
  return { pid: child.pid, child, done };
}

/** Waits for a listening or bound socket by asking the kernel; a test connection would be traffic of its own. */
export async function waitForPort(host: Host, protocol: 'tcp' | 'udp', port: number): Promise<void> {
  for (const end = Date.now() + patience(10_000); Date.now() < end; await sleep(20)) {
    const { stdout } = await execute('ss', [
      '--net',
      host.name,
      '-Hn',
      protocol === 'tcp' ? '-lt' : '-lu',
      `sport = :${port}`,
    ]);
    if (stdout.trim() !== '') return;
  }
  throw new Error(`nothing listens on ${protocol} port ${port} of ${host.name}`);
}

/** What the kernel counted on an interface. */
export function interfaceCounters(host: Host, name = 'eth0'): InterfaceCounters {
  const lines = readFileSync(`/proc/${host.holder}/net/dev`, 'utf8').split('\n');
  const line = lines.map((text) => text.trim()).find((text) => text.startsWith(`${name}:`));
  if (line === undefined) throw new Error(`${name} is not in ${host.name}`);
  const fields = line
    .slice(name.length + 1)
    .trim()
    .split(/ +/)
    .map(Number);
  const [receivedBytes = 0, receivedPackets = 0] = fields;
  const [sentBytes = 0, sentPackets = 0] = fields.slice(8);
  return { receivedBytes, receivedPackets, sentBytes, sentPackets };
}

/** Waits for a file that a program makes when it is ready. */
export async function waitForFile(path: string, running: Running): Promise<void> {
  let ended = false;
  running.done.then(() => {
    ended = true;
  });
  for (const end = Date.now() + patience(10_000); Date.now() < end && !ended; await sleep(3))
    if (existsSync(path)) return;
  if (!existsSync(path))
    throw new Error(`a program ${ended ? 'ended' : 'did not come so far as'} to be ready (${path})`);
}

/** Tells a waiting program to go on. */
export function makeFile(path: string): void {
  writeFileSync(path, '');
}
