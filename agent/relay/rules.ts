import { isAskedForInKind, isAskedForToTheByte } from './asked.ts';
import { isConference } from './conference.ts';
import {
  BEAT_BYTES,
  CONSERVED,
  conserves,
  isAllGone,
  isCrossed,
  isEqual,
  isOfSmallMessages,
  WELL_CONSERVED,
} from './conservation.ts';
import { add } from './evidence.ts';
import type { Direction, Exchange } from './groups.ts';
import { agreementByChance } from './sizes.ts';

/*
 * Is an exchange a relay? Two questions, asked of each of its directions that matters. Does it conserve: nearly all
 * that came in went out, nearly all that went out had come in? And does it follow: do sends come when receives came?
 * Conservation is half proven already, as the kernel pays each sent byte from received ones and each of those once; a
 * relay that holds data shows no lag, but equality both ways is two coincidences too many.
 */

export type RelayKind =
  | 'causal'
  | 'causal-one-way'
  | 'crossed'
  | 'held'
  | 'held-datagrams'
  | 'framed'
  | 'compressed'
  | 'conference'
  | 'pipe'
  | 'verbatim'
  | 'stored'
  | 'twins'
  | 'undecided';

export interface Ruling {
  readonly verdict: 'none' | 'suspected' | 'relay';
  readonly kind: RelayKind;
  /** In words, for people. */
  readonly why: string;
}

interface Rule extends Ruling {
  holds(exchange: Weighed): boolean;
}

/** An exchange, and those of its directions that count for its verdict. */
export interface Weighed {
  readonly all: Exchange;
  readonly main: readonly Direction[];
  readonly twoWay: boolean;
}

/** An exchange with less shows nothing: a login, a handshake, one old message that many sends happen to fit into. */
const MIN_EVENTS = 16;
const MIN_BYTES = 1024;
/** A direction counts from this share of the largest one's bytes, or of its sends; the rest is acknowledgements. */
const MAIN_BYTES_SHARE = 0.03;
const MAIN_EVENTS_SHARE = 0.1;

/** A thread that sends in the same run as it received, without a sleep in between, sends because it received. */
const SAME_RUN_SHARE = 0.8;
/**
 * Its lags need not prove it too, but a loop that never sleeps, on a host with more work than CPU, receives and sends
 * unrelated things in one run: such a one reached 0.74.
 */
const SAME_RUN_AUC = 0.8;
/** A select loop at full speed: some runs have many receives, and lags of their own. */
const SOME_RUN_SHARE = 0.5;
const SOME_RUN_AUC = 0.85;
/** Other threads send: the lags are all there is. Independent flows reach 0.89, true pairs 0.96 and more. */
const OTHER_RUN_AUC = 0.92;
/** The same for constant rates: the one phase of two clocks is below 1 - p with probability p. */
const SOME_RUN_PERIODIC_AUC = 0.97;
const OTHER_RUN_PERIODIC_AUC = 0.99;
const WEAK_AUC = 0.6;
const SOON_MS = 5;

/** Two streams of one pace, by chance, had .87 to .94 for seconds on end; brokers that frame what they pass on have .96. */
const IN_STEP_CONSERVED = 0.95;
/** Relays in step leave nothing behind after .94 of their sends and more, streams of their own after .3 at most. */
const SETTLED_SHARE = 0.5;
const ONE_SIZE: readonly [number, number] = [0.99, 1.01];
/** Below it, the size of a send has nothing to do with that of the receive before. */
const UNRELATED_CORRELATION = 0.3;

/** One-way volumes of two calls of one codec differ less than this; of a relay's two directions more. */
const SAME_VOLUME = 1.05;
/** Independent streams agree as well in their sizes once in so many looks, and in both directions only by its square. */
const SIZES_AGREE_TWO_WAY = 1e-3;
const SIZES_AGREE_ONE_WAY = 1e-6;
/** With fewer sizes, equal patterns are no accident. */
const SIZE_VARIETY = 4;

/** Framing of encrypted messages: header, tag and padding. */
const FRAME_BYTES = 80;
const FRAMED_AUC = 0.9;
const FRAMED_EVENTS_SHARE = 0.6;
/** Sizes of framed messages follow with this slope and correlation. */
const FRAMED_SLOPE: readonly [number, number] = [0.75, 1.25];
const FRAMED_CORRELATION = 0.7;

