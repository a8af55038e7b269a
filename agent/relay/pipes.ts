import type { Role } from '../readings.ts';
import { type FlowEvidence, pairKey } from './evidence.ts';
import type { Hops } from './hops.ts';
import type { RelayProcess } from './relay-process.ts';

/*
 * Does one process receive what another sends, with a pipe between them (`nc -l | nc`)? Neither has both sides on
 * sockets, so there is no pair: what the writer received and doesn't relay itself must equal what the reader sent and
 * didn't receive itself.
 */

/** Data that went from the writer's sockets through a pipe to the reader's. */
export interface PipeRelay {
  readonly writer: RelayProcess;
  readonly reader: RelayProcess;
  readonly from: readonly FlowEvidence[];
  readonly to: readonly FlowEvidence[];
  readonly bytes: number;
  /** The lesser of what came in and what went out over the larger. */
  readonly conservation: number;
  readonly sinceMs: number;
}

/** Less could be two greetings. */
const MIN_BYTES = 16_384;
/** What is still in the pipe or was taken from elsewhere is at most this share; equality of two totals is no accident. */
const EQUAL_SHARE = 0.98;
/** Evaluations in a row; one where an end of it has ended. */
const VOTES = 2;

const READS = 1;
const WRITES = 2;

interface Remote {
  readonly flows: readonly FlowEvidence[];
  readonly received: number;
  readonly sent: number;
}

export class Pipes {
  private readonly votes: Map<string, number> = new Map();
  private readonly ruled: Map<string, PipeRelay> = new Map();
  private readonly hops: Hops;

  constructor(hops: Hops) {
    this.hops = hops;
  }

  /** Those that are ruled to relay; one that was stays, with the most bytes that it had. */
  evaluate(processes: Iterable<RelayProcess>, nowMs: number): PipeRelay[] {
    const remotes = new Map<RelayProcess, Remote>();
    const remoteOf = (process: RelayProcess): Remote => {
      const known = remotes.get(process) ?? this.sumRemote(process);
      remotes.set(process, known);
      return known;
    };
    for (const [writer, reader] of joined(processes)) {
      const key = `${writer.key}|${reader.key}`;
      const from = remoteOf(writer);
      const to = remoteOf(reader);
      const bytes = Math.min(from.received, to.sent);
      const isEqual = bytes >= MIN_BYTES && bytes >= EQUAL_SHARE * Math.max(from.received, to.sent);
      const votes = isEqual ? (this.votes.get(key) ?? 0) + 1 : 0;
      this.votes.set(key, votes);
      const known = this.ruled.get(key);
      const isOver = writer.endedAtMs !== null || reader.endedAtMs !== null;
      if (known ? bytes > known.bytes : isEqual && (votes >= VOTES || isOver)) {
        this.ruled.set(key, {
          writer,
          reader,
          from: from.flows.filter((flow) => flow.received > 0),
          to: to.flows.filter((flow) => flow.sent > 0),
          bytes,
          conservation: bytes / Math.max(from.received, to.sent),
          sinceMs: known?.sinceMs ?? Math.max(beginning(from.flows, nowMs), beginning(to.flows, nowMs)),
        });
      }
    }
    return [...this.ruled.values()];
  }

  forget(process: RelayProcess): void {
    for (const [key, relay] of this.ruled) {
      if (relay.writer === process || relay.reader === process) this.ruled.delete(key);
    }
    for (const key of this.votes.keys()) if (key.split('|').includes(process.key)) this.votes.delete(key);
  }

  /** What a process exchanges with other hosts and doesn't relay by itself. */
  sumRemote(process: RelayProcess): Remote {
    const flows = [...process.flows.values()].filter((flow) => !this.hops.isLocal(flow));
    let moved = 0;
    for (const { source, destination } of process.ruled.values()) {
      moved += process.pairs.get(pairKey(source, destination))?.moved ?? 0;
    }
    return {
      flows,
      received: flows.reduce((sum, flow) => sum + flow.received, process.goneReceived) - moved,
      sent: flows.reduce((sum, flow) => sum + flow.sent, process.goneSent) - moved,
    };
  }
}

export function roleOfPipe({ from, to }: PipeRelay): Role {
  const isPublic = [from, to].every((flows) => flows.some((flow) => flow.scope === 'public'));
  return isPublic ? 'third-party' : 'service';
}

function beginning(flows: readonly FlowEvidence[], nowMs: number): number {
  return flows.reduce((first, flow) => Math.min(first, flow.firstMs), nowMs);
}

/** Writer and reader of the same pipe. Both ends of one that both read and write tell no direction. */
function joined(processes: Iterable<RelayProcess>): [RelayProcess, RelayProcess][] {
  const byInode = new Map<number, { process: RelayProcess; modes: number }[]>();
  for (const process of processes) {
    for (const { inode, modes } of process.fifos) {
      const users = byInode.get(inode) ?? [];
      const user = users.find((candidate) => candidate.process === process);
      if (user) user.modes |= modes;
      else users.push({ process, modes });
      byInode.set(inode, users);
    }
  }
  const pairs: [RelayProcess, RelayProcess][] = [];
  for (const users of byInode.values()) {
    for (const writer of users.filter(({ modes }) => modes & WRITES)) {
      for (const reader of users.filter(({ modes }) => modes & READS)) {
        if (writer === reader || (writer.modes & READS && reader.modes & WRITES)) continue;
        pairs.push([writer.process, reader.process]);
      }
    }
  }
  return pairs;
}
