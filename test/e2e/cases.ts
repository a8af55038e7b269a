/** One row: programs that move bytes and tell how many (programs/*.c). */
export interface Case {
  title: string;
  /**
   * Started first, and alone until it is ready. Words may hold {server4}, {client6}, {port}, {serverMac} and so on:
   * addresses of the two hosts, and a port of the case's own.
   */
  server?: string[];
  /** Started one after another. */
  clients: string[][];
  /** How many processes tell their truth. */
  truths: number;
  /** All that is sent is received: the programs' own counts must say so. */
  balanced: boolean;
  /** Server and clients on one host, over loopback. */
  oneHost?: boolean;
  /** The first client waits in the middle until it is told to go on. */
  pauses?: boolean;
  /** How long it may take; 60. */
  seconds?: number;
}

interface StreamOptions {
  send?: string;
  receive?: string;
  chunk?: number;
  bytes?: number;
  /** Where the server listens and whom the client calls. */
  listen?: string;
  call?: string;
  more?: string[];
  oneHost?: boolean;
  /** The client moves 5,000 bytes each way, waits, and goes on; only what comes then counts, unless `countsAll`. */
  pauses?: boolean;
  countsAll?: boolean;
}

/** 200,000 bytes from the client, half closed, then 123,457 bytes back; both sides in the same ways. */
export function stream(title: string, options: StreamOptions = {}): Case {
  const { send = 'send', receive = 'recv', chunk = 10_007, bytes = 200_000, more = [], ...rest } = options;
  const { listen = '{server4}', call = listen, oneHost = false, pauses = false } = rest;
  const ways = ['--send', send, '--receive', receive, '--chunk', String(chunk), ...more];
  if (options.countsAll) ways.push('--count-all');
  const answer = String(Math.round(bytes * 0.617285));
  return {
    title,
    server: ['stream', 'serve', listen, '{port}', ...ways, '--bytes', answer, ...(pauses ? ['--warm'] : [])],
    clients: [
      ['stream', 'call', call, '{port}', ...ways, '--bytes', String(bytes), ...(pauses ? ['--pause', '{go}'] : [])],
    ],
    truths: 2,
    balanced: true,
    oneHost,
    pauses,
  };
}

interface DatagramOptions {
  send?: string;
  receive?: string;
  size?: number;
  count?: number;
  connected?: boolean;
  listen?: string;
  call?: string;
  clients?: number;
  oneHost?: boolean;
  pauses?: boolean;
  balanced?: boolean;
}

/** 50 datagrams each way, with hello and END. */
export function datagram(title: string, options: DatagramOptions = {}): Case {
  const { send = 'sendto', receive = 'recvfrom', size = 1000, count = 50, clients = 1, ...rest } = options;
  const { listen = '{server4}', call = listen, oneHost = false, pauses = false, balanced = true } = rest;
  const ways = ['--send', send, '--receive', receive, '--size', String(size), '--count', String(count)];
  if (options.connected) ways.push('--connected');
  const client = ['datagram', 'call', call, '{port}', ...ways, ...(pauses ? ['--pause', '{go}'] : [])];
  const callers = ['--callers', String(clients), ...(pauses ? ['--warm'] : [])];
  return {
    title,
    server: ['datagram', 'serve', listen, '{port}', ...ways, ...callers],
    clients: Array.from({ length: clients }, () => client),
    truths: clients + 1,
    balanced,
    oneHost,
    pauses,
  };
}

function ending(mode: string, title: string, balanced: boolean): Case {
  const end = ['{server4}', '{port}', '--mode', mode];
  return { title, server: ['endings', 'serve', ...end], clients: [['endings', 'call', ...end]], truths: 2, balanced };
}

/** A rare way of a stream's socket to a process; `truths` with the server's. */
function corner(mode: string, title: string, truths: number): Case {
  const end = ['{server4}', '{port}', '--mode', mode];
  return {
    title,
    server: ['corners', 'serve', ...end],
    clients: [['corners', 'call', ...end]],
    truths,
    balanced: true,
  };
}

function aloneInCorner(mode: string, title: string): Case {
  const clients = [['corners', 'alone', '{server4}', '{port}', '--mode', mode]];
  return { title, clients, truths: 1, balanced: false };
}

/** A program that needs no other; `to` is where it sends. */
function alone(mode: string, title: string, to = '{server4}'): Case {
  return { title, clients: [['endings', 'alone', to, '{port}', '--mode', mode]], truths: 1, balanced: false };
}

function raw(title: string, send: string, receive: string | undefined, six = false): Case {
  const [client, server] = six ? ['{client6}', '{server6}'] : ['{client4}', '{server4}'];
  const it: Case = {
    title,
    clients: [['raw', send, client, server, '--mac', '{serverMac}']],
    truths: receive === undefined ? 1 : 2,
    balanced: false,
  };
  return receive === undefined ? it : { ...it, server: ['raw', receive, server, client] };
}

