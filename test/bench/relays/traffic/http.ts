import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { Agent, createServer, type IncomingMessage, request } from 'node:http';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { tally } from './tally.ts';

export interface HttpServerOptions {
  address: string;
  port: number;
}

export interface HttpClientOptions {
  to: [string, number];
  clients: number;
  requests: number;
  /** Bodies: from, to; evenly spread. */
  up: [number, number];
  down: [number, number];
  /** Between two requests of a client. */
  thinkMs?: number;
  /** Asks a forward proxy at `to` for this origin. */
  origin?: string;
  /** Instead of one that says how much is wanted. */
  path?: string;
}

const DATA = randomBytes(1 << 20);

/** Whole messages with their heads count, as the sockets saw them. */
const sockets = new Set<Socket>();

function watch(socket: Socket): void {
  tally.begin();
  sockets.add(socket);
}

tally.add(() => {
  const sums = { sentBytes: 0, receivedBytes: 0 };
  for (const { bytesWritten, bytesRead } of sockets) {
    sums.sentBytes += bytesWritten;
    sums.receivedBytes += bytesRead;
  }
  return sums;
});

/** What a Prometheus reads. */
function metricsText(bytes: number): string {
  let text = '';
  for (let i = 0; text.length < bytes; i++) text += `requests_total{path="/${i}"} ${Math.floor(Math.random() * 1e6)}\n`;
  return text;
}

export async function httpServer({ address, port }: HttpServerOptions): Promise<void> {
  const server = createServer(async (incoming, response) => {
    for await (const _ of incoming);
    const { pathname, searchParams } = new URL(incoming.url ?? '/', 'http://server');
    const down = Number(searchParams.get('down') ?? 40_000);
    response.end(pathname === '/metrics' ? metricsText(down) : DATA.subarray(0, down));
  });
  server.keepAliveTimeout = 60_000;
  server.on('connection', watch);
  server.listen(port, address);
  await once(server, 'listening');
}

const between = ([from, to]: [number, number]): number => from + Math.floor(Math.random() * (to - from + 1));

export async function httpClient(options: HttpClientOptions): Promise<void> {
  const { to, clients, requests, up, down, thinkMs = 0, origin, path } = options;
  const [host, port] = to;
  const one = async (): Promise<void> => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    for (let count = 0; count < requests; count++) {
      const body = between(up);
      const wanted = path ?? `/x?down=${between(down)}&n=${count}`;
      const outgoing = request({
        host,
        port,
        agent,
        method: body > 0 ? 'POST' : 'GET',
        path: `${origin ?? ''}${wanted}`,
        headers: { ...(origin === undefined ? {} : { host: new URL(origin).host }), 'content-length': body },
      });
      outgoing.on('socket', watch);
      outgoing.end(DATA.subarray(0, body));
      const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage];
      for await (const _ of incoming);
      if (incoming.statusCode !== 200) throw new Error(`${wanted}: ${incoming.statusCode}`);
      if (thinkMs > 0) await sleep(thinkMs * (0.5 + Math.random()));
    }
    agent.destroy();
  };
  await Promise.all(Array.from({ length: clients }, one));
}
