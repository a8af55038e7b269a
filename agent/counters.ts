import type { PayloadShare, Protocol, Role, Scope, WireTraffic } from './readings.ts';

/**
 * The counters of one process or app as one vector, so that they add and subtract in a loop: received bytes and
 * packets, sent bytes and packets (wire), then payload by direction, protocol and scope, as in `struct rl_process`; at
 * last relayed payload by role and direction, which the agent adds itself.
 */
export type Counters = Float64Array;

export const PROTOCOLS: readonly Protocol[] = ['tcp', 'udp', 'other'];
export const SCOPES: readonly Scope[] = ['loopback', 'private', 'public'];

export const WIRE_RX_BYTES = 0;
export const WIRE_RX_PACKETS = 1;
export const WIRE_TX_BYTES = 2;
export const WIRE_TX_PACKETS = 3;
export const PAYLOAD = 4;
export const SHARES: number = PROTOCOLS.length * SCOPES.length;
export const ROLES: readonly Role[] = ['third-party', 'service', 'own'];
export const RELAYED: number = PAYLOAD + 2 * SHARES;
/** Those that the kernel counts come first. */
export const KERNEL_COUNTERS: number = RELAYED;
export const COUNTERS: number = RELAYED + 2 * ROLES.length;

export function makeCounters(values?: Iterable<number>): Counters {
  const counters = new Float64Array(COUNTERS);
  if (values) counters.set([...values].slice(0, COUNTERS));
  return counters;
}

/** to += from */
export function addCounters(to: Counters, from: Counters): void {
  for (let i = 0; i < COUNTERS; i++) to[i] = (to[i] as number) + (from[i] as number);
}

export function wireOf(counters: Counters): WireTraffic {
  return {
    receivedBytes: counters[WIRE_RX_BYTES] as number,
    sentBytes: counters[WIRE_TX_BYTES] as number,
    receivedPackets: counters[WIRE_RX_PACKETS] as number,
    sentPackets: counters[WIRE_TX_PACKETS] as number,
  };
}

export function payloadOf(counters: Counters): { receivedBytes: number; sentBytes: number } {
  let receivedBytes = 0;
  let sentBytes = 0;
  for (let i = 0; i < SHARES; i++) {
    receivedBytes += counters[PAYLOAD + i] as number;
    sentBytes += counters[PAYLOAD + SHARES + i] as number;
  }
  return { receivedBytes, sentBytes };
}

/** The shares that carry anything. */
export function sharesOf(counters: Counters): PayloadShare[] {
  const shares: PayloadShare[] = [];
  for (const [p, protocol] of PROTOCOLS.entries()) {
    for (const [s, scope] of SCOPES.entries()) {
      const at = PAYLOAD + p * SCOPES.length + s;
      const receivedBytes = counters[at] as number;
      const sentBytes = counters[at + SHARES] as number;
      if (receivedBytes > 0 || sentBytes > 0) shares.push({ protocol, scope, receivedBytes, sentBytes });
    }
  }
  return shares;
}

/** Where the relayed bytes of a role lie: received; sent is the next. */
export function relayedAt(role: Role): number {
  return RELAYED + 2 * ROLES.indexOf(role);
}

/** Over all roles. */
export function relayedOf(counters: Counters): { receivedBytes: number; sentBytes: number } {
  let receivedBytes = 0;
  let sentBytes = 0;
  for (let at = RELAYED; at < COUNTERS; at += 2) {
    receivedBytes += counters[at] as number;
    sentBytes += counters[at + 1] as number;
  }
  return { receivedBytes, sentBytes };
}
