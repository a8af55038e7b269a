import type { IncomingMessage } from 'node:http';
import rateLimit from '@fastify/rate-limit';
import type { FastifyBaseLogger, FastifyReply, FastifyRequest } from 'fastify';
import fastify, { LogController } from 'fastify';
import type { Control } from '../agent/control.ts';
import type { Readings } from '../agent/readings.ts';
import type { Credentials, Peer } from './access.ts';
import { credentialsReader, peerOf, requireReader } from './access.ts';
import { Documentation } from './documentation.ts';
import { EventStreams } from './event-stream.ts';
import { takeJsonBodies } from './json-body.ts';
import type { Listening, ListenPlaces, MakeFolders } from './listen.ts';
import { listenOn } from './listen.ts';
import { requireAccepted } from './negotiation.ts';
import type { ParameterSchema } from './parameters.ts';
import { convertParameters } from './parameters.ts';
import { ProblemError, problemBody, problemFrom, problemMediaType } from './problems.ts';
import { agentRoutes, eventRoutes } from './routes/agent.ts';
import type { Api } from './routes/api.ts';
import { auditRoutes } from './routes/audit.ts';
import { controlRoutes } from './routes/control.ts';
import { documentPageRoutes, documentRoutes } from './routes/documents.ts';
import { flowRoutes } from './routes/flows.ts';
import { healthRoutes } from './routes/health.ts';
import { historyRoutes } from './routes/history.ts';
import { metricsRoutes } from './routes/metrics.ts';
import { policyRoutes } from './routes/policies.ts';
import { processRoutes } from './routes/processes.ts';
import { relayRoutes } from './routes/relays.ts';
import type { Token } from './tokens.ts';

export interface ServerOptions {
  readings: Readings;
  control: Control;
  logger: FastifyBaseLogger;
  version: string;
  /** From `readTokenFile`; without any, only loopback and the Unix socket can be listened on. */
  tokens?: readonly Token[];
  /** For the folder that the Unix socket is to lie in. */
  makeFolders: MakeFolders;
  /** Who is at the other end of a Unix socket's descriptor. Without it nobody is root there. */
  peerCredentials?: (fd: number) => Credentials | null;
  /** Further names by which this host is asked over loopback, such as one from /etc/hosts. */
  hostNames?: readonly string[];
  maxSubscribers?: number;
  heartbeatMilliseconds?: number;
}

export interface ApiServer extends AsyncDisposable {
  /** Not listening by itself: for `inject`, and for routes that are added before it is ready. */
  readonly app: Api;
  /** Listens in all these places, or throws an ApiError that says what to do and listens in none. */
  listen(places: ListenPlaces): Promise<Listening>;
  /** Ends the event streams, lets running requests end for 2 seconds, and removes the socket file. */
  close(): Promise<void>;
}

const closeGraceMilliseconds = 2000;
const maxUrlLength = 8 * 1024;

