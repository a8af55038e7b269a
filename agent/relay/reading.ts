import type { Relay, Role, RelayReading as ShownReading, Verdict } from '../readings.ts';
import type { RelayKind } from './rules.ts';

export type { RelayPeer } from '../readings.ts';

/** Of a process that there is nothing to say of. */
export const NO_RELAY: Relay = {
  verdict: 'none',
  role: null,
  receivedBytes: 0,
  sentBytes: 0,
  confidence: 0,
  since: null,
};

/*
 * What `GET /v1/relays` shows: one reading for each direction in which a process relays, or is suspected to, with the
 * evidence. The sum of `receivedBytes` and `sentBytes` over a process's readings is at most what its row says: on the
 * local side of a chain nothing is billed, its other process bills it.
 */
export interface RelayReading extends Omit<ShownReading, 'app' | 'kind'> {
  /** The key that the process was updated with. */
  processKey: string;
  /** How it relays; `chain` where another process of this host carries it on. */
  kind: RelayKind | 'chain';
}

export interface VerdictChange {
  processKey: string;
  pid: number;
  name: string;
  was: Verdict;
  verdict: Verdict;
  role: Role | null;
  confidence: number;
  kind: RelayReading['kind'] | null;
  /** In words. */
  why: string;
  since: string | null;
}
