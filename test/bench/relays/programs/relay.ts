/**
 * A small relay for the cases that no packaged program makes on demand: `relay.ts KIND JSON`. One thread, one event
 * loop; its process is named bench-relay.
 */
import { createSocket, type RemoteInfo, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

type Address = [host: string, port: number];

interface Options {
  listen: Address;
  to: Address;
  /** Call i is passed on to port `to` + i % `ports`. */
  ports?: number;
  /** Every packet waits so long. */
  holdMs?: number;
  /** A call of this process's own, beside those it relays. */
  ownCall?: Address;
  /** Of each direction of each connection. */
  bytesPerSecond?: number;
}

async function bound([host, port]: Address): Promise<UdpSocket> {
  const socket = createSocket({ type: 'udp4', recvBufferSize: 1 << 21 });
  socket.on('error', () => undefined);
  socket.bind(port, host);
  await once(socket, 'listening');
  return socket;
}

/** One socket for all peers: callers on the one side, servers on the other. */
async function oneSocket({ listen, to, ports = 1 }: Options): Promise<void> {
  const [host, port] = to;
  const socket = await bound(listen);
  const serverOf = new Map<string, number>();
  const callerOf = new Map<number, RemoteInfo>();
  socket.on('message', (packet, from) => {
    if (from.address === host) {
      const caller = callerOf.get(from.port);
      if (caller !== undefined) socket.send(packet, caller.port, caller.address);
      return;
    }
    const key = `${from.address} ${from.port}`;
    const server = serverOf.get(key) ?? port + (serverOf.size % ports);
    serverOf.set(key, server);
    callerOf.set(server, from);
    socket.send(packet, server, host);
  });
}

/** A socket towards the server for each caller; optionally held, optionally with a call of its own in between. */
async function calls({ listen, to, ports = 1, holdMs = 0, ownCall }: Options): Promise<void> {
  const [host, port] = to;
  const socket = await bound(listen);
  const legs = new Map<string, Promise<UdpSocket>>();
  const later = (work: () => void): void => {
    if (holdMs === 0) work();
    else setTimeout(work, holdMs);
  };
  socket.on('message', async (packet, from) => {
    const key = `${from.address} ${from.port}`;
    const known = legs.get(key);
    const server = port + (legs.size % ports);
    const leg = known ?? bound(['0.0.0.0', 0]);
    if (known === undefined) {
      legs.set(key, leg);
      const opened = await leg;
      opened.connect(server, host);
      await once(opened, 'connect');
      opened.on('message', (answer) => later(() => socket.send(answer, from.port, from.address)));
    }
    const opened = await leg;
    later(() => {
      try {
        opened.send(packet);
      } catch {
        // Not connected yet: the caller speaks again in 20 ms.
      }
    });
  });
  if (ownCall !== undefined) await callSomebody(ownCall);
}

/** 50 packets of 160 bytes a second, as `call-server` understands them, until this process ends. */
async function callSomebody([host, port]: Address): Promise<void> {
  const socket = await bound(['0.0.0.0', 0]);
  let heard = 0;
  socket.on('message', (packet) => {
    heard += packet.length;
  });
  const packet = Buffer.alloc(160);
  packet.writeUInt32BE(0x52_4c_75_31, 0);
  packet.writeUInt16BE(50, 8);
  packet.writeUInt16BE(160, 10);
  packet.writeUInt16BE(160, 12);
  packet.writeUInt16BE(600, 14);
  const begin = performance.now();
  for (let n = 0; heard >= 0; n++) {
    await sleep(Math.max(0, begin + 20 * n - performance.now()));
    packet.writeUInt32BE(n, 20);
    socket.send(packet, port, host);
  }
}

/** Each packet goes to several. */
async function fanOut({ listen, to, ports = 1 }: Options): Promise<void> {
  const [host, port] = to;
  const socket = await bound(listen);
  socket.on('message', (packet, { address }) => {
    if (address === host) return;
    for (let i = 0; i < ports; i++) socket.send(packet, port + i, host);
  });
}

function acceptAt([host, port]: Address, serve: (socket: Socket) => void): void {
  createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
    socket.setNoDelay();
    socket.on('error', () => undefined);
    serve(socket);
  }).listen(port, host);
}

