import type { Process, Readings } from '../../agent/readings.ts';
import type { Order, OrderColumn } from '../paging.ts';
import { pageOf } from '../paging.ts';
import { ProblemError } from '../problems.ts';
import { socketSchema } from '../schemas/flow.ts';
import { problemResponses } from '../schemas/problem.ts';
import { processSchema } from '../schemas/process.ts';
import { verdictSchema } from '../schemas/relay.ts';
import { array, boolean, object, oneOf, optional } from '../schemas/schema.ts';
import type { Api } from './api.ts';
import { noQuery } from './api.ts';
import { appQuery, cursorQuery, limitQuery, nameQuery, nextCursorSchema, pidSchema } from './parameters.ts';

type Sort = 'relayed' | 'sent' | 'received' | 'name';
type Direction = 'asc' | 'desc';

interface Ranked {
  traffic: { payload: { receivedBytes: number; sentBytes: number } };
  relay: { receivedBytes: number; sentBytes: number };
}

export function relayedBytes({ relay }: Ranked): number {
  return relay.receivedBytes + relay.sentBytes;
}

export function payloadBytes({ traffic: { payload } }: Ranked): number {
  return payload.receivedBytes + payload.sentBytes;
}

const sortValues: Record<Sort, (process: Process) => number | string> = {
  relayed: relayedBytes,
  sent: (process) => process.traffic.payload.sentBytes,
  received: (process) => process.traffic.payload.receivedBytes,
  name: (process) => process.name,
};

/** Of equals the one with more payload comes first; pid and start time make the order total. */
const tieBreakers: OrderColumn<Process>[] = [
  { value: payloadBytes, descending: true },
  { value: (process) => process.pid },
  { value: (process) => process.startedAt },
];

function processOrder(sort: Sort, direction: Direction): Order<Process> {
  return {
    name: `processes:${sort}:${direction}`,
    columns: [{ value: sortValues[sort], descending: direction === 'desc' }, ...tieBreakers],
  };
}

const listQuery = object(
  {
    name: optional(nameQuery),
    pid: optional(pidSchema),
    app: optional(appQuery),
    verdict: optional(verdictSchema),
    sort: optional(
      oneOf<Sort>(
        ['relayed', 'sent', 'received', 'name'],
        'Order by relayed bytes (the default), payload sent, payload received, or name',
      ),
    ),
    order: optional(
      oneOf<Direction>(['asc', 'desc'], 'Default: desc, and asc for sort=name. Of equals, more payload comes first'),
    ),
    limit: optional(limitQuery),
    cursor: optional(cursorQuery),
    includeExited: optional(
      boolean({ description: 'Whether processes that ended lately are listed as well; default false' }),
    ),
  },
  { additionalProperties: false },
);

const pidParameters = object({ pid: pidSchema }, { additionalProperties: false });

export function processRoutes(app: Api, readings: Readings): void {
  const processOf = (pid: number): Process => {
    const process = readings.process(pid);
    if (process === undefined) throw new ProblemError('process-not-found', `No process with pid ${pid} is known.`);
    return process;
  };

  app.get(
    '/v1/processes',
    {
      schema: {
        operationId: 'listProcesses',
        tags: ['readings'],
        summary: 'Processes that touched the network, with their bytes',
        description:
          'The reserved process 0 (kernel) holds the packets without an owner. ' +
          'Without a limit all are listed; with one, follow nextCursor until it is null. A ' +
          'process whose place changes between two pages can be missed, unless the order is by name.',
        querystring: listQuery,
        response: {
          ...problemResponses('invalid-cursor'),
          200: object(
            { processes: array(processSchema, { description: 'One page of them' }), nextCursor: nextCursorSchema },
            { title: 'ProcessList', description: 'Processes in the order asked for' },
          ),
        },
      },
    },
    ({ query }) => {
      const sort = query.sort ?? 'relayed';
      const order = processOrder(sort, query.order ?? (sort === 'name' ? 'asc' : 'desc'));
      const all = readings.processes({ includeExited: query.includeExited ?? false });
      const wanted = all.filter(
        (process) =>
          (query.name === undefined || process.name === query.name) &&
          (query.pid === undefined || process.pid === query.pid) &&
          (query.app === undefined || process.app === query.app) &&
          (query.verdict === undefined || process.relay.verdict === query.verdict),
      );
      const { rows, nextCursor } = pageOf(wanted, order, { limit: query.limit, cursor: query.cursor });
      return { processes: rows, nextCursor };
    },
  );

  app.get(
    '/v1/processes/:pid',
    {
      schema: {
        operationId: 'getProcess',
        tags: ['readings'],
        summary: 'The live process with this pid, else the last one that had it',
        params: pidParameters,
        querystring: noQuery,
        response: { ...problemResponses('process-not-found'), 200: processSchema },
      },
    },
    ({ params }) => processOf(params.pid),
  );

  app.get(
    '/v1/processes/:pid/sockets',
    {
      schema: {
        operationId: 'listProcessSockets',
        tags: ['readings'],
        summary: 'What `netstat -apln` shows for one process, with bytes',
        params: pidParameters,
        querystring: noQuery,
        response: {
          ...problemResponses('process-not-found'),
          200: object(
            { sockets: array(socketSchema, { description: 'All of them' }) },
            { title: 'ProcessSockets', description: 'The sockets of one process' },
          ),
        },
      },
    },
    ({ params }) => ({ sockets: readings.sockets(processOf(params.pid).pid) }),
  );
}
