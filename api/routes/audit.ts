import type { AuditEntry } from '../../agent/audit.ts';
import type { Control } from '../../agent/control.ts';
import type { Order } from '../paging.ts';
import { pageOf } from '../paging.ts';
import { auditEntrySchema } from '../schemas/control.ts';
import { problemResponses } from '../schemas/problem.ts';
import { array, object, optional } from '../schemas/schema.ts';
import type { Api } from './api.ts';
import { cursorQuery, limitQuery, nextCursorSchema } from './parameters.ts';

const auditOrder: Order<AuditEntry> = { name: 'audit', columns: [{ value: ({ id }) => id, descending: true }] };

const listQuery = object(
  { limit: optional(limitQuery), cursor: optional(cursorQuery) },
  { additionalProperties: false },
);

export function auditRoutes(app: Api, control: Control): void {
  app.get(
    '/v1/audit',
    {
      schema: {
        operationId: 'listAudit',
        tags: ['control'],
        summary: 'Who did what, on what, when, with what result; the newest first',
        description: 'The last 20,000 entries; the log has them all.',
        querystring: listQuery,
        response: {
          ...problemResponses('invalid-cursor'),
          200: object(
            { audit: array(auditEntrySchema, { description: 'One page of them' }), nextCursor: nextCursorSchema },
            { title: 'Audit', description: 'Audit entries' },
          ),
        },
      },
    },
    ({ query }) => {
      const { rows, nextCursor } = pageOf(control.audit(), auditOrder, { limit: query.limit, cursor: query.cursor });
      return { audit: rows, nextCursor };
    },
  );
}