/** For what a browser is told: to keep nothing, and to take it for what it says it is. */
const commonHeaders = { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' };

type RawParameters = Record<string, unknown>;

function sendProblem(request: FastifyRequest, reply: FastifyReply, error: unknown): FastifyReply {
  const problem = problemFrom(error);
  const internal = problem.code === 'internal-error';
  if (internal) request.log.error({ err: error, code: problem.code }, 'request failed');
  const body = problemBody(problem, request.url, internal ? request.id : undefined);
  // As bytes: the media type has no charset parameter, which Fastify adds to text.
  return reply
    .code(problem.status)
    .headers({ ...problem.headers, 'content-type': problemMediaType })
    .send(Buffer.from(JSON.stringify(body)));
}

/** Throws where the URL is too long or is not UTF-8, percent-encoded. */
function requireSoundUrl(url: string): void {
  if (url.length > maxUrlLength) {
    throw new ProblemError('url-too-long', `The URL has ${url.length} characters; at most ${maxUrlLength} are read.`);
  }
  try {
    decodeURIComponent(url);
  } catch (error) {
    throw new ProblemError('malformed-url', 'A % in the URL is not followed by what stands for UTF-8.', {
      cause: error,
    });
  }
}

function pathPattern(route: string): RegExp {
  const source = route
    .split(/(:[A-Za-z]+|\*)/)
    .map((part) => (part === '*' ? '.*' : part.startsWith(':') ? '[^/]+' : part.replace(/[.+?^${}()|[\]\\]/g, '\\$&')))
    .join('');
  return new RegExp(`^${source}$`);
}

/** Tells what has no route apart: a path that has other methods is 405 with Allow, anything else 404. */
function refuseUnknownRoutes(app: Api): void {
  const methods = new Map<string, Set<string>>();
  app.addHook('onRoute', (route) => {
    const known = methods.get(route.url) ?? new Set();
    for (const method of [route.method].flat()) known.add(method);
    methods.set(route.url, known);
  });
  // Before the body is read: what would be refused anyway needs no parsing.
  app.addHook('onRequest', async (request) => {
    if (!request.is404) return;
    const path = request.url.split('?', 1)[0] ?? '';
    const allowed = new Set<string>();
    for (const [route, known] of methods) {
      if (pathPattern(route).test(path)) for (const method of known) allowed.add(method);
    }
    if (allowed.size > 0) {
      const allow = [...allowed].sort().join(', ');
      throw new ProblemError('method-not-allowed', `This path takes ${allow}.`, { headers: { allow } });
    }
    throw new ProblemError('route-not-found', 'There is nothing at this path.');
  });
}

function limitRemotePeers(app: Api): void {
  app.register(rateLimit, { global: false });
  app.after(() => {
    const check = app.createRateLimit({ max: 300, timeWindow: 10_000, keyGenerator: (request) => request.ip });
    app.addHook('onRequest', async (request) => {
      if (request.peer.local) return;
      const result = await check(request);
      if (result.isAllowed || !result.isExceeded) return;
      throw new ProblemError('too-many-requests', `More than ${result.max} requests in 10 seconds.`, {
        headers: { 'retry-after': String(result.ttlInSeconds) },
      });
    });
  });
}

interface RouteParts {
  readings: Readings;
  control: Control;
  streams: EventStreams;
  documentation: Documentation;
}

function addRoutes(app: Api, { readings, control, streams, documentation }: RouteParts): void {
  app.addHook('preValidation', async (request) => {
    const { params, querystring } = (request.routeOptions.schema ?? {}) as Record<string, ParameterSchema | undefined>;
    if (params !== undefined) request.params = convertParameters(params, request.params as RawParameters, 'path');
    if (querystring !== undefined) {
      request.query = convertParameters(querystring, request.query as RawParameters, 'query');
    }
  });
  app.register(async (scope: Api) => {
    scope.addHook('onRequest', async (request) => requireAccepted(request.headers.accept, 'application/json'));
    healthRoutes(scope, readings);
    agentRoutes(scope, readings);
    processRoutes(scope, readings);
    flowRoutes(scope, readings);
    relayRoutes(scope, readings);
    policyRoutes(scope, control);
    controlRoutes(scope, control);
    auditRoutes(scope, control);
    historyRoutes(scope, control);
    documentRoutes(scope, documentation);
  });
  app.register(async (scope: Api) => {
    metricsRoutes(scope, readings);
    eventRoutes(scope, streams);
  });
}

/** An instance without routes that refuses with problem bodies and writes answers as they are. */
function createApp(logger: FastifyBaseLogger): Api {
  const app: Api = fastify({
    loggerInstance: logger,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: 64 * 1024,
    // While closing, a hook answers with a problem body instead.
    return503OnClosing: false,
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false, allErrors: true } },
    routerOptions: { maxParamLength: 200 },
    frameworkErrors: (error, request, reply) => {
      sendProblem(request as FastifyRequest, reply as FastifyReply, error);
    },
  });

  // The schema is proven against the answer's type when it is compiled, so JSON.stringify may write whatever is
  // there; a serializer built from the schema would leave out, without a word, what the schema does not name.
  app.setSerializerCompiler(() => (answer) => JSON.stringify(answer));
  takeJsonBodies(app);
  app.setErrorHandler((error, request, reply) => sendProblem(request, reply, error));
  app.setNotFoundHandler(() => {
    throw new ProblemError('route-not-found', 'There is nothing at this path.');
  });
  return app;
}

export function createServer(options: ServerOptions): ApiServer {
  const { readings, control, version, makeFolders, tokens = [] } = options;
  const credentialsOf = credentialsReader(options.peerCredentials ?? (() => null));
  const hostNames = (options.hostNames ?? []).map((name) => name.toLowerCase());
  const unixRequests = new WeakSet<IncomingMessage>();
  const listening: Listening[] = [];
  const streams = new EventStreams(readings, {
    maxSubscribers: options.maxSubscribers ?? 64,
    heartbeatMilliseconds: options.heartbeatMilliseconds ?? 15_000,
    maxWaitingBytes: 1024 * 1024,
  });
  let closing = false;

  const documentation: Documentation = new Documentation({
    version,
    makeApp: () => {
      const app = createApp(options.logger);
      app.addHook('onRequest', async (_request, reply) => void reply.headers(commonHeaders));
      return app;
    },
    addRoutes: (app) => addRoutes(app, parts),
  });
  const parts: RouteParts = { readings, control, streams, documentation };

  const app = createApp(options.logger);
  app.decorateRequest('peer', null as unknown as Peer);

  app.addHook('onRequest', async (request, reply) => {
    reply.headers(commonHeaders);
    requireSoundUrl(request.raw.url ?? '');
    if (closing) {
      throw new ProblemError('shutting-down', 'The agent is stopping.', { headers: { connection: 'close' } });
    }
    request.peer = peerOf(request.raw, unixRequests.has(request.raw) ? 'unix' : 'tcp', tokens, credentialsOf);
  });
  // Before tokens are judged, so that they cannot be guessed at full speed.
  limitRemotePeers(app);
  app.addHook('onRequest', async (request) => requireReader(request.raw, request.peer, hostNames));
  app.addHook('preParsing', async ({ headers }) => {
    const encoding = headers['content-encoding'] ?? 'identity';
    if (encoding.toLowerCase() === 'identity') return;
    throw new ProblemError('unsupported-media-type', `A body is not taken as ${encoding}: send it as it is.`);
  });
  refuseUnknownRoutes(app);
  addRoutes(app, parts);
  documentPageRoutes(app, documentation);

  const close = async (): Promise<void> => {
    closing = true;
    streams.close();
    await Promise.all(listening.splice(0).map((places) => places.close(closeGraceMilliseconds)));
    await documentation.close();
    await app.close();
  };
  return {
    app,
    async listen(places: ListenPlaces): Promise<Listening> {
      await app.ready();
      const opened = await listenOn(app.routing, places, { hasTokens: tokens.length > 0, unixRequests, makeFolders });
      listening.push(opened);
      return opened;
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}
