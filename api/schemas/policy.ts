import type {
  Deny,
  DroppedPackets,
  Match,
  PolicyEffect,
  PolicyExemption,
  PolicyReading,
  PolicyRequest,
  PolicyTarget,
  Quota,
  QuotaUse,
  Rate,
} from '../../agent/policies/policy.ts';
import type { Schema } from './schema.ts';
import {
  array,
  boolean,
  bytes,
  describes,
  instant,
  integer,
  nullable,
  object,
  oneOf,
  optional,
  packets,
  string,
} from './schema.ts';
import { directionSchema, payloadTrafficSchema } from './traffic.ts';

const closed = { additionalProperties: false };

const scopeSchema = oneOf(
  ['relay', 'all'],
  'relay: only traffic that the ledger has ruled relayed; all: everything the processes do. Not for deny: nothing can be ' +
    'ruled relayed before it begins',
);
const rateDirectionSchema = oneOf(
  ['sent', 'received', 'both'],
  'Which direction is held; with both each has its own allowance',
);
const periodSchema = oneOf(['hour', 'day', 'month', 'total'], 'When it begins anew, in UTC; total: never');
const thenSchema = oneOf(['notify', 'throttle', 'deny', 'kill'], 'What happens once it is used up');
const howSchema = oneOf(['drop', 'reject'], 'drop: the peer hears nothing; reject: it is told');
const bytesPerSecondSchema = integer({
  minimum: 1,
  maximum: 1_000_000_000_000,
  description: 'Payload per second, shared by all flows and processes that it holds',
  examples: [4096],
});
const throttleSchema = integer({
  minimum: 1,
  maximum: 1_000_000_000_000,
  description: 'With throttle: payload per second that is left once the quota is used up; default 4096',
});
const quotaBytesSchema = integer({ minimum: 1, description: 'Payload, both directions together, in bytes' });
const portsSchema = nullable(
  string({
    maxLength: 11,
    description: 'A port or a range; null: every port. Inbound the local port, outbound the remote one',
    examples: ['1024-65535'],
  }),
);
const expirySchema = nullable(instant('When it ends by itself; null: never'));

export const matchSchema: Schema<Match> = describes<Match>()(
  object(
    {
      app: optional(string({ minLength: 1, maxLength: 4096, description: 'Exactly the app', examples: ['skype'] })),
      profile: optional(string({ minLength: 1, maxLength: 4096, description: 'Id of a known program' })),
      name: optional(string({ minLength: 1, maxLength: 4096, description: "The kernel's name of the process" })),
      executable: optional(string({ minLength: 1, maxLength: 4096, description: 'Absolute path of the program' })),
      pid: optional(
        integer({
          minimum: 1,
          maximum: 2_147_483_647,
          description: 'The process that has this pid when the policy is put, never its next owner',
        }),
      ),
      uid: optional(integer({ minimum: 0, maximum: 4_294_967_294, description: 'Effective user id' })),
      unit: optional(string({ minLength: 1, maxLength: 4096, description: 'systemd unit, with its suffix' })),
      container: optional(
        string({
          minLength: 1,
          maxLength: 4096,
          description: 'Container: its id, its first 12 or more digits, or a name',
        }),
      ),
    },
    { ...closed, title: 'Match', description: 'Whom a policy is about: all terms that are given must hold' },
  ),
);

export const policyRequestSchema: Schema<PolicyRequest> = describes<PolicyRequest>()(
  object(
    {
      match: matchSchema,
      scope: optional(scopeSchema),
      enabled: optional(boolean({ description: 'false: kept, and not in force; default true' })),
      expiresAt: optional(expirySchema),
      rate: optional(
        nullable(
          object(
            { bytesPerSecond: bytesPerSecondSchema, direction: optional(rateDirectionSchema) },
            { ...closed, description: 'A cap' },
          ),
        ),
      ),
      quota: optional(
        nullable(
          object(
            {
              bytes: quotaBytesSchema,
              period: periodSchema,
              then: thenSchema,
              throttleBytesPerSecond: optional(throttleSchema),
            },
            { ...closed, description: 'An allowance by the hour, day or month, and what happens once it is used up' },
          ),
        ),
      ),
      deny: optional(
        nullable(
          object(
            {
              inbound: optional(boolean({ description: 'Whether new connections to it are denied; default false' })),
              outbound: optional(boolean({ description: 'Whether new connections by it are denied; default false' })),
              ports: optional(portsSchema),
              how: optional(howSchema),
            },
            {
              ...closed,
              description: 'New connections, and first datagrams of strangers; what is established goes on',
            },
          ),
        ),
      ),
    },
    {
      ...closed,
      title: 'PolicyRequest',
      description: 'A policy as it is asked for: what is left out has its default. It takes a rate, a quota or a deny',
      examples: [
        {
          match: { app: 'skype' },
          scope: 'relay',
          rate: { bytesPerSecond: 4096, direction: 'both' },
          quota: { bytes: 1_073_741_824, period: 'day', then: 'throttle' },
          deny: { inbound: true, outbound: false, ports: '1024-65535', how: 'drop' },
        },
      ],
    },
  ),
);

