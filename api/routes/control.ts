import type { FastifyRequest } from 'fastify';
import type { Control } from '../../agent/control.ts';
import {
  disconnectBodySchema,
  disconnectedSchema,
  killBodySchema,
  killResultSchema,
  nameMeaningSchema,
} from '../schemas/control.ts';
import { problemResponses } from '../schemas/problem.ts';
import { object, string } from '../schemas/schema.ts';
import type { Api } from './api.ts';
import { noQuery } from './api.ts';
import { actorOf, controllerOnly, controlProblems, controlSecurity } from './controller.ts';
import { pidSchema } from './parameters.ts';

const pidParameters = object({ pid: pidSchema }, { additionalProperties: false });

/** All members have defaults: no body says as much as an empty one. */
async function defaultBody(request: FastifyRequest): Promise<void> {
  request.body ??= {};
}

function toMs(startedAt: string | undefined): number | undefined {
  return startedAt === undefined ? undefined : Date.parse(startedAt);
}

export function controlRoutes(app: Api, control: Control): void {
  app.post(
    '/v1/processes/:pid/kill',
    {
      onRequest: controllerOnly(control),
      preValidation: defaultBody,
      schema: {
        operationId: 'killProcess',
        tags: ['control'],
        summary: 'Sends a signal to exactly this process, through a pidfd',
        description:
          'Give `startedAt` as `/v1/processes/{pid}` shows it: should the pid be another process by then, nothing is ' +
          'sent. Protected are pid 1, the agent, kernel threads, the caller and its ancestors, and what the ' +
          'configuration names.',
        security: controlSecurity,
        params: pidParameters,
        querystring: noQuery,
        body: killBodySchema,
        response: {
          ...problemResponses(
            ...controlProblems,
            'process-not-found',
            'process-changed',
            'process-protected',
            'reason-required',
          ),
          200: killResultSchema,
        },
      },
    },
    (request) => {
      const { signal = 'SIGTERM', startedAt, executable, force = false, reason = null } = request.body;
      const { pid } = request.params;
      const startedAtMs = toMs(startedAt);
      return control.kill({ pid, signal, startedAtMs, executable, forced: force, reason }, actorOf(request));
    },
  );

  app.post(
    '/v1/processes/:pid/disconnect',
    {
      onRequest: controllerOnly(control),
      preValidation: defaultBody,
      schema: {
        operationId: 'disconnectProcess',
        tags: ['control'],
        summary: "Destroys a process's connections; the process goes on and sees them reset",
        security: controlSecurity,
        params: pidParameters,
        querystring: noQuery,
        body: disconnectBodySchema,
        response: {
          ...problemResponses(
            ...controlProblems,
            'process-not-found',
            'process-changed',
            'process-protected',
            'reason-required',
            'enforcement-unavailable',
            'enforcement-unsupported',
          ),
          200: disconnectedSchema,
        },
      },
    },
    (request) => {
      const { scope = 'relay', startedAt, force = false, reason = null } = request.body;
      const { pid } = request.params;
      return control.disconnect({ pid, scope, startedAtMs: toMs(startedAt), forced: force, reason }, actorOf(request));
    },
  );

  app.get(
    '/v1/names/:name',
    {
      schema: {
        operationId: 'getNameMeaning',
        tags: ['control'],
        summary: 'What a name on the command line means: an app, else the name of a process',
        params: object(
          { name: string({ minLength: 1, maxLength: 200, description: 'An app or the name of a process' }) },
          { additionalProperties: false },
        ),
        querystring: noQuery,
        response: { ...problemResponses(), 200: nameMeaningSchema },
      },
    },
    ({ params }) => control.meaningOf(params.name),
  );
}
