import { ApiError } from './errors.ts';

/** The catalogue of everything the API refuses. `problems.md` documents it; a test holds the two together. */

export type ProblemCode =
  | 'body-too-large'
  | 'control-not-permitted'
  | 'enforcement-full'
  | 'enforcement-unavailable'
  | 'enforcement-unsupported'
  | 'headers-too-large'
  | 'host-not-allowed'
  | 'internal-error'
  | 'invalid-body'
  | 'invalid-cursor'
  | 'invalid-parameter'
  | 'invalid-policy'
  | 'malformed-body'
  | 'malformed-request'
  | 'malformed-url'
  | 'method-not-allowed'
  | 'not-acceptable'
  | 'not-ready'
  | 'policy-not-found'
  | 'policy-read-only'
  | 'process-changed'
  | 'process-not-found'
  | 'process-protected'
  | 'reason-required'
  | 'request-timeout'
  | 'route-not-found'
  | 'shutting-down'
  | 'state-unwritable'
  | 'token-invalid'
  | 'token-required'
  | 'too-many-requests'
  | 'too-many-subscribers'
  | 'unsupported-media-type'
  | 'url-too-long';

export interface ProblemKind {
  status: number;
  title: string;
  /** What the client can do about it. */
  remedy: string;
}

export const problems: Readonly<Record<ProblemCode, ProblemKind>> = {
  'body-too-large': {
    status: 413,
    title: 'The body is too large',
    remedy: 'Send at most 64 KiB.',
  },
  'control-not-permitted': {
    status: 403,
    title: 'This peer may not change anything',
    remedy: 'Use the Unix socket as root, or a bearer token with the role control.',
  },
  'enforcement-full': {
    status: 409,
    title: 'There is no room for another policy',
    remedy: 'Remove a policy that is no longer needed.',
  },
  'enforcement-unavailable': {
    status: 503,
    title: 'This agent cannot enforce anything now',
    remedy: 'See what /v1/status says is missing. Nothing was changed.',
  },
  'enforcement-unsupported': {
    status: 422,
    title: 'This kernel lacks what the policy needs',
    remedy: 'Leave out what detail names, or use a newer kernel. Nothing was changed.',
  },
  'headers-too-large': {
    status: 431,
    title: 'The request line and headers are too large',
    remedy: 'Send at most 16 KiB of request line and headers.',
  },
  'host-not-allowed': {
    status: 421,
    title: 'This host name is not served here',
    remedy:
      'Use localhost, 127.0.0.1 or [::1], or configure the name: a web page may be misusing it to reach this host.',
  },
  'internal-error': {
    status: 500,
    title: 'The agent failed to answer',
    remedy: "Look for the request's id in the agent's log, and report what stands there.",
  },
  'invalid-body': {
    status: 400,
    title: 'The body does not say what it must',
    remedy: 'Correct the members listed in errors. Nothing was changed.',
  },
  'invalid-cursor': {
    status: 400,
    title: 'The cursor is not one of ours',
    remedy: 'Pass nextCursor on unchanged, with the same sort and order, or start again without a cursor.',
  },
  'invalid-parameter': {
    status: 400,
    title: 'A parameter is unknown or has a value it cannot have',
    remedy: 'Correct the parameters listed in errors.',
  },
  'invalid-policy': {
    status: 422,
    title: 'The policy cannot be put in force as it is',
    remedy: 'Correct the members listed in errors. Nothing was changed.',
  },
  'malformed-body': {
    status: 400,
    title: 'The body is not JSON',
    remedy: 'Send one JSON value, complete, with the right Content-Length. Nothing was changed.',
  },
  'malformed-request': {
    status: 400,
    title: 'The request is not valid HTTP',
    remedy: 'Send an HTTP/1.1 request with one Host header.',
  },
  'malformed-url': {
    status: 400,
    title: 'The URL is not valid',
    remedy: 'Percent-encode what stands in the path and the query as UTF-8.',
  },
  'method-not-allowed': {
    status: 405,
    title: 'This method is not offered here',
    remedy: 'Use one of the methods in the Allow header.',
  },
  'not-acceptable': {
    status: 406,
    title: 'There is no answer in a form the client accepts',
    remedy: 'Accept the media type named in detail.',
  },
  'not-ready': {
    status: 503,
    title: 'The agent is not ready yet',
    remedy: 'Ask again in a second; if it lasts, see what /v1/status says is missing.',
  },
  'policy-not-found': {
    status: 404,
    title: 'No policy has this name',
    remedy: 'See /v1/policies for the names.',
  },
  'policy-read-only': {
    status: 409,
    title: 'The policy belongs to the configuration file',
    remedy: 'Change it there and restart the agent, or use another name.',
  },
  'process-changed': {
    status: 409,
    title: 'The pid belongs to another process now, or its process has ended',
    remedy: 'Look the process up again; nothing was done.',
  },
  'process-not-found': {
    status: 404,
    title: 'No process with this pid is known',
    remedy: 'Only processes that touched the network are known, and ended ones for a while: see /v1/processes.',
  },
  'process-protected': {
    status: 403,
    title: 'The process is protected',
    remedy: 'Be sure, then set force and give a reason, which goes into the audit.',
  },
  'reason-required': {
    status: 422,
    title: 'Force needs a reason',
    remedy: 'Say why in reason; it goes into the audit.',
  },
  'request-timeout': {
    status: 408,
    title: 'The request did not arrive in time',
    remedy: 'Send the whole request within 30 seconds.',
  },
  'route-not-found': {
    status: 404,
    title: 'There is nothing at this path',
    remedy: 'See /openapi.json for what there is.',
  },
  'shutting-down': {
    status: 503,
    title: 'The agent is stopping',
    remedy: 'Ask again when it has been started again.',
  },
  'state-unwritable': {
    status: 507,
    title: "The agent can't write to its disk",
    remedy: 'Make room where its --state-dir is. Nothing was changed.',
  },
  'token-invalid': {
    status: 401,
    title: 'The bearer token is not known',
    remedy: "Send a token that stands in the agent's token file.",
  },
  'token-required': {
    status: 401,
    title: 'A bearer token is required',
    remedy: 'Send Authorization: Bearer TOKEN, or ask from this host over loopback or the Unix socket.',
  },
  'too-many-requests': {
    status: 429,
    title: 'Too many requests from this address',
    remedy: 'Wait as long as Retry-After says.',
  },
  'too-many-subscribers': {
    status: 503,
    title: 'Too many subscribers to the events',
    remedy: 'Close another subscription and ask again.',
  },
  'unsupported-media-type': {
    status: 415,
    title: 'The body is in a form that is not understood',
    remedy: 'Send Content-Type: application/json.',
  },
  'url-too-long': {
    status: 414,
    title: 'The URL is too long',
    remedy: 'Send at most 8 KiB, of which one path segment at most 200 characters.',
  },
};

