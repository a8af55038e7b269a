import type { Role, Scope } from '../readings.ts';
import { type FlowEvidence, pairKey } from './evidence.ts';
import type { RelayProcess, RuledPair } from './relay-process.ts';

/*
 * Is a connection within this host one hop of a chain (a TLS terminator before a proxy), a local program's own traffic
 * in a tunnel, or the way to a local service? Each end of such a connection is a flow of its own: its mirror, with the
 * addresses swapped in the same network namespace, or at the other end of an AF_UNIX pair. If the mirror's process
 * relays it on to another host, it is a hop.
 */

/** What one ruled pair is in the larger picture. */
export interface Placement {
  readonly pair: RuledPair;
  readonly source: FlowEvidence;
  readonly destination: FlowEvidence;
  /** `local` stays on this host, `own` is a local program's, `undecided` waits for the mirror's process. */
  readonly passage: 'relayed' | 'own' | 'local' | 'undecided';
  readonly role: Role;
  readonly bytes: number;
  /** One side of it is on this host: what is ruled of another process may change this. */
  readonly hasLocalEnd: boolean;
}

/** What listens; null for a process that only connects. */
export interface Listener {
  readonly protocol: FlowEvidence['protocol'];
  readonly address: string;
  readonly port: number;
}

export type IsDeclared = (process: { key: string; pid: number; name: string }, listener: Listener | null) => boolean;

interface End {
  readonly process: RelayProcess;
  readonly flow: FlowEvidence;
}

export class Hops {
  /** By what their mirror can compute: ports, or its own socket; then by flow, as a socket may have thousands of peers. */
  private readonly ends: Map<string, Map<string, End>> = new Map();
  private readonly isDeclared: IsDeclared;

  constructor(isDeclared: IsDeclared) {
    this.isDeclared = isDeclared;
  }

  add(process: RelayProcess, flow: FlowEvidence): void {
    const key = endKey(flow);
    const ends = this.ends.get(key);
    if (ends) ends.set(flow.id, { process, flow });
    else this.ends.set(key, new Map([[flow.id, { process, flow }]]));
  }

  delete(flow: FlowEvidence): void {
    const key = endKey(flow);
    const ends = this.ends.get(key);
    ends?.delete(flow.id);
    if (ends?.size === 0) this.ends.delete(key);
  }

  isLocal(flow: FlowEvidence): boolean {
    return isWithinHost(flow) || this.mirrorOf(flow) !== undefined;
  }

  place(process: RelayProcess, pair: RuledPair): Placement | null {
    const source = process.flows.get(pair.source);
    const destination = process.flows.get(pair.destination);
    if (!source || !destination) return null;
    const evidence = process.pairs.get(pairKey(pair.source, pair.destination));
    const bytes = evidence ? evidence.moved + evidence.copied : 0;
    const from = this.otherEnd(source, pair.hopIn);
    const to = this.otherEnd(destination, pair.hopOut);
    const placed = (passage: Placement['passage'], role: Role): Placement => {
      return { pair, source, destination, passage, role, bytes, hasLocalEnd: from.isLocal || to.isLocal };
    };

    // Between local programs: a link in the middle of a chain, or nothing that leaves the host.
    if (from.isLocal && to.isLocal && !(from.isHop && to.isHop)) return placed('local', 'own');
    for (const end of [from, to]) {
      if (!end.isLocal || end.isHop) continue;
      if (isAccepted(end.flow)) return placed('own', 'own');
      if (end.isPending) return placed('undecided', 'service');
    }
    pair.hopIn = from.isHop ? from.scopes : null;
    pair.hopOut = to.isHop ? to.scopes : null;
    const isPublic = from.scopes.has('public') && to.scopes.has('public');
    return placed(
      'relayed',
      isPublic && !this.isDeclaredService(process, source, destination) ? 'third-party' : 'service',
    );
  }

  private otherEnd(flow: FlowEvidence, known: ReadonlySet<Scope> | null): OtherEnd {
    const mirror = this.mirrorOf(flow);
    if (!mirror && !isWithinHost(flow)) {
      return { flow, isLocal: false, isHop: false, isPending: false, scopes: new Set([flow.scope]) };
    }
    const found = mirror ? this.outerScopes(mirror, new Set([flow.id])) : new Set<Scope>();
    const scopes = found.size > 0 ? found : (known ?? found);
    return {
      flow,
      isLocal: true,
      isHop: scopes.size > 0,
      isPending: mirror?.process.isCandidate(mirror.flow.id) ?? false,
      scopes,
    };
  }

