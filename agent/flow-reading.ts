import {
  RL_FLOW_OFFSET,
  RL_FLOW_SIZE,
  RL_INCOME_OFFSET,
  RL_INCOME_SIZE,
  RL_PAIR_OFFSET,
  RL_PEER_KEY_OFFSET,
  RL_PEER_KEY_SIZE,
} from '../bpf/layouts.ts';
import type { Words } from '../bpf/words.ts';
import { AF_UNIX } from './addresses.ts';

/** The kernel's flows and pairs as the agent reads them. */

/** Who a flow is: written once, before its first byte. */
export interface FlowIdentity {
  /** generation * 2^32 + index; never given out twice. */
  readonly id: number;
  readonly slot: number;
  readonly processGeneration: number;
  /** CLOCK_MONOTONIC ns, as numbers: they are only compared and subtracted. */
  readonly firstNs: number;
  readonly cookie: bigint;
  readonly family: number;
  readonly protocol: number;
  readonly netns: number;
  readonly opened: number;
  readonly scope: number;
  readonly localAddress: Uint8Array;
  readonly localPort: number;
  readonly remoteAddress: Uint8Array;
  readonly remotePort: number;
  /** AF_UNIX: this end and the other, as opaque numbers. */
  readonly localSocket: bigint;
  readonly remoteSocket: bigint;
  /** Whatever has the same is the same host. */
  readonly hostHash: bigint;
}

/** What one process does on one socket with one peer, as the kernel has counted it so far. */
export interface FlowReading extends FlowIdentity {
  readonly received: number;
  readonly sent: number;
  readonly receives: number;
  readonly sends: number;
  /** Between receives, by log2 of 1.024 us. */
  readonly gaps: readonly number[];
  /** Datagrams by a hash of their size. */
  readonly receivedSizes: readonly number[];
  readonly sentSizes: readonly number[];
  /** Datagrams received by what a tunnel's would be: as `tunnel_sizes` of bpf/relayledger.h. */
  readonly tunnelSizes: readonly number[];
}

