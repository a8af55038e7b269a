import type { InterfaceMaps } from '../../agent/interface-books.ts';
import type { InterfaceCounters, NetworkNamespace, NetworkNamespaces } from '../../agent/network-namespaces.ts';
import type { Direction } from '../../agent/readings.ts';
import {
  RL_INTERFACE_BASELINE_SIZE,
  RL_INTERFACE_DIRECTION_OFFSET,
  RL_INTERFACE_DIRECTION_SIZE,
  RL_INTERFACE_KEY_OFFSET,
  RL_INTERFACE_KEY_SIZE,
  RL_INTERFACE_NAME_OFFSET,
  RL_INTERFACE_NAME_SIZE,
  RL_INTERFACE_OFFSET,
  RL_INTERFACE_SIZE,
} from '../../bpf/layouts.ts';
import type { BpfMap } from '../../bpf/map.ts';
import { FakeMap } from './fake-map.ts';

const SETS = 256;
const WAYS = 8;

export interface Device {
  netns: number;
  cookie: bigint;
  ifindex: number;
  name: string;
  /** ARPHRD_* */
  type: number;
  hardHeaderLength: number;
  driver: string;
}

/** What one packet, or many, add to a line. */
export interface Passing {
  cpu?: number;
  deviceBytes?: number;
  devicePackets?: number;
  segmentedBytes?: number;
  ipBytes?: number;
  ipPackets?: number;
  nonIpBytes?: number;
  nonIpPackets?: number;
  forwardedBytes?: number;
  forwardedPackets?: number;
}

/** An Ethernet device of software, such as veth. */
export function makeDevice(override: Partial<Device> = {}): Device {
  return { netns: 100, cookie: 1n, ifindex: 2, name: 'eth0', type: 1, hardHeaderLength: 14, driver: '', ...override };
}

export function keyOf({ cookie, ifindex }: Pick<Device, 'cookie' | 'ifindex'>): Buffer {
  const key = Buffer.alloc(RL_INTERFACE_KEY_SIZE);
  key.writeBigUInt64LE(cookie, RL_INTERFACE_KEY_OFFSET.netCookie);
  key.writeUInt32LE(ifindex, RL_INTERFACE_KEY_OFFSET.ifindex);
  return key;
}

/** The device hooks' tables, written as bpf/interfaces.bpf.c writes them. */
export class FakeInterfaces {
  readonly names: FakeMap = new FakeMap({
    name: 'interface_names',
    keySize: RL_INTERFACE_KEY_SIZE,
    valueSize: RL_INTERFACE_NAME_SIZE,
    maxEntries: 64,
  });
  readonly baselines: FakeMap = new FakeMap({
    name: 'interface_baselines',
    keySize: RL_INTERFACE_KEY_SIZE,
    valueSize: RL_INTERFACE_BASELINE_SIZE,
    maxEntries: 64,
  });
  /** Called before a line is written from user space; may throw, as if the agent were killed there. */
  onWrite: () => void = () => undefined;
  /** Per-CPU array: a value holds all CPUs' lines, one behind the other. */
  readonly #lines: Buffer[];
  readonly #cpus: number;

  constructor(cpus = 2) {
    this.#cpus = cpus;
    this.#lines = Array.from({ length: SETS * WAYS }, () => Buffer.alloc(cpus * RL_INTERFACE_SIZE));
  }

