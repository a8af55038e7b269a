import {
  RL_FLOW_OFFSET,
  RL_FLOW_SIZE,
  RL_PAIR_KEY_SIZE,
  RL_PAIR_OFFSET,
  RL_PAIR_SIZE,
  RL_PEER_KEY_OFFSET,
  RL_PEER_KEY_SIZE,
} from '../bpf/layouts.ts';
import type { BpfMap } from '../bpf/map.ts';
import type { Mapping } from '../bpf/mapping.ts';

/** What one process does on one socket with one peer, as the kernel has counted it so far. */
export interface FlowReading {
  /** generation * 2^32 + index; never given out twice. */
  id: number;
  slot: number;
  processGeneration: number;
  received: number;
  sent: number;
  receives: number;
  sends: number;
  expired: number;
  unmatched: number;
  selfMatched: number;
  /** Between receives, by log2 of 1.024 us. */
  gaps: number[];
  /** Datagrams by a hash of their size. */
  receivedSizes: number[];
  sentSizes: number[];
  /** CLOCK_MONOTONIC ns, as numbers: they are only compared and subtracted. */
  firstNs: number;
  lastReceiveNs: number;
  lastSendNs: number;
  closed: boolean;
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
  /** AF_UNIX: this end and the other, as opaque numbers. */
  localSocket: bigint;
  remoteSocket: bigint;
  /** Whatever has the same is the same host. */
  hostHash: bigint;
}

/** Whether a flow is over, as far as it shows. */
export type FlowState = Pick<
  FlowReading,
  'id' | 'slot' | 'processGeneration' | 'closed' | 'opened' | 'protocol' | 'family'
> & {
  /** Of its last byte, CLOCK_MONOTONIC. */
  lastNs: number;
};

/** What went from one flow to another. */
export interface PairReading {
  source: number;
  destination: number;
  moved: number;
  copied: number;
  moves: number;
  copies: number;
  settled: number;
  direct: number;
  sameRun: number;
  lags: number[];
  sizeCount: number;
  sumX: number;
  sumY: number;
  sumXx: number;
  sumYy: number;
  sumXy: number;
}

export interface FlowMaps {
  flows: Mapping;
  /** How many indices were handed out by counting up. */
  used: () => number;
  capacity: number;
  free: BpfMap;
  peers: BpfMap;
  pairs: BpfMap;
}

const WORDS: number = RL_FLOW_SIZE / 4;
const BUCKETS = 26;
const CLASSES = 16;
const TWO_32 = 2 ** 32;
const AF_UNIX = 1;
const UDP = 17;
const UDPLITE = 136;

/** Follows the kernel's flow table: tells what changed since the last poll, and gives flows back that are over. */
export class FlowTable {
  readonly #maps: FlowMaps;
  readonly #view: DataView;
  readonly #words: Uint32Array;
  /** By index: events seen at the last poll, to find what changed. */
  readonly #events: Float64Array;
  /** Pairs that the kernel keeps apart, by each of their flows. */
  readonly #pairKeys = new Map<number, Set<string>>();
  readonly #live = new Set<number>();
  /** Ids of flows that are of interest: one end of a pair, or asked for. */
  readonly #paired = new Set<number>();

  constructor(maps: FlowMaps) {
    this.#maps = maps;
    this.#view = new DataView(maps.flows.buffer);
    this.#words = new Uint32Array(maps.flows.buffer);
    this.#events = new Float64Array(maps.capacity);
  }

  /** Flows in the table, as of the last poll. */
  get size(): number {
    return this.#live.size;
  }

  get capacity(): number {
    return this.#maps.capacity;
  }