/** Processes on the client's side that share, pass on or inherit a socket, against a plain server. */
function owners(mode: string, title: string, options: { connections?: number; truths: number; answer?: number }): Case {
  const { connections = 1, truths, answer = 20_000 } = options;
  return {
    title,
    server: ['stream', 'serve', '{server4}', '{port}', '--connections', String(connections), '--bytes', String(answer)],
    clients: [['owners', mode, '{server4}', '{port}']],
    truths: truths + 1,
    balanced: true,
  };
}

/** Processes on the server's side, against three plain clients. */
function handlers(mode: string, title: string, truths: number): Case {
  const client = ['stream', 'call', '{server4}', '{port}', '--bytes', '30000'];
  return {
    title,
    server: ['handlers', mode, '{server4}', '{port}', '3'],
    clients: [client, client, client],
    truths: truths + 3,
    balanced: true,
  };
}

const streamSenders = [
  'send',
  'sendto',
  'write',
  'writev',
  'pwritev2',
  'sendmsg',
  'sendmmsg',
  'sendfile',
  'splice',
  'vmsplice',
  'zerocopy',
  'aio',
  'uring-send',
  'uring-sendmsg',
  'uring-write',
  'uring-writev',
  'uring-zerocopy',
  'uring-splice',
  'uring-worker',
  'uring-sqpoll',
];

const streamReceivers = [
  'recv',
  'read',
  'readv',
  'preadv2',
  'recvfrom',
  'recvmsg',
  'recvmmsg',
  'splice',
  'waitall',
  'nonblocking',
  'aio',
  'uring-recv',
  'uring-recvmsg',
  'uring-read',
  'uring-splice',
  'uring-worker',
  'uring-sqpoll',
];

export const sending: Case[] = [
  ...streamSenders.map((send) => stream(`TCP sent by ${send}`, { send })),
  stream('TCP sent with MSG_MORE', { send: 'more' }),
  stream('TCP sent without blocking: partial writes count what they took, EAGAIN nothing', {
    send: 'nonblocking',
    chunk: 150_000,
  }),
  stream('TCP sent from memory that ends too early: what was taken before the fault counts', {
    send: 'fault',
    chunk: 150_000,
  }),
  stream('TCP sent in calls of one megabyte', { chunk: 1 << 20, bytes: 3_000_000 }),
  stream('TCP sent in calls of one byte', { chunk: 1, bytes: 2_000 }),
];

export const receiving: Case[] = [
  ...streamReceivers.map((receive) => stream(`TCP received by ${receive}`, { receive })),
  stream('TCP peeked at and then received counts once', { receive: 'peek' }),
  stream('TCP peeked at and then spliced counts once', { receive: 'peek-splice' }),
  stream('TCP received and thrown away by MSG_TRUNC', { receive: 'discard' }),
  stream('TCP received in calls of some bytes', { receive: 'small', bytes: 20_000 }),
  stream('TCP received by another call each time counts each byte once', { receive: 'in-turn', send: 'splice' }),
  stream('TCP received by TCP_ZEROCOPY_RECEIVE, mapped pages', {
    receive: 'zerocopy',
    send: 'splice',
    chunk: 57_344,
    bytes: 1_000_000,
    listen: '127.0.0.1',
    oneHost: true,
    more: ['--window', '3000'],
  }),
  stream('TCP received by TCP_ZEROCOPY_RECEIVE, copied', { receive: 'zerocopy', chunk: 150_000 }),
];

