import {
  RL_SOCKET_RECORD_OFFSET as o,
  RL_SOCKET_RECORD_SIZE,
  type RlSocketRecord,
  readRlSocketRecord,
} from '../bpf/layouts.ts';
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
export function* socketRecords(dump: Buffer): Generator<RlSocketRecord, void, void> {
  const view = viewOf(dump);
  for (let at = 0; at < endOf(dump); at += RL_SOCKET_RECORD_SIZE) yield readRlSocketRecord(view, at);
}

/** Sockets by app and state, without making an object of each. Apps are as `appOf` names an owner's. */
export function countSockets(
  dump: Buffer,
  appOf: (owner: Pick<RlSocketRecord, 'owner' | 'ownerGeneration'>) => string,
): Map<string, Map<string, number>> {
  const view = viewOf(dump);
  const apps = new Map<string, Map<string, number>>();
  for (let at = 0; at < endOf(dump); at += RL_SOCKET_RECORD_SIZE) {
    const owner = view.getUint32(at + o.owner, true);
    const ownerGeneration = view.getUint32(at + o.ownerGeneration, true);
    const app = appOf({ owner, ownerGeneration });
    const states = apps.get(app) ?? new Map<string, number>();
    apps.set(app, states);
    const name = stateOf({
      family: view.getUint16(at + o.family, true),
      protocol: view.getUint16(at + o.protocol, true),
      type: view.getUint8(at + o.type),
      state: view.getUint8(at + o.state),
      connected: view.getUint16(at + o.remotePort, true) !== 0 || hasAddress(view, at + o.remoteAddress),
    });
    states.set(name, (states.get(name) ?? 0) + 1);
  }
  return apps;
}

export function toSocket(record: RlSocketRecord, owner: SocketOwner): Socket {
  const { family, protocol, type, state } = record;
  const connected = record.remotePort !== 0 || record.remoteAddress.some((byte) => byte !== 0);
  return {
    cookie: record.cookie.toString(16),
    ...owner,
    protocol: protocolOf(record),
    family: record.family === AF_INET ? 4 : record.family === AF_INET6 ? 6 : null,
    state: stateOf({ family, protocol, type, state, connected }),
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

type Kind = Pick<RlSocketRecord, 'family' | 'protocol' | 'type'>;

function stateOf({ state, connected, ...kind }: Kind & { state: number; connected: boolean }): string {
  const protocol = protocolOf(kind);
  if (protocol === 'tcp' || protocol === 'mptcp') return TCP_STATES[state] ?? `state ${state}`;
  return connected ? 'ESTAB' : 'UNCONN';
}

function protocolOf({ family, protocol, type }: Kind): Socket['protocol'] {
  if (family === AF_PACKET) return 'packet';
  return type === SOCK_RAW ? 'raw' : (PROTOCOL_NAMES[protocol] ?? 'other');
}

/** Of the last whole record. */
function endOf(dump: Buffer): number {
  return dump.length - (dump.length % RL_SOCKET_RECORD_SIZE);
}

function viewOf(dump: Buffer): DataView {
  return new DataView(dump.buffer, dump.byteOffset, dump.byteLength);
}

function hasAddress(view: DataView, at: number): boolean {
  return [0, 4, 8, 12].some((word) => view.getUint32(at + word, true) !== 0);
}
