import { join } from 'node:path';
import { BpfError } from '../bpf/errors.ts';
import { checkLayouts } from '../bpf/layout.ts';
import {
  layouts,
  RL_PRINT_FLOW_OFFSET,
  RL_PRINT_FLOW_SIZE,
  RL_PRINT_OFFSET,
  RL_PRINT_SIZE,
  RL_PRINT_SOCKET_OFFSET,
  RL_PRINT_SOCKET_SIZE,
} from '../bpf/layouts.ts';
import type { BpfLink } from '../bpf/link.ts';
import { UPDATE } from '../bpf/map.ts';
import type { Mapping } from '../bpf/mapping.ts';
import { BpfObject } from '../bpf/object.ts';
import { Words } from '../bpf/words.ts';
import { AF_UNIX } from './addresses.ts';
import { encodePeer, type FlowIdentity, isDatagram } from './flow-reading.ts';
import type { FingerprintStatus, MissingFeature } from './readings.ts';

// `import` would read all that node:crypto exports, and so load WebCrypto.
const { randomBytes } = process.getBuiltinModule('node:crypto');

const OBJECT = join(import.meta.dirname, '..', 'bpf', 'objects', 'fingerprints.bpf.o');
const PROGRAMS = ['print_ingress', 'print_egress'] as const;
const KEY_BYTES = 32;

/** A pair is looked at so long after it was suspected last: verdicts waver. */
const KEPT_MS = 10_000;

/** Both ways are compared, whichever of them is suspected: people answer each other. */
export interface WatchedPair {
  readonly source: FlowIdentity;
  readonly destination: FlowIdentity;
}

/** Pieces of one flow's content since it has been looked at; flows by the kernel's ids. */
export interface PrintReading {
  readonly flow: number;
  readonly received: number;
  readonly sent: number;
  readonly matchedFrom: ReadonlyMap<number, number>;
}

interface Watched extends WatchedPair {
  suspectedMs: number;
}

type Totals = Pick<
  FingerprintStatus,
  'receivedPieces' | 'sentPieces' | 'matchedPieces' | 'evictedPieces' | 'skippedBytes'
>;

/**
 * Compares what suspected flows send with what came in (bpf/fingerprints.bpf.c). Nothing of it is pinned: the programs
 * are attached while anybody is suspected, and programs, key and hashes go with this process, however it ends.
 */
export class Fingerprints implements Disposable {
  #missing: MissingFeature | null = null;
  readonly #cgroup: string;
  readonly #object: BpfObject | undefined;
  readonly #views: Views | undefined;
  #links: BpfLink[] = [];
  readonly #pairs = new Map<string, Watched>();
  /** Flows that are looked at, by number. */
  readonly #flows: (FlowIdentity | undefined)[];
  /** Those of them that packets are found by: one for each socket and peer. */
  readonly #named = new Set<number>();
  #nextNumber = 0;
  #waiting = 0;
  /** Of flows that are no longer looked at. */
  readonly #before: Totals = noTotals();

  /** @param cgroup the cgroup2 directory whose packets are accounted for */
  constructor(cgroup: string) {
    this.#cgroup = cgroup;
    try {
      checkLayouts(OBJECT, layouts);
      this.#object = BpfObject.open(OBJECT, { globals: { print_key: makeKey() } }).load();
    } catch (error) {
      if (!(error instanceof BpfError)) throw error;
      this.#miss(error);
    }
    this.#views = this.#object && mapViews(this.#object);
    this.#flows = new Array(this.#object?.map('print_flows').info.maxEntries ?? 0).fill(undefined);
  }

  /** Why the kernel can't do it; null where it can. */
  get missing(): MissingFeature | null {
    return this.#missing;
  }

