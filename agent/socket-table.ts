import { RL_SOCKET_RECORD_SIZE, type RlSocketRecord, readRlSocketRecord } from '../bpf/layouts.ts';
import { AF_INET, AF_INET6, AF_PACKET, formatAddress } from './addresses.ts';
import { SCOPES } from './counters.ts';
import type { Flow, Protocol, Socket } from './readings.ts';

/** include/net/tcp_states.h, as ss names them. */
const TCP_STATES: Readonly<Record<number, string>> = {
  1: 'ESTAB',
  2: 'SYN-SENT',
  3: 'SYN-RECV',
  4: 'FIN-WAIT-1',
  5: 'FIN-WAIT-2',
  6: 'TIME-WAIT',
  7: 'UNCONN',
  8: 'CLOSE-WAIT',
  9: 'LAST-ACK',
  10: 'LISTEN',
  11: 'CLOSING',
  12: 'SYN-RECV',
};

const SOCK_RAW = 3;

/** IPPROTO_*; MPTCP has a number beyond the wire's. */
const PROTOCOL_NAMES: Readonly<Record<number, Socket['protocol']>> = {
  1: 'icmp',
  6: 'tcp',
  17: 'udp',
  58: 'icmp',
  136: 'udp',
  262: 'mptcp',
};

export interface SocketOwner {
  pid: number;
  startedAt: string | null;
  name: string;
  app: string;
}

/** @param dump what the `dump_sockets` iterator wrote */
export function decodeSockets(dump: Buffer): RlSocketRecord[] {
  const view = new DataView(dump.buffer, dump.byteOffset, dump.byteLength);
  const records: RlSocketRecord[] = [];
  for (let at = 0; at + RL_SOCKET_RECORD_SIZE <= dump.length; at += RL_SOCKET_RECORD_SIZE) {
    records.push(readRlSocketRecord(view, at));
  }
  return records;
}

export function toSocket(record: RlSocketRecord, owner: SocketOwner): Socket {
  const protocol = protocolOf(record);
  const isTcp = protocol === 'tcp' || protocol === 'mptcp';
  const connected = record.remotePort !== 0 || record.remoteAddress.some((byte) => byte !== 0);
  return {
    cookie: record.cookie.toString(16),
    ...owner,
    protocol,
    family: record.family === AF_INET ? 4 : record.family === AF_INET6 ? 6 : null,
    state: isTcp ? (TCP_STATES[record.state] ?? `state ${record.state}`) : connected ? 'ESTAB' : 'UNCONN',
    localAddress: formatAddress(record.family, record.localAddress),
    localPort: record.localPort,
    remoteAddress: connected ? formatAddress(record.family, record.remoteAddress) : null,
    remotePort: connected ? record.remotePort : null,
    inode: record.inode || null,
    netns: record.netns,
    uid: record.uid,
    scope: connected ? (SCOPES[record.scope] ?? null) : null,
    payload: { receivedBytes: record.payload[0] ?? 0, sentBytes: record.payload[1] ?? 0 },
  };
}

/** undefined where the socket has no peer. */
export function toFlow(socket: Socket): Flow | undefined {
  const { remoteAddress, remotePort, scope, protocol } = socket;
  if (remoteAddress === null || remotePort === null || scope === null) return undefined;
  const transport: Protocol = protocol === 'tcp' || protocol === 'mptcp' ? 'tcp' : protocol === 'udp' ? 'udp' : 'other';
  const { cookie, pid, startedAt, name, app, localAddress, localPort, payload } = socket;
  const ends = { localAddress, localPort, remoteAddress, remotePort };
  return { cookie, pid, startedAt, name, app, protocol: transport, ...ends, scope, payload, lastActiveAt: null };
}

function protocolOf({ family, protocol, type }: RlSocketRecord): Socket['protocol'] {
  if (family === AF_PACKET) return 'packet';
  return type === SOCK_RAW ? 'raw' : (PROTOCOL_NAMES[protocol] ?? 'other');
}
