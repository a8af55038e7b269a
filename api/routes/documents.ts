import type { Documentation } from '../documentation.ts';
import type { ProblemCode, ProblemKind } from '../problems.ts';
import { ProblemError, problems } from '../problems.ts';
import { problemResponses } from '../schemas/problem.ts';
import { describes, integer, object, string, unsafe } from '../schemas/schema.ts';
import type { Api } from './api.ts';
import { noQuery } from './api.ts';

const problemKindSchema = describes<ProblemKind & { code: string }>()(
  object(
    {
      code: string({ description: 'Stable code' }),
      status: integer({ description: 'HTTP status' }),
      title: string({ description: 'What it means' }),
      remedy: string({ description: 'What to do about it' }),
    },
    { title: 'ProblemKind', description: 'A kind of problem' },
  ),
);

/** The API's description of itself, and what its problem types mean. */
export function documentRoutes(app: Api, documentation: Documentation): void {
  app.get(
    '/openapi.json',
    {
      schema: {
        operationId: 'getOpenApi',
        tags: ['agent'],
        summary: 'This description, OpenAPI 3.1',
        querystring: noQuery,
        response: {
          ...problemResponses(),
          200: {
            description: 'OpenAPI 3.1',
            content: { 'application/json': { schema: unsafe<string>({ type: 'object' }) } },
          },
        },
      },
    },
    async (_request, reply) => {
      return reply.type('application/json; charset=utf-8').send(await documentation.document());
    },
  );

  app.get(
    '/problems/:code',
    {
      schema: {
        operationId: 'getProblemKind',
        tags: ['agent'],
        summary: 'What a problem type means and what to do about it',
        params: object({ code: string({ maxLength: 64, description: 'Code of the problem' }) }, {}),
        querystring: noQuery,
        response: { ...problemResponses('route-not-found'), 200: problemKindSchema },
      },
    },
    ({ params: { code } }) => {
      if (!Object.hasOwn(problems, code))
        throw new ProblemError('route-not-found', 'There is no problem of this kind.');
      return { code, ...problems[code as ProblemCode] };
    },
  );
}

/** The page that shows the description to people. */
export function documentPageRoutes(app: Api, documentation: Documentation): void {
  for (const url of ['/docs', '/docs/*']) {
    app.get(url, { schema: { hide: true } }, async (request, reply) => {
      const answer = await documentation.page();
      reply.hijack();
      answer(request.raw, reply.raw);
    });
  }
}