  /** Where the mirror's process relays it on to, over any number of hops; empty where it doesn't leave the host. */
  private outerScopes({ process, flow }: End, seen: Set<string>): Set<Scope> {
    const scopes = new Set<Scope>();
    seen.add(flow.id);
    for (const pair of process.ruledPairsOf(flow.id)) {
      const other = process.flows.get(pair.source === flow.id ? pair.destination : pair.source);
      if (!other || seen.has(other.id)) continue;
      if (!this.isLocal(other)) {
        scopes.add(other.scope);
        continue;
      }
      const next = this.mirrorOf(other);
      if (!next || seen.has(next.flow.id)) continue;
      seen.add(other.id);
      for (const scope of this.outerScopes(next, seen)) scopes.add(scope);
    }
    return scopes;
  }

  private mirrorOf(flow: FlowEvidence): End | undefined {
    const candidates = [...(this.ends.get(mirrorKey(flow))?.values() ?? [])].filter(
      ({ process, flow: other }) => other.id !== flow.id && faces(flow, process.flows.get(other.id) ?? other),
    );
    // Ports and kernel addresses are used again: the one that began at about the same time.
    return candidates.reduce<End | undefined>(
      (best, end) => (best && distanceMs(best.flow, flow) <= distanceMs(end.flow, flow) ? best : end),
      undefined,
    );
  }

  private isDeclaredService(process: RelayProcess, ...flows: FlowEvidence[]): boolean {
    const { key, pid, name } = process;
    if (this.isDeclared({ key, pid, name }, null)) return true;
    return flows
      .filter((flow) => flow.family === 'ip' && isAccepted(flow))
      .some((flow) =>
        this.isDeclared(
          { key, pid, name },
          { protocol: flow.protocol, address: flow.localAddress, port: flow.localPort },
        ),
      );
  }
}

interface OtherEnd {
  readonly flow: FlowEvidence;
  readonly isLocal: boolean;
  readonly isHop: boolean;
  readonly isPending: boolean;
  /** Where it leads to, outside this host. */
  readonly scopes: ReadonlySet<Scope>;
}

function isWithinHost(flow: FlowEvidence): boolean {
  return flow.scope === 'loopback' || flow.family === 'unix';
}

/** Where the kernel does not know, the service has the lower port. */
function isAccepted(flow: FlowEvidence): boolean {
  if (flow.opened !== 'unknown') return flow.opened === 'accepted';
  return flow.family === 'ip' && flow.localPort < flow.remotePort;
}

function endKey(flow: FlowEvidence): string {
  if (flow.family === 'unix') return `unix ${flow.localSocket}`;
  return `${flow.netns} ${flow.protocol} ${flow.localPort} ${flow.remotePort}`;
}

function mirrorKey(flow: FlowEvidence): string {
  if (flow.family === 'unix') return `unix ${flow.remoteSocket}`;
  return `${flow.netns} ${flow.protocol} ${flow.remotePort} ${flow.localPort}`;
}

function faces(flow: FlowEvidence, other: FlowEvidence): boolean {
  if (flow.family === 'unix') return other.remoteSocket === flow.localSocket;
  if (!isAddress(other.localAddress, flow.remoteAddress) || !isAddress(flow.localAddress, other.remoteAddress))
    return false;
  // Ports alone don't make a mirror: between the addresses of one host, each end sees the host's own address.
  if (!isAny(flow.localAddress) && !isAny(other.localAddress)) return true;
  return flow.remoteAddress === other.remoteAddress || (flow.scope === 'loopback' && other.scope === 'loopback');
}

function isAddress(own: string, seenByPeer: string): boolean {
  return own === seenByPeer || isAny(own);
}

/** An unconnected UDP socket has no address of its own. */
function isAny(address: string): boolean {
  return address === '0.0.0.0' || address === '::';
}

function distanceMs(one: FlowEvidence, other: FlowEvidence): number {
  return Math.abs(one.firstMs - other.firstMs);
}