  /**
   * Flows that have moved bytes since the last poll and may be relayed, with the pairs that lead to them: those that a
   * pair leads to or from, and those that `isWanted` asks for. Most flows on a host are neither and cost nothing here.
   * @param isWanted asked for every flow that has moved bytes, by its process
   */
  poll(isWanted: (slot: number) => boolean = () => true): { flows: FlowReading[]; pairs: PairReading[] } {
    const pairs: PairReading[] = [];
    const changed = new Map<number, number>();
    const end = Math.min(this.#maps.used() + 1, this.#maps.capacity);
    for (let index = 1; index < end; index++) {
      const base = index * WORDS;
      const receives = this.#words[base + RL_FLOW_OFFSET.receives / 4] as number;
      const sends = this.#words[base + RL_FLOW_OFFSET.sends / 4] as number;
      const generation = this.#words[base + RL_FLOW_OFFSET.generation / 4] as number;
      const events = (receives + sends) * 1024 + (generation % 1024);
      if (receives + sends === 0 || events === this.#events[index]) continue;
      this.#events[index] = events;
      const id = generation * TWO_32 + index;
      changed.set(id, index);
      this.#live.add(index);
      const first = this.#readFirstPair(index, id);
      if (first) pairs.push(first);
      if (isWanted(this.#words[base + RL_FLOW_OFFSET.slot / 4] as number)) this.#paired.add(id);
    }
    if (changed.size > 0) this.#readPairs(changed, pairs);
    const news = new Set<number>();
    for (const { source, destination } of pairs) {
      for (const id of [source, destination]) {
        if (this.#paired.has(id)) continue;
        this.#paired.add(id);
        news.add(id);
      }
    }
    const flows: FlowReading[] = [];
    for (const [id, index] of changed) if (this.#paired.has(id)) flows.push(this.#readFlow(index));
    // The other end of a new pair may have moved its bytes before it was of interest.
    for (const id of news) {
      if (changed.has(id)) continue;
      const flow = this.#readFlow(id % TWO_32);
      if (flow.id === id && flow.receives + flow.sends > 0) flows.push(flow); // else it was given back meanwhile
    }
    return { flows, pairs };
  }

  /**
   * Gives back what is over: the kernel starts anew at these indices.
   * @param isOver asked for every flow in the table, of which it sees as much as it takes to tell
   * @returns the ids of those that were given back
   */
  recycle(isOver: (flow: FlowState) => boolean): number[] {
    const freed: number[] = [];
    const slot = Buffer.alloc(4);
    for (const index of this.#live) {
      if (!isOver(this.#readState(index))) continue;
      const flow = this.#readFlow(index);
      // Before the generation: the kernel may put another flow under this peer as soon as the old one has no name.
      if (isDatagram(flow)) this.#maps.peers.delete(encodePeer(flow));
      // Until the kernel hands the index out again, the old numbers must not look like a flow.
      this.#view.setUint32(index * RL_FLOW_SIZE + RL_FLOW_OFFSET.receives, 0, true);
      this.#view.setUint32(index * RL_FLOW_SIZE + RL_FLOW_OFFSET.sends, 0, true);
      // A new generation: whatever still names the old one finds nothing.
      const generationAt = index * RL_FLOW_SIZE + RL_FLOW_OFFSET.generation;
      this.#view.setUint32(generationAt, this.#view.getUint32(generationAt, true) + 1, true);
      this.#deletePairs(flow.id);
      this.#live.delete(index);
      this.#paired.delete(flow.id);
      this.#events[index] = 0;
      slot.writeUInt32LE(index);
      this.#maps.free.push(slot); // last: from here on the kernel writes there
      freed.push(flow.id);
    }
    return freed;
  }

  #readState(index: number): FlowState {
    const at = index * RL_FLOW_SIZE;
    const view = this.#view;
    const o = RL_FLOW_OFFSET;
    const lastReceiveNs = Number(view.getBigUint64(at + o.lastReceiveNs, true));
    const lastSendNs = Number(view.getBigUint64(at + o.lastSendNs, true));
    return {
      id: view.getUint32(at + o.generation, true) * TWO_32 + index,
      slot: view.getUint32(at + o.slot, true),
      processGeneration: view.getUint32(at + o.processGeneration, true),
      lastNs: Math.max(lastReceiveNs, lastSendNs),
      closed: view.getUint32(at + o.closed, true) !== 0,
      opened: view.getUint8(at + o.opened),
      protocol: view.getUint16(at + o.protocol, true),
      family: view.getUint16(at + o.family, true),
    };
  }

  #readFlow(index: number): FlowReading {
    const at = index * RL_FLOW_SIZE;
    const view = this.#view;
    const o = RL_FLOW_OFFSET;
    const u64 = (offset: number): number => Number(view.getBigUint64(at + offset, true));
    const bytes = (offset: number): Uint8Array => new Uint8Array(view.buffer, at + offset, 16).slice();
    return {
      id: view.getUint32(at + o.generation, true) * TWO_32 + index,
      slot: view.getUint32(at + o.slot, true),
      processGeneration: view.getUint32(at + o.processGeneration, true),
      received: u64(o.received),
      sent: u64(o.sent),
      receives: view.getUint32(at + o.receives, true),
      sends: view.getUint32(at + o.sends, true),
      expired: u64(o.expired),
      unmatched: u64(o.unmatched),
      selfMatched: u64(o.selfMatched),
      gaps: readCounts(view, at + o.gaps, BUCKETS),
      receivedSizes: readClasses(view, at + o.receivedSizes),
      sentSizes: readClasses(view, at + o.sentSizes),
      firstNs: u64(o.firstNs),
      lastReceiveNs: u64(o.lastReceiveNs),
      lastSendNs: u64(o.lastSendNs),
      closed: view.getUint32(at + o.closed, true) !== 0,
      cookie: view.getBigUint64(at + o.cookie, true),
      family: view.getUint16(at + o.family, true),
      protocol: view.getUint16(at + o.protocol, true),
      netns: view.getUint32(at + o.netns, true),
      opened: view.getUint8(at + o.opened),
      scope: view.getUint8(at + o.scope),
      localAddress: bytes(o.localAddress),
      localPort: view.getUint16(at + o.localPort, true),
      remoteAddress: bytes(o.remoteAddress),
      remotePort: view.getUint16(at + o.remotePort, true),
      localSocket: view.getBigUint64(at + o.localSocket, true),
      remoteSocket: view.getBigUint64(at + o.remoteSocket, true),
      hostHash: view.getBigUint64(at + o.hostHash, true),
    };
  }

  #readFirstPair(index: number, destination: number): PairReading | undefined {
    const at = index * RL_FLOW_SIZE;
    const source = Number(this.#view.getBigUint64(at + RL_FLOW_OFFSET.firstSource, true));
    return source === 0 ? undefined : readPair(this.#view, at + RL_FLOW_OFFSET.first, source, destination);
  }

  #readPairs(changed: ReadonlyMap<number, number>, into: PairReading[]): void {
    for (const { count, keys, values } of this.#maps.pairs.batches()) {
      const view = new DataView(values.buffer, values.byteOffset, values.byteLength);
      for (let i = 0; i < count; i++) {
        const source = Number(keys.readBigUInt64LE(i * RL_PAIR_KEY_SIZE));
        const destination = Number(keys.readBigUInt64LE(i * RL_PAIR_KEY_SIZE + 8));
        if (!changed.has(source) && !changed.has(destination)) continue;
        const key = keys.toString('hex', i * RL_PAIR_KEY_SIZE, (i + 1) * RL_PAIR_KEY_SIZE);
        this.#noteKey(source, key);
        this.#noteKey(destination, key);
        into.push(readPair(view, i * RL_PAIR_SIZE, source, destination));
      }
    }
  }

  #noteKey(flow: number, key: string): void {
    const known = this.#pairKeys.get(flow);
    if (known) known.add(key);
    else this.#pairKeys.set(flow, new Set([key]));
  }

  #deletePairs(flow: number): void {
    for (const key of this.#pairKeys.get(flow) ?? []) {
      const bytes = Buffer.from(key, 'hex');
      this.#maps.pairs.delete(bytes);
      for (const at of [0, 8]) this.#pairKeys.get(Number(bytes.readBigUInt64LE(at)))?.delete(key);
    }
    this.#pairKeys.delete(flow);
  }
}

/** What the kernel gives a flow for each peer, where the socket is not connected. */
export function isDatagram({ protocol, family }: Pick<FlowReading, 'protocol' | 'family'>): boolean {
  return family !== AF_UNIX && (protocol === UDP || protocol === UDPLITE);
}

function readCounts(view: DataView, at: number, length: number): number[] {
  return Array.from({ length }, (_, i) => view.getUint32(at + 4 * i, true));
}

function readClasses(view: DataView, at: number): number[] {
  return Array.from({ length: CLASSES }, (_, i) => view.getUint16(at + 2 * i, true));
}

/** The sums may pass 2^53 on a long-lived flow: they feed a regression, which a rounded number serves as well. */
function readPair(view: DataView, at: number, source: number, destination: number): PairReading {
  const o = RL_PAIR_OFFSET;
  const u64 = (offset: number): number => Number(view.getBigUint64(at + offset, true));
  const u32 = (offset: number): number => view.getUint32(at + offset, true);
  return {
    source,
    destination,
    moved: u64(o.moved),
    copied: u64(o.copied),
    moves: u32(o.moves),
    copies: u32(o.copies),
    settled: u32(o.settled),
    direct: u32(o.direct),
    sameRun: u32(o.sameRun),
    lags: readCounts(view, at + o.lags, BUCKETS),
    sizeCount: u64(o.sizeCount),
    sumX: u64(o.sumX),
    sumY: u64(o.sumY),
    sumXx: u64(o.sumXx),
    sumYy: u64(o.sumYy),
    sumXy: u64(o.sumXy),
  };
}

function encodePeer({ cookie, slot, remotePort, remoteAddress }: FlowReading): Buffer {
  const key = Buffer.alloc(RL_PEER_KEY_SIZE);
  key.writeBigUInt64LE(cookie, RL_PEER_KEY_OFFSET.cookie);
  key.writeUInt32LE(slot, RL_PEER_KEY_OFFSET.slot);
  key.writeUInt16LE(remotePort, RL_PEER_KEY_OFFSET.port);
  key.set(remoteAddress, RL_PEER_KEY_OFFSET.address);
  return key;
}
