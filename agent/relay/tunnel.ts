import { add, type FlowEvidence } from './evidence.ts';
import type { Direction } from './groups.ts';

/*
 * How much of the datagrams that a VPN hub passes on is the tunnel's own? They are encrypted, but while TCP runs inside,
 * one kind of them has a size that is known: an empty acknowledgement is nothing but headers, inner and outer ones. So
 * many bytes of each datagram are the tunnel's, and of an acknowledgement all. What shows that TCP runs inside: hardly
 * anything but full datagrams, and an acknowledgement to every few of them that is long enough to hold a TCP header.
 * What else is relayed in datagrams differs in one of these: the acknowledgements of QUIC, uTP and KCP are shorter, its
 * full datagrams are, or it has none; calls have no full ones; games and video have all sizes.
 */

/** `tunnel_sizes` of bpf/relayledger.h: full ones, small ones by class, then what these exceed their class by. */
const FULL = 0;
const SMALL = 1;
const SMALL_CLASSES = 4;
/** RL_TUNNEL_EMPTY: IPv4 and TCP with timestamps, the least of the first class; 32 bytes a class (bpf/ledger.bpf.c). */
const EMPTY_BYTES = 52;
const CLASS_BYTES = 32;

/** Fewer show nothing. */
const MIN_FULL = 64;
/** TCP acknowledges each second segment (RFC 9293, 3.8.6.3), less often where data goes both ways; never more than each. */
const ACKNOWLEDGED: readonly [number, number] = [0.1, 1.2];
/**
 * Full datagrams and empty acknowledgements are at least so much of all. Selective ones (RFC 2018) are longer by 12 to 28
 * bytes, so they may fall into the next class, which is counted with them.
 */
const MOST = 0.8;

/** Of the bytes of a direction; the rest is a control connection. */
const DATAGRAM_SHARE = 0.95;

type Carried = Pick<Direction, 'sources' | 'destinations' | 'received' | 'sent'>;

/** Bytes of what a direction passed on that are the tunnel's; 0 where nothing says that there is one. */
export function tunnelBytes({ sources, destinations, received, sent }: Carried): number {
  const from = sources.filter(isDatagram);
  const to = destinations.filter(isDatagram);
  if (sum(from, (flow) => flow.received) < DATAGRAM_SHARE * received) return 0;
  if (sum(to, (flow) => flow.sent) < DATAGRAM_SHARE * sent) return 0;
  const datagrams = received < sent ? sum(from, (flow) => flow.receives) : sum(to, (flow) => flow.sends);
  return Math.min(tunnelBytesPerDatagram([...new Set([...from, ...to])]) * datagrams, received, sent);
}

/** @param flows which carry both ways: acknowledgements come against the data */
export function tunnelBytesPerDatagram(flows: readonly FlowEvidence[]): number {
  const sizes = flows.reduce<readonly number[]>((sums, flow) => add(sums, flow.tunnelSizes), []);
  const datagrams = sum(flows, (flow) => flow.receives);
  const countOf = (index: number): number => sizes[index] ?? 0;
  const full = countOf(FULL);
  if (full < MIN_FULL) return 0;
  const [least, most] = ACKNOWLEDGED;
  for (let small = 0; small < SMALL_CLASSES; small++) {
    const empty = countOf(SMALL + small);
    if (empty < least * full) continue;
    const next = small + 1 < SMALL_CLASSES ? countOf(SMALL + small + 1) : 0;
    if (empty > most * full || full + empty + next < MOST * datagrams) return 0;
    return EMPTY_BYTES + CLASS_BYTES * small + countOf(SMALL + SMALL_CLASSES + small) / empty;
  }
  return 0;
}

function isDatagram({ protocol }: FlowEvidence): boolean {
  return protocol === 'udp';
}

function sum(flows: readonly FlowEvidence[], measureOf: (flow: FlowEvidence) => number): number {
  return flows.reduce((result, flow) => result + measureOf(flow), 0);
}