  /**
   * Says whom to look at from now on. What was looked at stays so for some seconds after it was named last.
   * @param suspected the pairs that are suspected now; there is room for some flows, and the first ones have it
   */
  watch(suspected: readonly WatchedPair[], nowMs: number): void {
    if (!this.#object) return;
    for (const pair of suspected) {
      const known = this.#pairs.get(keyOf(pair));
      if (known) known.suspectedMs = nowMs;
    }
    for (const [key, { suspectedMs }] of this.#pairs) if (nowMs - suspectedMs > KEPT_MS) this.#pairs.delete(key);
    const flows = new Set([...this.#pairs.values()].flatMap(idsOf));
    let waiting = 0;
    for (const pair of suspected.filter(canBeLookedAt)) {
      if (this.#pairs.has(keyOf(pair))) continue;
      if (flows.union(new Set(idsOf(pair))).size > this.#flows.length) {
        waiting++;
        continue;
      }
      this.#pairs.set(keyOf(pair), { ...pair, suspectedMs: nowMs });
      for (const id of idsOf(pair)) flows.add(id);
    }
    this.#waiting = waiting;
    this.#apply();
  }

  read(): PrintReading[] {
    const { words } = this.#views ?? {};
    if (!words) return [];
    return this.#flows.flatMap((flow, number) => {
      if (!flow) return [];
      const at = number * RL_PRINT_FLOW_SIZE;
      const matchedFrom = new Map<number, number>();
      for (const [other, source] of this.#flows.entries()) {
        const count = words.u32(at + RL_PRINT_FLOW_OFFSET.matchedFrom + 4 * other);
        if (source && count > 0) matchedFrom.set(source.id, count);
      }
      const received = words.u64(at + RL_PRINT_FLOW_OFFSET.received);
      return { flow: flow.id, received, sent: words.u64(at + RL_PRINT_FLOW_OFFSET.sent), matchedFrom };
    });
  }

  status(): FingerprintStatus {
    const totals = { ...this.#before };
    for (const [number, flow] of this.#flows.entries()) if (flow) this.#addTotals(totals, number);
    return { attached: this.#links.length > 0, pairs: this.#pairs.size, pairsWaiting: this.#waiting, ...totals };
  }

  [Symbol.dispose](): void {
    this.#detach();
    this.#views?.[Symbol.dispose]();
    this.#object?.[Symbol.dispose]();
  }

  /** Makes the kernel's side what `#pairs` says. */
  #apply(): void {
    const wanted = new Map(
      [...this.#pairs.values()].flatMap(({ source, destination }) => [
        [source.id, source] as const,
        [destination.id, destination] as const,
      ]),
    );
    const gone = this.#flows.flatMap((flow, number) => (flow && !wanted.has(flow.id) ? [number] : []));
    if (gone.length > 0) this.#remove(gone);
    for (const flow of this.#flows) if (flow) wanted.delete(flow.id);
    for (const flow of wanted.values()) this.#add(flow);
    this.#filter();
    if (this.#pairs.size === 0) this.#detach();
    else if (this.#links.length === 0) this.#attach();
  }

  /** Packets of all other sockets need no look-up. */
  #filter(): void {
    const { filter } = this.#views as Views;
    const bits = new BigUint64Array(filter.length);
    const size = 64 * bits.length;
    for (const flow of this.#flows) {
      if (!flow) continue;
      const bit = Number(flow.cookie % BigInt(size));
      bits[bit >>> 6] = (bits[bit >>> 6] as bigint) | (1n << BigInt(bit % 64));
    }
    filter.set(bits);
  }

  #add(flow: FlowIdentity): void {
    const { words, flows } = this.#views as Views;
    const number = this.#takeNumber();
    const at = number * RL_PRINT_FLOW_SIZE;
    flows.fill(0, at, at + RL_PRINT_FLOW_SIZE);
    for (let other = 0; other < this.#flows.length; other++) {
      words.setU32(other * RL_PRINT_FLOW_SIZE + RL_PRINT_FLOW_OFFSET.matchedFrom + 4 * number, 0);
    }
    words.setU32(at + RL_PRINT_FLOW_OFFSET.process, flow.slot);
    this.#flows[number] = flow;
    if (this.#name(flow, number)) this.#named.add(number);
  }

  /** Tells the programs by which socket, and which peer, a packet is the flow's. False where it is another process's, too. */
  #name(flow: FlowIdentity, number: number): boolean {
    const object = this.#object as BpfObject;
    const socket = Buffer.alloc(RL_PRINT_SOCKET_SIZE);
    if (isDatagram(flow)) {
      const value = Buffer.alloc(4);
      value.writeUInt32LE(number);
      socket.writeUInt32LE(1, RL_PRINT_SOCKET_OFFSET.byPeer);
      object.map('print_sockets').update(encodeCookie(flow), socket);
      return object.map('print_peers').update(keyOfPeer(flow), value, UPDATE.onlyNew);
    }
    socket.writeUInt32LE(number, RL_PRINT_SOCKET_OFFSET.number);
    return object.map('print_sockets').update(encodeCookie(flow), socket, UPDATE.onlyNew);
  }

  #remove(numbers: readonly number[]): void {
    const object = this.#object as BpfObject;
    const removed = numbers.map((number) => ({ flow: this.#flows[number] as FlowIdentity, number }));
    for (const number of numbers) {
      this.#addTotals(this.#before, number);
      this.#flows[number] = undefined;
    }
    for (const { flow, number } of removed) {
      const isNamed = this.#named.delete(number);
      const isLast = !this.#flows.some((other) => other?.cookie === flow.cookie);
      if (isDatagram(flow) && isNamed) object.map('print_peers').delete(keyOfPeer(flow));
      if (isDatagram(flow) ? isLast : isNamed) object.map('print_sockets').delete(encodeCookie(flow));
    }
    this.#wipe(new Set(numbers));
  }

  /** Takes the hashes of what came in on these flows out of the table; with the last flow, all. */
  #wipe(numbers: ReadonlySet<number>): void {
    const { prints, halves } = this.#views as Views;
    if (this.#flows.every((flow) => flow === undefined)) {
      prints.fill(0);
      halves.fill(0);
      return;
    }
    const view = new DataView(prints.buffer);
    for (let at = 0; at < prints.length; at += RL_PRINT_SIZE) {
      if (numbers.has(view.getUint16(at + SOURCE_OFFSET, true))) prints.fill(0, at, at + RL_PRINT_SIZE);
    }
  }

  /** Not the one that was given back last: a packet may still be on its way through the programs. */
  #takeNumber(): number {
    do this.#nextNumber = (this.#nextNumber + 1) % this.#flows.length;
    while (this.#flows[this.#nextNumber] !== undefined);
    return this.#nextNumber;
  }

  #addTotals(totals: Totals, number: number): void {
    const { words } = this.#views as Views;
    const at = number * RL_PRINT_FLOW_SIZE;
    totals.receivedPieces += words.u64(at + RL_PRINT_FLOW_OFFSET.received);
    totals.sentPieces += words.u64(at + RL_PRINT_FLOW_OFFSET.sent);
    totals.evictedPieces += words.u64(at + RL_PRINT_FLOW_OFFSET.evicted);
    totals.skippedBytes += words.u64(at + RL_PRINT_FLOW_OFFSET.skippedBytes);
    for (let other = 0; other < this.#flows.length; other++) {
      totals.matchedPieces += words.u32(at + RL_PRINT_FLOW_OFFSET.matchedFrom + 4 * other);
    }
  }

  #attach(): void {
    const object = this.#object as BpfObject;
    try {
      for (const name of PROGRAMS) this.#links.push(object.program(name).attachCgroup(this.#cgroup));
      this.#missing = null;
    } catch (error) {
      this.#detach();
      if (!(error instanceof BpfError)) throw error;
      this.#miss(error);
    }
  }

  #miss({ message }: BpfError): void {
    const consequence = 'what goes out cannot be compared with what came in';
    this.#missing = { feature: 'fingerprints', consequence, reason: message.split('\n')[0] ?? '' };
  }

  #detach(): void {
    for (const link of this.#links) link[Symbol.dispose]();
    this.#links = [];
  }
}

interface Views extends Disposable {
  readonly words: Words;
  readonly flows: Uint8Array;
  readonly prints: Uint8Array;
  readonly halves: Uint8Array;
  readonly filter: BigUint64Array;
}

/** In `rl_print.state`: the number of the flow that a piece came in on. */
const SOURCE_OFFSET = RL_PRINT_OFFSET.state + 2;

function mapViews(object: BpfObject): Views {
  const { map: bss, offset, size } = object.global('print_filter');
  const [flows, prints, halves, globals] = ['print_flows', 'prints', 'print_halves', bss].map((name) =>
    object.map(name).mmap({ writable: true }),
  ) as [Mapping, Mapping, Mapping, Mapping];
  return {
    words: new Words(flows.buffer),
    flows: new Uint8Array(flows.buffer),
    prints: new Uint8Array(prints.buffer),
    halves: new Uint8Array(halves.buffer),
    filter: new BigUint64Array(globals.buffer, offset, size / 8),
    [Symbol.dispose]: () => {
      for (const mapping of [flows, prints, halves, globals]) mapping[Symbol.dispose]();
    },
  };
}

/** Four random numbers, the first of them odd: it multiplies. */
function makeKey(): Buffer {
  const key = randomBytes(KEY_BYTES);
  key.writeUInt8(key.readUInt8(0) | 1, 0);
  return key;
}

/** AF_UNIX has no packets. */
function canBeLookedAt({ source, destination }: WatchedPair): boolean {
  return source.family !== AF_UNIX && destination.family !== AF_UNIX;
}

function encodeCookie({ cookie }: FlowIdentity): Buffer {
  const key = Buffer.alloc(8);
  key.writeBigUInt64LE(cookie);
  return key;
}

/** By a packet's ends alone: whose it is of several that share the socket does not show. */
function keyOfPeer(flow: FlowIdentity): Buffer {
  return encodePeer({ ...flow, slot: 0 });
}

function idsOf({ source, destination }: WatchedPair): number[] {
  return [source.id, destination.id];
}

function keyOf({ source, destination }: WatchedPair): string {
  return `${Math.min(source.id, destination.id)} ${Math.max(source.id, destination.id)}`;
}

function noTotals(): Totals {
  return { receivedPieces: 0, sentPieces: 0, matchedPieces: 0, evictedPieces: 0, skippedBytes: 0 };
}
