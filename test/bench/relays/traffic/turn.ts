import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:dgram';
import { once } from 'node:events';

const COOKIE = 0x21_12_a4_42;
const CHANNEL = 0x4000;
const ALLOCATE = 0x003;
const CHANNEL_BIND = 0x009;
const REQUESTED_TRANSPORT = 0x019;
const CHANNEL_NUMBER = 0x00c;
const XOR_PEER_ADDRESS = 0x012;
const SUCCESS = 0x100;

function attribute(type: number, value: number[]): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt16BE(type, 0);
  head.writeUInt16BE(value.length, 2);
  return Buffer.concat([head, Buffer.from(value)]);
}

/**
 * An allocation on a TURN server without authentication and one channel to a peer (RFC 5766).
 * @returns what wraps a packet for the peer; what comes back has the same four bytes in front
 */
export async function openTurnChannel(
  socket: Socket,
  [host, port]: [string, number],
  [peer, peerPort]: [string, number],
): Promise<(packet: Buffer) => Buffer> {
  const ask = async (method: number, ...attributes: Buffer[]): Promise<void> => {
    const body = Buffer.concat(attributes);
    const head = Buffer.alloc(8);
    head.writeUInt16BE(method, 0);
    head.writeUInt16BE(body.length, 2);
    head.writeUInt32BE(COOKIE, 4);
    socket.send(Buffer.concat([head, randomBytes(12), body]), port, host);
    const [answer] = (await once(socket, 'message', { signal: AbortSignal.timeout(5000) })) as [Buffer];
    if (answer.readUInt16BE(0) !== (method | SUCCESS)) throw new Error(`TURN refused ${method}`);
  };
  const udp = 17;
  await ask(ALLOCATE, attribute(REQUESTED_TRANSPORT, [udp, 0, 0, 0]));
  const masked = peer.split('.').map((byte, i) => Number(byte) ^ ((COOKIE >>> (24 - 8 * i)) & 255));
  const maskedPort = peerPort ^ (COOKIE >>> 16);
  await ask(
    CHANNEL_BIND,
    attribute(CHANNEL_NUMBER, [CHANNEL >> 8, CHANNEL & 255, 0, 0]),
    attribute(XOR_PEER_ADDRESS, [0, 1, maskedPort >> 8, maskedPort & 255, ...masked]),
  );
  return (packet) => {
    const head = Buffer.alloc(4);
    head.writeUInt16BE(CHANNEL, 0);
    head.writeUInt16BE(packet.length, 2);
    return Buffer.concat([head, packet]);
  };
}
