import { type RlTotals, RlUnattributed } from '../bpf/layouts.ts';
import { clamp, type Seen, type SeenSpan } from './device-figures.ts';
import type { Direction, UnattributedTraffic } from './readings.ts';

/** What the kernel's row is made from, for one direction. */
export interface KernelRowInput {
  direction: Direction;
  /** All interfaces together, read around the processes. */
  seen: SeenSpan;
  /** Of all interfaces what was sent, for the forwarded packets that came in. */
  seenSent: SeenSpan;
  processesBytes: number;
  processesPackets: number;
  totals: Pick<RlTotals, 'unattributed'>;
  /** What met no socket as far as an earlier reading could tell; on a busy host this one may tell less. */
  noSocket: Amount;
}

export interface KernelRow {
  rows: Map<string, Amount>;
  /** What the device hooks had seen at the moment at which the processes were read, as far as that can be told. */
  seenBytes: number;
  /** What was counted at sockets and cannot have passed a device hook. */
  unseen: Amount;
}

export interface Amount {
  bytes: number;
  packets: number;
}

/** Counted where the packet met a socket. */
const AT_SOCKETS: readonly (readonly [reason: string, index: number])[] = [
  ['kernel_socket', RlUnattributed.kernelSocket],
  ['unclaimed', RlUnattributed.unclaimed],
  ['late', RlUnattributed.late],
  ['table_full', RlUnattributed.tableFull],
];

/** Every reason that only grows; `unclaimed` falls as connections are claimed. */
export const COUNTED_REASONS = ['kernel_socket', 'late', 'table_full', 'non_ip', 'forwarded', 'no_socket'] as const;

/**
 * Where the packets without an owner come from: those counted at the kernel's own sockets, those that are no IP, those
 * that were forwarded, and the rest, which met no socket: closed ports, TIME_WAIT, ping, a second device on their way.
 */
export function kernelRow(input: KernelRowInput): KernelRow {
  const { direction, seen, seenSent, totals } = input;
  const index = direction === 'rx' ? 0 : 1;
  const rows = new Map<string, Amount>();
  for (const [reason, at] of AT_SOCKETS) {
    rows.set(reason, { ...(totals.unattributed[at]?.[index] ?? { bytes: 0, packets: 0 }) });
  }
  // Taken off where most of it was counted; a drop may be counted before what it is taken off from is read.
  const unsent = totals.unattributed[RlUnattributed.unsent]?.[index];
  const kernelSocket = rows.get('kernel_socket');
  if (unsent && kernelSocket) {
    kernelSocket.bytes = Math.max(0, kernelSocket.bytes - unsent.bytes);
    kernelSocket.packets = Math.max(0, kernelSocket.packets - unsent.packets);
  }
  rows.set('non_ip', { bytes: seen.before.nonIpBytes, packets: seen.before.nonIpPackets });
  rows.set('forwarded', { bytes: seenSent.before.forwardedBytes, packets: seenSent.before.forwardedPackets });
  let bytes = input.processesBytes + input.noSocket.bytes;
  let packets = input.processesPackets + input.noSocket.packets;
  for (const amount of rows.values()) {
    bytes += amount.bytes;
    packets += amount.packets;
  }
  const seenBytes = clamp(bytes, allBytes(seen.before), allBytes(seen.after));
  const seenPackets = clamp(packets, allPackets(seen.before), allPackets(seen.after));
  rows.set('no_socket', {
    bytes: input.noSocket.bytes + Math.max(0, seenBytes - bytes),
    packets: input.noSocket.packets + Math.max(0, seenPackets - packets),
  });
  return {
    rows,
    seenBytes,
    unseen: { bytes: Math.max(0, bytes - seenBytes), packets: Math.max(0, packets - seenPackets) },
  };
}

function allBytes({ ipBytes, nonIpBytes }: Seen): number {
  return ipBytes + nonIpBytes;
}

function allPackets({ ipPackets, nonIpPackets }: Seen): number {
  return ipPackets + nonIpPackets;
}

/** Both directions side by side, reasons that never occurred left out. */
export function mergeDirections(rx: Map<string, Amount>, tx: Map<string, Amount>): UnattributedTraffic[] {
  const none = { bytes: 0, packets: 0 };
  return [...new Set([...rx.keys(), ...tx.keys()])]
    .map((reason) => {
      const received = rx.get(reason) ?? none;
      const sent = tx.get(reason) ?? none;
      return {
        reason,
        receivedBytes: received.bytes,
        sentBytes: sent.bytes,
        receivedPackets: received.packets,
        sentPackets: sent.packets,
      };
    })
    .filter(({ reason, ...traffic }) => Object.values(traffic).some((amount) => amount > 0));
}
