import { type FlowMaps, FlowTable } from '../../agent/flow-table.ts';
import {
  layouts,
  RL_FLOW_OFFSET,
  RL_FLOW_SIZE,
  RL_INCOME_OFFSET,
  RL_INCOME_SIZE,
  RL_PAIR_KEY_SIZE,
  RL_PAIR_OFFSET,
  RL_PAIR_SIZE,
  RL_PEER_KEY_OFFSET,
  RL_PEER_KEY_SIZE,
} from '../../bpf/layouts.ts';
import { FakeMap, FakeQueue } from './fake-map.ts';

export const AF_UNIX = 1;
export const AF_INET = 2;
export const TCP = 6;
export const UDP = 17;

const TWO_32 = 2 ** 32;
/** As the kernel's records have them: the agent's own figures are held against these. */
const SIZE_CLASSES = lengthOf('rl_flow', 'received_sizes');
const TUNNEL_SIZES = lengthOf('rl_flow', 'tunnel_sizes');
const LAG_BUCKETS = lengthOf('rl_flow', 'gaps');
const SHORT_GAPS = lengthOf('rl_income', 'gaps');

export interface FlowShape {
  slot: number;
  processGeneration: number;
  cookie: bigint;
  family: number;
  protocol: number;
  netns: number;
  opened: number;
  scope: number;
  localAddress: Uint8Array;
  localPort: number;
  remoteAddress: Uint8Array;
  remotePort: number;
  localSocket: bigint;
  remoteSocket: bigint;
  hostHash: bigint;
}

/** What a test holds of a flow; the kernel's maps hold its id. */
export interface FakeFlow extends FlowShape {
  id: number;
  index: number;
}

export function makeFlowShape(override: Partial<FlowShape> = {}): FlowShape {
  return {
    slot: 3,
    processGeneration: 1,
    cookie: 0x1fn,
    family: AF_INET,
    protocol: TCP,
    netns: 4_026_531_840,
    opened: 1,
    scope: 2,
    localAddress: mapped(192, 0, 2, 1),
    localPort: 40_000,
    remoteAddress: mapped(198, 51, 100, 7),
    remotePort: 443,
    localSocket: 0n,
    remoteSocket: 0n,
    hostHash: 0n,
    ...override,
  };
}

function lengthOf(struct: string, field: string): number {
  const layout = layouts.find((each) => 'struct' in each && each.struct === struct);
  const [, type] = (layout && 'fields' in layout && layout.fields[field]) || [];
  const [, length] = /\[(\d+)\]$/.exec(type ?? '') ?? [];
  if (length === undefined) throw new Error(`${struct}.${field} is no array`);
  return Number(length);
}

/** IPv4 as v4-mapped IPv6, as the kernel's side writes it. */
export function mapped(...bytes: number[]): Uint8Array {
  return Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ...bytes);
}

/** The kernel's flow table in plain memory, written in the order in which bpf/flows.bpf.h and bpf/ledger.bpf.c write it. */
export class FakeFlows {
  readonly capacity: number;
  readonly view: DataView<ArrayBuffer>;
  readonly incomes: DataView<ArrayBuffer>;
  readonly free: FakeQueue;
  readonly peers: FakeMap;
  readonly pairs: FakeMap;
  used = 0;
  readonly #unsettled: (() => void)[] = [];

  constructor(capacity = 16) {
    this.capacity = capacity;
    this.view = new DataView(new ArrayBuffer(capacity * RL_FLOW_SIZE));
    this.incomes = new DataView(new ArrayBuffer(capacity * RL_INCOME_SIZE));
    this.free = new FakeQueue('free_flows', capacity);
    this.peers = new FakeMap({ name: 'peer_flows', keySize: RL_PEER_KEY_SIZE, valueSize: 8, maxEntries: capacity });
    this.pairs = new FakeMap({ name: 'pairs', keySize: RL_PAIR_KEY_SIZE, valueSize: RL_PAIR_SIZE, maxEntries: 64 });
  }

  maps(): FlowMaps {
    return {
      flows: { buffer: this.view.buffer, reach: () => false },
      incomes: { buffer: this.incomes.buffer, reach: () => false },
      settle: () => this.settle(),
      used: () => this.used,
      capacity: this.capacity,
      free: this.free.asMap(),
      peers: this.peers.asMap(),
      pairs: this.pairs.asMap(),
    };
  }

