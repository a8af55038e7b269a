import type { RlInterfaceDirection, RlInterfaceName } from '../bpf/layouts.ts';
import type { Direction } from './readings.ts';

/* What the device hooks saw pass, as sums, and how the devices themselves would have counted it. Pure. */

/** One direction of one interface or of many: what the device hooks saw. */
export interface Seen {
  deviceBytes: number;
  devicePackets: number;
  segmentedBytes: number;
  ipBytes: number;
  ipPackets: number;
  nonIpBytes: number;
  nonIpPackets: number;
  forwardedBytes: number;
  forwardedPackets: number;
  /** Of ip: own multicast and broadcast, given back by the IP layer; the device never had them. */
  loopedPackets: number;
}

/** Packets pass while the books are read: what had been seen just before, and what just after. */
export interface SeenSpan {
  before: Seen;
  after: Seen;
}

/** What passed one interface, each way. */
export interface Passed {
  rx: Seen;
  tx: Seen;
}

/**
 * Drivers whose counters take a super-packet as one packet, as it is handed to them: the segments are made behind
 * them, by the host of the virtual machine. Devices without a driver (veth, lo, bridge, tun) do the same.
 */
const COUNT_AS_HANDED: ReadonlySet<string> = new Set(['virtio_net', 'xen-netfront', 'vif', 'hv_netvsc']);

const ARPHRD_LOOPBACK = 772;
const ETHERNET_HEADER_BYTES = 14; // hard_header_len has room for the tunnel's headers, too
/** Kinds of device that count a direction without the link header. */
const HEADLESS = { rx: ['bridge', 'vxlan'], tx: ['vxlan'] };

/**
 * The device hooks' figures in the way in which this device's own counters count. Where that can't be told, the least
 * and the most that they can have counted.
 */
export function asCountedBy(
  device: RlInterfaceName,
  side: Seen,
  direction: Direction,
  bound: 'least' | 'most',
): [bytes: number, packets: number] {
  // vxlan_rcv() counts after taking the link header off, and before GRO makes super-packets of packets: one that came
  // as such, as between containers of one host, it counts as one.
  if (device.kind === 'vxlan' && direction === 'rx' && bound === 'most') {
    return [side.ipBytes + side.nonIpBytes, side.ipPackets + side.nonIpPackets];
  }
  // So does loopback_xmit(); br_pass_frame_up() and vxlan_xmit_one() likewise, each in its direction.
  const headless = device.type === ARPHRD_LOOPBACK || HEADLESS[direction].includes(device.kind);
  if (headless) return [side.deviceBytes - side.devicePackets * ETHERNET_HEADER_BYTES, side.devicePackets];
  if (device.driver === '' || COUNT_AS_HANDED.has(device.driver)) return [side.deviceBytes, side.devicePackets];
  return [side.segmentedBytes, side.ipPackets - side.loopedPackets + side.nonIpPackets];
}

export function nothingSeen(): Seen {
  return {
    deviceBytes: 0,
    devicePackets: 0,
    segmentedBytes: 0,
    ipBytes: 0,
    ipPackets: 0,
    nonIpBytes: 0,
    nonIpPackets: 0,
    forwardedBytes: 0,
    forwardedPackets: 0,
    loopedPackets: 0,
  };
}

export function addSeen(sum: Seen, part: RlInterfaceDirection): void {
  sum.deviceBytes += part.deviceBytes;
  sum.devicePackets += part.devicePackets;
  sum.segmentedBytes += part.segmentedBytes;
  sum.ipBytes += part.ip.bytes;
  sum.ipPackets += part.ip.packets;
  sum.nonIpBytes += part.nonIp.bytes;
  sum.nonIpPackets += part.nonIp.packets;
  sum.forwardedBytes += part.forwarded.bytes;
  sum.forwardedPackets += part.forwarded.packets;
  sum.loopedPackets += part.loopedPackets;
}

/** to += sign * from */
export function addAll(to: Seen, from: Seen, sign = 1): void {
  for (const key of Object.keys(to) as (keyof Seen)[]) to[key] += sign * (from[key] ?? 0); // an older agent kept fewer
}

export function hasPassed({ rx, tx }: Passed): boolean {
  return rx.devicePackets !== 0 || tx.devicePackets !== 0;
}

/** The value between `least` and `most` that is nearest to `value`. */
export function clamp(value: number, least: number, most: number): number {
  return Math.min(Math.max(value, least), most);
}
