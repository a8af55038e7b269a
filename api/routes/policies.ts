import type { Control } from '../../agent/control.ts';
import { policyReadingSchema, policyRequestSchema } from '../schemas/policy.ts';
import { problemResponses } from '../schemas/problem.ts';
import { array, boolean, object, optional, string } from '../schemas/schema.ts';
import type { Api } from './api.ts';
import { noQuery } from './api.ts';
import { actorOf, controllerOnly, controlProblems, controlSecurity } from './controller.ts';

const nameParameters = object(
  { name: string({ minLength: 1, maxLength: 64, description: 'Name of the policy', examples: ['cap-skype'] }) },
  { additionalProperties: false },
);

const putQuery = object(
  {
    dryRun: optional(boolean({ description: 'true: answers what would be, and changes nothing' })),
    force: optional(boolean({ description: 'true: protected processes are held, too; needs a reason' })),
    reason: optional(string({ minLength: 1, maxLength: 1000, description: 'Why; goes into the audit' })),
  },
  { additionalProperties: false },
);

export function policyRoutes(app: Api, control: Control): void {
  app.get(
    '/v1/policies',
    {
      schema: {
        operationId: 'listPolicies',
        tags: ['control'],
        summary: 'What is enforced, on whom, and what each policy holds back right now',
        querystring: noQuery,
        response: {
          ...problemResponses(),
          200: object(
            { policies: array(policyReadingSchema, { description: 'All of them, by name' }) },
            { title: 'PolicyList', description: 'All policies' },
          ),
        },
      },
    },
    () => ({ policies: control.policies() }),
  );

  app.get(
    '/v1/policies/:name',
    {
      schema: {
        operationId: 'getPolicy',
        tags: ['control'],
        summary: 'One policy, and what it holds back right now',
        params: nameParameters,
        querystring: noQuery,
        response: { ...problemResponses('policy-not-found'), 200: policyReadingSchema },
      },
    },
    ({ params }) => control.policy(params.name),
  );

  app.put(
    '/v1/policies/:name',
    {
      onRequest: controllerOnly(control),
      schema: {
        operationId: 'putPolicy',
        tags: ['control'],
        summary: 'Creates a policy or replaces it; answers the policy as it is in force then',
        description:
          'Idempotent. It holds processes that run and, from their first socket on, those that start later. A policy ' +
          'of the scope `relay` holds what is relayed for third parties; where it names the program (anything but a ' +
          'uid alone), also what a declared or local service relays. `deny` is about connections to come, whatever ' +
          'the scope.',
        security: controlSecurity,
        params: nameParameters,
        querystring: putQuery,
        body: policyRequestSchema,
        response: {
          ...problemResponses(
            ...controlProblems,
            'invalid-policy',
            'policy-read-only',
            'process-protected',
            'reason-required',
            'enforcement-full',
            'enforcement-unavailable',
            'enforcement-unsupported',
            'state-unwritable',
          ),
          200: policyReadingSchema,
        },
      },
    },
    (request) => {
      const { params, query, body } = request;
      const { dryRun = false, force = false, reason = null } = query;
      return control.putPolicy({ name: params.name, policy: body, dryRun, forced: force, reason }, actorOf(request));
    },
  );

  app.delete(
    '/v1/policies/:name',
    {
      onRequest: controllerOnly(control),
      schema: {
        operationId: 'removePolicy',
        tags: ['control'],
        summary: 'Removes a policy and gives back at once what it held; answers it as it last was',
        security: controlSecurity,
        params: nameParameters,
        querystring: noQuery,
        response: {
          ...problemResponses('control-not-permitted', 'policy-not-found', 'policy-read-only', 'state-unwritable'),
          200: policyReadingSchema,
        },
      },
    },
    (request) => control.removePolicy(request.params.name, actorOf(request)),
  );
}
