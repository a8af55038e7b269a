import type { App, Readings } from '../../agent/readings.ts';
import type { EventStreams } from '../event-stream.ts';
import { requireAccepted } from '../negotiation.ts';
import type { Order } from '../paging.ts';
import { pageOf } from '../paging.ts';
import { problemResponses } from '../schemas/problem.ts';
import { appSchema } from '../schemas/process.ts';
import { array, object } from '../schemas/schema.ts';
import { agentEventSchema, statusSchema } from '../schemas/status.ts';
import type { Api } from './api.ts';
import { noQuery } from './api.ts';
import { payloadBytes, relayedBytes } from './processes.ts';

const eventStreamType = 'text/event-stream';

const appOrder: Order<App> = {
  name: 'apps',
  columns: [
    { value: relayedBytes, descending: true },
    { value: payloadBytes, descending: true },
    { value: ({ app }) => app },
  ],
};

export function agentRoutes(app: Api, readings: Readings): void {
  app.get(
    '/v1/status',
    {
      schema: {
        operationId: 'getStatus',
        tags: ['agent'],
        summary: 'What the agent does, what it cannot do, what it lost, and whether its books balance',
        querystring: noQuery,
        response: { ...problemResponses(), 200: statusSchema },
      },
    },
    () => readings.status(),
  );

  app.get(
    '/v1/apps',
    {
      schema: {
        operationId: 'listApps',
        tags: ['readings'],
        summary: 'Totals by app, ended processes included; the most relayed first',
        querystring: noQuery,
        response: {
          ...problemResponses(),
          200: object(
            { apps: array(appSchema, { description: 'All of them' }) },
            { title: 'AppList', description: 'All apps' },
          ),
        },
      },
    },
    () => ({ apps: pageOf(readings.apps(), appOrder, {}).rows }),
  );
}

export function eventRoutes(app: Api, streams: EventStreams): void {
  const schema = {
    operationId: 'streamEvents',
    tags: ['readings'],
    summary: 'Server-sent events as they happen',
    description: 'A comment every 15 seconds keeps the connection alive. A client that reads too slowly is cut off.',
    querystring: noQuery,
    response: {
      ...problemResponses('too-many-subscribers'),
      200: {
        description: 'Each `data` field holds one event; `event` repeats its type and `id` its id',
        content: { [eventStreamType]: { schema: agentEventSchema } },
      },
    },
  };

  app.get('/v1/events', { schema, exposeHeadRoute: false }, (request, reply) => {
    requireAccepted(request.headers.accept, eventStreamType);
    streams.requirePlace();
    reply.hijack();
    streams.add(reply.raw);
  });

  // The generated HEAD route would run the handler above, whose answer never ends.
  app.head('/v1/events', { schema: { hide: true, querystring: noQuery } }, (request, reply) => {
    requireAccepted(request.headers.accept, eventStreamType);
    return reply.type(eventStreamType).send();
  });
}
