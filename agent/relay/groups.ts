import { connectedBy } from './connected.ts';
import { addSizes, type Evidence, type FlowEvidence, NO_SIZES, type PairEvidence, type SizeSums } from './evidence.ts';
import { ageAmongMany, ageDistribution, auc, isOneBurst, isPeriodic, percentileMs } from './lag.ts';
import { agreementByChance, variety } from './sizes.ts';

/*
 * Which flows belong together? A pair that matters to either end is an edge; edges that share a source or a
 * destination are one direction (sources -> destinations); directions that share a flow are one exchange (a direction
 * and its way back). Many-to-one, hubs and fan-out need no rule of their own: bytes are compared over all of a
 * direction's sources and destinations.
 */

export interface Edge {
  readonly pair: PairEvidence;
  readonly source: FlowEvidence;
  readonly destination: FlowEvidence;
  readonly auc: number;
  /** What the source had received at each of the evidence's earlier moments. */
  readonly due: readonly number[];
}

/** Bytes from sources to destinations, and how they went. Shares are 0 to 1. */
export interface Direction {
  readonly edges: readonly Edge[];
  readonly sources: readonly FlowEvidence[];
  readonly destinations: readonly FlowEvidence[];
  /** What all sources received and all destinations sent, whether it belongs together or not. */
  readonly received: number;
  readonly sent: number;
  readonly moved: number;
  readonly copied: number;
  readonly receives: number;
  readonly sends: number;
  /** Sends that were matched with a receive. */
  readonly events: number;
  /** Of what was received, what was sent on; of what was sent, what had been received; and the lesser. */
  readonly receivedShare: number;
  readonly sentShare: number;
  readonly conservation: number;
  readonly auc: number;
  readonly lagMedianMs: number;
  readonly lagP75Ms: number;
  readonly settledShare: number;
  readonly directShare: number;
  readonly sameRunShare: number;
  /** What was received came at a constant pace. */
  readonly periodic: boolean;
  readonly datagrams: boolean;
  /** Bytes per message that one side lacks, on the side that lacks more. */
  readonly missingPerMessage: number;
  /** How the size of a send follows from that of the receive before; null where sizes hardly vary. */
  readonly sizes: { readonly slope: number; readonly correlation: number } | null;
  /** What had been received at some earlier moments: what a relay that holds data must have sent on by now. */
  readonly due: readonly number[];
  /** Datagrams, by a hash of their size. */
  readonly receivedSizes: readonly number[];
  readonly sentSizes: readonly number[];
  /** How likely streams that have nothing to do with each other agree as well in their counts of sizes. */
  readonly sizesByChance: number;
  readonly sizeVariety: number;
}

export type Exchange = readonly Direction[];

/** A pair carries at least this share of what its source received or its destination sent, else it is an accident. */
const EDGE_SHARE = 0.05;
/** Sends that come clearly later than chance are paid from credit that happened to lie there. */
const STALE_AUC = 0.3;
/** The same of one that matters only to its source. */
const ASIDE_AUC = 0.85;
const ASIDE_RUN_SHARE = 0.5;
/** A pair that pays for this much of its destination stays whatever its lags. */
const MAIN_SHARE = 0.5;

/** Fewer show no rate at which short connections come. */
const MIN_SHORT_SOURCES = 16;

/** Below this share of a direction's bytes they are not what it is about. */
const DATAGRAM_SHARE = 0.01;

/** Below this, in the unit's square, the sizes received are as good as constant. */
const MIN_SIZE_VARIANCE = 16;
const MIN_SIZED_MESSAGES = 8;

export function exchanges(edges: readonly Edge[]): Exchange[] {
  // A flow is a different node as a source than as a destination: an echo joins nothing.
  const directions = connectedBy(edges, (edge) => [`from ${edge.pair.source}`, `to ${edge.pair.destination}`]);
  return connectedBy(directions.map(measure), flowsOf);
}

/** Several directions as one, for exchanges that are too short to be judged one by one. */
export function pool(parts: readonly Direction[]): Direction {
  const whole = measure(timeAmongMany(parts.flatMap((part) => part.edges)));
  const volumeOf = (part: Direction): number => Math.max(part.received, part.sent);
  // What one connection lacks doesn't make up for what another has too much.
  const conservation = ratio(
    sum(parts, (part) => part.conservation * volumeOf(part)),
    sum(parts, volumeOf),
  );
  return { ...whole, conservation: Math.min(whole.conservation, conservation) };
}

