import type { IncomingMessage } from 'node:http';
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
export function peerOf(request: IncomingMessage, transport: Peer['transport'], tokens: readonly Token[]): Peer {
  const presented = bearerToken(request.headers.authorization);
  const found = presented === undefined ? undefined : findToken(tokens, presented);
  return {
    transport,
    local: transport === 'unix' || isLoopbackAddress(request.socket.remoteAddress ?? ''),
    token: found === undefined ? null : { name: found.name, role: found.role },
  };
}

function requireToken(request: IncomingMessage, peer: Peer): void {
  const path = (request.url ?? '').split('?', 1)[0] ?? '';
  if (peer.token !== null || openPaths.has(path)) return;
  const challenge = 'Bearer realm="relayledger"';
  if (request.headers.authorization === undefined) {
    throw new ProblemError('token-required', 'Reading from another host needs a bearer token.', {
      headers: { 'www-authenticate': challenge },
    });
  }
  throw new ProblemError('token-invalid', 'The Authorization header holds no bearer token that is known.', {
    headers: { 'www-authenticate': `${challenge}, error="invalid_token"` },
  });
}

/** Throws the problem with which a request is refused that may not read, or was not meant for this host. */
export function requireReader(request: IncomingMessage, peer: Peer, hostNames: readonly string[]): void {
  if (peer.transport === 'unix') return;
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
