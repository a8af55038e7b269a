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

/** As other exporters greet: by where their numbers are. */
const LINKS: readonly [path: string, what: string][] = [
  ['/metrics', 'Metrics, for Prometheus'],
  ['/docs', 'The API, to read and to try'],
  ['/v1/relays', 'Who relays, between whom, how sure, and why'],
  ['/v1/processes', 'Processes with their bytes'],
  ['/v1/policies', 'What is enforced, and what it holds back'],
  ['/v1/status', 'Hooks, books, what is missing'],
];
const LANDING_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const landingPage = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>relayledger</title>
<h1>relayledger</h1>
<p>Which process on this host carries other people's traffic, and how much.</p>
<ul>
${LINKS.map(([path, what]) => `<li><a href="${path}">${path}</a> ${what}</li>`).join('\n')}
</ul>
</html>
`;

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

/** What a browser is shown that comes without a path, and the page that shows the description to people. */
export function documentPageRoutes(app: Api, documentation: Documentation): void {
  app.get('/', { schema: { hide: true } }, (_request, reply) =>
    reply.headers({ 'content-security-policy': LANDING_POLICY }).type('text/html; charset=utf-8').send(landingPage),
  );
  for (const url of ['/docs', '/docs/*']) {
    app.get(url, { schema: { hide: true } }, async (request, reply) => {
      const answer = await documentation.page();
      reply.hijack();
      answer(request.raw, reply.raw);
    });
  }
}