/** A connection that is over within a burst has no pace to compare its lags with; how often such ones come is one. */
function timeAmongMany(edges: readonly Edge[]): readonly Edge[] {
  const sources = new Set(edges.map((edge) => edge.source).filter(({ gaps }) => isOneBurst(gaps)));
  if (sources.size < MIN_SHORT_SOURCES) return edges;
  const firsts = [...sources].map(({ firstMs }) => firstMs);
  const spanMs = Math.max(...firsts) - Math.min(...firsts);
  if (spanMs === 0) return edges;
  const ages = ageAmongMany(
    sum([...sources], ({ receives }) => receives),
    spanMs,
  );
  return edges.map((edge) => (sources.has(edge.source) ? { ...edge, auc: auc(ages, edge.pair.lags) } : edge));
}

/** A direction made of these pairs, whatever they carry. */
export function directionOf(evidence: Evidence, pairs: readonly PairEvidence[]): Direction {
  const ages = new Map<string, number[] | null>();
  return measure(pairs.flatMap((pair) => makeEdge(evidence, pair, ages) ?? []));
}

/** The pairs that matter. */
export function edgesOf(evidence: Evidence): Edge[] {
  const ages = new Map<string, number[] | null>();
  const found: Edge[] = [];
  for (const pair of evidence.pairs.values()) {
    if (!matters(evidence, pair)) continue;
    const edge = makeEdge(evidence, pair, ages);
    if (edge) found.push(edge);
  }
  return found;
}

/** Paid from credit that happened to lie there, to all appearance: it joins exchanges that have nothing in common. */
export function isStale({ pair, destination, auc }: Edge): boolean {
  const carried = pair.moved + pair.copied;
  if (auc < STALE_AUC) return carried < MAIN_SHARE * destination.sent;
  // A login's leftovers: little of the destination, and sent neither with nor soon after a receive.
  return auc < ASIDE_AUC && pair.sameRun < ASIDE_RUN_SHARE * pair.moves && carried < EDGE_SHARE * destination.sent;
}

function matters(evidence: Evidence, pair: PairEvidence): boolean {
  const source = evidence.flows.get(pair.source);
  const destination = evidence.flows.get(pair.destination);
  if (!source || !destination || isAmongOneHost(source, destination)) return false;
  return isEdge(pair.moved + pair.copied, source.received, destination.sent);
}

/** Whether what went from a source to a destination is enough of what the one received, or the other sent. */
export function isEdge(carried: number, received: number, sent: number): boolean {
  if (carried === 0 || received === 0) return false;
  return carried >= EDGE_SHARE * sent || carried >= EDGE_SHARE * received;
}

function makeEdge(evidence: Evidence, pair: PairEvidence, ages: Map<string, number[] | null>): Edge | undefined {
  const source = evidence.flows.get(pair.source);
  const destination = evidence.flows.get(pair.destination);
  if (!source || !destination || isAmongOneHost(source, destination)) return undefined;
  let sourceAges = ages.get(source.id);
  if (sourceAges === undefined) {
    sourceAges = ageDistribution(source.gaps);
    ages.set(source.id, sourceAges);
  }
  const due = (evidence.earlier ?? []).map((received) => received.get(source.id) ?? 0);
  return { pair, source, destination, auc: auc(sourceAges, pair.lags), due };
}

/** Between connections of one client, or to one server: never a relay by itself. Flows folded into one aren't that. */
export function isAmongOneHost(source: FlowEvidence, destination: FlowEvidence): boolean {
  return source.host === destination.host && source.id !== destination.id;
}

function flowsOf(direction: Direction): string[] {
  return [...direction.sources, ...direction.destinations].map((flow) => flow.id);
}

