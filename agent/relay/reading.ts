import type { Protocol, Role, Scope, Verdict } from '../readings.ts';
import type { RelayKind } from './rules.ts';

/*
 * What `GET /v1/relays` shows: one reading for each direction in which a process relays, or is suspected to, with the
 * evidence. The sum of `receivedBytes` and `sentBytes` over a process's readings is at most what its row says.
 */

export interface RelayPeer {
  /** null for AF_UNIX and pipes. */
  address: string | null;
  port: number | null;
  protocol: Protocol | 'unix' | 'pipe';
  scope: Scope;
}

export interface RelayReading {
  /** The key that the process was updated with. */
  processKey: string;
  pid: number;
  name: string;
  verdict: 'suspected' | 'relay';
  role: Role | null;
  /** 0 to 1: of verdicts at 0.9, nine in ten are right. */
  confidence: number;
  since: string;
  /** How it relays; `chain` where another process of this host carries it on. */
  kind: RelayKind | 'chain';
  /** In words. */
  why: string;
  /** The most important ones; `fromCount` and `toCount` say how many there are. */
  from: RelayPeer[];
  fromCount: number;
  to: RelayPeer[];
  toCount: number;
  /** Billed. On the local side of a chain nothing is: its other process bills it. */
  receivedBytes: number;
  sentBytes: number;
  /** Proven byte by byte; and the most that it can be. */
  lowerBytes: number;
  upperBytes: number;
  /** How often each byte went out: 1 but for brokers and conferences. */
  fanOut: number;
  /** Of what came in and what went out, the share that is the same bytes, on the side where it is less. */
  conservation: number;
  /** 0.5: sends come at random; 1: right after the receives. */
  auc: number;
  lagMedianMs: number;
  /** Sends that were matched with a receive. */
  events: number;
}

/** A process's verdict is another than a second ago. */
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