function dial([host, port]: Address): Socket {
  const socket = connect({ host, port, allowHalfOpen: true, noDelay: true });
  socket.on('error', () => undefined);
  return socket;
}

async function passSlowly(from: Socket, to: Socket, bytesPerSecond: number): Promise<void> {
  const sliceMs = 50;
  const slice = Math.max(1, Math.floor((bytesPerSecond * sliceMs) / 1000));
  for await (const data of from) {
    for (let offset = 0; offset < data.length; offset += slice) {
      const piece = (data as Buffer).subarray(offset, offset + slice);
      if (!to.write(piece)) await once(to, 'drain');
      await sleep((sliceMs * piece.length) / slice);
    }
  }
  to.end();
}

function rateLimited({ listen, to, bytesPerSecond = 1e6 }: Options): void {
  acceptAt(listen, (near) => {
    const far = dial(to);
    passSlowly(near, far, bytesPerSecond).catch(() => far.destroy());
    passSlowly(far, near, bytesPerSecond).catch(() => near.destroy());
  });
}

const FRAME_HEAD = 8;

function frame(id: number, data: Buffer): Buffer {
  const head = Buffer.alloc(FRAME_HEAD);
  head.writeUInt32BE(id, 0);
  head.writeUInt32BE(data.length, 4);
  return Buffer.concat([head, data]);
}

function onFrames(socket: Socket, take: (id: number, data: Buffer) => void): void {
  let rest = Buffer.alloc(0);
  socket.on('data', (data) => {
    rest = Buffer.concat([rest, data as Buffer]);
    while (rest.length >= FRAME_HEAD && rest.length >= FRAME_HEAD + rest.readUInt32BE(4)) {
      const end = FRAME_HEAD + rest.readUInt32BE(4);
      take(rest.readUInt32BE(0), rest.subarray(FRAME_HEAD, end));
      rest = rest.subarray(end);
    }
  });
}

/** All callers' connections in one; an empty frame ends one of them. */
function multiplex({ listen, to }: Options): void {
  const trunk = dial(to);
  const callers = new Map<number, Socket>();
  let count = 0;
  onFrames(trunk, (id, data) => {
    if (data.length === 0) callers.get(id)?.end();
    else callers.get(id)?.write(data);
  });
  acceptAt(listen, (caller) => {
    const id = count++;
    callers.set(id, caller);
    caller.on('data', (data) => trunk.write(frame(id, data as Buffer)));
    caller.on('end', () => trunk.write(frame(id, Buffer.alloc(0))));
    caller.resume();
  });
}

function demultiplex({ listen, to }: Options): void {
  acceptAt(listen, (trunk) => {
    const servers = new Map<number, Socket>();
    onFrames(trunk, (id, data) => {
      let server = servers.get(id);
      if (server === undefined) {
        server = dial(to);
        server.on('data', (answer) => trunk.write(frame(id, answer as Buffer)));
        server.on('end', () => trunk.write(frame(id, Buffer.alloc(0))));
        servers.set(id, server);
      }
      if (data.length === 0) server.end();
      else server.write(data);
    });
    trunk.resume();
  });
}

const KINDS: Readonly<Record<string, (options: Options) => void | Promise<void>>> = {
  oneSocket,
  calls,
  fanOut,
  rateLimited,
  multiplex,
  demultiplex,
};

const [kind = '', text = '{}'] = process.argv.slice(2);
process.title = 'bench-relay';
const run = KINDS[kind];
if (run === undefined) throw new Error(`there is no ${kind}: ${Object.keys(KINDS).join(', ')}`);
await run(JSON.parse(text) as Options);
