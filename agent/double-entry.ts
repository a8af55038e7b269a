import type { RlTotals } from '../bpf/layouts.ts';
import { type Counters, WIRE_RX_BYTES, WIRE_RX_PACKETS, WIRE_TX_BYTES, WIRE_TX_PACKETS } from './counters.ts';
import type { InterfaceAccount, InterfaceBooks } from './interface-books.ts';
import { type Amount, type KernelRow, type KernelRowInput, kernelRow, mergeDirections } from './kernel-row.ts';
import type { Direction, Process, Reconciliation, UnattributedTraffic } from './readings.ts';
import { NO_RELAY } from './relay/reading.ts';

/** The books at one moment. */
export interface Balance {
  accounts: InterfaceAccount[];
  unattributed: UnattributedTraffic[];
  reconciliation: Reconciliation[];
  totals: RlTotals;
}

export interface DoubleEntryOptions {
  books: InterfaceBooks;
  readTotals: () => RlTotals;
  /**
   * Keeps, for this agent and those that adopt: what was counted at sockets before the device hooks were there, and what
   * met no socket as far as that was ever told, which is told as a counter.
   */
  keep: (what: 'uncovered' | 'noSocket', direction: Direction, amount: Amount) => void;
  /** Brings `processesTotal` up to date. */
  poll: () => void;
  /** All processes of this epoch together, ended ones included. */
  processesTotal: Counters;
}

/** Holds what processes claim against what the interfaces saw: the kernel's row is what is left, the error what is not. */
export class DoubleEntry {
  readonly #options: DoubleEntryOptions;

  constructor(options: DoubleEntryOptions) {
    this.#options = options;
  }

  /**
   * Once, where the counters start from zero. The hooks are attached one by one, those at sockets first: what they have
   * counted more than the devices by now, no device hook was there to see.
   */
  begin(): void {
    const { books, readTotals, poll, keep } = this.#options;
    const accounts = books.read(poll);
    const totals = readTotals();
    for (const direction of ['rx', 'tx'] as const) {
      keep('uncovered', direction, kernelRow(this.#input(direction, accounts, totals)).unseen);
    }
  }

  /** Reads processes and interfaces as of the same moment. */
  balance(): Balance {
    const { books, readTotals, poll } = this.#options;
    const accounts = books.read(poll);
    const totals = readTotals();
    const [rx, tx] = [this.#direction('rx', accounts, totals), this.#direction('tx', accounts, totals)];
    const unattributed = mergeDirections(rx.rows, tx.rows);
    return { accounts, unattributed, reconciliation: [rx.reconciliation, tx.reconciliation], totals };
  }

  #direction(
    direction: Direction,
    accounts: readonly InterfaceAccount[],
    totals: RlTotals,
  ): { rows: KernelRow['rows']; reconciliation: Reconciliation } {
    const input = this.#input(direction, accounts, totals);
    const { rows, seenBytes } = kernelRow(input);
    this.#options.keep('noSocket', direction, rows.get('no_socket') ?? input.noSocket);
    const uncoveredBytes = totals.uncovered[direction === 'rx' ? 0 : 1]?.bytes ?? 0;
    const processesBytes = input.processesBytes + uncoveredBytes;
    const lines = accounts.flatMap((account) => account.lines).filter((line) => line.direction === direction);
    const interfacesBytes = lines.reduce((total, { errorBytes }) => total + errorBytes, seenBytes + uncoveredBytes);
    const kernelBytes = [...rows.values()].reduce((total, { bytes }) => total + bytes, 0);
    const errorBytes = interfacesBytes - processesBytes - kernelBytes;
    return { rows, reconciliation: { direction, interfacesBytes, processesBytes, kernelBytes, errorBytes } };
  }

  #input(direction: Direction, accounts: readonly InterfaceAccount[], totals: RlTotals): KernelRowInput {
    const { books, processesTotal } = this.#options;
    const isRx = direction === 'rx';
    const uncovered = totals.uncovered[isRx ? 0 : 1] ?? { bytes: 0, packets: 0 };
    return {
      direction,
      seen: books.sum(accounts, direction),
      seenSent: books.sum(accounts, 'tx'),
      processesBytes: (processesTotal[isRx ? WIRE_RX_BYTES : WIRE_TX_BYTES] as number) - uncovered.bytes,
      processesPackets: (processesTotal[isRx ? WIRE_RX_PACKETS : WIRE_TX_PACKETS] as number) - uncovered.packets,
      totals,
      noSocket: totals.noSocket[isRx ? 0 : 1] ?? { bytes: 0, packets: 0 },
    };
  }
}

/** The reserved process 0: every packet that has no owner. */
export function kernelProcess(unattributed: UnattributedTraffic[], bootedAt: string): Process {
  const wire = { receivedBytes: 0, sentBytes: 0, receivedPackets: 0, sentPackets: 0 };
  for (const row of unattributed) {
    for (const key of Object.keys(wire) as (keyof typeof wire)[]) wire[key] += row[key];
  }
  return {
    pid: 0,
    startedAt: bootedAt,
    exitedAt: null,
    name: 'kernel',
    executable: null,
    command: '',
    user: 'root',
    uid: 0,
    parentPid: null,
    app: 'kernel',
    unit: null,
    container: null,
    profile: null,
    netns: null,
    traffic: { wire, payload: { receivedBytes: 0, sentBytes: 0 } },
    payloadShares: [],
    unattributed,
    relay: NO_RELAY,
  };
}