/** One thing wrong with the request and where it is. */
export interface ProblemDetail {
  in: 'query' | 'path' | 'header' | 'body';
  name: string;
  detail: string;
}

/** An RFC 9457 problem body. */
export interface ProblemBody {
  type: string;
  title: string;
  status: number;
  detail: string;
  instance: string;
  code: string;
  requestId?: string;
  errors?: ProblemDetail[];
}

export class ProblemError extends ApiError {
  declare readonly code: ProblemCode;
  readonly errors: ProblemDetail[];
  readonly headers: Record<string, string>;

  constructor(
    code: ProblemCode,
    detail: string,
    options: { cause?: unknown; errors?: ProblemDetail[]; headers?: Record<string, string> } = {},
  ) {
    super(code, detail, 'cause' in options ? { cause: options.cause } : undefined);
    this.name = 'ProblemError';
    this.errors = options.errors ?? [];
    this.headers = options.headers ?? {};
  }

  get status(): number {
    return problems[this.code].status;
  }
}

export const problemMediaType = 'application/problem+json';

export function problemBody(problem: ProblemError, url: string, requestId?: string): ProblemBody {
  const { status, title } = problems[problem.code];
  const path = url.split('?', 1)[0] ?? '';
  return {
    type: `/problems/${problem.code}`,
    title,
    status,
    detail: problem.message,
    instance: path.slice(0, 200),
    code: problem.code,
    ...(requestId === undefined ? {} : { requestId }),
    ...(problem.errors.length === 0 ? {} : { errors: problem.errors }),
  };
}

/** What the agent refuses, under our codes. */
const agentProblems = new Map<string | undefined, ProblemCode>([
  ['POLICY_INVALID', 'invalid-policy'],
  ['POLICY_READ_ONLY', 'policy-read-only'],
  ['POLICY_UNKNOWN', 'policy-not-found'],
  ['ENFORCEMENT_FULL', 'enforcement-full'],
  ['ENFORCEMENT_UNAVAILABLE', 'enforcement-unavailable'],
  ['ENFORCEMENT_UNSUPPORTED', 'enforcement-unsupported'],
  ['PROCESS_UNKNOWN', 'process-not-found'],
  ['PROCESS_CHANGED', 'process-changed'],
  ['PROCESS_PROTECTED', 'process-protected'],
  ['REASON_MISSING', 'reason-required'],
  ['AGENT_STATE_UNUSABLE', 'state-unwritable'],
  ['HISTORY_RANGE_INVALID', 'invalid-parameter'],
]);

