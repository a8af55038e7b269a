import { type Case, cases, datagram, stream } from './cases.ts';

/* Cases of cases.ts and others like them, by whose the packets are. */

export function named(title: string): Case {
  const found = cases.find((it) => it.title === title);
  if (found === undefined) throw new Error(`no case "${title}"`);
  return found;
}

/** Every packet belongs to a process: its socket's owner, the listener's included. */
export const ownedByProcesses: Case[] = [
  stream('TCP'),
  stream('TCP over IPv6', { listen: '{server6}' }),
  stream('TCP, 3 MB', { bytes: 3_000_000, chunk: 100_000 }),
  stream('TCP, spliced', { send: 'splice', receive: 'splice' }),
  stream('TCP, calls of one byte', { bytes: 500, chunk: 1 }),
  stream('TCP whose packets get lost', { more: ['--lossy'], bytes: 300_000 }),
  stream('TCP over loopback', { listen: '127.0.0.1', oneHost: true }),
  stream('TCP over IPv6 loopback', { listen: '::1', oneHost: true }),
  stream('TCP over loopback, 3 MB', { listen: '127.0.0.1', oneHost: true, bytes: 3_000_000, chunk: 200_000 }),
  stream('TCP over IPv6 loopback, 3 MB', { listen: '::1', oneHost: true, bytes: 3_000_000, chunk: 200_000 }),
  // Four connections to four servers, one after the other: the kernel gives a later one the memory of an earlier one.
  stream('MPTCP', { more: ['--mptcp'] }),
  stream('MPTCP, 3 MB', { more: ['--mptcp'], bytes: 3_000_000, chunk: 100_000 }),
  datagram('UDP'),
  datagram('UDP over IPv6', { listen: '{server6}' }),
  datagram('UDP sent by GSO', { send: 'gso' }),
  datagram('UDP sent by GSO over IPv6', { send: 'gso', listen: '{server6}' }),
  datagram('UDP over loopback', { listen: '127.0.0.1', oneHost: true }),
  datagram('UDP in fragments', { size: 8000 }),
  datagram('UDP in fragments over IPv6', { size: 8000, listen: '{server6}' }),
  datagram('UDP of 65,507 bytes', { size: 65_507, count: 10 }),
  datagram('UDP in fragments, the last one of a length that the others can’t have', { size: 1480 + 1478 - 8 }),
  stream('MPTCP, spliced', { more: ['--mptcp'], send: 'splice' }),
  named('raw IP'),
  named('raw IPv6'),
  named('raw IP with a header of its own making'),
  named('parent and child share a connection: each is charged its own'),
  named('opened before a daemon forks twice and its parents end'),
  named('connections accepted in workers, the listener made by their master'),
  named('connections passed to another process over a Unix socket'),
  stream('MPTCP, calls of one byte', { more: ['--mptcp'], bytes: 500, chunk: 1 }),
];

/** Some packets have no process: answers of the kernel itself, frames past the IP layer. */
export const ownedByTheKernelToo: Case[] = [
  named('a refused connection counts nothing'),
  named('UDP sends that fail with ECONNREFUSED count nothing'),
  named('TCP sends that fail with ECONNRESET and EPIPE count nothing'),
  named('what was sent before an abort counts'),
  named('ICMP by a ping socket'),
  named('ICMPv6 by a ping socket'),
  named('ICMP by a raw socket counts the IP header it reads'),
  named('AF_PACKET frames'),
  named('AF_PACKET frames with IP in them, received by a UDP socket'),
  named('TCP fast open: the data in the SYN counts'),
];

/** Run where super-packets cross the link as one. */
export const superPackets: Case[] = [
  stream('TCP', { bytes: 3_000_000, chunk: 200_000 }),
  stream('TCP over IPv6', { bytes: 3_000_000, chunk: 200_000, listen: '{server6}' }),
  stream('TCP, spliced', { bytes: 3_000_000, chunk: 57_344, send: 'splice', receive: 'splice' }),
  datagram('UDP sent by GSO', { send: 'gso', size: 1400 }),
  datagram('UDP sent by GSO over IPv6', { send: 'gso', size: 1400, listen: '{server6}' }),
  datagram('UDP sent by GSO and received by GRO', { send: 'gso', receive: 'gro', size: 1400 }),
];