  /** make_flow() and describe_flow(); the peer's key too where the socket is not connected. */
  make(override: Partial<FlowShape> = {}, peer = false): FakeFlow {
    const shape = makeFlowShape(override);
    const index = this.free.values.shift() ?? ++this.used;
    if (index >= this.capacity) throw new Error('the flow table is full');
    const generation = this.generationAt(index) || 1;
    new Uint8Array(this.view.buffer, index * RL_FLOW_SIZE, RL_FLOW_SIZE).fill(0);
    new Uint8Array(this.incomes.buffer, index * RL_INCOME_SIZE, RL_INCOME_SIZE).fill(0);
    const flow = { ...shape, index, id: generation * TWO_32 + index };
    this.putGeneration(flow, generation);
    for (const field of ['slot', 'processGeneration', 'netns'] as const) this.put32(flow, field, shape[field]);
    for (const field of ['family', 'protocol', 'localPort', 'remotePort'] as const)
      this.view.setUint16(this.#at(flow, field), shape[field], true);
    for (const field of ['opened', 'scope'] as const) this.view.setUint8(this.#at(flow, field), shape[field]);
    for (const field of ['cookie', 'localSocket', 'remoteSocket', 'hostHash'] as const)
      this.put64(flow, field, shape[field]);
    for (const field of ['localAddress', 'remoteAddress'] as const)
      new Uint8Array(this.view.buffer, this.#at(flow, field), 16).set(shape[field]);
    if (peer) {
      const id = Buffer.alloc(8);
      id.writeBigUInt64LE(BigInt(flow.id));
      this.peers.update(this.peerKey(shape), id);
    }
    return flow;
  }

  /** `ns` after the last one: of how many bits the gap is, in 1.024 us, tells its bucket. */
  receive(flow: FakeFlow, bytes: number, ns = 1000): void {
    const at = flow.index * RL_INCOME_SIZE;
    const { received, lastReceiveNs } = RL_INCOME_OFFSET;
    const before = Number(this.incomes.getBigUint64(at + lastReceiveNs, true));
    if (before !== 0) this.noteGap(flow, (ns - before) / 1024 < 1 ? 0 : 32 - Math.clz32((ns - before) / 1024));
    this.incomes.setBigUint64(at + received, this.incomes.getBigUint64(at + received, true) + BigInt(bytes), true);
    this.incomes.setBigUint64(at + lastReceiveNs, BigInt(ns), true);
  }

  /** Short ones in bytes, whose carries go with the long ones to the flow's record. */
  noteGap(flow: FakeFlow, bucket: number): void {
    const at = flow.index * RL_INCOME_SIZE + RL_INCOME_OFFSET.gaps + bucket;
    const count = bucket < SHORT_GAPS ? this.incomes.getUint8(at) + 1 : 0;
    if (bucket < SHORT_GAPS) this.incomes.setUint8(at, count % 256);
    const wide = this.#at(flow, 'gaps') + 4 * bucket;
    const rise = bucket >= SHORT_GAPS ? 1 : count === 256 ? 256 : 0;
    this.view.setUint32(wide, this.view.getUint32(wide, true) + rise, true);
  }

  send(flow: FakeFlow, bytes: number, ns = 1000): void {
    const sent = this.#at(flow, 'sent');
    this.view.setBigUint64(sent, this.view.getBigUint64(sent, true) + BigInt(bytes), true);
    this.put32(flow, 'sends', this.view.getUint32(this.#at(flow, 'sends'), true) + 1);
    this.put64(flow, 'lastSendNs', BigInt(ns));
  }

  /** Sends that the record is told of only by settle_sockets(). */
  sendUnsettled(flow: FakeFlow, bytes: number, ns = 1000): void {
    this.#unsettled.push(() => this.send(flow, bytes, ns));
  }

  settle(): void {
    for (const send of this.#unsettled.splice(0)) send();
  }

  /** Sends what `source` received: in the flow itself where it is its first source, else in a pair of its own. */
  relay(source: FakeFlow, destination: FakeFlow, bytes: number): void {
    this.send(destination, bytes);
    const first = this.view.getBigUint64(this.#at(destination, 'firstSource'), true);
    if (first === 0n) this.put64(destination, 'firstSource', BigInt(source.id));
    if (first === 0n || first === BigInt(source.id)) {
      const pair = new DataView(this.view.buffer, this.#at(destination, 'first'), RL_PAIR_SIZE);
      addMove(pair, bytes);
      return;
    }
    const key = this.pairKey(source, destination);
    const value = this.pairs.lookup(key) ?? Buffer.alloc(RL_PAIR_SIZE);
    addMove(new DataView(value.buffer, value.byteOffset), bytes);
    this.pairs.update(key, value);
  }

  close(flow: FakeFlow): void {
    this.put32(flow, 'closed', 1);
  }

  /** get_flow(): whether the id still names a flow. */
  holds({ id, index }: FakeFlow): boolean {
    return this.generationAt(index) === Math.floor(id / TWO_32);
  }

  generationAt(index: number): number {
    return this.incomes.getUint32(index * RL_INCOME_SIZE + RL_INCOME_OFFSET.generation, true);
  }

  putGeneration(flow: FakeFlow, generation: number): void {
    this.put32(flow, 'generation', generation);
    this.incomes.setUint32(flow.index * RL_INCOME_SIZE + RL_INCOME_OFFSET.generation, generation, true);
  }

  pairKey(source: FakeFlow, destination: FakeFlow): Buffer {
    const key = Buffer.alloc(RL_PAIR_KEY_SIZE);
    key.writeBigUInt64LE(BigInt(source.id));
    key.writeBigUInt64LE(BigInt(destination.id), 8);
    return key;
  }

  peerKey({ cookie, slot, remotePort, remoteAddress }: FlowShape): Buffer {
    const key = Buffer.alloc(RL_PEER_KEY_SIZE);
    key.writeBigUInt64LE(cookie, RL_PEER_KEY_OFFSET.cookie);
    key.writeUInt32LE(slot, RL_PEER_KEY_OFFSET.slot);
    key.writeUInt16LE(remotePort, RL_PEER_KEY_OFFSET.port);
    key.set(remoteAddress, RL_PEER_KEY_OFFSET.address);
    return key;
  }

  put32(flow: FakeFlow, field: keyof typeof RL_FLOW_OFFSET, value: number): void {
    this.view.setUint32(this.#at(flow, field), value, true);
  }

  put64(flow: FakeFlow, field: keyof typeof RL_FLOW_OFFSET, value: bigint): void {
    this.view.setBigUint64(this.#at(flow, field), value, true);
  }

  /** Numbers from `first` on into the counts of a flow: gaps and tunnel sizes of 32 bits, sizes of 16. */
  fillCounts(flow: FakeFlow, first: number): void {
    for (let i = 0; i < LAG_BUCKETS; i++) this.view.setUint32(this.#at(flow, 'gaps') + 4 * i, first + i, true);
    for (let i = 0; i < TUNNEL_SIZES; i++) {
      this.view.setUint32(this.#at(flow, 'tunnelSizes') + 4 * i, first + 300 + i, true);
    }
    for (let i = 0; i < SIZE_CLASSES; i++) {
      this.view.setUint16(this.#at(flow, 'receivedSizes') + 2 * i, first + 100 + i, true);
      this.view.setUint16(this.#at(flow, 'sentSizes') + 2 * i, first + 200 + i, true);
    }
  }

  #at({ index }: Pick<FakeFlow, 'index'>, field: keyof typeof RL_FLOW_OFFSET): number {
    return index * RL_FLOW_SIZE + RL_FLOW_OFFSET[field];
  }
}

function addMove(pair: DataView, bytes: number): void {
  const { moved, moves } = RL_PAIR_OFFSET;
  pair.setBigUint64(moved, pair.getBigUint64(moved, true) + BigInt(bytes), true);
  pair.setUint32(moves, pair.getUint32(moves, true) + 1, true);
}

export interface FlowsHarness {
  kernel: FakeFlows;
  table: FlowTable;
  /** Ids of the flows that the poll tells of. */
  changed(): number[];
  /** The pairs that it tells of, as `source>destination moved`. */
  pairs(): string[];
}

export function makeFlowTable(capacity?: number): FlowsHarness {
  const kernel = new FakeFlows(capacity);
  const table = new FlowTable(kernel.maps());
  const changed = (): number[] => table.poll().flows.map(({ id }) => id);
  const pairs = (): string[] =>
    table
      .poll()
      .pairs.map(({ source, destination, moved }) => `${source}>${destination} ${moved}`)
      .sort();
  return { kernel, table, changed, pairs };
}

/** As `pairs` of the harness writes it. */
export function pair(source: FakeFlow, destination: FakeFlow, moved: number): string {
  return `${source.id}>${destination.id} ${moved}`;
}