const fastifyProblems = new Map<string | undefined, ProblemCode>([
  ['FST_ERR_BAD_URL', 'malformed-url'],
  ['FST_ERR_MAX_PARAM_LENGTH', 'url-too-long'],
  ['FST_ERR_CTP_INVALID_MEDIA_TYPE', 'unsupported-media-type'],
  ['FST_ERR_CTP_BODY_TOO_LARGE', 'body-too-large'],
  ['FST_ERR_CTP_EMPTY_JSON_BODY', 'malformed-body'],
  ['FST_ERR_CTP_INVALID_JSON_BODY', 'malformed-body'],
  ['FST_ERR_CTP_INVALID_CONTENT_LENGTH', 'malformed-body'],
]);

interface ValidationFault {
  instancePath: string;
  keyword: string;
  params: Record<string, unknown>;
  message?: string;
}

function validationDetail(fault: ValidationFault, where: ProblemDetail['in']): ProblemDetail {
  const path = fault.instancePath.split('/').slice(1);
  const missing = fault.params['missingProperty'] ?? fault.params['additionalProperty'];
  if (typeof missing === 'string') path.push(missing);
  return { in: where, name: path.join('.'), detail: describeFault(fault) };
}

function describeFault({ keyword, params, message }: ValidationFault): string {
  if (keyword === 'required') return 'is missing';
  if (keyword === 'additionalProperties') return 'is not known here';
  const allowed = params['allowedValues'];
  if (Array.isArray(allowed)) return `must be one of ${allowed.filter((value) => value !== null).join(', ')}`;
  return message ?? 'is not valid';
}

const places = new Map<string | undefined, ProblemDetail['in']>([
  ['querystring', 'query'],
  ['params', 'path'],
  ['headers', 'header'],
  ['body', 'body'],
]);

export function describeFaults(errors: ProblemDetail[]): string {
  return errors.map(({ in: where, name, detail }) => `${where}${name ? ` ${name}` : ''}: ${detail}`).join('; ');
}

/** Any error as a problem; what the client did not cause becomes `internal-error` with the cause kept for the log. */
export function problemFrom(error: unknown): ProblemError {
  if (error instanceof ProblemError) return error;
  const known = error as {
    code?: string;
    statusCode?: number;
    message?: string;
    validation?: ValidationFault[];
    validationContext?: string;
    faults?: readonly { in?: ProblemDetail['in']; name: string; detail: string }[];
  };
  const agentCode = agentProblems.get(known?.code);
  if (agentCode !== undefined) {
    const errors = (known.faults ?? []).map((fault): ProblemDetail => ({ in: 'body', ...fault }));
    return new ProblemError(agentCode, sentence(known.message ?? '', errors[0]?.name), { cause: error, errors });
  }
  if (Array.isArray(known?.validation)) {
    const where = places.get(known.validationContext) ?? 'body';
    const errors = known.validation.map((fault) => validationDetail(fault, where));
    return new ProblemError(where === 'body' ? 'invalid-body' : 'invalid-parameter', describeFaults(errors), {
      cause: error,
      errors,
    });
  }
  const code = fastifyProblems.get(known?.code);
  if (code === 'unsupported-media-type') {
    return new ProblemError(code, 'The body has to be announced as application/json.', { cause: error });
  }
  if (code !== undefined) return new ProblemError(code, known.message ?? problems[code].title, { cause: error });
  const status = known?.statusCode;
  if (status === 404) return new ProblemError('route-not-found', problems['route-not-found'].title, { cause: error });
  if (status !== undefined && status >= 400 && status < 500) {
    return new ProblemError('malformed-request', known.message ?? problems['malformed-request'].title, {
      cause: error,
    });
  }
  return new ProblemError('internal-error', "The cause is in the agent's log under this request id.", {
    cause: error,
  });
}

/** Errors are worded to stand after a colon, details of problems as sentences. @param member that it may begin with */
function sentence(message: string, member = ''): string {
  const beginsWithMember = member !== '' && message.startsWith(member);
  const first = message.slice(0, 1);
  const end = /[.?!]$/.test(message) ? '' : '.';
  return `${beginsWithMember ? first : first.toUpperCase()}${message.slice(1)}${end}`;
}