  maps(): InterfaceMaps {
    const interfaces = {
      info: { maxEntries: SETS * WAYS },
      lookup: (key: Buffer) => Buffer.from(this.#lines[key.readUInt32LE()] as Buffer),
      update: (key: Buffer, values: Buffer) => {
        this.onWrite();
        if (values.length !== this.#cpus * RL_INTERFACE_SIZE) throw new Error('a value of the wrong size');
        values.copy(this.#lines[key.readUInt32LE()] as Buffer);
      },
    } as unknown as BpfMap;
    return { interfaces, names: this.names.asMap(), baselines: this.baselines.asMap() };
  }

  /** Whether any CPU has a line for the device. */
  holds(device: Device): boolean {
    return this.#lines.some((line) => line.includes(keyOf(device)));
  }

  pass(device: Device, direction: Direction, passing: Passing): void {
    const { cpu = 0, ...counts } = passing;
    const line = this.#line(device, cpu);
    const base = RL_INTERFACE_OFFSET.direction + (direction === 'rx' ? 0 : RL_INTERFACE_DIRECTION_SIZE);
    const at = RL_INTERFACE_DIRECTION_OFFSET;
    const offsets: Record<keyof typeof counts, number> = {
      deviceBytes: at.deviceBytes,
      devicePackets: at.devicePackets,
      segmentedBytes: at.segmentedBytes,
      ipBytes: at.ip,
      ipPackets: at.ip + 8,
      nonIpBytes: at.nonIp,
      nonIpPackets: at.nonIp + 8,
      forwardedBytes: at.forwarded,
      forwardedPackets: at.forwarded + 8,
    };
    for (const [name, value] of Object.entries(counts)) {
      const offset = base + offsets[name as keyof typeof counts];
      line.writeBigUInt64LE(line.readBigUInt64LE(offset) + BigInt(value), offset);
    }
  }

  #line(device: Device, cpu: number): Buffer {
    const set = Number(BigInt.asUintN(64, device.cookie * 31n + BigInt(device.ifindex)) % BigInt(SETS));
    const key = keyOf(device);
    const ways = this.#lines
      .slice(set * WAYS, (set + 1) * WAYS)
      .map((value) => value.subarray(cpu * RL_INTERFACE_SIZE, (cpu + 1) * RL_INTERFACE_SIZE));
    const own = ways.find((line) => line.subarray(0, RL_INTERFACE_KEY_SIZE).equals(key));
    if (own) return own;
    const empty = ways.find((line) => line.readBigUInt64LE() === 0n);
    if (!empty) throw new Error('the set is full');
    key.copy(empty);
    const name = Buffer.alloc(RL_INTERFACE_NAME_SIZE);
    name.writeUInt32LE(device.netns, RL_INTERFACE_NAME_OFFSET.netns);
    name.writeUInt16LE(device.type, RL_INTERFACE_NAME_OFFSET.type);
    name.writeUInt16LE(device.hardHeaderLength, RL_INTERFACE_NAME_OFFSET.hardHeaderLength);
    name.write(device.name, RL_INTERFACE_NAME_OFFSET.name);
    name.write(device.driver, RL_INTERFACE_NAME_OFFSET.driver);
    this.names.update(key, name);
    return empty;
  }
}

/** Network namespaces that a test makes up; found only once they were looked for, as the real ones. */
export class FakeNamespaces {
  /** What there is. */
  readonly there: Map<number, NetworkNamespace> = new Map();
  /** Called at each reading of a namespace, to let packets pass meanwhile. */
  onRead: () => void = () => undefined;
  #known = new Set<number>();

  asNamespaces(): NetworkNamespaces {
    return this as unknown as NetworkNamespaces;
  }

  /** Puts an interface with these counters into its namespace, or changes them. */
  set({ netns, cookie, ifindex, name }: Device, counters: Partial<InterfaceCounters> = {}): void {
    const namespace = this.there.get(netns) ?? { inode: netns, cookie, name: null, interfaces: [] };
    const others = namespace.interfaces.filter((each) => each.ifindex !== ifindex);
    const own = { name, ifindex, rxBytes: 0, rxPackets: 0, txBytes: 0, txPackets: 0, ...counters };
    this.there.set(netns, { ...namespace, interfaces: [...others, own] });
  }

  setName(netns: number, name: string): void {
    const namespace = this.there.get(netns);
    if (namespace) this.there.set(netns, { ...namespace, name });
  }

  remove({ netns, ifindex }: Device): void {
    const namespace = this.there.get(netns);
    if (!namespace) return;
    const interfaces = namespace.interfaces.filter((each) => each.ifindex !== ifindex);
    this.there.set(netns, { ...namespace, interfaces });
  }

  discover(): void {
    this.#known = new Set(this.there.keys());
  }

  inodes(): Iterable<number> {
    return [...this.#known];
  }

  has(inode: number): boolean {
    return this.#known.has(inode);
  }

  nameOf(inode: number): string | null {
    return this.#known.has(inode) ? (this.there.get(inode)?.name ?? null) : null;
  }

  read(inode: number): NetworkNamespace | undefined {
    if (!this.#known.has(inode)) this.discover();
    this.onRead();
    return this.there.get(inode);
  }
}
