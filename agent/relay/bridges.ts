import type { Edge } from './groups.ts';

/*
 * A proxy that asks a name server between two requests pays for the question with some bytes of a request and some of
 * an answer: 170 of 12 million bytes, and what went up and what came down are one direction. An edge joins two
 * directions only if all edges between the same two carry a noticeable part of the smaller one.
 */

const BRIDGE_SHARE = 0.01;

/** A direction in the making. */
interface Part {
  parent: Part | null;
  bytes: number;
}

/** Without those edges that join what else has hardly a byte in common. */
export function withoutBridges(edges: readonly Edge[]): readonly Edge[] {
  const parts = new Map<string, Part>();
  const partOf = (key: string): Part => {
    const known = parts.get(key) ?? { parent: null, bytes: 0 };
    parts.set(key, known);
    return rootOf(known);
  };
  const endsOf = ({ pair }: Edge): [Part, Part] => [partOf(`from ${pair.source}`), partOf(`to ${pair.destination}`)];

  const thin: Edge[] = [];
  for (const edge of edges.toSorted((one, other) => carriedBy(other) - carriedBy(one))) {
    const [from, to] = endsOf(edge);
    if (from !== to && isThin(carriedBy(edge), from, to)) thin.push(edge);
    else join(from, to, carriedBy(edge));
  }
  if (thin.length === 0) return edges;

  // Of a pool with many clients and servers, each is a small part, and all together are not.
  const bridges = new Map<Part, Map<Part, Edge[]>>();
  for (const edge of thin) {
    const [one, other] = endsOf(edge);
    const ofOne = bridges.get(one) ?? new Map<Part, Edge[]>();
    bridges.set(one, ofOne.set(other, [...(ofOne.get(other) ?? []), edge]));
  }
  const cut = new Set<Edge>();
  for (const [one, others] of bridges) {
    for (const [other, between] of others) {
      const bytes = between.reduce((sum, edge) => sum + carriedBy(edge), 0);
      if (one !== other && isThin(bytes, one, other)) for (const edge of between) cut.add(edge);
    }
  }
  return edges.filter((edge) => !cut.has(edge));
}

function rootOf(part: Part): Part {
  let root = part;
  while (root.parent) root = root.parent;
  if (part !== root) part.parent = root;
  return root;
}

function join(one: Part, other: Part, bytes: number): void {
  if (one !== other) {
    other.parent = one;
    one.bytes += other.bytes;
  }
  one.bytes += bytes;
}

/** What has no other edge yet is no part of its own. */
function isThin(bytes: number, one: Part, other: Part): boolean {
  return bytes < BRIDGE_SHARE * Math.min(one.bytes, other.bytes);
}

function carriedBy({ pair }: Edge): number {
  return pair.moved + pair.copied;
}