/** Compression: all of the smaller side is matched, messages are too large for framing to explain the rest. */
const SMALLER_SIDE_MATCHED = 0.95;
const COMPRESSED_MIN_BYTES = 65_536;
const COMPRESSED_MIN_MESSAGE = 512;
/** One direction is packed as much as the other is unpacked: the product of their ratios is one. */
const COMPRESSION_BALANCE: readonly [number, number] = [0.8, 1.25];
/** What leftovers pay for comes late, and at a constant pace that proves nothing: then the ratios must be the same. */
const COMPRESSION_BALANCE_OF_BEATS: readonly [number, number] = [0.98, 1.02];

/** The first one that holds decides. */
export const RULES: readonly Rule[] = [
  {
    verdict: 'none',
    kind: 'undecided',
    why: 'too little traffic to tell',
    holds: ({ all }) =>
      sum(all, (d) => Math.min(d.events, d.receives)) < MIN_EVENTS || sum(all, (d) => d.moved + d.copied) < MIN_BYTES,
  },
  {
    verdict: 'relay',
    kind: 'causal',
    why: 'what comes in goes out again, and right after it came in',
    holds: ({ main, twoWay }) =>
      main.every((d) => conserves(d, CONSERVED) && follows(d)) && (twoWay || !main.every(isInStep)),
  },
  {
    verdict: 'relay',
    kind: 'causal-one-way',
    why: 'what comes in goes out again both ways, and one way right after it came in',
    holds: ({ all, main, twoWay }) =>
      main.every((d) => conserves(d, WELL_CONSERVED) && followsWeakly(d)) &&
      (twoWay ? main.some(follows) : main.every((d) => isOfOneRun(d) && isAskedFor(d, all))),
  },
  {
    verdict: 'relay',
    kind: 'crossed',
    why: 'exactly what comes in goes out both ways, and one way right after it came in, though which pays for which is mixed',
    holds: ({ main, twoWay }) =>
      twoWay &&
      main.every((d) => isCrossed(d) && followsWeakly(d)) &&
      main.some(follows) &&
      (main.every((d) => conserves(d, CONSERVED) || follows(d)) || !haveOneVolume(main)),
  },
  {
    verdict: 'relay',
    kind: 'held',
    why: 'exactly what comes in goes out both ways, though it is held for some time',
    // Both ways carry something: equality both ways is two coincidences, beside request heads it is one.
    holds: ({ main, twoWay }) =>
      twoWay &&
      main.every((d) => isEqual(d) && !d.datagrams) &&
      !(haveOneVolume(main) && main.every((d) => d.periodic || isOfSmallMessages(d))),
  },
  {
    verdict: 'relay',
    kind: 'held',
    why: 'exactly what comes in goes out, though it is held for some time, to those whose requests went out as they came',
    holds: ({ all, main, twoWay }) =>
      !twoWay &&
      main.every(
        (d) =>
          isEqual(d) &&
          !d.datagrams &&
          !isOfSmallMessages(d) &&
          (isAskedForToTheByte(d, all) || isAskedForInKind(d, all)),
      ),
  },
  {
    verdict: 'relay',
    kind: 'held-datagrams',
    why: 'the datagrams that come in go out with the same varying sizes, though they are held for some time',
    holds: ({ main, twoWay }) =>
      main.every((d) => d.datagrams && isAllGone(d) && d.sizeVariety >= SIZE_VARIETY) && sizesAgree(main, twoWay),
  },
  {
    verdict: 'relay',
    kind: 'conference',
    why: 'as much goes to each member as comes from all of them, and right after it came in',
    holds: ({ all, main }) => main.every((d) => !d.periodic && d.auc >= OTHER_RUN_AUC) && isConference(all),
  },
  {
    verdict: 'suspected',
    kind: 'undecided',
    why: 'as much goes out as comes in, but at times that prove nothing; two equal streams of its own would look alike',
    holds: ({ main, twoWay }) => main.every((d) => conserves(d, WELL_CONSERVED)) && (twoWay || main.some(follows)),
  },
  {
    verdict: 'none',
    kind: 'undecided',
    why: 'as much goes out as comes in, but not when it comes in',
    holds: ({ main }) => main.every((d) => conserves(d, CONSERVED)),
  },
  {
    verdict: 'relay',
    kind: 'framed',
    why: 'each message that comes in goes out right after, its size changed by a few bytes of framing',
    holds: ({ main }) =>
      main.every((d) => conservesButForFraming(d) && follows(d)) &&
      main.some((d) => !conserves(d, CONSERVED) && sizesFollow(d)),
  },
  {
    verdict: 'suspected',
    kind: 'undecided',
    why: 'a message goes out right after each that comes in, but their sizes tell nothing',
    holds: ({ main }) => main.every((d) => conservesButForFraming(d) && follows(d)),
  },
  {
    verdict: 'relay',
    kind: 'compressed',
    why: 'what comes in goes out right after, packed one way and unpacked the other by the same ratio',
    holds: ({ main, twoWay }) =>
      twoWay &&
      main.every((d) => isPacked(d) && isNear(d)) &&
      main.some(follows) &&
      isBalanced(main, main.every(followsWeakly) ? COMPRESSION_BALANCE : COMPRESSION_BALANCE_OF_BEATS),
  },
  { verdict: 'none', kind: 'undecided', why: 'what goes out is not what came in', holds: () => true },
];

