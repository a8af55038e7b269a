import type { Flow, Readings, Socket } from '../../agent/readings.ts';
import type { Order } from '../paging.ts';
import { pageOf } from '../paging.ts';
import { flowSchema, socketSchema } from '../schemas/flow.ts';
import { problemResponses } from '../schemas/problem.ts';
import { array, object, optional } from '../schemas/schema.ts';
import type { Api } from './api.ts';
import { appQuery, cursorQuery, limitQuery, nameQuery, nextCursorSchema, pidSchema } from './parameters.ts';

/** What identifies a row and never changes, so that paging through moving traffic neither misses nor repeats one. */
const flowOrder: Order<Flow> = {
  name: 'flows',
  columns: [
    { value: (flow) => flow.pid },
    { value: (flow) => flow.cookie },
    { value: (flow) => flow.remoteAddress },
    { value: (flow) => flow.remotePort },
    { value: (flow) => flow.startedAt ?? '' },
  ],
};

const socketOrder: Order<Socket> = {
  name: 'sockets',
  columns: [
    { value: (socket) => socket.pid },
    { value: (socket) => socket.cookie },
    { value: (socket) => socket.startedAt ?? '' },
  ],
};

const listQuery = object(
  {
    pid: optional(pidSchema),
    name: optional(nameQuery),
    app: optional(appQuery),
    limit: optional(limitQuery),
    cursor: optional(cursorQuery),
  },
  { additionalProperties: false },
);

interface Owner {
  name: string;
  app: string;
}

function isWanted(row: Owner, query: { name?: string; app?: string }): boolean {
  return (query.name === undefined || row.name === query.name) && (query.app === undefined || row.app === query.app);
}

export function flowRoutes(app: Api, readings: Readings): void {
  app.get(
    '/v1/flows',
    {
      schema: {
        operationId: 'listFlows',
        tags: ['readings'],
        summary: 'Who talks with whom: one row for each socket and peer',
        querystring: listQuery,
        response: {
          ...problemResponses('invalid-cursor'),
          200: object(
            { flows: array(flowSchema, { description: 'One page of them' }), nextCursor: nextCursorSchema },
            { title: 'FlowList', description: 'Flows by pid and socket' },
          ),
        },
      },
    },
    ({ query }) => {
      const wanted = readings.flows(query.pid).filter((flow) => isWanted(flow, query));
      const { rows, nextCursor } = pageOf(wanted, flowOrder, { limit: query.limit, cursor: query.cursor });
      return { flows: rows, nextCursor };
    },
  );

  app.get(
    '/v1/sockets',
    {
      schema: {
        operationId: 'listSockets',
        tags: ['readings'],
        summary: 'What `netstat -apln` shows, with bytes',
        querystring: listQuery,
        response: {
          ...problemResponses('invalid-cursor'),
          200: object(
            { sockets: array(socketSchema, { description: 'One page of them' }), nextCursor: nextCursorSchema },
            { title: 'SocketList', description: 'Sockets by pid' },
          ),
        },
      },
    },
    ({ query }) => {
      const wanted = readings.sockets(query.pid).filter((socket) => isWanted(socket, query));
      const { rows, nextCursor } = pageOf(wanted, socketOrder, { limit: query.limit, cursor: query.cursor });
      return { sockets: rows, nextCursor };
    },
  );
}
