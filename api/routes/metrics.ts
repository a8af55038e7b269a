import type { Readings } from '../../agent/readings.ts';
import { preferredType } from '../negotiation.ts';
import { problemResponses } from '../schemas/problem.ts';
import { string } from '../schemas/schema.ts';
import type { Api } from './api.ts';
import { noQuery } from './api.ts';

const openMetricsType = 'application/openmetrics-text';
const textType = 'text/plain';
const contentTypes = {
  [textType]: 'text/plain; version=0.0.4; charset=utf-8',
  [openMetricsType]: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
};

export function metricsRoutes(app: Api, readings: Readings): void {
  app.get(
    '/metrics',
    {
      schema: {
        operationId: 'getMetrics',
        tags: ['agent'],
        summary: 'Metrics for Prometheus, or OpenMetrics where the client prefers it',
        description: 'A client that accepts neither gets the text format.',
        querystring: noQuery,
        response: {
          ...problemResponses(),
          200: {
            description: 'Metrics',
            content: {
              [textType]: { schema: string({ description: 'Prometheus text format 0.0.4' }) },
              [openMetricsType]: { schema: string({ description: 'OpenMetrics 1.0.0' }) },
            },
          },
        },
      },
    },
    async (request, reply) => {
      const type = preferredType(request.headers.accept, [textType, openMetricsType] as const) ?? textType;
      const text = await readings.metrics(type === openMetricsType);
      return reply.header('vary', 'accept').type(contentTypes[type]).send(text);
    },
  );
}