export function rule(exchange: Exchange): Ruling {
  const weighed = weigh(exchange);
  const found = RULES.find((candidate) => candidate.holds(weighed));
  if (!found) throw new Error('the last rule always holds');
  return found;
}

/** Those directions of a relaying exchange that are relayed; a stray one may have come with them. */
export function relayedDirections(exchange: Exchange, kind: RelayKind): Exchange {
  if (kind === 'compressed' || kind === 'conference') return exchange;
  if (kind === 'crossed') return exchange.filter((d) => isCrossed(d) || conservesButForFraming(d));
  return exchange.filter(conservesButForFraming);
}

export function weigh(all: Exchange): Weighed {
  const volume = Math.max(...all.map(volumeOf));
  const events = Math.max(...all.map((d) => d.events));
  const main = all.filter((d) => volumeOf(d) >= MAIN_BYTES_SHARE * volume || d.events >= MAIN_EVENTS_SHARE * events);
  return { all, main, twoWay: main.length > 1 };
}

function volumeOf({ received, sent }: Direction): number {
  return Math.max(received, sent);
}

export function conservesButForFraming(direction: Direction): boolean {
  return conserves(direction, CONSERVED) || isFramed(direction);
}

export function isFramed(direction: Direction): boolean {
  return (
    direction.missingPerMessage <= FRAME_BYTES &&
    direction.auc >= FRAMED_AUC &&
    direction.events >= FRAMED_EVENTS_SHARE * direction.sends
  );
}

export function follows(direction: Direction): boolean {
  const { auc, sameRunShare } = direction;
  // Of a constant pace the phase is one sample, whatever their number; sizes that vary and follow are one each.
  const periodic = direction.periodic && !sizesFollow(direction);
  if (isOfOneRun(direction)) return auc >= SAME_RUN_AUC;
  if (sameRunShare >= SOME_RUN_SHARE) return auc >= (periodic ? SOME_RUN_PERIODIC_AUC : SOME_RUN_AUC);
  return auc >= (periodic ? OTHER_RUN_PERIODIC_AUC : OTHER_RUN_AUC);
}

/**
 * One way, at a constant pace: a stream of its own in step with one that it hears keeps time as well as a relay does. It
 * carries as much only by and large, and its datagrams have other sizes.
 */
function isInStep(direction: Direction): boolean {
  if (!direction.periodic) return false;
  const { sizes, datagrams } = direction;
  // A stream may be cut anew on its way, a datagram is not; those of one size are a call far more often than a heartbeat.
  if (datagrams) return sizes !== null && sizes.correlation < UNRELATED_CORRELATION;
  return (
    isBeat(direction) ||
    leavesBehind(direction) ||
    (!conserves(direction, IN_STEP_CONSERVED) && !sizesFollow(direction))
  );
}

/**
 * Messages of one size that go out as they came in, each right after one: nothing takes longer and nothing is cut, so what
 * would keep another one behind? A loop that is woken by what it hears, and finds that its own stream is due.
 */
function leavesBehind({ sizes, settledShare, received, receives, sent, sends }: Direction): boolean {
  const ratio = (received * sends) / (sent * receives);
  return sizes === null && settledShare < SETTLED_SHARE && isWithin(ratio, ONE_SIZE);
}

