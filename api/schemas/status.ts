import { Type } from 'typebox';
import type {
  AgentEvent,
  InterfaceReconciliation,
  MapStatus,
  MissingFeature,
  ProgramStatus,
  Reconciliation,
  Status,
} from '../../agent/readings.ts';
import type { Schema } from './schema.ts';
import { bytes, describes, instant, nullable, packets } from './schema.ts';
import { directionSchema, unattributedTrafficSchema } from './traffic.ts';

const programStatusSchema = describes<ProgramStatus>()(
  Type.Object(
    {
      name: Type.String({ description: 'Name of the eBPF program' }),
      hook: Type.String({ description: 'Where it is attached', examples: ['cgroup_skb/egress'] }),
      attached: Type.Boolean({ description: 'Whether it runs' }),
      runCount: nullable(
        Type.Integer({
          minimum: 0,
          description: 'Runs since it was loaded; null unless kernel.bpf_stats_enabled is 1',
        }),
      ),
      nanosecondsPerRun: nullable(
        Type.Number({ minimum: 0, description: 'Mean, in nanoseconds; null unless kernel.bpf_stats_enabled is 1' }),
      ),
    },
    { title: 'ProgramStatus', description: 'One eBPF program' },
  ),
);

const mapStatusSchema = describes<MapStatus>()(
  Type.Object(
    {
      name: Type.String({ description: 'Name of the map' }),
      type: Type.String({ description: 'Kind of map', examples: ['lru_hash'] }),
      entries: nullable(Type.Integer({ minimum: 0, description: 'Entries in use; null where it cannot be told' })),
      capacity: Type.Integer({ minimum: 0, description: 'Entries it can hold' }),
      bytes: bytes('Memory the kernel locks for it'),
    },
    { title: 'MapStatus', description: 'One eBPF map' },
  ),
);

const missingFeatureSchema = describes<MissingFeature>()(
  Type.Object(
    {
      feature: Type.String({ description: 'What is missing' }),
      consequence: Type.String({ description: 'What is lost without it' }),
      reason: Type.String({ description: 'Why it is missing' }),
    },
    { title: 'MissingFeature', description: 'A kernel feature that this host does not offer' },
  ),
);

const interfaceReconciliationSchema = describes<InterfaceReconciliation>()(
  Type.Object(
    {
      netns: Type.Integer({ minimum: 0, description: 'Inode of the network namespace' }),
      netnsName: nullable(Type.String({ description: 'Its name, where it has one' })),
      interface: Type.String({ description: 'Name of the interface', examples: ['eth0'] }),
      direction: directionSchema,
      interfaceBytes: bytes("Advance of the kernel's own counter since accounting began, link headers included"),
      interfacePackets: packets("Advance of the kernel's own counter since accounting began"),
      seenBytes: bytes('The same packets as the programs saw them, counted the way the device counts'),
      seenPackets: packets('The same packets as the programs saw them'),
      errorBytes: Type.Integer({ description: 'interfaceBytes - seenBytes, in bytes' }),
    },
    { title: 'InterfaceReconciliation', description: "The kernel's interface counter against what the programs saw" },
  ),
);

const reconciliationSchema = describes<Reconciliation>()(
  Type.Object(
    {
      direction: directionSchema,
      interfacesBytes: bytes('All interfaces together, less link headers'),
      processesBytes: bytes('All processes together, on the wire'),
      kernelBytes: bytes('The kernel row, on the wire'),
      errorBytes: Type.Integer({ description: 'interfacesBytes - processesBytes - kernelBytes, in bytes' }),
    },
    { title: 'Reconciliation', description: 'Double entry: processes and kernel add up to the interfaces' },
  ),
);

const lostSchema = describes<{ reason: string; count: number }>()(
  Type.Object(
    {
      reason: Type.String({ description: 'What could not be recorded' }),
      count: Type.Integer({ minimum: 0, description: 'How often' }),
    },
    { title: 'LostEvents', description: 'Events that could not be recorded' },
  ),
);

export const statusSchema: Schema<Status> = describes<Status>()(
  Type.Object(
    {
      version: Type.String({ description: 'Version of the agent' }),
      kernel: Type.String({ description: 'Release of the running kernel', examples: ['6.1.0-28-amd64'] }),
      startedAt: instant('When this agent started'),
      accountingSince: instant('When the pinned programs began to count'),
      adopted: Type.Boolean({ description: "Whether this agent took over an earlier one's programs and counts" }),
      programs: Type.Array(programStatusSchema, { description: 'eBPF programs' }),
      maps: Type.Array(mapStatusSchema, { description: 'eBPF maps' }),
      lost: Type.Array(lostSchema, { description: 'Events lost, by reason; all zero on a healthy host' }),
      unattributed: Type.Array(unattributedTrafficSchema, { description: 'Packets without an owner, by reason' }),
      missing: Type.Array(missingFeatureSchema, { description: 'Kernel features missing, and why' }),
      interfaces: Type.Array(interfaceReconciliationSchema, { description: 'The books of every interface' }),
      reconciliation: Type.Array(reconciliationSchema, { description: 'The books of the host, by direction' }),
      poll: Type.Object(
        {
          count: Type.Integer({ minimum: 0, description: 'Polls since the agent started' }),
          lastSeconds: Type.Number({ minimum: 0, description: 'How long the last one took, in seconds' }),
          intervalSeconds: Type.Number({ minimum: 0, description: 'Time between polls, in seconds' }),
        },
        { description: 'Reading of the kernel counters' },
      ),
      processes: Type.Object(
        {
          live: Type.Integer({ minimum: 0, description: 'Processes alive that touched the network' }),
          exited: Type.Integer({ minimum: 0, description: 'Ended processes still remembered' }),
          capacity: Type.Integer({ minimum: 0, description: 'Processes that can be held at a time' }),
        },
        { description: 'How many processes are held' },
      ),
    },
    { title: 'Status', description: 'What the agent does, what it cannot do, and whether its books balance' },
  ),
);

export const agentEventSchema: Schema<AgentEvent> = describes<AgentEvent>()(
  Type.Object(
    {
      id: Type.Integer({ minimum: 0, description: 'Rises by one with every event' }),
      at: instant('When it happened'),
      type: Type.String({ description: 'Kind of event', examples: ['process-exited'] }),
      data: Type.Unsafe<Record<string, unknown>>(
        Type.Object({}, { additionalProperties: true, description: 'What happened; its members depend on the type' }),
      ),
    },
    { title: 'Event', description: 'One server-sent event' },
  ),
);
