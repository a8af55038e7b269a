import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';
import { tally } from './tally.ts';

/** The first line of a connection: what the server is to do on it. */
interface Plan {
  /** Bytes to the server and back, spread over so many seconds. */
  up: number;
  down: number;
  seconds: number;
  /** Instead: so many times a request of `up` bytes, an answer of `down`. */
  rounds?: number;
}

export interface TcpServerOptions {
  address: string;
  port: number;
  /** Path of a certificate with its key: speaks TLS. */
  certificate?: string;
}

export interface TcpClientOptions extends Plan {
  to: [string, number];
  connections: number;
  /** How to get through the program under test. */
  via?: 'socks5' | 'connect';
  /** The server's address behind it. */
  destination?: [string, number];
  tls?: boolean;
  thinkMs?: number;
  /** Both sides' words of a protocol, instead of a plan: each request, and how long its answer is. */
  dialogue?: [request: string, answerBytes: number][];
}

const DATA = randomBytes(1 << 20);
const TICK_MS = 20;
const BACKLOG = 1 << 18;

/** Ends a connection's data: all that was promised has been received. */
const RECEIVED = Buffer.from('.');

/** Reads exact amounts from a socket. */
class Reader {
  readonly #socket: Socket;
  #buffered: Buffer[] = [];
  #length = 0;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (data: Buffer) => {
      this.#buffered.push(data);
      this.#length += data.length;
      socket.emit('more');
    });
    socket.on('close', () => socket.emit('more'));
  }

  async take(bytes: number): Promise<Buffer> {
    while (this.#length < bytes) {
      if (this.#socket.closed || this.#socket.readableEnded) throw new Error('the connection ended early');
      await once(this.#socket, 'more');
    }
    const all = Buffer.concat(this.#buffered);
    this.#buffered = [all.subarray(bytes)];
    this.#length -= bytes;
    return all.subarray(0, bytes);
  }

  /** As `take`, for amounts that need not be kept. */
  async skip(bytes: number, counts: boolean): Promise<void> {
    for (let left = bytes; left > 0; ) {
      const piece = await this.take(Math.max(1, Math.min(left, this.#length)));
      left -= piece.length;
      if (counts) tally.received(piece.length);
    }
  }

  async line(): Promise<string> {
    let text = '';
    while (!text.endsWith('\n')) text += (await this.take(1)).toString('latin1');
    return text;
  }
}

function write(socket: Socket, data: Buffer | string): void {
  socket.write(data);
  tally.sent(data.length);
}

/** Evenly over the time, later where the other end is slower. */
async function pump(socket: Socket, bytes: number, seconds: number): Promise<void> {
  const begin = performance.now();
  for (let sent = 0; sent < bytes; await sleep(TICK_MS)) {
    if (socket.closed) throw new Error('the connection was closed');
    const due =
      seconds === 0 ? bytes : Math.min(bytes, (bytes * (performance.now() - begin + TICK_MS)) / 1000 / seconds);
    while (sent < Math.floor(due) && socket.writableLength < BACKLOG) {
      const piece = DATA.subarray(0, Math.min(Math.floor(due) - sent, 1 << 16));
      write(socket, piece);
      sent += piece.length;
    }
  }
}

async function serve(socket: Socket): Promise<void> {
  const reader = new Reader(socket);
  const line = await reader.line();
  tally.received(line.length);
  const { up, down, seconds, rounds } = JSON.parse(line) as Plan;
  if (rounds === undefined) {
    await Promise.all([reader.skip(up, true), pump(socket, down, seconds)]);
    write(socket, RECEIVED);
    return;
  }
  for (let round = 0; round < rounds; round++) {
    await reader.skip(up, true);
    write(socket, DATA.subarray(0, down));
  }
}

export async function tcpServer({ address, port, certificate }: TcpServerOptions): Promise<void> {
  const accept = (socket: Socket): void => {
    socket.setNoDelay();
    socket.on('error', () => undefined);
    // A connection without a plan is somebody's health check.
    serve(socket).catch(() => undefined);
  };
  const pem = certificate === undefined ? undefined : readFileSync(certificate);
  const server = pem === undefined ? createServer(accept) : createTlsServer({ key: pem, cert: pem }, accept);
  server.listen(port, address);
  await once(server, 'listening');
}

async function dial({ to, via, destination, tls }: TcpClientOptions): Promise<[Socket, Reader]> {
  const [host, port] = to;
  const socket = tls
    ? connectTls({ host, port, rejectUnauthorized: false, servername: 'bench.test' })
    : connect({ host, port });
  await once(socket, tls ? 'secureConnect' : 'connect');
  socket.setNoDelay();
  socket.on('error', () => undefined);
  const reader = new Reader(socket);
  if (via === undefined || destination === undefined) return [socket, reader];
  const [address, number] = destination;
  if (via === 'connect') {
    socket.write(`CONNECT ${address}:${number} HTTP/1.1\r\nHost: ${address}:${number}\r\n\r\n`);
    const status = await reader.line();
    if (!status.includes(' 200')) throw new Error(`CONNECT: ${status.trim()}`);
    while ((await reader.line()) !== '\r\n');
    return [socket, reader];
  }
  socket.write(Buffer.from([5, 1, 0]));
  await reader.take(2);
  socket.write(Buffer.from([5, 1, 0, 1, ...address.split('.').map(Number), number >> 8, number & 255]));
  const answer = await reader.take(10);
  if (answer[1] !== 0) throw new Error(`SOCKS: refused with ${answer[1]}`);
  return [socket, reader];
}

async function converse(options: TcpClientOptions): Promise<void> {
  const { up, down, seconds, rounds, dialogue, thinkMs = 0 } = options;
  const [socket, reader] = await dial(options);
  if (dialogue !== undefined) {
    for (const end = performance.now() + 1000 * seconds; performance.now() < end; await sleep(thinkMs)) {
      for (const [request, answerBytes] of dialogue) {
        write(socket, request);
        await reader.skip(answerBytes, true);
      }
    }
  } else {
    const plan: Plan = { up, down, seconds, ...(rounds === undefined ? {} : { rounds }) };
    write(socket, `${JSON.stringify(plan)}\n`);
    if (rounds === undefined) await Promise.all([pump(socket, up, seconds), reader.skip(down + RECEIVED.length, true)]);
    for (let round = 0; round < (rounds ?? 0); round++) {
      write(socket, DATA.subarray(0, up));
      await reader.skip(down, true);
      if (thinkMs > 0) await sleep(thinkMs);
    }
  }
  socket.end();
}

export async function tcpClient(options: TcpClientOptions): Promise<void> {
  await Promise.all(Array.from({ length: options.connections }, () => converse(options)));
  // For the end of the connections to get through.
  await sleep(100);
}

/** Until a connection to a closed port there is refused, and not lost. */
export async function reach({ to: [host, port], seconds }: { to: [string, number]; seconds: number }): Promise<void> {
  for (const end = performance.now() + 1000 * seconds; performance.now() < end; await sleep(100)) {
    const socket = connect({ host, port });
    const outcome = await Promise.race([
      once(socket, 'connect').then(
        () => 'connected',
        (error: NodeJS.ErrnoException) => error.code,
      ),
      sleep(500),
    ]);
    socket.destroy();
    if (outcome === 'connected' || outcome === 'ECONNREFUSED') return;
  }
  throw new Error(`${host} could not be reached`);
}
