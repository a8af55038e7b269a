import type { Process, WireTraffic } from '../../agent/readings.ts';

/** A veth counts frames with their Ethernet header. (lo does not: it takes the header off before it counts.) */
export const LINK_HEADER_BYTES = 14;

export type Sum = WireTraffic;
export const none: Sum = { receivedBytes: 0, sentBytes: 0, receivedPackets: 0, sentPackets: 0 };

export function combine(a: Sum, b: Sum, sign: 1 | -1 = 1): Sum {
  return {
    receivedBytes: a.receivedBytes + sign * b.receivedBytes,
    sentBytes: a.sentBytes + sign * b.sentBytes,
    receivedPackets: a.receivedPackets + sign * b.receivedPackets,
    sentPackets: a.sentPackets + sign * b.sentPackets,
  };
}

/** Whether no part of `a` is less than that of `b`. */
export function isAtLeast(a: Sum, b: Sum): boolean {
  return Object.values(combine(a, b, -1)).every((difference) => difference >= 0);
}

export function wireOf(rows: Iterable<Process>): Sum {
  let total = none;
  for (const row of rows) total = combine(total, row.traffic.wire);
  return total;
}

/** What an interface counted, less the link headers: bytes as they are at the IP layer. */
export function withoutLinkHeaders(counters: Sum): Sum {
  return {
    ...counters,
    receivedBytes: counters.receivedBytes - LINK_HEADER_BYTES * counters.receivedPackets,
    sentBytes: counters.sentBytes - LINK_HEADER_BYTES * counters.sentPackets,
  };
}