export const endings: Case[] = [
  aloneInCorner('corked', 'UDP pieces count as they are given, also those that are never sent off'),
  aloneInCorner('peers', 'UDP that is connected, connected elsewhere, and to nobody'),
  ending('broken-pipe', 'TCP sends that fail with ECONNRESET and EPIPE count nothing', true),
  ending('unread', 'TCP data that was there but unread at close is received by nobody', false),
  ending('server-closes-first', 'TCP goes on in one direction after the other was closed', true),
  ending('shutdown-read', 'TCP read after shutdown(SHUT_RD) counts what was queued', true),
  ending('urgent', 'the urgent byte counts where recv(MSG_OOB) takes it', true),
  ending('urgent-inline', 'the urgent byte counts in line', true),
  ending('urgent-skipped', 'the urgent byte that nobody takes is received by nobody', false),
  ending('urgent-often', 'urgent bytes that nobody takes and others come after are received by nobody', false),
  ending('timeout', 'MSG_WAITALL that times out counts what it got, a timeout without data nothing', true),
  ending('fault-receive', 'a receive that fails with EFAULT counts nothing, the next one all', true),
  ending('peek-only', 'who only peeks receives nothing', false),
  ending('peek-offset', 'peeking with SO_PEEK_OFF counts nothing', true),
  ending('aborted', 'what was sent before an abort counts', false),
  ending('no-data', 'a connection without data counts nothing', true),
  alone('refused', 'a refused connection counts nothing'),
  alone('udp-refused', 'UDP sends that fail with ECONNREFUSED count nothing'),
  alone('udp-error-queue', 'what the error queue hands back is not received'),
  alone('udp-too-large', 'UDP sends that fail with EMSGSIZE or EFAULT count nothing'),
  alone(
    'udp-self',
    'a UDP socket that sends to itself counts both, and a receive that fails with EFAULT nothing',
    '{client4}',
  ),
  alone('tcp-self', 'a TCP socket connected to itself counts both', '{client4}'),
  alone('tcp-self', 'a TCP socket connected to itself over IPv6 counts both', '::1'),
  alone(
    'listen-again',
    'a socket that was connected and listens then passes nothing on to what it accepts',
    '{client4}',
  ),
  alone('multicast-loop', 'a datagram to a group the host is in itself comes back to it', '{client4}'),
  alone('not-network', 'Unix sockets and netlink count nothing'),
  {
    title: 'TCP fast open: the data in the SYN counts',
    server: ['stream', 'serve', '{server4}', '{port}'],
    clients: [['endings', 'alone', '{server4}', '{port}', '--mode', 'fast-open']],
    truths: 2,
    balanced: true,
  },
];

const datagramSenders = ['sendto', 'sendmsg', 'sendmmsg', 'gso', 'gso-message', 'more', 'zerocopy', 'uring-sendmsg'];
const connectedSenders = [...datagramSenders, 'write', 'writev', 'splice', 'uring-send'];
const datagramReceivers = [
  'recvfrom',
  'recv',
  'read',
  'readv',
  'recvmsg',
  'recvmmsg',
  'splice',
  'nonblocking',
  'uring-recv',
  'uring-recvmsg',
];

export const datagrams: Case[] = [
  ...datagramSenders.map((send) => datagram(`UDP sent by ${send}`, { send })),
  ...connectedSenders.map((send) => datagram(`UDP sent by ${send} on a connected socket`, { send, connected: true })),
  ...datagramReceivers.map((receive) => datagram(`UDP received by ${receive}`, { receive })),
  datagram('UDP received with UDP_GRO', { receive: 'gro', send: 'gso' }),
  datagram('UDP peeked at and then received counts once', { receive: 'peek' }),
  datagram('UDP received into a short buffer counts what was copied', { receive: 'short', balanced: false }),
  datagram('UDP received into a short buffer with MSG_TRUNC counts what the call returned', { receive: 'trunc' }),
  datagram('UDP with three peers on one socket', { clients: 3 }),
  datagram('UDP in fragments', { size: 8000 }),
  datagram('UDP in fragments made by MSG_MORE', { size: 8000, send: 'more' }),
  datagram('UDP in fragments over IPv6', { size: 8000, listen: '{server6}' }),
  datagram('UDP of 65,507 bytes', { size: 65_507, count: 10 }),
];

export const protocols: Case[] = [
  stream('TCP over IPv6', { listen: '{server6}' }),
  stream('TCP over IPv6, spliced both ways', { listen: '{server6}', send: 'splice', receive: 'splice' }),
  stream('TCP from an IPv4 client to a dual-stack server', { listen: '::', call: '{server4}' }),
  stream('TCP between IPv6 sockets that speak IPv4', { listen: '::', call: '::ffff:{server4}' }),
  stream('TCP over loopback', { listen: '127.0.0.1', oneHost: true }),
  stream('TCP over IPv6 loopback', { listen: '::1', oneHost: true }),
  stream('TCP to the host’s own address', { listen: '{client4}', oneHost: true }),
  stream('MPTCP', { more: ['--mptcp'] }),
  stream('MPTCP over IPv6', { more: ['--mptcp'], listen: '{server6}' }),
  stream('MPTCP sent by splice and received by recvmsg', { more: ['--mptcp'], send: 'splice', receive: 'recvmsg' }),
  stream('MPTCP received by splice', { more: ['--mptcp'], receive: 'splice' }),
  stream('MPTCP peeked at and then received counts once', { more: ['--mptcp'], receive: 'peek' }),
  stream('kTLS', { more: ['--ktls'] }),
  stream('kTLS sent by sendfile and received by splice', { more: ['--ktls'], send: 'sendfile', receive: 'splice' }),
  datagram('UDP over IPv6', { listen: '{server6}' }),
  datagram('UDP over IPv6 on connected sockets', { listen: '{server6}', connected: true }),
  datagram('UDP from an IPv4 client to a dual-stack server', { listen: '::', call: '{server4}' }),
  datagram('UDP between IPv6 sockets that speak IPv4', { listen: '::', call: '::ffff:{server4}' }),
  datagram('UDP over loopback', { listen: '127.0.0.1', oneHost: true }),
  datagram('UDP over IPv6 loopback', { listen: '::1', oneHost: true }),
  raw('ICMP by a ping socket', 'ping', undefined),
  raw('ICMPv6 by a ping socket', 'ping', undefined, true),
  raw('ICMP by a raw socket counts the IP header it reads', 'ping-raw', undefined),
  raw('ICMPv6 by a raw socket', 'ping-raw', undefined, true),
  raw('raw IP', 'ip-send', 'ip-receive'),
  raw('raw IPv6', 'ip-send', 'ip-receive', true),
  raw('raw IP with a header of its own making', 'ip-header-send', 'ip-receive'),
  raw('raw IP with the number of TCP', 'tcp-send', 'tcp-receive'),
  raw('raw IPv6 with the number of TCP', 'tcp-send', 'tcp-receive', true),
  raw('AF_PACKET frames', 'packet-send', 'packet-receive'),
  raw('AF_PACKET frames out of a mapped ring', 'packet-ring-send', 'packet-receive'),
  raw('AF_PACKET frames with IP in them, received by a UDP socket', 'packet-ip-send', 'udp-receive'),
];

