import type { FlowIdentity } from '../../agent/flow-reading.ts';

/** Who a flow is: UDP over IPv4, of a socket that is not there, as no socket has such a cookie. */
export function makeIdentity(id: number, override: Partial<FlowIdentity> = {}): FlowIdentity {
  return {
    id,
    slot: 7,
    processGeneration: 1,
    firstNs: 0,
    cookie: 2n ** 63n + BigInt(id),
    family: 2,
    protocol: 17,
    netns: 1,
    opened: 0,
    scope: 2,
    localAddress: new Uint8Array(16),
    localPort: 1000,
    remoteAddress: new Uint8Array(16),
    remotePort: 2000,
    localSocket: 0n,
    remoteSocket: 0n,
    hostHash: BigInt(id),
    ...override,
  };
}
