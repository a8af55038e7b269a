import { AF_INET6, AF_UNIX, formatAddress } from './addresses.ts';
import { PROTOCOLS, SCOPES } from './counters.ts';
import type { FlowReading, PairReading } from './flow-table.ts';
import type { FlowEvidence, PairEvidence } from './relay/evidence.ts';

const IPPROTO_UDP = 17;
const OPENED = ['unknown', 'accepted', 'connected'] as const;

/** The monotonic clock beside the wall clock, read at the same moment. */
export interface ClockPair {
  nowMs: number;
  monotonicNs: number;
}

/** The kernel's flow as the judge sees it. */
export function toFlowEvidence(flow: FlowReading, clock: ClockPair): FlowEvidence {
  const isUdp = flow.protocol === IPPROTO_UDP && flow.family !== AF_UNIX;
  return {
    id: String(flow.id),
    netns: flow.netns,
    family: flow.family === AF_UNIX ? 'unix' : 'ip',
    protocol: PROTOCOLS[isUdp ? 1 : 0] ?? 'other',
    localAddress: addressText(flow.localAddress),
    localPort: flow.localPort,
    remoteAddress: addressText(flow.remoteAddress),
    remotePort: flow.remotePort,
    localSocket: flow.localSocket.toString(16),
    remoteSocket: flow.remoteSocket.toString(16),
    opened: OPENED[flow.opened] ?? 'unknown',
    scope: SCOPES[flow.scope] ?? 'public',
    host: flow.hostHash.toString(16),
    firstMs: clock.nowMs - (clock.monotonicNs - flow.firstNs) / 1e6,
    received: flow.received,
    sent: flow.sent,
    receives: flow.receives,
    sends: flow.sends,
    gaps: flow.gaps,
    receivedSizes: flow.receivedSizes,
    sentSizes: flow.sentSizes,
  };
}

export function toPairEvidence(pair: PairReading): PairEvidence {
  const { sizeCount, sumX, sumY, sumXx, sumYy, sumXy, ...rest } = pair;
  const sizes = { count: sizeCount, x: sumX, y: sumY, xx: sumXx, yy: sumYy, xy: sumXy };
  return { ...rest, source: String(pair.source), destination: String(pair.destination), sizes };
}

/** The kernel keeps IPv4 as v4-mapped IPv6: one form for both ends of a connection, whatever their sockets are. */
function addressText(bytes: Uint8Array): string {
  return formatAddress(AF_INET6, bytes).replace(/^::ffff:(?=\d+\.)/, '');
}
