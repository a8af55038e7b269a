import { WELL_CONSERVED } from './conservation.ts';
import type { FlowEvidence } from './evidence.ts';
import type { Direction, Exchange } from './groups.ts';

/*
 * Were those whose bytes go out by this direction asked for them, by who gets them? Bytes that are as many as came, by
 * chance, don't come with requests that are as many, too.
 */

/** Shorter ones are of one length in many protocols. */
const MIN_REQUEST_BYTES = 64;
/** Handshakes, of which one side's certificates are longer than the other's. */
const REQUESTS_DIFFER = 0.02;
/** Less shows nothing. */
const MIN_BYTES = 1024;

/**
 * Whether each of its sources was sent exactly what one of its destinations had said, and nothing else: two connections
 * that only happen to carry as much one way don't also agree to the byte in what is said the other way.
 */
export function isAskedForToTheByte(direction: Direction, all: Exchange): boolean {
  const askers = new Set(direction.destinations.map(({ id }) => id));
  const requests = all.filter(
    ({ sources, received, sent, moved }) =>
      received === sent && moved === sent && sent >= MIN_REQUEST_BYTES && sources.every(({ id }) => askers.has(id)),
  );
  const asked = new Set(requests.flatMap(({ destinations }) => destinations.map(({ id }) => id)));
  return asked.size > 0 && direction.sources.every(({ id }) => asked.has(id));
}

/**
 * The same where requests are encrypted anew, so that nothing agrees to the byte: what its destinations had said is all that
 * its sources were sent, and the volumes differ by no more than handshakes.
 */
export function isAskedForInKind(direction: Direction, all: Exchange): boolean {
  const [askers, asked] = [idsOf(direction.destinations), idsOf(direction.sources)];
  const requests = all.filter(
    (d) => d !== direction && idsOf(d.sources).isSubsetOf(askers) && idsOf(d.destinations).isSubsetOf(asked),
  );
  const [received, sent, moved] = [sum(requests, 'received'), sum(requests, 'sent'), sum(requests, 'moved')];
  return (
    moved >= MIN_BYTES &&
    moved >= WELL_CONSERVED * Math.max(received, sent) &&
    Math.abs(received - sent) <= REQUESTS_DIFFER * received &&
    askers.isSubsetOf(idsOf(requests.flatMap((d) => d.sources))) &&
    asked.isSubsetOf(idsOf(requests.flatMap((d) => d.destinations)))
  );
}

function sum(directions: Exchange, what: 'received' | 'sent' | 'moved'): number {
  return directions.reduce((total, direction) => total + direction[what], 0);
}

function idsOf(flows: readonly FlowEvidence[]): Set<string> {
  return new Set(flows.map(({ id }) => id));
}
