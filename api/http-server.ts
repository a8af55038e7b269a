import type { IncomingMessage, RequestListener, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { errorCode } from './errors.ts';
import type { ProblemCode } from './problems.ts';
import { ProblemError, problemBody, problemMediaType, problems } from './problems.ts';

// `import` would read all that node:http exports, and its WebSocket loads an HTTP client: 12 MB that nobody uses here.
const { createServer, STATUS_CODES } = process.getBuiltinModule('node:http');

const clientProblems = new Map<string | undefined, ProblemCode>([
  ['HPE_HEADER_OVERFLOW', 'headers-too-large'],
  ['ERR_HTTP_REQUEST_TIMEOUT', 'request-timeout'],
]);

/** What never became a request, such as broken HTTP, gets its problem body here; Fastify does not see it. */
function refuseBrokenRequest(error: Error, socket: Duplex): void {
  if (errorCode(error) === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const code = clientProblems.get(errorCode(error)) ?? 'malformed-request';
  refuse(socket, new ProblemError(code, `${problems[code].title}.`), '');
}

/** Of CONNECT, too, Fastify sees nothing; Node would hang up without a word. */
function refuseConnect(request: IncomingMessage, socket: Duplex): void {
  refuse(socket, new ProblemError('method-not-allowed', 'This is no proxy.'), request.url ?? '');
}

function refuse(socket: Duplex, problem: ProblemError, url: string): void {
  const { status } = problem;
  const body = JSON.stringify(problemBody(problem, url));
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: ${problemMediaType}\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}

/** Speaks HTTP/1.1, and answers by a problem body also what is no request that `handler` could see. Not listening yet. */
export function createHttpServer(handler: RequestListener): Server {
  const server = createServer(
    {
      maxHeaderSize: 16 * 1024,
      headersTimeout: 10_000,
      requestTimeout: 30_000,
      // Above a scrape interval of a minute, so that Prometheus keeps its connection.
      keepAliveTimeout: 75_000,
      // A missing Host header is refused with a problem body by access.ts.
      requireHostHeader: false,
    },
    handler,
  );
  server.maxConnections = 1024;
  server.on('clientError', refuseBrokenRequest);
  server.on('connect', refuseConnect);
  // Whatever else a client expects: Node would refuse it, with no body.
  server.on('checkExpectation', handler);
  return server;
}
