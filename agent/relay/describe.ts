import type { Billed } from './bill.ts';
import { confidenceIn, PIPE_CONFIDENCE } from './confidence.ts';
import type { FlowEvidence } from './evidence.ts';
import { compare, describeComparison } from './fingerprints.ts';
import type { Direction } from './groups.ts';
import type { Finding } from './judgement.ts';
import { type PipeRelay, roleOfPipe } from './pipes.ts';
import type { RelayPeer, RelayReading } from './reading.ts';
import type { RelayProcess } from './relay-process.ts';

/* Evidence as people and `GET /v1/relays` read it. */

const MAX_PEERS = 16;
const PIPE: RelayPeer = { address: null, port: null, protocol: 'pipe', scope: 'loopback' };

const OF_A_TUNNEL =
  'TCP runs inside, as full datagrams and empty acknowledgements show: its headers and theirs are left out';

export function describeBilled(process: RelayProcess, billed: Billed): RelayReading {
  const { direction, placements, main } = billed;
  const comparison = comparisonOf(process, direction);
  return {
    ...nameOf(process),
    verdict: 'relay',
    role: billed.role,
    confidence: billed.confidence,
    since: toIso(Math.min(...placements.map(({ pair }) => pair.sinceMs))),
    kind: billed.isChain ? 'chain' : main.kind,
    why: [
      `${main.why}${inNumbers(direction)}${inWords(comparison)}`,
      ...(billed.overheadBytes > 0 ? [OF_A_TUNNEL] : []),
      ...(billed.isChain ? ['another process of this host carries it on'] : []),
    ].join('; '),
    ...peersOf(direction),
    receivedBytes: billed.receivedBytes,
    sentBytes: billed.sentBytes,
    lowerBytes: billed.lowerBytes,
    upperBytes: billed.upperBytes,
    overheadBytes: billed.overheadBytes,
    fanOut: billed.fanOut,
    ...measuresOf(direction),
    ...comparison,
  };
}

export function describeSuspicion(process: RelayProcess, finding: Finding): RelayReading[] {
  return finding.directions.map((direction) => {
    const comparison = comparisonOf(process, direction);
    return {
      ...nameOf(process),
      verdict: 'suspected',
      role: null,
      confidence: confidenceIn(finding.kind, direction.events),
      since: toIso(
        Math.min(...direction.edges.map(({ source, destination }) => Math.max(source.firstMs, destination.firstMs))),
      ),
      kind: finding.kind,
      why: `${finding.why}${inNumbers(direction)}${inWords(comparison)}`,
      ...peersOf(direction),
      receivedBytes: 0,
      sentBytes: 0,
      lowerBytes: 0,
      upperBytes: Math.min(direction.received, direction.sent),
      overheadBytes: 0,
      fanOut: 1,
      ...measuresOf(direction),
      ...comparison,
    };
  });
}

export function describePipe(process: RelayProcess, relay: PipeRelay): RelayReading {
  const isWriter = relay.writer === process;
  const other = isWriter ? relay.reader : relay.writer;
  return {
    ...nameOf(process),
    verdict: 'relay',
    role: roleOfPipe(relay),
    confidence: PIPE_CONFIDENCE,
    since: toIso(relay.sinceMs),
    kind: 'pipe',
    why: isWriter
      ? `what it receives goes through a pipe to ${other.name} (${other.pid}), which sends as much`
      : `what it sends comes through a pipe from ${other.name} (${other.pid}), which receives as much`,
    from: isWriter ? toPeers(relay.from, receivedOf) : [PIPE],
    fromCount: isWriter ? relay.from.length : 1,
    to: isWriter ? [PIPE] : toPeers(relay.to, sentOf),
    toCount: isWriter ? 1 : relay.to.length,
    receivedBytes: isWriter ? relay.bytes : 0,
    sentBytes: isWriter ? 0 : relay.bytes,
    lowerBytes: relay.bytes,
    upperBytes: relay.bytes,
    overheadBytes: 0,
    fanOut: 1,
    conservation: relay.conservation,
    auc: 0.5,
    lagMedianMs: 0,
    events: 0,
  };
}

