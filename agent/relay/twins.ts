import type { FlowEvidence } from './evidence.ts';
import type { Finding } from './judgement.ts';
import type { Ruling } from './rules.ts';
import { atLeast, BY_CHANCE, isSoonAfter, type Known, toDirection } from './volumes.ts';

/*
 * Does each connection that others have opened have a twin of its own: one to which went all that came, and from which
 * came all that went, to the byte? Where a relay holds what it passes on, and has hundreds of connections, times and
 * credit tell nothing of which send pays for which receive, and mix them all. But a connection is silent most of the
 * time, and then what is held of it is nothing. Two totals that both agree are no accident where they vary; how much
 * they do is told by how often two of those that others have opened have the same.
 */

export const TWINS: Ruling = {
  verdict: 'relay',
  kind: 'twins',
  why: 'each connection has a twin: as many bytes went on by one as came in by the other, and back, to the byte',
};

const MIN_BYTES = 64;
const MIN_TWINS = 8;
/** Of those that the process has opened; what is held of others right now makes them differ. */
const TWINS_SHARE = 0.5;

export function findTwins(flows: Iterable<FlowEvidence>, { isOther, isFound }: Known): Finding | null {
  const accepted: FlowEvidence[] = [];
  const connected: FlowEvidence[] = [];
  for (const flow of flows) {
    if (flow.protocol !== 'tcp' || flow.received < MIN_BYTES || flow.sent < MIN_BYTES) continue;
    if (flow.opened === 'accepted') accepted.push(flow);
    else if (flow.opened === 'connected') connected.push(flow);
  }
  if (accepted.length < MIN_TWINS || connected.length < MIN_TWINS) return null;
  const far = Map.groupBy(connected, ({ received, sent }) => totalsOf(sent, received));
  const taken = new Set<string>();
  const near = accepted.filter((flow) => !isOther(flow));
  const twins = near.flatMap((one) => {
    const candidates = far
      .get(totalsOf(one.received, one.sent))
      ?.filter(
        (other) => isSoonAfter(one, other) && one.host !== other.host && !taken.has(other.id) && !isOther(other),
      );
    const other = candidates?.find((candidate) => isFound(one, candidate)) ?? candidates?.[0];
    if (!other) return [];
    taken.add(other.id);
    return [{ one, other }];
  });
  if (twins.length < Math.max(MIN_TWINS, TWINS_SHARE * connected.length)) return null;
  const byChance = Math.min(1, near.length * likenessOf(near));
  if (atLeast(twins.length, connected.length, byChance) > BY_CHANCE) return null;
  return {
    ...TWINS,
    directions: twins.flatMap(({ one, other }) => [toDirection(one, other), toDirection(other, one)]),
  };
}

function totalsOf(received: number, sent: number): string {
  return `${received} ${sent}`;
}

/** How likely two of them have the same totals. */
function likenessOf(flows: readonly FlowEvidence[]): number {
  let alike = 0;
  for (const { length } of Map.groupBy(flows, ({ received, sent }) => totalsOf(received, sent)).values()) {
    alike += (length * (length - 1)) / 2;
  }
  return (alike + 1) / ((flows.length * (flows.length - 1)) / 2 + 1);
}
