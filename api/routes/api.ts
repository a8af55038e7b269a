import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyBaseLogger, FastifyInstance } from 'fastify';
import type { Schema } from '../schemas/schema.ts';
import { object, unsafe } from '../schemas/schema.ts';

/** The Fastify instance that routes are added to: request and reply types follow from the schemas. */
export type Api = FastifyInstance<Server, IncomingMessage, ServerResponse, FastifyBaseLogger, TypeBoxTypeProvider>;

/** For routes that take no query: any parameter is refused. */
export const noQuery: Schema<Record<string, never>> = unsafe<Record<string, never>>(
  object({}, { additionalProperties: false }),
);