const rateSchema = describes<Rate>()(
  object({ bytesPerSecond: bytesPerSecondSchema, direction: rateDirectionSchema }, { description: 'The cap' }),
);

const quotaSchema = describes<Quota>()(
  object(
    {
      bytes: quotaBytesSchema,
      period: periodSchema,
      then: thenSchema,
      throttleBytesPerSecond: throttleSchema,
    },
    { description: 'The allowance' },
  ),
);

const denySchema = describes<Deny>()(
  object(
    {
      inbound: boolean({ description: 'Whether new connections to it are denied' }),
      outbound: boolean({ description: 'Whether new connections by it are denied' }),
      ports: portsSchema,
      how: howSchema,
    },
    { description: 'What is denied' },
  ),
);

const targetMembers = {
  pid: integer({ minimum: 0, description: 'Process id' }),
  startedAt: instant('When the process started'),
  name: string({ description: "The kernel's name of the process" }),
  app: string({ description: 'Its app' }),
};

export const policyTargetSchema: Schema<PolicyTarget> = describes<PolicyTarget>()(
  object(targetMembers, { title: 'PolicyTarget', description: 'A live process' }),
);

const exemptionSchema = describes<PolicyExemption>()(
  object(
    { ...targetMembers, reason: string({ description: 'Why it is left alone' }) },
    { title: 'PolicyExemption', description: 'A process that matches and is left alone all the same' },
  ),
);

const droppedSchema = describes<DroppedPackets>()(
  object(
    {
      direction: directionSchema,
      reason: oneOf(['rate', 'quota', 'denied'], 'Why they were dropped'),
      packets: packets('How many'),
    },
    { title: 'DroppedPackets', description: 'Packets that were dropped' },
  ),
);

const effectSchema = describes<PolicyEffect>()(
  object(
    {
      now: boolean({ description: 'Whether it has held anything back in the last three seconds' }),
      since: nullable(instant('Since when it has done so without a pause; null where it does not now')),
      lastAt: nullable(instant('When it last did; null: never')),
      passed: payloadTrafficSchema,
      throttled: payloadTrafficSchema,
      dropped: array(droppedSchema, { description: 'Packets that were dropped, by direction and reason' }),
      refusedCalls: integer({ minimum: 0, description: 'Connects and sends that failed because of it' }),
      activeFlows: integer({ minimum: 0, description: 'Flows that moved bytes under its rate in the last second' }),
    },
    {
      description:
        'What it holds back: `passed` is payload that went through under it, `throttled` payload that was made to wait or was policed away. null where it is not installed',
    },
  ),
);

const quotaUseSchema = describes<QuotaUse>()(
  object(
    {
      usedBytes: bytes('Used in this period'),
      remainingBytes: bytes('Left in this period'),
      exhausted: boolean({ description: 'Whether it is used up' }),
      periodBeganAt: nullable(instant('When this period began; null for total')),
      periodEndsAt: nullable(instant('When the next one begins; null for total')),
    },
    { description: 'How far the quota is used; null without one' },
  ),
);

export const policyReadingSchema: Schema<PolicyReading> = describes<PolicyReading>()(
  object(
    {
      name: string({ description: 'Its name' }),
      match: matchSchema,
      scope: scopeSchema,
      enabled: boolean({ description: 'Whether it is meant to be in force' }),
      expiresAt: expirySchema,
      rate: nullable(rateSchema),
      quota: nullable(quotaSchema),
      deny: nullable(denySchema),
      source: oneOf(['config', 'api'], 'config: from the configuration file, and only changed there; api: put by REST'),
      state: oneOf(
        ['active', 'disabled', 'over', 'failed'],
        'active: the kernel holds to it; disabled; over: the process it was bound to has ended; failed: see problem',
      ),
      problem: nullable(string({ description: 'Why it could not be installed' })),
      createdAt: instant('When a policy of this name was first put'),
      changedAt: instant('When it was last changed'),
      matches: array(policyTargetSchema, { description: 'Live processes that it holds' }),
      notApplied: array(exemptionSchema, { description: 'Live processes that match and are left alone' }),
      effect: nullable(effectSchema),
      quotaUse: nullable(quotaUseSchema),
      dryRun: boolean({ description: 'Whether this is only what a dry run would have made' }),
    },
    { title: 'Policy', description: 'One policy, whom it holds, and what it holds back right now' },
  ),
);
