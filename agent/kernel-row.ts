import { type RlTotals, RlUnattributed } from '../bpf/layouts.ts';
import type { Seen } from './interface-books.ts';
import type { Direction, UnattributedTraffic } from './readings.ts';

/** What the kernel's row is made from, for one direction. */
export interface KernelRowInput {
  direction: Direction;
  /** All interfaces together; null where the device hooks are missing. */
  seen: Seen | null;
  /** Of all interfaces what was sent, for the forwarded packets that came in. */
  seenSent: Seen | null;
  processesBytes: number;
  processesPackets: number;
  totals: Pick<RlTotals, 'unattributed'>;
}

interface Amount {
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

/**
 * Where the packets without an owner come from: those counted at the kernel's own sockets, those that are no IP, those
 * that were forwarded, and the rest, which met no socket at all (received) or another device first (sent).
 */
export function kernelRow(input: KernelRowInput): Map<string, Amount> {
  const { direction, seen, seenSent, totals } = input;
  const index = direction === 'rx' ? 0 : 1;
  const rows = new Map<string, Amount>();
  for (const [reason, at] of AT_SOCKETS) {
    const amount = totals.unattributed[at]?.[index] ?? { bytes: 0, packets: 0 };
    rows.set(reason, { ...amount });
  }
  if (!seen || !seenSent) return rows;
  rows.set('non_ip', { bytes: seen.nonIpBytes, packets: seen.nonIpPackets });
  rows.set('forwarded', { bytes: seenSent.forwardedBytes, packets: seenSent.forwardedPackets });
  let bytes = seen.ipBytes + seen.nonIpBytes - input.processesBytes;
  let packets = seen.ipPackets + seen.nonIpPackets - input.processesPackets;
  for (const amount of rows.values()) {
    bytes -= amount.bytes;
    packets -= amount.packets;
  }
  rows.set(direction === 'rx' ? 'no_socket' : 'other', { bytes: Math.max(0, bytes), packets: Math.max(0, packets) });
  return rows;
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
    .filter(({ receivedPackets, sentPackets }) => receivedPackets > 0 || sentPackets > 0);
}
