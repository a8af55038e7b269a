import type { Protocol, Scope } from '../readings.ts';

/*
 * What the judge sees of a process: its flows and the pairs between them, as the kernel has summed them up since each
 * flow began (bpf/ledger.bpf.c). All counters are cumulative. Objects that were handed to the ledger are its own from
 * then on and are not written to again: older ones serve as the beginning of a window.
 */

/** Counts by log2 of a time: bucket 0 is below 1.024 us, bucket b from 2^(b-1) to 2^b of them; 26 of them. */
export type Histogram = readonly number[];

/** What one process does on one socket with one peer. Bytes are payload bytes. */
export interface FlowEvidence {
  /** Never used again for another flow. */
  readonly id: string;
  readonly netns: number;
  readonly family: 'ip' | 'unix';
  readonly protocol: Protocol;
  readonly localAddress: string;
  readonly localPort: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
  /** AF_UNIX: what only serves to find the other end. */
  readonly localSocket: string;
  readonly remoteSocket: string;
  readonly opened: 'unknown' | 'accepted' | 'connected';
  readonly scope: Scope;
  /** Flows whose peers are the same host have the same; each AF_UNIX socket, each loopback service is one. */
  readonly host: string;
  /** When it first moved a byte, on the clock of `nowMs`. */
  readonly firstMs: number;
  readonly received: number;
  readonly sent: number;
  readonly receives: number;
  readonly sends: number;
  /** Times between receives. */
  readonly gaps: Histogram;
  /** Datagrams by a hash of their size; 16-bit counters that wrap around. */
  readonly receivedSizes: readonly number[];
  readonly sentSizes: readonly number[];
  /** Datagrams received by what a tunnel's would be (tunnel.ts); empty for a stream. */
  readonly tunnelSizes: readonly number[];
}

/** Sums of the sizes x received and y sent next, for a regression. */
export interface SizeSums {
  readonly count: number;
  readonly x: number;
  readonly y: number;
  readonly xx: number;
  readonly yy: number;
  readonly xy: number;
}

export const NO_SIZES: SizeSums = Object.freeze({ count: 0, x: 0, y: 0, xx: 0, yy: 0, xy: 0 });

/** What went from one flow of a process to another of it. */
export interface PairEvidence {
  readonly source: string;
  readonly destination: string;
  /** Bytes sent on the destination that were received on the source, each once. */
  readonly moved: number;
  /** Bytes sent again that another destination was sent already. */
  readonly copied: number;
  readonly moves: number;
  readonly copies: number;
  /** Moves that left nothing of the source to pass on. */
  readonly settled: number;
  /** Moves that were the thread's next socket call after the receive. */
  readonly direct: number;
  /** Moves in the same run of the thread (it did not sleep in between) as the receive. */
  readonly sameRun: number;
  /** Times from the source's last receive to the send. */
  readonly lags: Histogram;
  readonly sizes: SizeSums;
}

/** One view of a process: since its flows began, or of the last seconds. */
export interface Evidence {
  readonly flows: ReadonlyMap<string, FlowEvidence>;
  readonly pairs: ReadonlyMap<string, PairEvidence>;
  /** What each flow had received by then, at some moments a second or two ago. */
  readonly earlier?: readonly ReadonlyMap<string, number>[];
}

export function pairKey(source: string, destination: string): string {
  return `${source}>${destination}`;
}

/** What a flow did after `then`, an earlier state of it. */
export function flowSince(now: FlowEvidence, then: FlowEvidence | undefined): FlowEvidence {
  if (!then) return now;
  return {
    ...now,
    received: now.received - then.received,
    sent: now.sent - then.sent,
    receives: now.receives - then.receives,
    sends: now.sends - then.sends,
    gaps: subtract(now.gaps, then.gaps),
    receivedSizes: subtract(now.receivedSizes, then.receivedSizes, 0xffff),
    sentSizes: subtract(now.sentSizes, then.sentSizes, 0xffff),
    tunnelSizes: subtract(now.tunnelSizes, then.tunnelSizes),
  };
}

/** What went over a pair after `then`, an earlier state of it. */
export function pairSince(now: PairEvidence, then: PairEvidence | undefined): PairEvidence {
  if (!then) return now;
  return {
    source: now.source,
    destination: now.destination,
    moved: now.moved - then.moved,
    copied: now.copied - then.copied,
    moves: now.moves - then.moves,
    copies: now.copies - then.copies,
    settled: now.settled - then.settled,
    direct: now.direct - then.direct,
    sameRun: now.sameRun - then.sameRun,
    lags: subtract(now.lags, then.lags),
    sizes: {
      count: now.sizes.count - then.sizes.count,
      x: now.sizes.x - then.sizes.x,
      y: now.sizes.y - then.sizes.y,
      xx: now.sizes.xx - then.sizes.xx,
      yy: now.sizes.yy - then.sizes.yy,
      xy: now.sizes.xy - then.sizes.xy,
    },
  };
}

/** Two flows as if they had been one, with the first one's name. */
export function addFlows(one: FlowEvidence, other: FlowEvidence): FlowEvidence {
  return {
    ...one,
    firstMs: Math.min(one.firstMs, other.firstMs),
    received: one.received + other.received,
    sent: one.sent + other.sent,
    receives: one.receives + other.receives,
    sends: one.sends + other.sends,
    gaps: add(one.gaps, other.gaps),
    receivedSizes: add(one.receivedSizes, other.receivedSizes),
    sentSizes: add(one.sentSizes, other.sentSizes),
    tunnelSizes: add(one.tunnelSizes, other.tunnelSizes),
  };
}

/** Two pairs as if they had been one, with the first one's ends. */
export function addPairs(one: PairEvidence, other: PairEvidence): PairEvidence {
  return {
    source: one.source,
    destination: one.destination,
    moved: one.moved + other.moved,
    copied: one.copied + other.copied,
    moves: one.moves + other.moves,
    copies: one.copies + other.copies,
    settled: one.settled + other.settled,
    direct: one.direct + other.direct,
    sameRun: one.sameRun + other.sameRun,
    lags: add(one.lags, other.lags),
    sizes: addSizes(one.sizes, other.sizes),
  };
}

export function addSizes(one: SizeSums, other: SizeSums): SizeSums {
  return {
    count: one.count + other.count,
    x: one.x + other.x,
    y: one.y + other.y,
    xx: one.xx + other.xx,
    yy: one.yy + other.yy,
    xy: one.xy + other.xy,
  };
}

/** TCP flows have no counts by size: missing ones are zero. */
export function add(one: readonly number[], other: readonly number[]): number[] {
  const [long, short] = one.length >= other.length ? [one, other] : [other, one];
  return long.map((count, index) => count + (short[index] ?? 0));
}

/** The kernel's counters wrap around at `mask`, the difference doesn't. */
function subtract(now: readonly number[], then: readonly number[], mask = 0xffff_ffff): number[] {
  return now.map((count, index) => ((count - (then[index] ?? 0)) & mask) >>> 0);
}
