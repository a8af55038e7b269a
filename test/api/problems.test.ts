import { readFileSync } from 'node:fs';
import t from 'tap';
import { PolicyInvalidError } from '../../agent/policies/validate.ts';
import type { ProblemCode } from '../../api/problems.ts';
import { ProblemError, problemBody, problemFrom, problems } from '../../api/problems.ts';

t.test('problems.md documents exactly the catalogue', async (t) => {
  const text = readFileSync(new URL('../../api/problems.md', import.meta.url), 'utf8');
  const rows = [...text.matchAll(/^\| `([a-z-]+)` \| ([0-9]+) \| (.+) \| (.+) \|$/gm)];
  const documented = Object.fromEntries(
    rows.map(([, code = '', status, title, remedy]) => [code, { status: Number(status), title, remedy }]),
  );
  t.strictSame(documented, problems);
});

t.test('the body has what RFC 9457 asks for, and the stable code', async (t) => {
  const problem = new ProblemError('process-not-found', 'No process with pid 7 is known.');
  t.strictSame(problemBody(problem, '/v1/processes/7?x=1'), {
    type: '/problems/process-not-found',
    title: problems['process-not-found'].title,
    status: 404,
    detail: 'No process with pid 7 is known.',
    instance: '/v1/processes/7',
    code: 'process-not-found',
  });
});

t.test('an error of the server framework becomes the problem that the client caused', async (t) => {
  const cases: [object, ProblemCode][] = [
    [{ code: 'FST_ERR_CTP_INVALID_MEDIA_TYPE', statusCode: 415 }, 'unsupported-media-type'],
    [{ code: 'FST_ERR_CTP_BODY_TOO_LARGE', statusCode: 413 }, 'body-too-large'],
    [{ code: 'FST_ERR_CTP_INVALID_JSON_BODY', statusCode: 400 }, 'malformed-body'],
    [{ code: 'FST_ERR_BAD_URL', statusCode: 400 }, 'malformed-url'],
    [{ code: 'SOMETHING_NEW', statusCode: 418 }, 'malformed-request'],
    [{ statusCode: 404 }, 'route-not-found'],
    [{ statusCode: 500 }, 'internal-error'],
    [{ code: 'constructor' }, 'internal-error'],
    [{}, 'internal-error'],
  ];
  for (const [properties, code] of cases) {
    t.equal(problemFrom(Object.assign(new Error('why'), properties)).code, code, JSON.stringify(properties));
  }
});

t.test('an internal error keeps its cause for the log and its message from the client', async (t) => {
  const cause = new Error('secret detail');
  const problem = problemFrom(cause);
  t.equal(problem.cause, cause);
  t.notMatch(problem.message, /secret/);
  t.equal(problemFrom(undefined).code, 'internal-error');
  t.equal(problemFrom(null).code, 'internal-error');
});

t.test(
  'what is wrong with a body is said by the member’s own name, in words that are not the validator’s',
  async (t) => {
    const fault = (instancePath: string, keyword: string, params: object, message: string) =>
      Object.assign(new Error(message), {
        validation: [{ instancePath, keyword, params, message }],
        validationContext: 'body',
      });
    const required = "must have required property 'match'";
    const additional = 'must NOT have additional properties';
    const cases: [Error, string][] = [
      [fault('', 'type', { type: 'object' }, 'must be object'), 'body: must be object'],
      [fault('', 'required', { missingProperty: 'match' }, required), 'body match: is missing'],
      [
        fault('/match', 'additionalProperties', { additionalProperty: 'nmae' }, additional),
        'body match.nmae: is not known here',
      ],
      [
        new PolicyInvalidError([{ name: 'expiresAt', detail: 'must be in the future' }]),
        'expiresAt must be in the future.',
      ],
      [new PolicyInvalidError([{ name: '', detail: 'a policy needs a rate' }]), 'A policy needs a rate.'],
    ];
    for (const [error, detail] of cases) t.equal(problemFrom(error).message, detail);
  },
);
