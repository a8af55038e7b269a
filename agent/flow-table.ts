import type { SharedArray } from '../bpf/array-window.ts';
import {
  RL_FLOW_OFFSET,
  RL_FLOW_SIZE,
  RL_INCOME_OFFSET,
  RL_INCOME_SIZE,
  RL_PAIR_KEY_SIZE,
  RL_PAIR_SIZE,
} from '../bpf/layouts.ts';
import type { BpfMap } from '../bpf/map.ts';
import { Words } from '../bpf/words.ts';
import {
  encodePeer,
  type FlowIdentity,
  type FlowReading,
  type FlowState,
  isDatagram,
  type PairReading,
  readFlow,
  readIdentity,
  readPair,
  readState,
} from './flow-reading.ts';

export interface FlowMaps {
  flows: SharedArray;
  incomes: SharedArray;
  /** Has what was sent since it was called last added to `flows`. */
  settle: () => void;
  /** How many indices were handed out by counting up. */
  used: () => number;
  capacity: number;
  free: BpfMap;
  peers: BpfMap;
  pairs: BpfMap;
}

const TWO_32 = 2 ** 32;
/** Entries of the pair table a call: the kernel and we need room for that many. */
const PAIR_BATCH = 256;

/** What is known of an index. */
const LIVE = 1;
const MOVED = 2;
/** One end of a pair, or asked for. */
const WANTED = 4;
/** The kernel keeps a pair in the flow itself, and may keep others of it in the pair table. */
const HAS_SOURCE = 8;

/** Follows the kernel's flow table: tells what changed since the last poll, and gives flows back that are over. */
export class FlowTable {
  readonly #maps: FlowMaps;
  #view: DataView<ArrayBuffer>;
  #words: Words;
  #incomes: Words;
  /** By index: bytes received and sends, seen at the last poll, with the end of the generation; to find what changed. */
  readonly #events: Float64Array;
  readonly #flags: Uint8Array;
  /** By index, of flows that were told of. */
  readonly #identities = new Map<number, FlowIdentity>();
  /** Pairs that the pair table keeps: the other ends, by each of their flows. */
  readonly #destinations = new Map<number, Set<number>>();
  readonly #sources = new Map<number, Set<number>>();
  #size = 0;
  #withSource = 0;

  constructor(maps: FlowMaps) {
    this.#maps = maps;
    this.#view = new DataView(maps.flows.buffer);
    this.#words = new Words(maps.flows.buffer);
    this.#incomes = new Words(maps.incomes.buffer);
    this.#events = new Float64Array(maps.capacity);
    this.#flags = new Uint8Array(maps.capacity);
  }

