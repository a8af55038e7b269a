import { lookup } from 'node:dns/promises';
import { chmod, lstat, unlink } from 'node:fs/promises';
import type { IncomingMessage, RequestListener, Server } from 'node:http';
import type { ListenOptions, Socket } from 'node:net';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { isLoopbackAddress } from './access.ts';
import { ApiError, errorCode } from './errors.ts';
import { createHttpServer } from './http-server.ts';

export interface ListenPlaces {
  /** `HOST:PORT`, `[IPv6]:PORT`; port 0 takes any free one. */
  tcp?: readonly string[];
  socketPath?: string;
}

/** Makes a folder, and those on the way to it, where it is missing. */
export type MakeFolders = (path: string, mode: number) => void;

export interface Listening {
  /** `http://HOST:PORT` of every TCP address that is listened on. */
  urls: string[];
  socketPath: string | null;
  /** Stops accepting, lets running requests end for up to the grace time, then cuts them. */
  close(graceMilliseconds: number): Promise<void>;
}

export interface ListenAddress {
  host: string;
  port: number;
}

export function parseListenAddress(text: string): ListenAddress {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^\s:[\]/]+)):([0-9]{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port > 65535) {
    throw new ApiError('listen-address-invalid', `cannot listen on "${text}": write HOST:PORT, as in 127.0.0.1:9745`);
  }
  return { host, port };
}

async function resolveAddresses({ host }: ListenAddress): Promise<string[]> {
  try {
    const found = await lookup(host, { all: true });
    return [...new Set(found.map(({ address }) => address))];
  } catch (error) {
    throw new ApiError('listen-address-invalid', `cannot listen on ${host}: the name is not known`, { cause: error });
  }
}

function bind(server: Server, options: ListenOptions): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen(options, () => {
    server.removeListener('error', reject);
    resolve();
  });
  return promise;
}

function answersOn(socketPath: string): Promise<boolean> {
  const { promise, resolve, reject } = Promise.withResolvers<boolean>();
  const socket: Socket = connect(socketPath, () => {
    socket.destroy();
    resolve(true);
  });
  socket.once('error', (error) => {
    const code = errorCode(error);
    if (code === 'ECONNREFUSED' || code === 'ENOENT') resolve(false);
    // A full backlog: somebody has it open, though too busy to answer.
    else if (code === 'EAGAIN') resolve(true);
    else reject(error);
  });
  return promise;
}

/** Takes away the socket file of an agent that is gone; throws where one is alive, or the file is something else. */
async function clearSocketPath(socketPath: string): Promise<void> {
  const existing = await lstat(socketPath).catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  });
  if (existing === undefined) return;
  if (!existing.isSocket()) {
    throw new ApiError('socket-path-taken', `${socketPath} exists and is not a socket: move it away or use --socket`);
  }
  if (await answersOn(socketPath)) {
    throw new ApiError(
      'agent-already-running',
      `another agent answers on ${socketPath}: stop it first, or use --socket with another path`,
    );
  }
  await unlink(socketPath);
}

async function bindUnix(server: Server, socketPath: string, makeFolders: MakeFolders): Promise<void> {
  try {
    makeFolders(dirname(socketPath), 0o755);
    await clearSocketPath(socketPath);
    // bind(2) creates the file with the umask's permissions: at no moment can others connect.
    const umask = process.umask(0o117);
    const bound = bind(server, { path: socketPath });
    process.umask(umask);
    await bound;
    await chmod(socketPath, 0o660);
  } catch (error) {
    if (error instanceof ApiError) throw error;
    throw new ApiError('listen-failed', `cannot listen on ${socketPath}: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

async function bindTcp(server: Server, host: string, port: number): Promise<string> {
  try {
    await bind(server, { host, port });
  } catch (error) {
    const taken = errorCode(error) === 'EADDRINUSE';
    const why = taken ? 'another program listens there; stop it or use --listen' : (error as Error).message;
    throw new ApiError('listen-failed', `cannot listen on ${host}:${port}: ${why}`, { cause: error });
  }
  const address = server.address();
  if (address === null || typeof address === 'string') throw new TypeError('a TCP server has an address');
  return `http://${address.family === 'IPv6' ? `[${address.address}]` : address.address}:${address.port}`;
}

async function closeServer(server: Server): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  server.close(() => resolve());
  await promise;
}

/**
 * Listens in several places with one handler. `unixRequests` receives every request that came by the Unix socket.
 * Throws before anything listens where an address is not loopback and there is no token, and takes back what it bound
 * where a later place fails.
 */
export async function listenOn(
  handler: RequestListener,
  places: ListenPlaces,
  options: { hasTokens: boolean; unixRequests: WeakSet<IncomingMessage>; makeFolders: MakeFolders },
): Promise<Listening> {
  const targets: { host: string; port: number; optional: boolean }[] = [];
  for (const text of places.tcp ?? []) {
    const address = parseListenAddress(text);
    const hosts = await resolveAddresses(address);
    for (const host of hosts) {
      if (!isLoopbackAddress(host) && !options.hasTokens) {
        throw new ApiError(
          'token-file-required',
          `refusing to listen on ${text}: other hosts could read everything; give --token-file PATH, or listen on 127.0.0.1`,
        );
      }
      // A name such as localhost may have an IPv6 address on a host without IPv6.
      targets.push({ host, port: address.port, optional: hosts.length > 1 });
    }
  }

  const servers: Server[] = [];
  const urls: string[] = [];
  const closeAll = async (): Promise<void> => {
    await Promise.all(servers.map(closeServer));
  };
  try {
    if (places.socketPath !== undefined) {
      const server = createHttpServer((request, response) => {
        options.unixRequests.add(request);
        handler(request, response);
      });
      await bindUnix(server, places.socketPath, options.makeFolders);
      servers.push(server);
    }
    for (const { host, port, optional } of targets) {
      const server = createHttpServer(handler);
      try {
        urls.push(await bindTcp(server, host, port));
        servers.push(server);
      } catch (error) {
        const absent = errorCode((error as Error).cause) === 'EADDRNOTAVAIL';
        if (!optional || !absent) throw error;
      }
    }
    if (targets.length > 0 && urls.length === 0) {
      throw new ApiError('listen-failed', `none of ${places.tcp?.join(', ')} is an address of this host`);
    }
  } catch (error) {
    await closeAll();
    throw error;
  }

  return {
    urls,
    socketPath: places.socketPath ?? null,
    async close(graceMilliseconds: number): Promise<void> {
      const timer = setTimeout(() => {
        for (const server of servers) server.closeAllConnections();
      }, graceMilliseconds);
      await closeAll();
      clearTimeout(timer);
    },
  };
}
