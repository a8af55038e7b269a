import type { App, Process, Relay } from '../../agent/readings.ts';
import { relaySchema } from './relay.ts';
import type { Schema } from './schema.ts';
import { array, describes, instant, integer, nullable, object, optional, string } from './schema.ts';
import { payloadShareSchema, trafficSchema, unattributedTrafficSchema } from './traffic.ts';

const zeroRelay: Relay = {
  verdict: 'none',
  role: null,
  receivedBytes: 0,
  sentBytes: 0,
  confidence: 0,
  since: null,
};

export const processSchema: Schema<Process> = describes<Process>()(
  object(
    {
      pid: integer({ minimum: 0, description: 'Process id as this host sees it; 0 is the reserved kernel row' }),
      startedAt: instant('When the process started; with the pid this identifies it, as pids are reused'),
      exitedAt: nullable(instant('When it ended; null while it lives')),
      name: string({
        description: "The kernel's name of the process (comm, at most 15 characters), as last seen",
      }),
      executable: nullable(string({ description: 'Path of the executable; null where it is not known' })),
      command: string({ description: 'Command line, arguments joined by spaces' }),
      user: nullable(string({ description: 'User name; null where the uid has none' })),
      uid: integer({ minimum: 0, description: 'User id' }),
      parentPid: nullable(integer({ minimum: 0, description: 'Process id of the parent' })),
      app: string({ description: 'Profile, unit, container or executable that the process belongs to' }),
      unit: nullable(string({ description: 'systemd unit' })),
      container: nullable(string({ description: 'Container id' })),
      profile: nullable(string({ description: 'Application profile that recognised it' })),
      configuredPorts: optional(
        array(integer({ minimum: 1, maximum: 65_535 }), {
          description: "Ports that the program's own settings have it listen on; absent where they can't be read",
        }),
      ),
      netns: nullable(
        integer({ minimum: 0, description: 'Inode of its network namespace; null where it is not known' }),
      ),
      traffic: trafficSchema,
      payloadShares: array(payloadShareSchema, { description: 'Adds up to traffic.payload' }),
      unattributed: optional(
        array(unattributedTrafficSchema, {
          description: 'Only on process 0: packets without an owner, by reason',
        }),
      ),
      relay: relaySchema,
    },
    {
      title: 'Process',
      description: 'One process with its traffic',
      examples: [
        {
          pid: 4711,
          startedAt: '2026-11-22T05:00:00.000Z',
          exitedAt: null,
          name: 'socat',
          executable: '/usr/bin/socat',
          command: 'socat TCP-LISTEN:8000 TCP:10.0.0.2:9000',
          user: 'root',
          uid: 0,
          parentPid: 1,
          app: 'socat',
          unit: null,
          container: null,
          profile: null,
          netns: 4026531840,
          traffic: {
            wire: { receivedBytes: 1572, sentBytes: 1572, receivedPackets: 11, sentPackets: 11 },
            payload: { receivedBytes: 1000, sentBytes: 1000 },
          },
          payloadShares: [{ protocol: 'tcp', scope: 'private', receivedBytes: 1000, sentBytes: 1000 }],
          relay: zeroRelay,
        },
      ],
    },
  ),
);

export const appSchema: Schema<App> = describes<App>()(
  object(
    {
      app: string({ description: 'Profile, unit, container or executable' }),
      processes: integer({ minimum: 0, description: 'Processes that live now' }),
      traffic: trafficSchema,
      payloadShares: array(payloadShareSchema, { description: 'Adds up to traffic.payload' }),
      relay: relaySchema,
    },
    {
      title: 'App',
      description: 'One application: all its processes, ended ones included, monotonic for the life of the store',
      examples: [
        {
          app: 'socat',
          processes: 1,
          traffic: {
            wire: { receivedBytes: 1572, sentBytes: 1572, receivedPackets: 11, sentPackets: 11 },
            payload: { receivedBytes: 1000, sentBytes: 1000 },
          },
          payloadShares: [{ protocol: 'tcp', scope: 'private', receivedBytes: 1000, sentBytes: 1000 }],
          relay: zeroRelay,
        },
      ],
    },
  ),
);
