import { randomBytes } from 'node:crypto';
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { tally } from './tally.ts';
import { openTurnChannel } from './turn.ts';

/** How a call sounds. In every packet, so that the server can speak the same way. */
interface Voice {
  packetsPerSecond: number;
  /** Of a packet, from and to. */
  size: [number, number];
  seconds: number;
  /** `one-way`: the server only listens. */
  mode?: 'call' | 'one-way';
}

export interface CallServerOptions {
  address: string;
  port: number;
  /** Ports from `port` on; default 1. */
  ports?: number;
}

export interface CallClientOptions extends Voice {
  to: [string, number];
  calls: number;
  /** Call i goes to port `to` + i % `ports`; default 1. */
  ports?: number;
  /** Speaks as all of its host's addresses in turn, from 198.51.100.2 or whatever `from` is, and up. */
  from?: string;
  /** The peer to reach through a TURN server at `to`. */
  turnPeer?: [string, number];
}

const MAGIC = 0x52_4c_75_31;
const HEADER = 24;
const LINGER_MS = 700;
const DATA = randomBytes(1 << 16);

/** Speaks at an even pace; what is late is made up for. */
async function speak(voice: Voice, call: number, send: (packet: Buffer) => void): Promise<void> {
  const { packetsPerSecond, size, seconds, mode } = voice;
  const [low, high] = size;
  const begin = performance.now();
  for (let n = 0; n < packetsPerSecond * seconds; n++) {
    const wait = begin + (1000 * n) / packetsPerSecond - performance.now();
    if (wait > 0) await sleep(wait);
    const length = low + Math.floor(Math.random() * (high - low + 1));
    const offset = Math.floor(Math.random() * 32_768);
    const packet = Buffer.from(DATA.subarray(offset, offset + Math.max(length, HEADER)));
    packet.writeUInt32BE(MAGIC, 0);
    packet.writeUInt32BE(call, 4);
    packet.writeUInt16BE(packetsPerSecond, 8);
    packet.writeUInt16BE(low, 10);
    packet.writeUInt16BE(high, 12);
    packet.writeUInt16BE(Math.round(10 * seconds), 14);
    packet.writeUInt8(mode === 'one-way' ? 1 : 0, 16);
    send(packet);
    tally.sent(packet.length);
  }
}

async function bound(port: number, address: string): Promise<Socket> {
  const socket = createSocket({ type: 'udp4', recvBufferSize: 1 << 21 });
  socket.on('error', () => undefined);
  socket.bind(port, address);
  await once(socket, 'listening');
  return socket;
}

export async function callServer({ address, port, ports = 1 }: CallServerOptions): Promise<void> {
  for (let i = 0; i < ports; i++) {
    const socket = await bound(port + i, address);
    const known = new Set<string>();
    socket.on('message', (packet: Buffer, from: RemoteInfo) => {
      if (packet.length < HEADER || packet.readUInt32BE(0) !== MAGIC) return;
      tally.received(packet.length);
      const call = packet.readUInt32BE(4);
      const key = `${call} ${from.address} ${from.port}`;
      if (known.has(key)) return;
      known.add(key);
      if (packet.readUInt8(16) === 1) return;
      const voice: Voice = {
        packetsPerSecond: packet.readUInt16BE(8),
        size: [packet.readUInt16BE(10), packet.readUInt16BE(12)],
        seconds: packet.readUInt16BE(14) / 10,
      };
      void speak(voice, call, (answer) => socket.send(answer, from.port, from.address));
    });
  }
}

export async function callClient(options: CallClientOptions): Promise<void> {
  const { to, calls, ports = 1, from = '0.0.0.0', turnPeer } = options;
  const [host, port] = to;
  const dot = from.lastIndexOf('.') + 1;
  await Promise.all(
    Array.from({ length: calls }, async (_, call) => {
      const last = Number(from.slice(dot));
      const local = last === 0 ? from : `${from.slice(0, dot)}${last + (call % 8)}`;
      const socket = await bound(0, local);
      const wrap = turnPeer && (await openTurnChannel(socket, to, turnPeer));
      const overhead = wrap === undefined ? 0 : 4;
      socket.on('message', (packet: Buffer) => {
        if (packet.length >= overhead + HEADER) tally.received(packet.length - overhead);
      });
      // Not all in the same instant.
      await sleep(20 * (call / calls));
      await speak(options, call, (packet) => socket.send(wrap?.(packet) ?? packet, port + (call % ports), host));
    }),
  );
  await sleep(LINGER_MS);
}

/** Asks for the address of a name, at an even pace. */
export async function dnsClient(options: { to: [string, number]; perSecond: number; seconds: number }): Promise<void> {
  const socket = await bound(0, '0.0.0.0');
  socket.on('message', (packet: Buffer) => tally.received(packet.length));
  const [host, port] = options.to;
  const begin = performance.now();
  for (let n = 0; n < options.perSecond * options.seconds; n++) {
    const wait = begin + (1000 * n) / options.perSecond - performance.now();
    if (wait > 0) await sleep(wait);
    const name = [`host-${n % 500}`, 'example', 'test'].flatMap((label) => [label.length, ...Buffer.from(label)]);
    const packet = Buffer.from([n >> 8, n & 255, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, ...name, 0, 0, 1, 0, 1]);
    socket.send(packet, port, host);
    tally.sent(packet.length);
  }
  await sleep(LINGER_MS);
}
