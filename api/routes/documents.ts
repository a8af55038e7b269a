import { Type } from 'typebox';
import type { ProblemCode, ProblemKind } from '../problems.ts';
import { ProblemError, problems } from '../problems.ts';
import { problemResponses } from '../schemas/problem.ts';
import { describes } from '../schemas/schema.ts';
import type { Api } from './api.ts';
import { noQuery } from './api.ts';

const problemKindSchema = describes<ProblemKind & { code: string }>()(
  Type.Object(
    {
      code: Type.String({ description: 'Stable code' }),
      status: Type.Integer({ description: 'HTTP status' }),
      title: Type.String({ description: 'What it means' }),
      remedy: Type.String({ description: 'What to do about it' }),
    },
    { title: 'ProblemKind', description: 'A kind of problem' },
  ),
);

/** The API's description of itself, and what its problem types mean. */
export function documentRoutes(app: Api): void {
  let document: string | undefined;
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
            content: { 'application/json': { schema: Type.Unsafe<string>(Type.Object({})) } },
          },
        },
      },
    },
    async (_request, reply) => {
      document ??= JSON.stringify(app.swagger());
      return reply.type('application/json; charset=utf-8').send(document);
    },
  );

  app.get(
    '/problems/:code',
    {
      schema: {
        operationId: 'getProblemKind',
        tags: ['agent'],
        summary: 'What a problem type means and what to do about it',
        params: Type.Object({ code: Type.String({ maxLength: 64, description: 'Code of the problem' }) }),
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
