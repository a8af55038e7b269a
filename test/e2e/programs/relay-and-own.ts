/*
 * A relay with a life of its own, and its peers. Each counts what it received in a file.
 *   sink PORT FILE                         receives
 *   source PORT                            sends to whoever connects
 *   relay PORT HOST NEXT OWN FILE          passes on what comes on PORT to HOST:NEXT, and downloads from HOST:OWN
 *   call HOST PORT                         sends
 */
import { renameSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';

/** 5 MB/s: as fast as it is to go without a cap, and still slow for the machine. */
const EVERY_MS = 10;
const PIECE: Buffer = Buffer.alloc(50_000, 'x');

const [, , what = '', ...rest] = process.argv;

function sendForever(socket: Socket): void {
  const timer = setInterval(() => {
    if (socket.writableLength < PIECE.length) socket.write(PIECE);
  }, EVERY_MS);
  socket.on('close', () => clearInterval(timer));
}

function count(file: string): (data: Buffer) => void {
  let total = 0;
  setInterval(() => {
    writeFileSync(`${file}.new`, String(total));
    renameSync(`${file}.new`, file); // whoever reads it finds a whole number
  }, 50);
  return (data) => {
    total += data.length;
  };
}

/** A cut connection is what some tests are about. */
function ignoreErrors(socket: Socket): Socket {
  return socket.on('error', () => undefined);
}

if (what === 'sink') {
  const counted = count(rest[1] ?? '');
  createServer((socket) => ignoreErrors(socket).on('data', counted)).listen(Number(rest[0]));
} else if (what === 'source') {
  createServer((socket) => sendForever(ignoreErrors(socket))).listen(Number(rest[0]));
} else if (what === 'relay') {
  const [port, host, next, own, file = ''] = rest;
  const counted = count(file);
  ignoreErrors(connect(Number(own), host)).on('data', counted);
  createServer((socket) => {
    ignoreErrors(socket).pipe(ignoreErrors(connect(Number(next), host)));
  }).listen(Number(port));
} else if (what === 'call') {
  sendForever(ignoreErrors(connect(Number(rest[1]), rest[0])));
}
