import type { Evidence, FlowEvidence } from './evidence.ts';
import type { Finding } from './judgement.ts';
import type { Ruling } from './rules.ts';
import { atLeast, BY_CHANCE, isSoonAfter, type Known, toDirection } from './volumes.ts';

/*
 * Does it store and forward? What a mail relay takes on one connection it writes to a disk, and sends on by another one
 * of its own seconds later. The kernel's pairs are of no use then: by times and credit what is sent was received from
 * whoever came last. But letter by letter as much goes out as came in, but for an envelope that is the same for all.
 * Letters are of all sizes, so that many of them agree is no accident; how easily they would is told by how often two of
 * those that came are of one size. What is fetched and then served, as by a cache or a mirror, is none: letters come on
 * connections that others have opened, and go out on its own.
 */

export const STORED: Ruling = {
  verdict: 'relay',
  kind: 'stored',
  why: 'what others leave with it on one connection it sends on by another of its own, and their volumes agree one by one',
};

/** Less is a question, an acknowledgement, a handshake. */
const MIN_BYTES = 1_024;
/** What comes back on a connection that carries letters one way. */
const ANSWERS_SHARE = 0.1;
const MIN_LETTERS = 8;
/** Of all sent by such connections. */
const FORWARDED_SHARE = 0.5;
/** Headers that are put on or taken off (RFC 5321, 4.4: a trace line; RFC 6376: a signature), and how little they vary. */
const ENVELOPE_BYTES = 4_096;
const VARIATION_BYTES = 64;
const ENVELOPES = (2 * ENVELOPE_BYTES) / VARIATION_BYTES;
/** So much wider is the neighbourhood that tells how dense sizes are: few letters have no two in a narrow one. */
const WIDER = 4;
/** The youngest of each side are looked at. */
const MOST = 128;

interface Match {
  readonly from: FlowEvidence;
  readonly to: FlowEvidence;
  readonly envelope: number;
}

export function findStored({ flows }: Evidence, { isOther, isFound }: Known): Finding | null {
  const tcp = [...flows.values()].filter(({ protocol }) => protocol === 'tcp');
  // Asked last whether it relays otherwise: next to no flow gets so far.
  const left = tcp.filter((flow) => flow.opened === 'accepted' && isOneWay(flow.received, flow.sent) && !isOther(flow));
  const sent = tcp.filter(
    (flow) => flow.opened === 'connected' && isOneWay(flow.sent, flow.received) && !isOther(flow),
  );
  if (left.length < MIN_LETTERS || sent.length < MIN_LETTERS) return null;
  const letters = left.slice(-MOST);
  const forwarded = sent.slice(-MOST);
  const alike = densest(matchAll(letters, forwarded));
  const matches = oneByOne(alike.toSorted((one, other) => +isFound(other.from, other.to) - +isFound(one.from, one.to)));
  if (matches.length < Math.max(MIN_LETTERS, FORWARDED_SHARE * forwarded.length)) return null;
  const byChance = Math.min(1, letters.length * likenessOf(letters));
  if (ENVELOPES * atLeast(matches.length, forwarded.length, byChance) > BY_CHANCE) return null;
  return { ...STORED, directions: matches.map(({ from, to }) => toDirection(from, to)) };
}

function isOneWay(carried: number, back: number): boolean {
  return carried >= MIN_BYTES && back <= ANSWERS_SHARE * carried;
}

function matchAll(letters: readonly FlowEvidence[], forwarded: readonly FlowEvidence[]): Match[] {
  return forwarded.flatMap((to) =>
    letters.flatMap((from) => {
      const envelope = to.sent - from.received;
      const fits = Math.abs(envelope) <= ENVELOPE_BYTES && isSoonAfter(from, to);
      return fits && from.host !== to.host ? { from, to, envelope } : [];
    }),
  );
}

/** Those of the one length of envelope that most have. */
function densest(matches: readonly Match[]): Match[] {
  const sorted = matches.toSorted((one, other) => one.envelope - other.envelope);
  let [begin, end] = [0, 0];
  for (let first = 0, last = 0; first < sorted.length; first++) {
    const limit = (sorted[first]?.envelope ?? 0) + VARIATION_BYTES;
    while (last < sorted.length && (sorted[last]?.envelope ?? 0) <= limit) last++;
    if (last - first > end - begin) [begin, end] = [first, last];
  }
  return sorted.slice(begin, end);
}

function oneByOne(matches: readonly Match[]): Match[] {
  const taken = new Set<string>();
  return matches.filter(({ from, to }) => {
    if (taken.has(from.id) || taken.has(to.id)) return false;
    taken.add(from.id).add(to.id);
    return true;
  });
}

/** How likely two of them are of one size. */
function likenessOf(letters: readonly FlowEvidence[]): number {
  const sizes = letters.map(({ received }) => received).toSorted((one, other) => one - other);
  let [alike, near] = [0, 0];
  for (const [index, size] of sizes.entries()) {
    for (let other = index + 1; (sizes[other] ?? Infinity) - size <= WIDER * VARIATION_BYTES; other++) {
      near++;
      if ((sizes[other] ?? Infinity) - size <= VARIATION_BYTES) alike++;
    }
  }
  const pairs = (sizes.length * (sizes.length - 1)) / 2;
  return Math.max(alike / pairs, (near + 1) / (pairs + 1) / WIDER);
}
