import type { Readings } from '../../agent/readings.ts';
import { ProblemError } from '../problems.ts';
import { problemResponses } from '../schemas/problem.ts';
import type { Schema } from '../schemas/schema.ts';
import { describes, object, oneOf } from '../schemas/schema.ts';
import type { Api } from './api.ts';
import { noQuery } from './api.ts';

function stateSchema(status: string, description: string): Schema<{ status: string }> {
  return describes<{ status: string }>()(object({ status: oneOf([status], 'Always this') }, { description }));
}

export function healthRoutes(app: Api, readings: Readings): void {
  app.get(
    '/healthz',
    {
      schema: {
        operationId: 'getHealth',
        tags: ['agent'],
        summary: 'Whether the agent is alive',
        querystring: noQuery,
        response: { ...problemResponses(), 200: stateSchema('alive', 'It is') },
      },
    },
    () => ({ status: 'alive' }),
  );

  app.get(
    '/readyz',
    {
      schema: {
        operationId: 'getReadiness',
        tags: ['agent'],
        summary: 'Whether every program is attached and the first poll has ended',
        querystring: noQuery,
        response: { ...problemResponses('not-ready'), 200: stateSchema('ready', 'It is') },
      },
    },
    () => {
      if (!readings.ready()) {
        throw new ProblemError('not-ready', 'Programs are being attached, or the first poll has not ended.', {
          headers: { 'retry-after': '1' },
        });
      }
      return { status: 'ready' };
    },
  );
}
