import { RL_SOCKET_RECORD_OFFSET, RL_SOCKET_RECORD_SIZE, type RlSocketRecord } from '../../bpf/layouts.ts';

export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_PACKET = 17;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
export const TCP = 6;
export const UDP = 17;
export const ESTABLISHED = 1;

/** Bytes of an address as the kernel has it: 16 of them, IPv4 in the first four. */
export function address(...bytes: number[]): Uint8Array {
  const padded = new Uint8Array(16);
  padded.set(bytes);
  return padded;
}

/** An established TCP connection over IPv4, unless it is told otherwise. */
export function makeSocketRecord(override: Partial<RlSocketRecord> = {}): RlSocketRecord {
  return {
    cookie: 0x1fn,
    inode: 4242,
    payload: [300, 200],
    pending: [
      { bytes: 0, packets: 0 },
      { bytes: 0, packets: 0 },
    ],
    owner: 1,
    ownerGeneration: 1,
    netns: 4_026_531_840,
    uid: 1000,
    family: AF_INET,
    protocol: TCP,
    localPort: 40_000,
    remotePort: 443,
    state: ESTABLISHED,
    claim: 3,
    scope: 2,
    type: SOCK_STREAM,
    ifindex: 0,
    flow: 0,
    localAddress: address(192, 0, 2, 1),
    remoteAddress: address(198, 51, 100, 7),
    ...override,
  };
}

/** `struct rl_socket_record`, field by field. */
export function encodeSocketRecord(record: RlSocketRecord): Buffer {
  const at = RL_SOCKET_RECORD_OFFSET;
  const bytes = Buffer.alloc(RL_SOCKET_RECORD_SIZE);
  bytes.writeBigUInt64LE(record.cookie, at.cookie);
  bytes.writeBigUInt64LE(BigInt(record.inode), at.inode);
  for (const [index, value] of record.payload.entries()) bytes.writeBigUInt64LE(BigInt(value), at.payload + 8 * index);
  for (const [index, { bytes: sum, packets }] of record.pending.entries()) {
    bytes.writeBigUInt64LE(BigInt(sum), at.pending + 16 * index);
    bytes.writeBigUInt64LE(BigInt(packets), at.pending + 16 * index + 8);
  }
  bytes.writeUInt32LE(record.owner, at.owner);
  bytes.writeUInt32LE(record.ownerGeneration, at.ownerGeneration);
  bytes.writeUInt32LE(record.netns, at.netns);
  bytes.writeUInt32LE(record.uid, at.uid);
  bytes.writeUInt16LE(record.family, at.family);
  bytes.writeUInt16LE(record.protocol, at.protocol);
  bytes.writeUInt16LE(record.localPort, at.localPort);
  bytes.writeUInt16LE(record.remotePort, at.remotePort);
  bytes.writeUInt8(record.state, at.state);
  bytes.writeUInt8(record.claim, at.claim);
  bytes.writeUInt8(record.scope, at.scope);
  bytes.writeUInt8(record.type, at.type);
  bytes.writeUInt32LE(record.ifindex, at.ifindex);
  bytes.writeBigUInt64LE(BigInt(record.flow), at.flow);
  bytes.set(record.localAddress, at.localAddress);
  bytes.set(record.remoteAddress, at.remoteAddress);
  return bytes;
}
