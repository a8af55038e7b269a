/**
 * A web application before its database, `web-app.ts LISTEN PORT DATABASE PORT ROW_BYTES PAGE_BYTES`: each request
 * takes a row over one of four kept connections and answers a page that is made from it.
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect, type Socket } from 'node:net';

const [host, port, database, databasePort, rowBytes, pageBytes] = process.argv.slice(2);
const row = Number(rowBytes);
const QUERY = Buffer.alloc(120, 'q');

async function connection(): Promise<Socket> {
  const socket = connect(Number(databasePort), database);
  await once(socket, 'connect');
  socket.setNoDelay();
  // As `tcp-server` understands it: an answer of `row` bytes to each query.
  socket.write(`${JSON.stringify({ up: QUERY.length, down: row, seconds: 0, rounds: 1e9 })}\n`);
  return socket;
}

async function ask(socket: Socket): Promise<Buffer> {
  socket.write(QUERY);
  const pieces: Buffer[] = [];
  for (let got = 0; got < row; ) {
    const [data] = (await once(socket, 'data')) as [Buffer];
    pieces.push(data);
    got += data.length;
  }
  return Buffer.concat(pieces);
}

const idle = await Promise.all(Array.from({ length: 4 }, connection));
createServer(async (_, response) => {
  const socket = idle.pop() ?? (await connection());
  const rows = await ask(socket);
  idle.push(socket);
  const page = Buffer.alloc(Number(pageBytes), '<p>static text of the page</p>\n');
  rows.copy(page, 100);
  response.end(page);
}).listen(Number(port), host);