  /** Flows in the table, as of the last poll. */
  get size(): number {
    return this.#size;
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
    this.#maps.settle();
    const flags = this.#flags;
    const pairs: PairReading[] = [];
    const moved = this.#findMoved(isWanted, pairs);
    if (moved.length > 0 && this.#withSource > 0) this.#readPairs(pairs);
    const late: number[] = [];
    for (const { source, destination } of pairs) {
      for (const id of [source, destination]) {
        const index = id % TWO_32;
        this.#reach(index + 1);
        if (this.#idOf(index) !== id || (this.#flagsOf(index) & WANTED) !== 0) continue;
        flags[index] = this.#flagsOf(index) | WANTED;
        if ((this.#flagsOf(index) & MOVED) === 0) late.push(index);
      }
    }
    const flows: FlowReading[] = [];
    for (const index of moved) if ((this.#flagsOf(index) & WANTED) !== 0) flows.push(this.#readFlow(index));
    // The other end of a new pair may have moved its bytes before it was of interest.
    for (const index of late) if (this.#eventsOf(index) > 0) flows.push(this.#readFlow(index));
    for (const index of moved) flags[index] = this.#flagsOf(index) & ~MOVED;
    return { flows, pairs };
  }

  /** Has the next poll tell of all that these processes have moved: when they did, nobody knew that it would matter. */
  recall(slots: ReadonlySet<number>): void {
    if (slots.size === 0) return;
    const end = this.#end();
    this.#reach(end);
    for (let index = 1; index < end; index++) {
      if ((this.#flagsOf(index) & LIVE) === 0) continue;
      if (slots.has(this.#words.u32(index * RL_FLOW_SIZE + RL_FLOW_OFFSET.slot))) this.#events[index] = 0;
    }
  }

  /** Who a flow is; undefined once it was given back, and for what is no id. */
  identify(id: number): FlowIdentity | undefined {
    const index = id % TWO_32;
    if (!(index > 0 && index < this.#end())) return undefined;
    this.#reach(index + 1);
    return this.#idOf(index) === id ? this.#identityOf(index) : undefined;
  }

  /**
   * Gives back what is over: the kernel starts anew at these indices.
   * @param isOver asked for every flow in the table, of which it sees as much as it takes to tell
   * @returns the ids of those that were given back
   */
  recycle(isOver: (flow: FlowState) => boolean): number[] {
    const freed: number[] = [];
    const slot = Buffer.alloc(4);
    const words = this.#words;
    const end = this.#end();
    for (let index = 1; index < end; index++) {
      if ((this.#flagsOf(index) & LIVE) === 0) continue;
      const id = this.#idOf(index);
      if (!isOver(readState(this.#view, words, this.#incomes, id, index))) continue;
      const flow = this.#identityOf(index);
      // Before the generation: the kernel may put another flow under this peer as soon as the old one has no name.
      if (isDatagram(flow)) this.#maps.peers.delete(encodePeer(flow));
      const at = index * RL_FLOW_SIZE;
      // Until the kernel hands the index out again, the old numbers must not look like a flow.
      const income = index * RL_INCOME_SIZE;
      words.setU32(at + RL_FLOW_OFFSET.sends, 0);
      for (const half of [0, 4]) this.#incomes.setU32(income + RL_INCOME_OFFSET.received + half, 0);
      // A new generation: whatever still names the old one finds nothing.
      const generation = words.u32(at + RL_FLOW_OFFSET.generation) + 1;
      words.setU32(at + RL_FLOW_OFFSET.generation, generation);
      this.#incomes.setU32(income + RL_INCOME_OFFSET.generation, generation);
      this.#deletePairs(id);
      this.#forget(index);
      slot.writeUInt32LE(index);
      this.#maps.free.push(slot); // last: from here on the kernel writes there
      freed.push(id);
    }
    return freed;
  }

  #end(): number {
    return Math.min(this.#maps.used() + 1, this.#maps.capacity);
  }

  /** Views of the first `count` flows at least. */
  #reach(count: number): void {
    if (this.#maps.incomes.reach(count)) this.#incomes = new Words(this.#maps.incomes.buffer);
    if (!this.#maps.flows.reach(count)) return;
    this.#view = new DataView(this.#maps.flows.buffer);
    this.#words = new Words(this.#maps.flows.buffer);
  }

  /** Indices that have moved bytes, with the pairs that lie in the flows themselves. */
  #findMoved(isWanted: (slot: number) => boolean, into: PairReading[]): number[] {
    const end = this.#end();
    this.#reach(end);
    const moved: number[] = [];
    for (let index = 1; index < end; index++) {
      const count = this.#eventsOf(index);
      if (count === 0) continue;
      const at = index * RL_FLOW_SIZE;
      // As many events under another generation are another flow's.
      const events = count * 1024 + (this.#words.u32(at + RL_FLOW_OFFSET.generation) % 1024);
      if (events === this.#events[index]) continue;
      this.#events[index] = events;
      let flags = this.#flagsOf(index) | LIVE | MOVED;
      if ((this.#flagsOf(index) & LIVE) === 0) this.#size++;
      if ((flags & WANTED) === 0 && isWanted(this.#words.u32(at + RL_FLOW_OFFSET.slot))) flags |= WANTED;
      const source = this.#words.u64(at + RL_FLOW_OFFSET.firstSource);
      if (source !== 0) {
        if ((flags & HAS_SOURCE) === 0) this.#withSource++;
        flags |= HAS_SOURCE;
        into.push(readPair(this.#words, at + RL_FLOW_OFFSET.first, source, this.#idOf(index)));
      }
      this.#flags[index] = flags;
      moved.push(index);
    }
    return moved;
  }

  #flagsOf(index: number): number {
    return this.#flags[index] as number;
  }

  #eventsOf(index: number): number {
    const received = this.#incomes.u64(index * RL_INCOME_SIZE + RL_INCOME_OFFSET.received);
    return received + this.#words.u32(index * RL_FLOW_SIZE + RL_FLOW_OFFSET.sends);
  }

  #idOf(index: number): number {
    return this.#words.u32(index * RL_FLOW_SIZE + RL_FLOW_OFFSET.generation) * TWO_32 + index;
  }

  /** False for flows that were given back, too. */
  #hasMoved(id: number): boolean {
    const index = id % TWO_32;
    return (this.#flagsOf(index) & MOVED) !== 0 && this.#idOf(index) === id;
  }

  #readFlow(index: number): FlowReading {
    return readFlow(this.#words, this.#incomes, this.#identityOf(index), index);
  }

  #identityOf(index: number): FlowIdentity {
    const id = this.#idOf(index);
    const known = this.#identities.get(index);
    if (known?.id === id) return known;
    const identity = readIdentity(this.#view, id, index);
    this.#identities.set(index, identity);
    return identity;
  }

  #forget(index: number): void {
    if ((this.#flagsOf(index) & HAS_SOURCE) !== 0) this.#withSource--;
    this.#flags[index] = 0;
    this.#events[index] = 0;
    this.#identities.delete(index);
    this.#size--;
  }

  #readPairs(into: PairReading[]): void {
    for (const { count, keys, values } of this.#maps.pairs.batches({ size: PAIR_BATCH })) {
      const ids = new BigUint64Array(keys.buffer, keys.byteOffset, keys.byteLength / 8);
      const words = new Words(values.buffer);
      for (let i = 0; i < count; i++) {
        const source = Number(ids[2 * i]);
        const destination = Number(ids[2 * i + 1]);
        if (!this.#hasMoved(source) && !this.#hasMoved(destination)) continue;
        addTo(this.#destinations, source, destination);
        addTo(this.#sources, destination, source);
        into.push(readPair(words, values.byteOffset + i * RL_PAIR_SIZE, source, destination));
      }
    }
  }

  #deletePairs(flow: number): void {
    for (const destination of this.#destinations.get(flow) ?? []) {
      this.#maps.pairs.delete(encodePair(flow, destination));
      this.#sources.get(destination)?.delete(flow);
    }
    for (const source of this.#sources.get(flow) ?? []) {
      this.#maps.pairs.delete(encodePair(source, flow));
      this.#destinations.get(source)?.delete(flow);
    }
    this.#destinations.delete(flow);
    this.#sources.delete(flow);
  }
}

function addTo(index: Map<number, Set<number>>, flow: number, other: number): void {
  const known = index.get(flow);
  if (known) known.add(other);
  else index.set(flow, new Set([other]));
}

function encodePair(source: number, destination: number): Buffer {
  const key = Buffer.alloc(RL_PAIR_KEY_SIZE);
  key.writeBigUInt64LE(BigInt(source));
  key.writeBigUInt64LE(BigInt(destination), 8);
  return key;
}
