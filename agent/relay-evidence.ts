import { AF_INET6, AF_UNIX, formatAddress } from './addresses.ts';
import { PROTOCOLS, SCOPES } from './counters.ts';
import type { FlowIdentity, FlowReading, PairReading } from './flow-reading.ts';
import { type FlowEvidence, NO_SIZES, type PairEvidence } from './relay/evidence.ts';

const IPPROTO_UDP = 17;
const OPENED = ['unknown', 'accepted', 'connected'] as const;

/** The monotonic clock beside the wall clock, read at the same moment. */
export interface ClockPair {
  nowMs: number;
  monotonicNs: number;
}

/** What stays the same of a flow as the judge sees it. */
export type FlowDescription = Omit<
  FlowEvidence,
  'received' | 'sent' | 'receives' | 'sends' | 'gaps' | 'receivedSizes' | 'sentSizes' | 'tunnelSizes'
>;

export function describeFlow(flow: FlowIdentity, clock: ClockPair): FlowDescription {
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
  };
}

/** The kernel's flow as the judge sees it. */
export function toFlowEvidence(description: FlowDescription, flow: FlowReading): FlowEvidence {
  const { received, sent, receives, sends, gaps, receivedSizes, sentSizes, tunnelSizes } = flow;
  return { ...description, received, sent, receives, sends, gaps, receivedSizes, sentSizes, tunnelSizes };
}

/** @param idOf the ids that flows have in the evidence */
export function toPairEvidence(pair: PairReading, idOf: (flow: number) => string): PairEvidence {
  const { moved, copied, moves, copies, settled, direct, sameRun, lags } = pair;
  return {
    source: idOf(pair.source),
    destination: idOf(pair.destination),
    moved,
    copied,
    moves,
    copies,
    settled,
    direct,
    sameRun,
    lags,
    sizes:
      pair.sizeCount === 0
        ? NO_SIZES
        : { count: pair.sizeCount, x: pair.sumX, y: pair.sumY, xx: pair.sumXx, yy: pair.sumYy, xy: pair.sumXy },
  };
}

/** The kernel keeps IPv4 as v4-mapped IPv6: one form for both ends of a connection, whatever their sockets are. */
function addressText(bytes: Uint8Array): string {
  return formatAddress(AF_INET6, bytes).replace(/^::ffff:(?=\d+\.)/, '');
}
