import type { FlowReading, PairReading } from './flow-reading.ts';

/**
 * Flows that were read before their process was known: a process may begin, and be done with many a connection, between
 * two looks at the process table. The flow table tells of such a connection once.
 */
export class EarlyFlows {
  readonly #flows = new Map<number, { flow: FlowReading; sinceNs: number }>();
  #pairs: readonly PairReading[] = [];

  /** What is known now and what was kept, older readings first; nothing is kept afterwards. */
  join(flows: readonly FlowReading[], pairs: readonly PairReading[]): { flows: EarlyFlow[]; pairs: PairReading[] } {
    const now = flows.map((flow) => ({ flow, sinceNs: this.#flows.get(flow.id)?.sinceNs ?? null }));
    for (const { id } of flows) this.#flows.delete(id);
    const joined = { flows: [...this.#flows.values(), ...now], pairs: [...this.#pairs, ...pairs] };
    this.#flows.clear();
    this.#pairs = [];
    return joined;
  }

  /** Keeps those for the next `join` that are not too old: their process may have been forgotten instead. */
  keep(early: readonly EarlyFlow[], pairs: readonly PairReading[], nowNs: number): void {
    for (const { flow, sinceNs } of early) {
      if (sinceNs !== null && nowNs - sinceNs > KEPT_NS) continue;
      this.#flows.set(flow.id, { flow, sinceNs: sinceNs ?? nowNs });
    }
    this.#pairs = pairs.filter(({ source, destination }) => this.#flows.has(source) || this.#flows.has(destination));
  }

  /** The kernel starts anew there. */
  forget(flow: number): void {
    this.#flows.delete(flow);
  }
}

export interface EarlyFlow {
  readonly flow: FlowReading;
  /** CLOCK_MONOTONIC of the first reading that found no process; null if this is the first reading. */
  readonly sinceNs: number | null;
}

/** Longer than the longest interval between two looks at the process table, by far. */
const KEPT_NS = 30e9;
