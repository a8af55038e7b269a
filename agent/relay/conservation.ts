import type { Direction } from './groups.ts';

/*
 * Does a direction conserve: nearly all that came in went out, nearly all that went out had come in? And where less of it
 * was matched than that, is it equal as a whole?
 */

/** Framing, handshakes and login take up to 15 % of a short relay. */
export const CONSERVED = 0.85;
/** Unrelated traffic is matched by half at most. */
const MATCHED_BY_ACCIDENT = 0.5;
/** Where less than all directions follow, conservation has to make up for it. */
export const WELL_CONSERVED = 0.9;
const FULLY_CONSERVED = 0.98;
/** A last message that is still held, out of a few hundred. */
const FULLY_CONSERVED_DATAGRAMS = 0.95;
/** In and out as good as equal where some of it was credited late. */
const EQUAL_VOLUMES = 0.995;

/**
 * What came earlier than a second or two ago must be gone, and that must be most of it; what came since may be held.
 * Nothing may go out that had not come in.
 */
const DUE_SHARE = 0.5;
const HELD_SHARE = 0.25;

/** Larger messages are no heartbeat, and no voice. */
export const BEAT_BYTES = 512;

export function conserves(direction: Direction, share: number): boolean {
  return direction.conservation >= share;
}

export function isEqual(direction: Direction): boolean {
  if (conserves(direction, FULLY_CONSERVED)) return true;
  return conserves(direction, WELL_CONSERVED) && areEqualVolumes(direction);
}

/**
 * A tunnel's end that sends in the run in which it receives pays for some of that with what it has received for the
 * others, and they pay for what comes to them with their own: what one way lacks the other has too much. What came and
 * what went is then equal as a whole, and more of it is matched than by accident. An echo, or two streams of one rate,
 * are as equal, but have one volume in all.
 */
export function isCrossed(direction: Direction): boolean {
  const isBulk = !direction.datagrams && !isOfSmallMessages(direction);
  return isBulk && conserves(direction, MATCHED_BY_ACCIDENT) && areEqualVolumes(direction);
}

function areEqualVolumes({ received, sent }: Direction): boolean {
  return Math.min(received, sent) >= EQUAL_VOLUMES * Math.max(received, sent);
}

/** Where calls are held alike, credit of one may be spent on another: then what came and what went is equal as a whole. */
export function isAllGone(direction: Direction): boolean {
  return isUpToDate(direction, FULLY_CONSERVED_DATAGRAMS) || isEqual(direction);
}

/** As `conserves`, but for what may still be held. */
function isUpToDate(direction: Direction, share: number): boolean {
  if (conserves(direction, share)) return true;
  const { due, moved, received, receivedShare, sentShare } = direction;
  if (sentShare < share || receivedShare < 1 - HELD_SHARE) return false;
  return due.some((bytes) => bytes >= DUE_SHARE * received && moved >= share * bytes);
}

/** As those of calls are; over TCP, and on a busy host, their times are not those of a clock. */
export function isOfSmallMessages({ received, receives }: Direction): boolean {
  return received < BEAT_BYTES * receives;
}
