/*
 * Calls of one constant rate and size, whose content alone says whose they are.
 *   speak noise|beats HOST PORT COUNT SECONDS         on TCP and UDP: talks for so long with whoever calls one of the ports
 *   held tcp|udp NEAR FAR PORT CALLS SECONDS          passes on between the two what each says, after some time
 *   own tcp|udp NEAR FAR PORT CALLS SECONDS           talks with both itself
 *   mixed tcp|udp NEAR FAR PORT CALLS SECONDS         the first call is its own, the others it passes on
 *   beats tcp|udp NEAR FAR PORT CALLS SECONDS         sends both the heartbeats that it hears from them, made by itself
 */
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { connect, createServer, isIPv6 } from 'node:net';

const EVERY_MS = 20;
const BYTES = 160;
const HELD_MS = 300;

const [, , what = '', ...rest] = process.argv;

interface Line {
  send(data: Buffer): void;
  heard(listener: (data: Buffer) => void): void;
}

type Say = () => Buffer;

function noise(): Buffer {
  return randomBytes(BYTES);
}

/** All of one program at one time say the same. */
function beat(): Buffer {
  const time = new Date(Math.floor(Date.now() / EVERY_MS) * EVERY_MS).toISOString();
  return Buffer.from(`{"kind":"heartbeat","version":"1.4.2","time":"${time}","status":"well"}\n`);
}

function talk(line: Line, seconds: number, say: Say): void {
  const end = Date.now() + 1000 * seconds;
  const timer = setInterval(() => {
    if (Date.now() < end) line.send(say());
    else clearInterval(timer);
  }, EVERY_MS);
}

function speakTcp(host: string, port: number, seconds: number, say: Say): void {
  const server = createServer((socket) => {
    socket.on('error', () => undefined).resume();
    talk({ send: (data) => socket.write(data), heard: () => undefined }, seconds, say);
  });
  server.listen(port, host);
}

function speakUdp(host: string, port: number, seconds: number, say: Say): void {
  const socket = createSocket(isIPv6(host) ? 'udp6' : 'udp4');
  socket.once('message', (_, from) => {
    talk({ send: (data) => socket.send(data, from.port, from.address), heard: () => undefined }, seconds, say);
  });
  socket.bind(port, host);
}

function openTcp(host: string, port: number): Line {
  const socket = connect({ host, port, noDelay: true }).on('error', () => undefined);
  return { send: (data) => socket.write(data), heard: (listener) => socket.on('data', listener) };
}

/** The kernel knows the peer of a connected socket, and learns that of another from each message. */
function openUdp(host: string, port: number, isConnected: boolean): Line {
  const socket = createSocket(isIPv6(host) ? 'udp6' : 'udp4').on('error', () => undefined);
  if (isConnected) socket.connect(port, host, () => socket.send('hello'));
  else socket.send('hello', port, host);
  return {
    send: (data) => (isConnected ? socket.send(data) : socket.send(data, port, host)),
    heard: (listener) => socket.on('message', listener),
  };
}

function hold(from: Line, to: Line): void {
  const queue: { data: Buffer; dueMs: number }[] = [];
  from.heard((data) => queue.push({ data, dueMs: Date.now() + HELD_MS }));
  setInterval(() => {
    for (let [first] = queue; first && first.dueMs <= Date.now(); [first] = queue) {
      to.send(first.data);
      queue.shift();
    }
  }, EVERY_MS);
}

if (what === 'speak') {
  const [kind, host = '', port, count, seconds] = rest;
  const say = kind === 'beats' ? beat : noise;
  for (let i = 0; i < Number(count); i++) {
    speakTcp(host, Number(port) + i, Number(seconds), say);
    speakUdp(host, Number(port) + i, Number(seconds), say);
  }
} else {
  const [protocol, near = '', far = '', port, calls, seconds] = rest;
  for (let i = 0; i < Number(calls); i++) {
    const open = (host: string, isConnected: boolean): Line =>
      protocol === 'tcp' ? openTcp(host, Number(port) + i) : openUdp(host, Number(port) + i, isConnected);
    const [one, other] = [open(near, true), open(far, false)];
    if (what === 'held' || (what === 'mixed' && i > 0)) {
      hold(one, other);
      hold(other, one);
      continue;
    }
    for (const line of [one, other]) {
      line.heard(() => undefined);
      talk(line, Number(seconds), what === 'beats' ? beat : noise);
    }
  }
  setTimeout(() => process.exit(0), 1000 * (Number(seconds) + 1.5));
}
