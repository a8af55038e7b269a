import type { FastifyRequest } from 'fastify';
import type { Actor } from '../../agent/audit.ts';
import type { Control } from '../../agent/control.ts';
import { requireController } from '../access.ts';
import { errorCode } from '../errors.ts';
import type { ProblemCode } from '../problems.ts';

/** In the OpenAPI document: unlike reading, it never goes without. */
export const controlSecurity: Record<string, string[]>[] = [{ bearer: [] }];

/** With which a call that takes a body and changes something may refuse before it looks at what is asked. */
export const controlProblems: ProblemCode[] = [
  'control-not-permitted',
  'invalid-body',
  'malformed-body',
  'body-too-large',
  'unsupported-media-type',
];

export function actorOf({ peer }: FastifyRequest): Actor {
  const { credentials, token, address } = peer;
  return { uid: credentials?.uid ?? null, pid: credentials?.pid ?? null, token: token?.name ?? null, address };
}

/** Turns away who may not change anything, before the body is read. Who is known, and tries, is in the audit. */
export function controllerOnly(control: Control): (request: FastifyRequest) => Promise<void> {
  return async (request) => {
    try {
      requireController(request.raw, request.peer);
    } catch (error) {
      const code = errorCode(error);
      if (code === 'control-not-permitted') {
        const target = `${request.method} ${request.url.split('?', 1)[0] ?? ''}`;
        control.refuse(target, { code, message: (error as Error).message }, actorOf(request));
      }
      throw error;
    }
  };
}
