import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { isIPv4 } from 'node:net';
import { ProblemError } from './problems.ts';
import type { Token, TokenRole } from './tokens.ts';
import { findToken } from './tokens.ts';

/** Who asks, as far as the connection tells. */
export interface Peer {
  transport: 'unix' | 'tcp';
  /** On this host: the Unix socket, or TCP from a loopback address. */
  local: boolean;
  /** Name and role of the bearer token that was sent, where it is a valid one. */
  token: { name: string; role: TokenRole } | null;
  /** By the Unix socket: who connected, as the kernel says; null where it can't tell. */
  credentials: Credentials | null;
  /** By TCP. */
  address: string | null;
}

export interface Credentials {
  pid: number;
  uid: number;
}

declare module 'fastify' {
  interface FastifyRequest {
    peer: Peer;
  }
}

export function isLoopbackAddress(address: string): boolean {
  const unmapped = address.toLowerCase().replace(/^::ffff:/, '');
  return unmapped === '::1' || (isIPv4(unmapped) && unmapped.startsWith('127.'));
}

/** Host header without its port, lower case, without a trailing dot; undefined where it is not a host. */
function hostOf(header: string): string | undefined {
  const match = /^(\[[0-9a-f:.]+\]|[^:[\]@/?#\s]+)(?::[0-9]{0,5})?$/.exec(header.toLowerCase());
  return match?.[1]?.replace(/\.$/, '');
}

/**
 * Whether a request that is trusted for coming over loopback was meant for this host. A page whose name was rebound to
 * 127.0.0.1 sends its own name; an address cannot be rebound.
 */
export function isHostAllowed(header: string | undefined, hostNames: readonly string[]): boolean {
  const host = header === undefined ? undefined : hostOf(header);
  if (host === undefined) return false;
  if (host === 'localhost' || hostNames.includes(host)) return true;
  return isLoopbackAddress(host.startsWith('[') ? host.slice(1, -1) : host);
}

/** Paths that a remote peer may ask without a token: they carry no readings, and load balancers have no tokens. */
const openPaths = new Set(['/healthz', '/readyz']);

function bearerToken(header: string | undefined): string | undefined {
  return header === undefined ? undefined : /^bearer +(\S+) *$/i.exec(header)?.[1];
}

/** Who sent this request. */
export function peerOf(
  request: IncomingMessage,
  transport: Peer['transport'],
  tokens: readonly Token[],
  credentialsOf: CredentialsOf = () => null,
): Peer {
  const presented = bearerToken(request.headers.authorization);
  const found = presented === undefined ? undefined : findToken(tokens, presented);
  return {
    transport,
    local: transport === 'unix' || isLoopbackAddress(request.socket.remoteAddress ?? ''),
    token: found === undefined ? null : { name: found.name, role: found.role },
    credentials: transport === 'unix' ? credentialsOf(request.socket) : null,
    address: transport === 'unix' ? null : (request.socket.remoteAddress ?? null),
  };
}

/** Who is at the other end of a Unix socket. */
export type CredentialsOf = (socket: Socket) => Credentials | null;

/** Asks the kernel once a connection. Node has no public way to a socket's descriptor, and hasn't moved it in years. */
export function credentialsReader(read: (fd: number) => Credentials | null): CredentialsOf {
  const known = new WeakMap<Socket, Credentials | null>();
  return (socket) => {
    const earlier = known.get(socket);
    if (earlier !== undefined) return earlier;
    const fd = (socket as { _handle?: { fd?: unknown } | null })._handle?.fd;
    const found = typeof fd === 'number' && fd >= 0 ? read(fd) : null;
    known.set(socket, found);
    return found;
  };
}

/** Of a request without a token that is known. @param needs what that takes, where none was sent */
function tokenProblem({ headers }: IncomingMessage, needs: string): ProblemError {
  const challenge = 'Bearer realm="relayledger"';
  if (headers.authorization === undefined) {
    return new ProblemError('token-required', needs, { headers: { 'www-authenticate': challenge } });
  }
  return new ProblemError('token-invalid', 'The Authorization header holds no bearer token that is known.', {
    headers: { 'www-authenticate': `${challenge}, error="invalid_token"` },
  });
}

function requireToken(request: IncomingMessage, peer: Peer): void {
  const path = (request.url ?? '').split('?', 1)[0] ?? '';
  if (peer.token !== null || openPaths.has(path)) return;
  throw tokenProblem(request, 'Reading from another host needs a bearer token.');
}

/** Throws the problem with which a request is refused that may not read, or was not meant for this host. */
export function requireReader(request: IncomingMessage, peer: Peer, hostNames: readonly string[]): void {
  if (peer.transport === 'unix') return;
  const hosts = request.rawHeaders.filter((text, index) => index % 2 === 0 && text.toLowerCase() === 'host');
  if (hosts.length > 1) {
    throw new ProblemError('malformed-request', 'There are several Host headers.');
  }
  // Of a target like http://host/path the host counts and not the header (RFC 9112, 3.2.2).
  const host = /^https?:\/\/([^/?#]*)/i.exec(request.url ?? '')?.[1] ?? request.headers.host;
  // HTTP/1.0 clients may send no Host; browsers, which rebinding needs, always do.
  if (host === undefined && request.httpVersion !== '1.0') {
    throw new ProblemError('malformed-request', 'There is no Host header.');
  }
  if (!peer.local) requireToken(request, peer);
  else if (host !== undefined && !isHostAllowed(host, hostNames)) {
    throw new ProblemError('host-not-allowed', 'The request was meant for another host than this one.');
  }
}

/**
 * Throws the problem with which a request is refused that may not change anything: that takes root on the Unix socket,
 * or a token of the role `control`. Reading over loopback takes neither, so a page in a browser could ask for it.
 */
export function requireController(request: IncomingMessage, peer: Peer): void {
  if (peer.transport === 'unix') {
    if (peer.credentials?.uid === 0 || peer.token?.role === 'control') return;
    const who = peer.credentials === null ? 'it is not known who asks' : `uid ${peer.credentials.uid} is not root`;
    throw new ProblemError('control-not-permitted', `Only root may change anything over the Unix socket: ${who}.`);
  }
  if (peer.token?.role === 'control') return;
  if (peer.token !== null) {
    throw new ProblemError('control-not-permitted', `The token ${peer.token.name} may read, not change anything.`);
  }
  throw tokenProblem(request, 'Changing anything takes the Unix socket as root, or a bearer token.');
}