/**
 * Messages of one size at one rate: a heartbeat of its own in step with one that it hears looks no different. A message
 * may be read in pieces, its head first, and is still sent whole.
 */
function isBeat(direction: Direction): boolean {
  const { sizes, sent, sends } = direction;
  return sizes === null && isOfSmallMessages(direction) && sent < BEAT_BYTES * sends;
}

function followsWeakly(direction: Direction): boolean {
  return follows(direction) || (isNear(direction) && (!direction.periodic || isBulkOfOneRun(direction)));
}

/** Better than chance, or soon after. */
function isNear({ auc, lagP75Ms }: Direction): boolean {
  return auc >= WEAK_AUC || lagP75Ms <= SOON_MS;
}

/** Answers of a few bursts each may seem to keep time; they aren't what constant phases of two clocks could explain. */
function isBulkOfOneRun(direction: Direction): boolean {
  return !direction.datagrams && !isOfSmallMessages(direction) && isOfOneRun(direction);
}

function isOfOneRun({ sameRunShare }: Direction): boolean {
  return sameRunShare >= SAME_RUN_SHARE;
}

/** Whether requests for it are passed on the other way, however small they are. */
function isAskedFor(direction: Direction, all: Exchange): boolean {
  const askers = new Set(direction.destinations.map(({ id }) => id));
  return all.some(
    (d) =>
      d !== direction &&
      d.events >= MIN_EVENTS &&
      d.moved >= MIN_BYTES &&
      conserves(d, WELL_CONSERVED) &&
      follows(d) &&
      d.sources.every(({ id }) => askers.has(id)),
  );
}

/**
 * Where several calls are held alike, which of them a packet belongs to can't be told from bytes and times, and pairs may
 * lie across: then the sizes of those directions agree as a whole.
 */
function sizesAgree(main: readonly Direction[], twoWay: boolean): boolean {
  const limit = twoWay ? SIZES_AGREE_TWO_WAY : SIZES_AGREE_ONE_WAY;
  const apart = main.filter((d) => d.sizesByChance > limit);
  if (apart.length < 2) return apart.length === 0;
  const received = sumLists(apart.map((d) => d.receivedSizes));
  return agreementByChance(received, sumLists(apart.map((d) => d.sentSizes))) <= SIZES_AGREE_ONE_WAY;
}

function haveOneVolume(main: readonly Direction[]): boolean {
  const volumes = main.map((d) => d.received);
  return Math.max(...volumes) <= SAME_VOLUME * Math.min(...volumes);
}

function sizesFollow(direction: Direction): boolean {
  return (
    isFramed(direction) &&
    direction.sizes !== null &&
    isWithin(direction.sizes.slope, FRAMED_SLOPE) &&
    direction.sizes.correlation >= FRAMED_CORRELATION
  );
}

function isPacked(direction: Direction): boolean {
  return (
    Math.max(direction.receivedShare, direction.sentShare) >= SMALLER_SIDE_MATCHED &&
    direction.received >= COMPRESSED_MIN_BYTES &&
    direction.received >= COMPRESSED_MIN_MESSAGE * direction.receives &&
    direction.sent >= COMPRESSED_MIN_MESSAGE * direction.sends
  );
}

function isBalanced(main: readonly Direction[], balance: readonly [number, number]): boolean {
  const packing = main.filter((d) => d.receivedShare < d.sentShare);
  const unpacking = main.filter((d) => d.receivedShare >= d.sentShare);
  if (packing.length === 0 || unpacking.length === 0) return false;
  return isWithin(volumeRatio(packing) * volumeRatio(unpacking), balance);
}

function volumeRatio(directions: readonly Direction[]): number {
  return sum(directions, (d) => d.sent) / sum(directions, (d) => d.received);
}

function sumLists(lists: readonly (readonly number[])[]): readonly number[] {
  return lists.reduce((total, list) => add(total, list), []);
}

function isWithin(value: number, [low, high]: readonly [number, number]): boolean {
  return value >= low && value <= high;
}

function sum(directions: readonly Direction[], measureOf: (direction: Direction) => number): number {
  return directions.reduce((result, direction) => result + measureOf(direction), 0);
}
