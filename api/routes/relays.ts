import type { Readings, RelayPeer, RelayReading } from '../../agent/readings.ts';
import type { Order } from '../paging.ts';
import { pageOf } from '../paging.ts';
import { problemResponses } from '../schemas/problem.ts';
import { relayReadingSchema, relayVerdictSchema } from '../schemas/relay.ts';
import { array, object, optional } from '../schemas/schema.ts';
import type { Api } from './api.ts';
import { appQuery, cursorQuery, limitQuery, nameQuery, nextCursorSchema, pidSchema } from './parameters.ts';

/** A reading with what tells it apart from others of the same process. */
interface Placed {
  reading: RelayReading;
  peers: string;
  /** How many readings before it are between the same peers: two connections to one listener look alike. */
  twin: number;
}

/** No bytes: they move, and paging through them would miss and repeat rows. */
const relayOrder: Order<Placed> = {
  name: 'relays',
  columns: [
    { value: ({ reading }) => reading.pid },
    { value: ({ reading }) => reading.since },
    { value: ({ peers }) => peers },
    { value: ({ twin }) => twin },
  ],
};

function peerKey(peer: RelayPeer | undefined): string {
  return peer === undefined ? '' : `${peer.protocol} ${peer.address ?? ''} ${peer.port ?? ''}`;
}

function placeReadings(readings: readonly RelayReading[]): Placed[] {
  const seen = new Map<string, number>();
  return readings.map((reading) => {
    const peers = `${peerKey(reading.from[0])} > ${peerKey(reading.to[0])}`;
    const key = `${reading.pid} ${reading.since} ${peers}`;
    const twin = seen.get(key) ?? 0;
    seen.set(key, twin + 1);
    return { reading, peers, twin };
  });
}

const listQuery = object(
  {
    pid: optional(pidSchema),
    name: optional(nameQuery),
    app: optional(appQuery),
    verdict: optional(relayVerdictSchema),
    limit: optional(limitQuery),
    cursor: optional(cursorQuery),
  },
  { additionalProperties: false },
);

export function relayRoutes(app: Api, readings: Readings): void {
  app.get(
    '/v1/relays',
    {
      schema: {
        operationId: 'listRelays',
        tags: ['relays'],
        summary: 'Who relays, between whom, how much, how sure that is, and why',
        description:
          'One row for each direction in which a process relays, or is suspected to: what it receives `from` some peers ' +
          'and passes on `to` others. A relayed call or connection has two, there and back. `receivedBytes` and ' +
          '`sentBytes` are billed; `lowerBytes` to `upperBytes` is what they can be. The evidence is how much of what ' +
          'came in went out again (`conservation`) and how soon after (`lagMedianMs`, `auc`). An empty list: nobody ' +
          'relays. Totals by process are in `/v1/processes`.',
        querystring: listQuery,
        response: {
          ...problemResponses('invalid-cursor'),
          200: object(
            { relays: array(relayReadingSchema, { description: 'One page of them' }), nextCursor: nextCursorSchema },
            { title: 'RelayList', description: 'Relayed directions by pid, the oldest first' },
          ),
        },
      },
    },
    ({ query }) => {
      const wanted = placeReadings(readings.relays()).filter(
        ({ reading }) =>
          (query.pid === undefined || reading.pid === query.pid) &&
          (query.name === undefined || reading.name === query.name) &&
          (query.app === undefined || reading.app === query.app) &&
          (query.verdict === undefined || reading.verdict === query.verdict),
      );
      const { rows, nextCursor } = pageOf(wanted, relayOrder, { limit: query.limit, cursor: query.cursor });
      return { relays: rows.map(({ reading }) => reading), nextCursor };
    },
  );
}
