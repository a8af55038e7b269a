import { withoutBridges } from './bridges.ts';
import type { Evidence } from './evidence.ts';
import { type Direction, type Edge, type Exchange, edgesOf, exchanges, isStale, pool } from './groups.ts';
import { conservesButForFraming, type Ruling, relayedDirections, rule } from './rules.ts';

/** What one view of a process says about some of its directions. */
export interface Finding extends Ruling {
  readonly directions: Exchange;
}

/** Exchanges with fewer sends are judged together: three hundred short connections say what one of them cannot. */
const POOLED_EVENTS = 64;
/** In a pool that relays, a direction that conserves less than this is not part of it. */
const POOL_MEMBER_CONSERVED = 0.5;

/**
 * Stale credit joins exchanges that have nothing to do with each other, but a relay that holds data has lags like it;
 * a bridge may be all that there is yet. What compression leaves over pays for what a flow sends later by itself, and so
 * joins both ways of one exchange. So judged with such pairs and again without, and what relays in any view relays.
 */
export function judgeEvidence(evidence: Evidence): Finding[] {
  const edges = edgesOf(evidence);
  const findings = judgeExchanges(exchanges(edges));
  const fresh = edges.filter((edge) => !isStale(edge));
  const passedOn = edges.filter(({ pair }) => pair.source !== pair.destination);
  const views: (readonly Edge[])[] = [fresh, passedOn].filter((view) => view.length < edges.length);
  for (const view of [edges, ...views]) {
    const apart = withoutBridges(view);
    if (apart.length < view.length) views.push(apart);
  }
  for (const view of views) {
    const relayed = new Set(findings.filter(isRelay).flatMap(pairsOf));
    const more = judgeExchanges(exchanges(view));
    findings.push(...more.filter((finding) => isRelay(finding) && !pairsOf(finding).some((pair) => relayed.has(pair))));
  }
  return findings;
}

function judgeExchanges(all: readonly Exchange[]): Finding[] {
  const short = all.filter((exchange) => countEvents(exchange) < POOLED_EVENTS);
  const pooled = short.length > 1 ? judgePool(short.flat()) : null;
  const single = pooled ? all.filter((exchange) => !short.includes(exchange)) : all;
  const findings = judgeAcross(single.map(judgeExchange));
  return pooled ? [pooled, ...findings] : findings;
}

/** Calls that are held alike may be taken for each other, and each by itself proves nothing: all together may. */
function judgeAcross(findings: Finding[]): Finding[] {
  const isHeld = ({ verdict, directions }: Finding): boolean =>
    verdict === 'suspected' && directions.every((direction) => direction.datagrams);
  const held = findings.filter(isHeld);
  if (held.length < 2) return findings;
  const whole = judgeExchange(held.flatMap(({ directions }) => directions));
  return isRelay(whole) ? [whole, ...findings.filter((finding) => !isHeld(finding))] : findings;
}

function judgePool(directions: readonly Direction[]): Finding | null {
  const ruling = rule([pool(directions)]);
  if (ruling.verdict !== 'relay') return null;
  const members = directions.filter((d) => d.conservation >= POOL_MEMBER_CONSERVED || conservesButForFraming(d));
  return {
    ...ruling,
    why: `${ruling.why} (${directions.length} short connections taken together)`,
    directions: members,
  };
}

function judgeExchange(exchange: Exchange): Finding {
  const ruling = rule(exchange);
  return { ...ruling, directions: ruling.verdict === 'relay' ? relayedDirections(exchange, ruling.kind) : exchange };
}

function isRelay(finding: Finding): boolean {
  return finding.verdict === 'relay';
}

function pairsOf(finding: Finding): unknown[] {
  return finding.directions.flatMap((direction) => direction.edges.map((edge) => edge.pair));
}

function countEvents(exchange: Exchange): number {
  return exchange.reduce((events, direction) => events + direction.events, 0);
}
