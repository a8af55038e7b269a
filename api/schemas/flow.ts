import { Type } from 'typebox';
import type { Flow, Socket } from '../../agent/readings.ts';
import type { Schema } from './schema.ts';
import { describes, instant, nullable, oneOf } from './schema.ts';
import { payloadTrafficSchema, protocolSchema, scopeSchema } from './traffic.ts';

const cookieSchema = Type.String({
  description: "The kernel's socket cookie in hexadecimal, as `ss -e` shows it (sk:…)",
  examples: ['1f3a'],
});
const portSchema = Type.Integer({ minimum: 0, maximum: 65535, description: 'Port' });
const pidSchema = Type.Integer({ minimum: 0, description: 'Process id of the owner; 0 where it has none' });
const startedAtSchema = nullable(instant('When the owner started; null where it is not known'));

export const socketSchema: Schema<Socket> = describes<Socket>()(
  Type.Object(
    {
      cookie: cookieSchema,
      pid: pidSchema,
      startedAt: startedAtSchema,
      name: Type.String({ description: "The owner's name" }),
      app: Type.String({ description: "The owner's app" }),
      protocol: oneOf(['tcp', 'udp', 'icmp', 'raw', 'packet', 'mptcp', 'other'], 'Transport of the socket'),
      family: nullable(
        Type.Unsafe<4 | 6>(Type.Integer({ enum: [4, 6], description: 'IP version; null for sockets below IP' })),
      ),
      state: Type.String({ description: 'State as netstat shows it', examples: ['LISTEN', 'ESTABLISHED'] }),
      localAddress: Type.String({ description: 'Own address' }),
      localPort: portSchema,
      remoteAddress: nullable(Type.String({ description: "The peer's address; null where there is no peer" })),
      remotePort: nullable(portSchema),
      inode: nullable(Type.Integer({ minimum: 0, description: 'Inode, as in /proc/PID/fd; null once it is closed' })),
      netns: Type.Integer({ minimum: 0, description: 'Inode of its network namespace' }),
      uid: Type.Integer({ minimum: 0, description: 'User id that created the socket' }),
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
  Type.Object(
    {
      cookie: cookieSchema,
      pid: pidSchema,
      startedAt: startedAtSchema,
      name: Type.String({ description: "The owner's name" }),
      app: Type.String({ description: "The owner's app" }),
      protocol: protocolSchema,
      localAddress: Type.String({ description: 'Own address' }),
      localPort: portSchema,
      remoteAddress: Type.String({ description: "The peer's address" }),
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