/** Readings of exchanges that are over, one for each way of relaying: what is kept of them has to end somewhere. */
export function mergeReadings(known: readonly RelayReading[], more: readonly RelayReading[]): RelayReading[] {
  const merged = new Map(known.map((reading) => [`${reading.role} ${reading.kind}`, reading]));
  for (const reading of more) {
    const key = `${reading.role} ${reading.kind}`;
    const sum = merged.get(key);
    merged.set(key, sum ? mergeTwo(sum, reading) : reading);
  }
  return [...merged.values()];
}

function mergeTwo(one: RelayReading, other: RelayReading): RelayReading {
  const larger = other.lowerBytes > one.lowerBytes ? other : one;
  return {
    ...larger,
    confidence: Math.max(one.confidence, other.confidence),
    since: one.since < other.since ? one.since : other.since,
    from: [...one.from, ...other.from].slice(0, MAX_PEERS),
    fromCount: one.fromCount + other.fromCount,
    to: [...one.to, ...other.to].slice(0, MAX_PEERS),
    toCount: one.toCount + other.toCount,
    receivedBytes: one.receivedBytes + other.receivedBytes,
    sentBytes: one.sentBytes + other.sentBytes,
    lowerBytes: one.lowerBytes + other.lowerBytes,
    upperBytes: one.upperBytes + other.upperBytes,
    overheadBytes: one.overheadBytes + other.overheadBytes,
    events: one.events + other.events,
  };
}

export function toIso(ms: number): string {
  return new Date(ms).toISOString();
}

function nameOf({ key, pid, name }: RelayProcess): Pick<RelayReading, 'processKey' | 'pid' | 'name'> {
  return { processKey: key, pid, name };
}

function inNumbers(direction: Direction): string {
  const percent = (direction.conservation * 100).toFixed(1);
  const words = `${percent} % of the bytes, ${lagInWords(direction)} (median), AUC ${direction.auc.toFixed(2)}`;
  return ` (${words}, ${direction.events} sends)`;
}

/** Within one run of a thread the kernel's side reads the clock once: that lag has no length. */
function lagInWords({ lagMedianMs }: Direction): string {
  if (lagMedianMs < 0.001) return 'in the same run of the thread as the receive';
  return `${lagMedianMs < 1 ? lagMedianMs.toPrecision(2) : lagMedianMs.toFixed(0)} ms after the receive`;
}

type Comparison = Pick<RelayReading, 'fingerprints'>;

/** Nothing where nothing was compared. */
function comparisonOf({ prints }: RelayProcess, direction: Direction): Comparison {
  const compared = compare(direction, prints.sums);
  return compared.receivedPieces + compared.sentPieces === 0 ? {} : { fingerprints: compared };
}

function inWords({ fingerprints }: Comparison): string {
  return fingerprints ? `; ${describeComparison(fingerprints)}` : '';
}

function measuresOf(direction: Direction): Pick<RelayReading, 'conservation' | 'auc' | 'lagMedianMs' | 'events'> {
  const { conservation, auc, lagMedianMs, events } = direction;
  return { conservation, auc, lagMedianMs, events };
}

function peersOf(direction: Direction): Pick<RelayReading, 'from' | 'fromCount' | 'to' | 'toCount'> {
  return {
    from: toPeers(direction.sources, receivedOf),
    fromCount: direction.sources.length,
    to: toPeers(direction.destinations, sentOf),
    toCount: direction.destinations.length,
  };
}

function toPeers(flows: readonly FlowEvidence[], bytesOf: (flow: FlowEvidence) => number): RelayPeer[] {
  return flows
    .toSorted((one, other) => bytesOf(other) - bytesOf(one))
    .slice(0, MAX_PEERS)
    .map(({ family, remoteAddress, remotePort, protocol, scope }) =>
      family === 'unix'
        ? { address: null, port: null, protocol: 'unix', scope }
        : { address: remoteAddress, port: remotePort, protocol, scope },
    );
}

function receivedOf(flow: FlowEvidence): number {
  return flow.received;
}

function sentOf(flow: FlowEvidence): number {
  return flow.sent;
}
