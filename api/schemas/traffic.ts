import type {
  Direction,
  PayloadShare,
  PayloadTraffic,
  Protocol,
  Scope,
  UnattributedTraffic,
  WireTraffic,
} from '../../agent/readings.ts';
import type { Schema } from './schema.ts';
import { bytes, describes, object, oneOf, packets, string } from './schema.ts';

export const directionSchema: Schema<Direction> = oneOf(['rx', 'tx'], 'rx: received by this host; tx: sent by it');
export const protocolSchema: Schema<Protocol> = oneOf(
  ['tcp', 'udp', 'other'],
  'tcp (MPTCP included), udp, or other: ICMP, raw IP, AF_PACKET',
);
export const scopeSchema: Schema<Scope> = oneOf(
  ['loopback', 'private', 'public'],
  'Where the peer is: on this host, on a private or link-local network, or on a public address',
);

const wireMembers = {
  receivedBytes: bytes('Received, IP header and retransmissions included, link header not'),
  sentBytes: bytes('Sent, IP header and retransmissions included, link header not'),
  receivedPackets: packets('Received; a super-packet counts as the packets it was made from'),
  sentPackets: packets('Sent; a super-packet counts as the packets it becomes'),
};

const payloadMembers = {
  receivedBytes: bytes('What the process read from its sockets'),
  sentBytes: bytes('What the process wrote to its sockets'),
};

export const wireTrafficSchema: Schema<WireTraffic> = describes<WireTraffic>()(
  object(wireMembers, { title: 'WireTraffic', description: 'What crosses the IP layer' }),
);

export const payloadTrafficSchema: Schema<PayloadTraffic> = describes<PayloadTraffic>()(
  object(payloadMembers, {
    title: 'PayloadTraffic',
    description: 'What processes read and wrote through sockets',
  }),
);

export const payloadShareSchema: Schema<PayloadShare> = describes<PayloadShare>()(
  object(
    { ...payloadMembers, protocol: protocolSchema, scope: scopeSchema },
    { title: 'PayloadShare', description: 'One part of the payload, by transport and by where the peer is' },
  ),
);

export const unattributedTrafficSchema: Schema<UnattributedTraffic> = describes<UnattributedTraffic>()(
  object(
    {
      ...wireMembers,
      reason: string({ description: 'Why these packets have no owner', examples: ['no-socket'] }),
    },
    { title: 'UnattributedTraffic', description: 'Packets that belong to no process, by reason' },
  ),
);

export const trafficSchema: Schema<{ wire: WireTraffic; payload: PayloadTraffic }> = describes<{
  wire: WireTraffic;
  payload: PayloadTraffic;
}>()(
  object(
    { wire: wireTrafficSchema, payload: payloadTrafficSchema },
    { title: 'Traffic', description: 'The same traffic on the wire and as payload' },
  ),
);
