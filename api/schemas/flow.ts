import type { Flow, Socket } from '../../agent/readings.ts';
import type { Schema } from './schema.ts';
import { describes, instant, integer, nullable, object, oneOf, string, unsafe } from './schema.ts';
import { payloadTrafficSchema, protocolSchema, scopeSchema } from './traffic.ts';

const cookieSchema = string({
  description: "The kernel's socket cookie in hexadecimal, as `ss -e` shows it (sk:…)",
  examples: ['1f3a'],
});
const portSchema = integer({ minimum: 0, maximum: 65535, description: 'Port' });
const pidSchema = integer({ minimum: 0, description: 'Process id of the owner; 0 where it has none' });
const startedAtSchema = nullable(instant('When the owner started; null where it is not known'));

export const socketSchema: Schema<Socket> = describes<Socket>()(
  object(
    {
      cookie: cookieSchema,
      pid: pidSchema,
      startedAt: startedAtSchema,
      name: string({ description: "The owner's name" }),
      app: string({ description: "The owner's app" }),
      protocol: oneOf(['tcp', 'udp', 'icmp', 'raw', 'packet', 'mptcp', 'other'], 'Transport of the socket'),
      family: nullable(unsafe<4 | 6>(integer({ enum: [4, 6], description: 'IP version; null for sockets below IP' }))),
      state: string({ description: 'State as netstat shows it', examples: ['LISTEN', 'ESTABLISHED'] }),
      localAddress: string({ description: 'Own address' }),
      localPort: portSchema,
      remoteAddress: nullable(string({ description: "The peer's address; null where there is no peer" })),
      remotePort: nullable(portSchema),
      inode: nullable(integer({ minimum: 0, description: 'Inode, as in /proc/PID/fd; null once it is closed' })),
      netns: integer({ minimum: 0, description: 'Inode of its network namespace' }),
      uid: integer({ minimum: 0, description: 'User id that created the socket' }),
      scope: nullable(scopeSchema),
      payload: payloadTrafficSchema,
    },
    {
      title: 'Socket',
      description: 'One socket, as `netstat -apln` shows it, with its bytes',
      examples: [
        {
          cookie: '1f3a',
          pid: 4711,
          startedAt: '2026-11-22T05:00:00.000Z',
          name: 'socat',
          app: 'socat',
          protocol: 'tcp',
          family: 4,
          state: 'ESTABLISHED',
          localAddress: '10.0.0.1',
          localPort: 8000,
          remoteAddress: '10.0.0.2',
          remotePort: 51234,
          inode: 991234,
          netns: 4026531840,
          uid: 0,
          scope: 'private',
          payload: { receivedBytes: 1000, sentBytes: 1000 },
        },
      ],
    },
  ),
);

export const flowSchema: Schema<Flow> = describes<Flow>()(
  object(
    {
      cookie: cookieSchema,
      pid: pidSchema,
      startedAt: startedAtSchema,
      name: string({ description: "The owner's name" }),
      app: string({ description: "The owner's app" }),
      protocol: protocolSchema,
      localAddress: string({ description: 'Own address' }),
      localPort: portSchema,
      remoteAddress: string({ description: "The peer's address" }),
      remotePort: portSchema,
      scope: scopeSchema,
      payload: payloadTrafficSchema,
      lastActiveAt: nullable(instant('When bytes last moved')),
    },
    {
      title: 'Flow',
      description: 'One socket and one peer; an unconnected UDP socket has a flow for each peer',
      examples: [
        {
          cookie: '1f3a',
          pid: 4711,
          startedAt: '2026-11-22T05:00:00.000Z',
          name: 'socat',
          app: 'socat',
          protocol: 'tcp',
          localAddress: '10.0.0.1',
          localPort: 8000,
          remoteAddress: '10.0.0.2',
          remotePort: 51234,
          scope: 'private',
          payload: { receivedBytes: 1000, sentBytes: 1000 },
          lastActiveAt: '2026-11-22T05:00:01.000Z',
        },
      ],
    },
  ),
);
