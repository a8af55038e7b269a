import { type Evidence, type FlowEvidence, type PairEvidence, pairKey } from '../../../agent/relay/evidence.ts';
import type { Direction } from '../../../agent/relay/groups.ts';
import { LAG_BUCKETS } from '../../../agent/relay/lag.ts';

/* Evidence made by hand. Each maker gives what is typical of a relay; tests say what is different. */

/** Counts by bucket, e.g. `{ 3: 10 }`. */
export function histogram(counts: Readonly<Record<number, number>> = {}): number[] {
  return Array.from({ length: LAG_BUCKETS }, (_, bucket) => counts[bucket] ?? 0);
}

/** About 0.1 ms, 1.5 ms, 25 ms and 0.8 s. */
export const SOON = 7;
export const BURST = 11;
export const PACED = 15;
export const LATE = 20;

let ports = 20_000;

/** A flow to a public host of its own, which received and sent 100 messages of 1,000 bytes. */
export function makeFlow(id: string, overrides: Partial<FlowEvidence> = {}): FlowEvidence {
  return {
    id,
    netns: 1,
    family: 'ip',
    protocol: 'tcp',
    localAddress: '198.51.100.1',
    localPort: ports++,
    remoteAddress: `203.0.113.${id}`,
    remotePort: 443,
    localSocket: '',
    remoteSocket: '',
    opened: 'connected',
    scope: 'public',
    host: `host of ${id}`,
    firstMs: 0,
    received: 100_000,
    sent: 100_000,
    receives: 100,
    sends: 100,
    gaps: histogram({ [BURST]: 33, [PACED]: 33, [LATE]: 33 }),
    receivedSizes: [],
    sentSizes: [],
    tunnelSizes: [],
    ...overrides,
  };
}

/** 100 messages of 1,000 bytes, passed on soon. */
export function makePair(source: string, destination: string, overrides: Partial<PairEvidence> = {}): PairEvidence {
  return {
    source,
    destination,
    moved: 100_000,
    copied: 0,
    moves: 100,
    copies: 0,
    settled: 100,
    direct: 100,
    sameRun: 100,
    lags: histogram({ [SOON]: 100 }),
    sizes: { count: 0, x: 0, y: 0, xx: 0, yy: 0, xy: 0 },
    ...overrides,
  };
}

export function makeEvidence(flows: readonly FlowEvidence[], pairs: readonly PairEvidence[]): Evidence {
  return {
    flows: new Map(flows.map((flow) => [flow.id, flow])),
    pairs: new Map(pairs.map((pair) => [pairKey(pair.source, pair.destination), pair])),
  };
}

/** A bulk direction that conserves all, and whose sends come in the run of the receives. */
export function makeDirection(overrides: Partial<Direction> = {}): Direction {
  const received = overrides.received ?? 1_000_000;
  const sent = overrides.sent ?? received;
  const moved = overrides.moved ?? Math.min(received, sent);
  const receives = overrides.receives ?? 1_000;
  const sends = overrides.sends ?? receives;
  return {
    edges: [],
    sources: [],
    destinations: [],
    received,
    sent,
    moved,
    copied: 0,
    receives,
    sends,
    events: sends,
    receivedShare: moved / received,
    sentShare: moved / sent,
    conservation: Math.min(moved / received, moved / sent),
    auc: 0.99,
    lagMedianMs: 0.1,
    lagP75Ms: 0.2,
    settledShare: 1,
    directShare: 1,
    sameRunShare: 1,
    periodic: false,
    datagrams: false,
    missingPerMessage: Math.max((received - moved) / receives, (sent - moved) / sends),
    sizes: null,
    due: [],
    receivedSizes: [],
    sentSizes: [],
    sizesByChance: 0,
    sizeVariety: 10,
    ...overrides,
  };
}
