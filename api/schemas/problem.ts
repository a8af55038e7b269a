import type { ProblemBody, ProblemCode, ProblemDetail } from '../problems.ts';
import { problemMediaType, problems } from '../problems.ts';
import type { Schema } from './schema.ts';
import { array, describes, integer, object, oneOf, optional, string } from './schema.ts';

const problemDetailSchema = describes<ProblemDetail>()(
  object(
    {
      in: oneOf(['query', 'path', 'header', 'body'], 'Where it is'),
      name: string({ description: 'Name of the parameter, header or member' }),
      detail: string({ description: 'What is wrong with it' }),
    },
    {},
  ),
);

export const problemSchema: Schema<ProblemBody> = describes<ProblemBody>()(
  object(
    {
      type: string({ description: 'Path that explains this kind of problem' }),
      title: string({ description: 'The kind of problem in words' }),
      status: integer({ description: 'HTTP status' }),
      detail: string({ description: 'What was wrong with this request' }),
      instance: string({ description: 'Path that was asked for' }),
      code: string({ description: 'Stable code of the kind of problem', examples: Object.keys(problems) }),
      requestId: optional(string({ description: "The request's id in the agent's log" })),
      errors: optional(array(problemDetailSchema, { description: 'Each thing that is wrong' })),
    },
    {
      title: 'Problem',
      description: 'RFC 9457 problem details',
      examples: [
        {
          type: '/problems/process-not-found',
          title: problems['process-not-found'].title,
          status: 404,
          detail: 'No process with pid 4711 is known.',
          instance: '/v1/processes/4711',
          code: 'process-not-found',
        },
      ],
    },
  ),
);

interface ProblemResponse {
  description: string;
  content: Record<typeof problemMediaType, { schema: Schema<ProblemBody> }>;
}

/** The responses with which a route may refuse, by status, for its schema. */
export function problemResponses(...codes: ProblemCode[]): Record<number, ProblemResponse> {
  const always: ProblemCode[] = [
    'internal-error',
    'invalid-parameter',
    'not-acceptable',
    'shutting-down',
    'token-required',
    'token-invalid',
    'host-not-allowed',
    'too-many-requests',
  ];
  const byStatus = Object.groupBy(new Set([...codes, ...always]), (code) => String(problems[code].status));
  return Object.fromEntries(
    Object.entries(byStatus).map(([status, kinds = []]) => [
      Number(status),
      {
        description: kinds.map((code) => `${code}: ${problems[code].title}`).join('; '),
        content: { [problemMediaType]: { schema: problemSchema } },
      },
    ]),
  );
}