/** Whether a flow is over, as far as it shows. */
export type FlowState = Pick<FlowIdentity, 'id' | 'slot' | 'processGeneration' | 'opened' | 'protocol' | 'family'> & {
  /** Its socket was closed, or its process ended. */
  closed: boolean;
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

const UDP = 17;
const UDPLITE = 136;
const BUCKETS = 26;
const CLASSES = 16;
const SHORT_GAPS = 20;
const TUNNEL_SIZES = 9;
/** Only datagrams have sizes: all other flows share one list. */
const NO_SIZES: readonly number[] = Object.freeze(new Array<number>(CLASSES).fill(0));

const o = RL_FLOW_OFFSET;
const i = RL_INCOME_OFFSET;
const p = RL_PAIR_OFFSET;

export function readIdentity(view: DataView, id: number, index: number): FlowIdentity {
  const at = index * RL_FLOW_SIZE;
  const bytes = (offset: number): Uint8Array => new Uint8Array(view.buffer, at + offset, 16).slice();
  return {
    id,
    slot: view.getUint32(at + o.slot, true),
    processGeneration: view.getUint32(at + o.processGeneration, true),
    firstNs: Number(view.getBigUint64(at + o.firstNs, true)),
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

/** @param incomes the flows' incomes, as `words` is the flows */
export function readFlow(words: Words, incomes: Words, identity: FlowIdentity, index: number): FlowReading {
  const at = index * RL_FLOW_SIZE;
  const income = index * RL_INCOME_SIZE;
  const hasSizes = isDatagram(identity);
  const gaps = readCounts(words, at + o.gaps, BUCKETS);
  addBytes(gaps, incomes, income + i.gaps);
  return {
    ...identity,
    received: incomes.u64(income + i.received),
    sent: words.u64(at + o.sent),
    receives: incomes.u64(income + i.lastReceiveNs) === 0 ? 0 : gaps.reduce((sum, count) => sum + count, 1),
    sends: words.u32(at + o.sends),
    gaps,
    receivedSizes: hasSizes ? readClasses(words, at + o.receivedSizes) : NO_SIZES,
    sentSizes: hasSizes ? readClasses(words, at + o.sentSizes) : NO_SIZES,
    tunnelSizes: hasSizes ? readCounts(words, at + o.tunnelSizes, TUNNEL_SIZES) : NO_SIZES,
  };
}

export function readState(view: DataView, words: Words, incomes: Words, id: number, index: number): FlowState {
  const at = index * RL_FLOW_SIZE;
  return {
    id,
    slot: words.u32(at + o.slot),
    processGeneration: words.u32(at + o.processGeneration),
    lastNs: Math.max(incomes.u64(index * RL_INCOME_SIZE + i.lastReceiveNs), words.u64(at + o.lastSendNs)),
    closed: words.u32(at + o.closed) !== 0,
    opened: view.getUint8(at + o.opened),
    protocol: view.getUint16(at + o.protocol, true),
    family: view.getUint16(at + o.family, true),
  };
}

/** The sums may pass 2^53 on a long-lived flow: they feed a regression, which a rounded number serves as well. */
export function readPair(words: Words, at: number, source: number, destination: number): PairReading {
  return {
    source,
    destination,
    moved: words.u64(at + p.moved),
    copied: words.u64(at + p.copied),
    moves: words.u32(at + p.moves),
    copies: words.u32(at + p.copies),
    settled: words.u32(at + p.settled),
    direct: words.u32(at + p.direct),
    sameRun: words.u32(at + p.sameRun),
    lags: readCounts(words, at + p.lags, BUCKETS),
    sizeCount: words.u64(at + p.sizeCount),
    sumX: words.u64(at + p.sumX),
    sumY: words.u64(at + p.sumY),
    sumXx: words.u64(at + p.sumXx),
    sumYy: words.u64(at + p.sumYy),
    sumXy: words.u64(at + p.sumXy),
  };
}

/** What the kernel gives a flow for each peer, where the socket is not connected. */
export function isDatagram({ protocol, family }: Pick<FlowReading, 'protocol' | 'family'>): boolean {
  return family !== AF_UNIX && (protocol === UDP || protocol === UDPLITE);
}

/** `struct rl_peer_key`, by which the kernel finds such a flow. */
export function encodePeer(flow: Pick<FlowIdentity, 'cookie' | 'slot' | 'remotePort' | 'remoteAddress'>): Buffer {
  const key = Buffer.alloc(RL_PEER_KEY_SIZE);
  key.writeBigUInt64LE(flow.cookie, RL_PEER_KEY_OFFSET.cookie);
  key.writeUInt32LE(flow.slot, RL_PEER_KEY_OFFSET.slot);
  key.writeUInt16LE(flow.remotePort, RL_PEER_KEY_OFFSET.port);
  key.set(flow.remoteAddress, RL_PEER_KEY_OFFSET.address);
  return key;
}

function readCounts(words: Words, at: number, length: number): number[] {
  const counts = new Array<number>(length); // at its full length at once: lists that grow take half as much again
  for (let i = 0; i < length; i++) counts[i] = words.u32(at + 4 * i);
  return counts;
}

/** 8-bit counters, four in a word: what the first of `counts` have not been told yet. */
function addBytes(counts: number[], words: Words, at: number): void {
  for (let bucket = 0; bucket < SHORT_GAPS; bucket++) {
    const four = words.u32(at + (bucket & ~3));
    counts[bucket] = (counts[bucket] as number) + ((four >>> (8 * (bucket & 3))) & 0xff);
  }
}

/** 16-bit counters, two in a word. */
function readClasses(words: Words, at: number): number[] {
  const counts = new Array<number>(CLASSES);
  for (let i = 0; i < CLASSES; i += 2) {
    const two = words.u32(at + 2 * i);
    counts[i] = two & 0xffff;
    counts[i + 1] = two >>> 16;
  }
  return counts;
}