function measure(edges: readonly Edge[]): Direction {
  const bySource = [...new Map(edges.map((edge) => [edge.source.id, edge])).values()];
  const sources = bySource.map((edge) => edge.source);
  const destinations = [...new Map(edges.map((edge) => [edge.destination.id, edge.destination])).values()];
  const received = sum(sources, (flow) => flow.received);
  const sent = sum(destinations, (flow) => flow.sent);
  const receives = sum(sources, (flow) => flow.receives);
  const sends = sum(destinations, (flow) => flow.sends);
  const moved = sum(edges, (edge) => edge.pair.moved);
  const copied = sum(edges, (edge) => edge.pair.copied);
  const moves = sum(edges, (edge) => edge.pair.moves);
  const events = sum(edges, eventsOf);
  const lags = sumCounts(edges, (edge) => edge.pair.lags);
  const receivedShare = ratio(moved, received);
  const receivedSizes = sumCounts(sources, (flow) => flow.receivedSizes);
  const sentSizes = sumCounts(destinations, (flow) => flow.sentSizes);
  const sentShare = ratio(moved + copied, sent);
  return {
    edges,
    sources,
    destinations,
    received,
    sent,
    moved,
    copied,
    receives,
    sends,
    events,
    receivedShare,
    sentShare,
    conservation: Math.min(balance(receivedShare), balance(sentShare)),
    auc: ratio(
      sum(edges, (edge) => edge.auc * eventsOf(edge)),
      events,
    ),
    lagMedianMs: percentileMs(lags, 0.5),
    lagP75Ms: percentileMs(lags, 0.75),
    settledShare: ratio(
      sum(edges, (edge) => edge.pair.settled),
      moves,
    ),
    directShare: ratio(
      sum(edges, (edge) => edge.pair.direct),
      moves,
    ),
    sameRunShare: ratio(
      sum(edges, (edge) => edge.pair.sameRun),
      moves,
    ),
    periodic: isPeriodic(sumCounts(sources, (flow) => flow.gaps)),
    datagrams: areDatagrams(sources, (flow) => flow.received) || areDatagrams(destinations, (flow) => flow.sent),
    missingPerMessage: Math.max(
      ratio(Math.abs(received - moved), receives),
      ratio(Math.abs(sent - moved - copied), sends),
    ),
    sizes: regress(edges.reduce<SizeSums>((sums, edge) => addSizes(sums, edge.pair.sizes), NO_SIZES)),
    due: (edges[0]?.due ?? []).map((_, moment) => sum(bySource, (edge) => edge.due[moment] ?? 0)),
    receivedSizes,
    sentSizes,
    sizesByChance: agreementByChance(receivedSizes, sentSizes),
    sizeVariety: variety(receivedSizes),
  };
}

/** A question to a name server makes no stream of datagrams of what it came with. */
function areDatagrams(flows: readonly FlowEvidence[], bytesOf: (flow: FlowEvidence) => number): boolean {
  const datagrams = flows.filter((flow) => flow.protocol === 'udp');
  return datagrams.length > 0 && sum(datagrams, bytesOf) >= DATAGRAM_SHARE * sum(flows, bytesOf);
}

/** In a window more may go out than came in: what had lain there before. That is not to conserve, either. */
function balance(share: number): number {
  return share > 1 ? 1 / share : share;
}

function eventsOf({ pair }: Edge): number {
  return pair.moves + pair.copies;
}

function regress({ count, x, y, xx, yy, xy }: SizeSums): Direction['sizes'] {
  if (count < MIN_SIZED_MESSAGES) return null;
  const xVariance = xx / count - (x / count) ** 2;
  const yVariance = yy / count - (y / count) ** 2;
  if (xVariance < MIN_SIZE_VARIANCE || yVariance <= 0) return null;
  const covariance = xy / count - (x / count) * (y / count);
  return { slope: covariance / xVariance, correlation: covariance / Math.sqrt(xVariance * yVariance) };
}

function sum<T>(items: readonly T[], measureOf: (item: T, index: number) => number): number {
  let result = 0;
  for (const [index, item] of items.entries()) result += measureOf(item, index);
  return result;
}

/** Of something to nothing: as of something to one, so that it comes out large and stays finite. */
function ratio(part: number, whole: number): number {
  return part / Math.max(1, whole);
}

function sumCounts<T>(items: readonly T[], countsOf: (item: T) => readonly number[]): readonly number[] {
  const [first, ...rest] = items;
  if (first === undefined) return [];
  // Most directions have one source and one destination: nothing to add, nothing to copy.
  if (rest.length === 0) return countsOf(first);
  const sums = [...countsOf(first)];
  for (const item of rest) {
    for (const [index, count] of countsOf(item).entries()) sums[index] = (sums[index] ?? 0) + count;
  }
  return sums;
}
