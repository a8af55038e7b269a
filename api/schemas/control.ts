import type { AuditEntry } from '../../agent/audit.ts';
import type { Disconnected, NameMeaning } from '../../agent/control.ts';
import type { History, HistoryPoint, HistorySeries } from '../../agent/history.ts';
import type { KillResult, KillSignal } from '../../agent/process-killer.ts';
import { matchSchema, policyTargetSchema } from './policy.ts';
import type { Schema } from './schema.ts';
import {
  array,
  boolean,
  describes,
  instant,
  integer,
  nullable,
  object,
  oneOf,
  optional,
  string,
  unsafe,
} from './schema.ts';
import { payloadTrafficSchema } from './traffic.ts';

const startedAtSchema = string({
  format: 'date-time',
  description:
    'startedAt as the API has shown it: if another process has the pid by now, nothing is done; ISO 8601 in UTC',
});

const forceMembers = {
  force: optional(boolean({ description: 'Also where the process is protected; needs a reason' })),
  reason: optional(string({ minLength: 1, maxLength: 1000, description: 'Why; goes into the audit' })),
};

export interface KillBody {
  signal?: KillSignal;
  startedAt?: string;
  executable?: string;
  force?: boolean;
  reason?: string;
}

const signalSchema = oneOf<KillSignal>(
  ['SIGTERM', 'SIGKILL', 'SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGSTOP', 'SIGCONT'],
  'The signal; default SIGTERM',
);

export const killBodySchema: Schema<KillBody> = describes<KillBody>()(
  object(
    {
      signal: optional(signalSchema),
      startedAt: optional(startedAtSchema),
      executable: optional(
        string({ minLength: 1, maxLength: 4096, description: 'What it must still be running, as an absolute path' }),
      ),
      ...forceMembers,
    },
    {
      additionalProperties: false,
      title: 'KillRequest',
      description: 'Which signal, and what makes sure whom it reaches',
      examples: [{ signal: 'SIGTERM', startedAt: '2026-11-22T05:00:00.000Z' }],
    },
  ),
);

export const killResultSchema: Schema<KillResult> = describes<KillResult>()(
  object(
    {
      pid: integer({ minimum: 0, description: 'Process id' }),
      name: string({ description: "The kernel's name of the process" }),
      startedAt: instant('When the process started'),
      signal: oneOf<KillSignal>(
        ['SIGTERM', 'SIGKILL', 'SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGSTOP', 'SIGCONT'],
        'The signal that was sent',
      ),
    },
    { title: 'KillResult', description: 'What was sent to whom' },
  ),
);

export interface DisconnectBody {
  scope?: 'relay' | 'all';
  startedAt?: string;
  force?: boolean;
  reason?: string;
}

export const disconnectBodySchema: Schema<DisconnectBody> = describes<DisconnectBody>()(
  object(
    {
      scope: optional(oneOf(['relay', 'all'], 'relay (default): connections ruled relayed; all: every one')),
      startedAt: optional(startedAtSchema),
      ...forceMembers,
    },
    { additionalProperties: false, title: 'DisconnectRequest', description: 'Which connections to destroy' },
  ),
);

export const disconnectedSchema: Schema<Disconnected> = describes<Disconnected>()(
  object(
    {
      pid: integer({ minimum: 0, description: 'Process id' }),
      startedAt: instant('When the process started'),
      name: string({ description: "The kernel's name of the process" }),
      app: string({ description: 'Its app' }),
      tcp: integer({ minimum: 0, description: 'TCP connections that were destroyed' }),
      udp: integer({ minimum: 0, description: 'UDP sockets that were destroyed' }),
    },
    { title: 'Disconnected', description: 'How many connections were destroyed' },
  ),
);

export const nameMeaningSchema: Schema<NameMeaning> = describes<NameMeaning>()(
  object(
    {
      match: matchSchema,
      by: oneOf(['app', 'name'], 'Whether it is taken for an app or for the name of a process'),
      isKnown: boolean({ description: 'Whether anything goes by that name now, or has' }),
      processes: array(policyTargetSchema, { description: 'Live processes that are meant' }),
    },
    { title: 'NameMeaning', description: 'What a name on the command line means' },
  ),
);

export const auditEntrySchema: Schema<AuditEntry> = describes<AuditEntry>()(
  object(
    {
      id: integer({ minimum: 1, description: 'Rises by one with every entry' }),
      at: instant('When'),
      actor: string({ description: "A user's name, a token's name, or agent for what it did by itself" }),
      uid: nullable(integer({ minimum: 0, description: 'User id, where it came by the Unix socket' })),
      token: nullable(string({ description: 'Name of the bearer token' })),
      address: nullable(string({ description: 'Address it came from, where it came by TCP' })),
      action: oneOf(
        ['policy-put', 'policy-removed', 'policy-expired', 'quota-used-up', 'disconnect', 'kill', 'access'],
        'What was asked for; access: somebody known was turned away',
      ),
      target: string({ description: 'On what: a policy, a process, a call' }),
      result: string({ description: 'done, or the code of why not' }),
      reason: nullable(string({ description: 'Why it was forced' })),
      detail: unsafe<Record<string, unknown>>(
        object(
          {},
          {
            additionalProperties: true,
            description: 'What else was said; its members depend on the action. message: why it was refused, in words',
          },
        ),
      ),
    },
    { title: 'AuditEntry', description: 'Who did what, on what, when, with what result' },
  ),
);

const historyPointSchema = describes<HistoryPoint>()(
  object(
    {
      at: instant('When the step began'),
      wire: payloadTrafficSchema,
      payload: payloadTrafficSchema,
      relayed: payloadTrafficSchema,
    },
    { title: 'HistoryPoint', description: 'What moved in one step: on the wire, as payload, and of that relayed' },
  ),
);

const historySeriesSchema = describes<HistorySeries>()(
  object(
    {
      app: string({ description: 'The app' }),
      points: array(historyPointSchema, { description: 'One for each step, in order' }),
    },
    { title: 'HistorySeries', description: 'One app over time' },
  ),
);

export const historySchema: Schema<History> = describes<History>()(
  object(
    {
      from: instant('When the first step begins'),
      to: instant('When the last step ends'),
      stepSeconds: integer({ minimum: 60, description: 'Length of a step, in seconds' }),
      since: nullable(instant('The oldest step of this resolution that is still there')),
      series: array(historySeriesSchema, { description: 'By app' }),
    },
    { title: 'History', description: 'What apps moved, over time' },
  ),
);
