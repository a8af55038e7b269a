import type { Control } from '../../agent/control.ts';
import { historySchema } from '../schemas/control.ts';
import { problemResponses } from '../schemas/problem.ts';
import { integer, object, optional, string } from '../schemas/schema.ts';
import type { Api } from './api.ts';
import { appQuery } from './parameters.ts';

const historyQuery = object(
  {
    app: optional(appQuery),
    from: optional(string({ format: 'date-time', description: 'Default: an hour before `to`; ISO 8601 in UTC' })),
    to: optional(string({ format: 'date-time', description: 'Default: now; ISO 8601 in UTC' })),
    step: optional(
      integer({
        minimum: 60,
        maximum: 366 * 86_400,
        description: 'Length of a step, a multiple of 60 seconds; default 60, and 3600 for more than six hours',
      }),
    ),
  },
  { additionalProperties: false },
);

function toMs(time: string | undefined): number | undefined {
  return time === undefined ? undefined : Date.parse(time);
}

export function historyRoutes(app: Api, control: Control): void {
  app.get(
    '/v1/history',
    {
      schema: {
        operationId: 'getHistory',
        tags: ['readings'],
        summary: 'What apps moved, over time: on the wire, as payload, and relayed',
        description:
          'By the minute for two days, by the hour for 400. The range is widened to whole steps. What moved while no ' +
          'agent ran stands in the step in which the next one started.',
        querystring: historyQuery,
        response: { ...problemResponses(), 200: historySchema },
      },
    },
    ({ query: { app: name, from, to, step } }) =>
      control.history({ app: name, fromMs: toMs(from), toMs: toMs(to), stepSeconds: step }),
  );
}
