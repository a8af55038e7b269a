import type { Role } from '../readings.ts';
import type { Billed } from './bill.ts';
import { type PipeRelay, roleOfPipe } from './pipes.ts';
import type { RelayProcess } from './relay-process.ts';

/* Which flows does a verdict rest on? What is held back is told by flows; what is billed, by pairs and directions. */

/** A flow that carries other people's bytes, in one direction or both. */
export interface RuledFlow {
  readonly id: string;
  readonly role: Role;
  /** Received to be passed on, and passed on. */
  readonly relayedBytes: number;
}

interface Ruled {
  readonly process: RelayProcess;
  readonly billed: readonly Billed[];
  readonly piped: readonly PipeRelay[];
}

/** Those that the kernel still has: what was folded together or given back can't be held any more. */
export function ruledFlowsOf({ process, billed, piped }: Ruled): RuledFlow[] {
  const flows = new Map<string, RuledFlow>();
  const add = (id: string, role: Role, bytes: number): void => {
    if (process.retired.has(id) || process.folded.has(id)) return;
    const known = flows.get(id);
    const isThirdParty = role === 'third-party' || known?.role === 'third-party';
    flows.set(id, { id, role: isThirdParty ? 'third-party' : role, relayedBytes: (known?.relayedBytes ?? 0) + bytes });
  };
  for (const { placements, role } of billed) {
    for (const { source, destination, bytes } of placements) {
      add(source.id, role, bytes);
      add(destination.id, role, bytes);
    }
  }
  for (const relay of piped) {
    if (relay.writer === process) for (const { id, received } of relay.from) add(id, roleOfPipe(relay), received);
    if (relay.reader === process) for (const { id, sent } of relay.to) add(id, roleOfPipe(relay), sent);
  }
  return [...flows.values()];
}
