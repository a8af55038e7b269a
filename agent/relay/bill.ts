import type { Role } from '../readings.ts';
import { confidenceIn } from './confidence.ts';
import { connectedBy } from './connected.ts';
import { type Evidence, pairKey } from './evidence.ts';
import { type Direction, directionOf } from './groups.ts';
import type { Placement } from './hops.ts';
import type { RuledPair } from './relay-process.ts';
import type { RelayKind } from './rules.ts';
import { tunnelBytes } from './tunnel.ts';

/*
 * How many bytes? A ruled direction is billed over all that its flows ever moved, so what was relayed before the
 * verdict is in; in and out are the same bytes, and so the same number, but for copies.
 */

/** A ruled direction of one process, with its bill. */
export interface Billed {
  readonly placements: readonly Placement[];
  readonly direction: Direction;
  readonly role: Role;
  readonly receivedBytes: number;
  readonly sentBytes: number;
  readonly lowerBytes: number;
  readonly upperBytes: number;
  /** Of what its datagrams carried, what is left out as a tunnel's headers and empty acknowledgements. */
  readonly overheadBytes: number;
  readonly fanOut: number;
  readonly confidence: number;
  /** The pair that carries most speaks for the direction. */
  readonly main: RuledPair;
  /** One side goes on in another process of this host, which bills it. */
  readonly isChain: boolean;
}

/**
 * Bytes that were matched otherwise still belong to a direction that passes on at least this share of its smaller side;
 * where content or volumes prove it, times may have matched them with any other.
 */
const WHOLE_SHARE = 0.85;
const PROVEN_AS_A_WHOLE: ReadonlySet<RelayKind> = new Set(['verbatim', 'stored', 'twins', 'crossed']);
/** From this share of copies on, what is sent is more than what was received by design. */
const FAN_OUT_SHARE = 0.1;
/** The role of what carries at least this part for third parties: a cap meant for them must not be escaped by mixing. */
const THIRD_PARTY_SHARE = 0.1;

export function billPlacements(evidence: Evidence, placements: readonly Placement[]): Billed[] {
  const groups = connectedBy(placements, ({ pair }) => [`from ${pair.source}`, `to ${pair.destination}`]);
  return groups.map((group) => {
    const pairs = group.flatMap(({ pair }) => evidence.pairs.get(pairKey(pair.source, pair.destination)) ?? []);
    return billDirection(group, directionOf(evidence, pairs));
  });
}

function billDirection(placements: readonly Placement[], direction: Direction): Billed {
  const { received, sent, moved, copied } = direction;
  const smaller = Math.min(received, sent);
  const main = placements.reduce((most, placement) => (placement.bytes > most.bytes ? placement : most)).pair;
  const isPacked = placements.some(({ pair }) => pair.kind === 'compressed');
  const isConference = placements.some(({ pair }) => pair.kind === 'conference');
  const isFannedOut = isConference || copied > FAN_OUT_SHARE * (moved + copied);
  const isWhole = PROVEN_AS_A_WHOLE.has(main.kind) || moved >= WHOLE_SHARE * smaller;
  const overheadBytes =
    isPacked || isFannedOut ? 0 : Math.round(tunnelBytes(direction) * (isWhole ? 1 : moved / smaller));
  const proven = Math.max(0, moved - overheadBytes);
  const whole = isWhole ? smaller - overheadBytes : proven;
  // Packed bytes stand for what they unpack to.
  const [receivedBytes, sentBytes] = isPacked
    ? [Math.max(received, sent), Math.max(received, sent)]
    : isConference
      ? [received, sent]
      : isFannedOut
        ? [moved, moved + copied]
        : [whole, whole];
  const isHopIn = placements.every(({ pair }) => pair.hopIn !== null);
  const isHopOut = placements.every(({ pair }) => pair.hopOut !== null);
  return {
    placements,
    direction,
    role: mainRole(placements),
    receivedBytes: isHopIn ? 0 : receivedBytes,
    sentBytes: isHopOut ? 0 : sentBytes,
    lowerBytes: proven,
    upperBytes: Math.max(smaller, receivedBytes, sentBytes),
    overheadBytes,
    fanOut: isFannedOut ? sent / Math.max(1, received) : 1,
    confidence: confidenceIn(main.kind, Math.max(direction.events, main.events)),
    main,
    isChain: placements.some(({ pair }) => pair.hopIn ?? pair.hopOut),
  };
}

export function mainRole(parts: readonly { readonly role: Role; readonly bytes: number }[]): Role {
  let bytes = 0;
  let thirdPartyBytes = 0;
  for (const part of parts) {
    bytes += part.bytes;
    if (part.role === 'third-party') thirdPartyBytes += part.bytes;
  }
  return thirdPartyBytes > 0 && thirdPartyBytes >= THIRD_PARTY_SHARE * bytes ? 'third-party' : 'service';
}