export const ownership: Case[] = [
  owners('fork', 'parent and child share a connection: each is charged its own', { truths: 2 }),
  owners('opened-by-parent', 'opened by one process, used only by another', { truths: 2 }),
  owners('daemon', 'opened before a daemon forks twice and its parents end', { truths: 2 }),
  owners('exec', 'a connection kept over exec: the same process under its new name', { truths: 1 }),
  owners('setuid', 'a process that changes its user keeps its counts', { truths: 1 }),
  owners('threads', 'threads with names of their own count for their process', { truths: 1, connections: 4 }),
  owners('leader-exits', 'a thread that outlives the leading thread counts for their process', { truths: 1 }),
  owners('pid-namespace', 'processes in a pid namespace stand under the host’s pids', { truths: 2, connections: 2 }),
  corner('shared', 'a process that shares its descriptors with another sends on their socket', 3),
  corner('in-flight', 'a socket that is on its way to another process when its only owner ends', 3),
  corner('moved', 'a process that leaves the network namespace of its socket', 2),
  owners('pid-reuse', 'two processes with the same pid, one after the other, are two', { truths: 2, connections: 2 }),
  owners('crowded', 'more busy threads than places for their records', { truths: 12, connections: 12 }),
  owners('brief', 'a process that lives some milliseconds', { truths: 1, answer: 0 }),
  owners('rename', 'a process that renames itself', { truths: 1 }),
  owners('pidfd', 'a connection taken from another process by pidfd_getfd', { truths: 2 }),
  owners('killed', 'a process that is killed', { truths: 1, answer: 0 }),
  owners('two-namespaces', 'a process with sockets in two network namespaces', { truths: 1 }),
  {
    title: 'parent and child share a UDP socket: each is charged its own',
    clients: [['owners', 'shared-datagrams', '{client4}', '{port}']],
    truths: 2,
    balanced: true,
  },
  handlers('prefork', 'connections accepted in workers, the listener made by their master', 4),
  handlers('inetd', 'connections accepted by the master, handled by its children', 4),
  handlers('inetd-exec', 'connections handed to another program as its standard input', 4),
  handlers('pass', 'connections passed to another process over a Unix socket', 2),
  handlers('reuseport', 'two processes on one port', 2),
];

/**
 * Sockets from before the accounting began. Those with a pause have moved bytes already, and only what comes later counts;
 * the others' servers listen, or wait in a receiving call.
 */
export const olderSockets: Case[] = [
  stream('TCP', { pauses: true }),
  stream('TCP over IPv6', { pauses: true, listen: '{server6}' }),
  stream('TCP received by splice', { pauses: true, receive: 'splice' }),
  stream('TCP received by another call each time', { pauses: true, receive: 'in-turn' }),
  stream('TCP over loopback', { pauses: true, listen: '127.0.0.1', oneHost: true }),
  stream('MPTCP', { pauses: true, more: ['--mptcp'] }),
  datagram('UDP', { pauses: true }),
  datagram('UDP on connected sockets', { pauses: true, connected: true }),
  datagram('UDP over IPv6', { pauses: true, listen: '{server6}' }),
  stream('TCP accepted by a server that listened before'),
  handlers('prefork', 'TCP accepted in workers that waited before, the listener made by their master', 4),
  datagram('UDP received by a server that waited before'),
  raw('raw IP received by a socket from before', 'ip-send', 'ip-receive'),
  raw('AF_PACKET frames received by a socket from before', 'packet-send', 'packet-receive'),
];

/** All that can run at any time. */
export const cases: Case[] = [...sending, ...receiving, ...endings, ...datagrams, ...protocols, ...ownership];
