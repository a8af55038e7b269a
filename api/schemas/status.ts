import type {
  AgentEvent,
  FingerprintStatus,
  InterfaceReconciliation,
  MapStatus,
  MissingFeature,
  ProgramStatus,
  Reconciliation,
  Status,
} from '../../agent/readings.ts';
import { fingerprintPieces } from './relay.ts';
import type { Schema } from './schema.ts';
import {
  array,
  boolean,
  bytes,
  describes,
  instant,
  integer,
  nullable,
  number,
  object,
  packets,
  string,
  unsafe,
} from './schema.ts';
import { directionSchema, unattributedTrafficSchema } from './traffic.ts';

const programStatusSchema = describes<ProgramStatus>()(
  object(
    {
      name: string({ description: 'Name of the eBPF program' }),
      hook: string({ description: 'Where it is attached', examples: ['cgroup_skb/egress'] }),
      attached: boolean({ description: 'Whether it runs' }),
      runCount: nullable(
        integer({
          minimum: 0,
          description: 'Runs since it was loaded; null unless kernel.bpf_stats_enabled is 1',
        }),
      ),
      nanosecondsPerRun: nullable(
        number({ minimum: 0, description: 'Mean, in nanoseconds; null unless kernel.bpf_stats_enabled is 1' }),
      ),
    },
    { title: 'ProgramStatus', description: 'One eBPF program' },
  ),
);

const mapStatusSchema = describes<MapStatus>()(
  object(
    {
      name: string({ description: 'Name of the map' }),
      type: string({ description: 'Kind of map', examples: ['lru_hash'] }),
      entries: nullable(integer({ minimum: 0, description: 'Entries in use; null where it cannot be told' })),
      capacity: integer({ minimum: 0, description: 'Entries it can hold' }),
      bytes: bytes('Memory the kernel locks for it'),
    },
    { title: 'MapStatus', description: 'One eBPF map' },
  ),
);

const missingFeatureSchema = describes<MissingFeature>()(
  object(
    {
      feature: string({ description: 'What is missing' }),
      consequence: string({ description: 'What is lost without it' }),
      reason: string({ description: 'Why it is missing' }),
    },
    { title: 'MissingFeature', description: 'A kernel feature that this host does not offer' },
  ),
);

const interfaceReconciliationSchema = describes<InterfaceReconciliation>()(
  object(
    {
      netns: integer({ minimum: 0, description: 'Inode of the network namespace' }),
      netnsName: nullable(string({ description: 'Its name, where it has one' })),
      interface: string({ description: 'Name of the interface', examples: ['eth0'] }),
      direction: directionSchema,
      interfaceBytes: bytes("Advance of the kernel's own counter since accounting began, link headers included"),
      interfacePackets: packets("Advance of the kernel's own counter since accounting began"),
      seenBytes: bytes('The same packets as the programs saw them, counted the way the device counts'),
      seenPackets: packets('The same packets as the programs saw them'),
      errorBytes: integer({ description: 'interfaceBytes - seenBytes, in bytes' }),
    },
    { title: 'InterfaceReconciliation', description: "The kernel's interface counter against what the programs saw" },
  ),
);

const reconciliationSchema = describes<Reconciliation>()(
  object(
    {
      direction: directionSchema,
      interfacesBytes: bytes('All interfaces together, less link headers'),
      processesBytes: bytes('All processes together, on the wire'),
      kernelBytes: bytes('The kernel row, on the wire'),
      errorBytes: integer({ description: 'interfacesBytes - processesBytes - kernelBytes, in bytes' }),
    },
    { title: 'Reconciliation', description: 'Double entry: processes and kernel add up to the interfaces' },
  ),
);

const lostSchema = describes<{ reason: string; count: number }>()(
  object(
    {
      reason: string({ description: 'What could not be recorded' }),
      count: integer({ minimum: 0, description: 'How often' }),
    },
    { title: 'LostEvents', description: 'Events that could not be recorded' },
  ),
);

const fingerprintStatusSchema = describes<FingerprintStatus>()(
  object(
    {
      attached: boolean({ description: 'Whether its programs run; they do while anybody is suspected' }),
      pairs: integer({ minimum: 0, description: 'Suspected pairs of flows that are looked at' }),
      pairsWaiting: integer({ minimum: 0, description: 'Suspected pairs of flows that there is no room for' }),
      ...fingerprintPieces,
      evictedPieces: integer({ minimum: 0, description: 'Came in, and made room before they were looked for in full' }),
      skippedBytes: bytes('Payload of those pairs beyond what is looked at in a second'),
    },
    {
      title: 'FingerprintStatus',
      description:
        'Comparison of what suspected flows send with what came in, by sampled pieces, since the agent started',
    },
  ),
);

export const statusSchema: Schema<Status> = describes<Status>()(
  object(
    {
      version: string({ description: 'Version of the agent' }),
      kernel: string({ description: 'Release of the running kernel', examples: ['6.1.0-28-amd64'] }),
      startedAt: instant('When this agent started'),
      accountingSince: instant('When the pinned programs began to count'),
      adopted: boolean({ description: "Whether this agent took over an earlier one's programs and counts" }),
      programs: array(programStatusSchema, { description: 'eBPF programs' }),
      maps: array(mapStatusSchema, { description: 'eBPF maps' }),
      lost: array(lostSchema, { description: 'Events lost, by reason; all zero on a healthy host' }),
      unattributed: array(unattributedTrafficSchema, { description: 'Packets without an owner, by reason' }),
      missing: array(missingFeatureSchema, { description: 'Kernel features missing, and why' }),
      interfaces: array(interfaceReconciliationSchema, { description: 'The books of every interface' }),
      reconciliation: array(reconciliationSchema, { description: 'The books of the host, by direction' }),
      poll: object(
        {
          count: integer({ minimum: 0, description: 'Polls since the agent started' }),
          lastSeconds: number({ minimum: 0, description: 'How long the last one took, in seconds' }),
          intervalSeconds: number({ minimum: 0, description: 'Time between polls, in seconds' }),
        },
        { description: 'Reading of the kernel counters' },
      ),
      processes: object(
        {
          live: integer({ minimum: 0, description: 'Processes alive that touched the network' }),
          exited: integer({ minimum: 0, description: 'Ended processes still remembered' }),
          capacity: integer({ minimum: 0, description: 'Processes that can be held at a time' }),
          forgottenEarly: integer({
            minimum: 0,
            description: 'Ended processes forgotten before 15 minutes were over, because there were too many',
          }),
        },
        { description: 'How many processes are held' },
      ),
      fingerprints: nullable(fingerprintStatusSchema),
    },
    { title: 'Status', description: 'What the agent does, what it cannot do, and whether its books balance' },
  ),
);

export const agentEventSchema: Schema<AgentEvent> = describes<AgentEvent>()(
  object(
    {
      id: integer({ minimum: 0, description: 'Rises by one with every event' }),
      at: instant('When it happened'),
      type: string({ description: 'Kind of event', examples: ['process-ended'] }),
      data: unsafe<Record<string, unknown>>(
        object({}, { additionalProperties: true, description: 'What happened; its members depend on the type' }),
      ),
    },
    { title: 'Event', description: 'One server-sent event' },
  ),
);
