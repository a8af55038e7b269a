import { once } from 'node:events';
import { access, stat, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createServer as createNetServer } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { parseListenAddress } from '../../api/listen.ts';
import { parseTokens } from '../../api/tokens.ts';
import { ask, listenEverywhere, makeFolder, runCli, startServer } from './fixture.ts';

t.test('an address is HOST:PORT and nothing else', async (t) => {
  t.strictSame(parseListenAddress('127.0.0.1:9745'), { host: '127.0.0.1', port: 9745 });
  t.strictSame(parseListenAddress('localhost:0'), { host: 'localhost', port: 0 });
  t.strictSame(parseListenAddress('[::1]:80'), { host: '::1', port: 80 });
  for (const wrong of [
    '',
    '9745',
    ':9745',
    'localhost',
    'localhost:',
    'localhost:x',
    '::1:80',
    '[::1]',
    'a:65536',
    'a:-1',
  ]) {
    t.throws(() => parseListenAddress(wrong), { code: 'listen-address-invalid', message: /HOST:PORT/ }, wrong);
  }
});

t.test('one router answers on TCP and on the Unix socket', async (t) => {
  const { url, socketPath, listening } = await listenEverywhere(t);
  t.match(url, /^http:\/\/127\.0\.0\.1:[0-9]+$/);
  t.equal(listening.socketPath, socketPath);
  for (const where of [{ url }, { socketPath }]) {
    const answer = await ask(where, '/v1/processes');
    t.equal(answer.status, 200);
    t.match(JSON.parse(answer.text), { processes: [{ pid: 4711 }, { pid: 0 }] });
  }
});

t.test('several addresses at once, IPv6 and names among them', async (t) => {
  const server = startServer(t);
  const { urls, socketPath } = await server.listen({ tcp: ['127.0.0.1:0', '127.0.0.2:0', 'localhost:0'] });
  t.ok(urls.length >= 3);
  t.equal(socketPath, null);
  for (const url of urls) t.equal((await ask({ url }, '/healthz')).status, 200, url);
});

t.test('only root and its group may use the socket, whatever the umask', async (t) => {
  const umask = process.umask(0);
  t.teardown(() => process.umask(umask));
  const { socketPath } = await listenEverywhere(t);
  const { mode } = await stat(socketPath);
  t.equal(mode & 0o777, 0o660);
  t.equal(process.umask(), 0, 'the umask is what it was');
});

t.test('the folder of the socket is made', async (t) => {
  const socketPath = join(await makeFolder(t), 'run', 'relayledger', 'api.sock');
  const server = startServer(t);
  await server.listen({ socketPath });
  t.equal((await ask({ socketPath }, '/healthz')).status, 200);
});

t.test('a folder that can’t be made is refused', async (t) => {
  const places: [title: string, socketPath: string, message: RegExp][] = [
    ['a file is in its place', join(import.meta.filename, 'api.sock'), /EEXIST|ENOTDIR/],
    ['the kernel says that the parent is missing, which is there', '/proc/relayledger/run/api.sock', /ENOENT/],
  ];
  for (const [title, socketPath, message] of places) {
    await t.rejects(startServer(t).listen({ socketPath }), { code: 'listen-failed', message }, title);
  }
});

t.test('the socket file of an agent that was killed is replaced', async (t) => {
  const socketPath = join(await makeFolder(t), 'api.sock');
  const abandon = `
    require('node:net').createServer().listen(${JSON.stringify(socketPath)}, () => process.kill(process.pid, 'SIGKILL'));
  `;
  const { spawn } = await import('node:child_process');
  await once(spawn(process.execPath, ['-e', abandon]), 'close');
  t.ok((await stat(socketPath)).isSocket(), 'the file is still there');
  const server = startServer(t);
  await server.listen({ socketPath });
  t.equal((await ask({ socketPath }, '/healthz')).status, 200);
});

t.test('a second agent on the same socket is told so and disturbs nothing', async (t) => {
  const { socketPath } = await listenEverywhere(t);
  const second = startServer(t);
  await t.rejects(second.listen({ socketPath, tcp: ['127.0.0.1:0'] }), {
    code: 'agent-already-running',
    message: /another agent answers on .*api\.sock/,
  });
  t.equal((await ask({ socketPath }, '/healthz')).status, 200);
});

t.test('a file that is no socket is left alone', async (t) => {
  const folder = await makeFolder(t);
  const path = join(folder, 'precious');
  await writeFile(path, 'data');
  await symlink(path, join(folder, 'link'));
  for (const socketPath of [path, join(folder, 'link')]) {
    await t.rejects(startServer(t).listen({ socketPath }), { code: 'socket-path-taken', message: /is not a socket/ });
  }
  await access(path);
});

t.test('a port that is taken is an error that says so, and nothing else stays open', async (t) => {
  const other = createNetServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  t.teardown(() => other.close());
  const { port } = other.address() as AddressInfo;
  const socketPath = join(await makeFolder(t), 'api.sock');
  const server = startServer(t);
  await t.rejects(server.listen({ tcp: [`127.0.0.1:${port}`], socketPath }), {
    code: 'listen-failed',
    message: /another program listens there.*--listen/,
  });
  await t.rejects(access(socketPath), { code: 'ENOENT' });
});

t.test('addresses that others reach need a token file', async (t) => {
  for (const address of ['0.0.0.0:0', '[::]:0', '192.0.2.1:0']) {
    await t.rejects(
      startServer(t).listen({ tcp: ['127.0.0.1:0', address] }),
      { code: 'token-file-required', message: /--token-file PATH/ },
      address,
    );
  }
  // With tokens the address is tried; this one is reserved for documentation and belongs to no host.
  const tokens = parseTokens('prometheus read 0123456789abcdef');
  await t.rejects(startServer(t, { tokens }).listen({ tcp: ['192.0.2.1:0'] }), { code: 'listen-failed' });
});

t.test('a host name that does not exist is an error that says so', async (t) => {
  await t.rejects(startServer(t).listen({ tcp: ['no-such-host.invalid:0'] }), {
    code: 'listen-address-invalid',
    message: /name is not known/,
  });
});

t.test('closing ends it all: no socket file, no port, no connection', async (t) => {
  const { url, socketPath, server } = await listenEverywhere(t);
  await server.close();
  await t.rejects(access(socketPath), { code: 'ENOENT' });
  await t.rejects(ask({ url }, '/healthz'), { code: 'ECONNREFUSED' });
  await server.close();
});

t.test('a request that is being answered when the agent stops is answered', async (t) => {
  const server = startServer(t);
  const { promise: mayAnswer, resolve: answer } = Promise.withResolvers<void>();
  const { promise: arrived, resolve: arrive } = Promise.withResolvers<void>();
  server.app.get('/test-slow', async () => {
    arrive();
    await mayAnswer;
    return { done: true };
  });
  const { urls } = await server.listen({ tcp: ['127.0.0.1:0'] });
  const asked = ask({ url: urls[0] ?? '' }, '/test-slow');
  await arrived;
  const closed = server.close();
  t.match((await server.app.inject('/v1/status')).json(), { code: 'shutting-down', status: 503 });
  answer();
  t.strictSame(JSON.parse((await asked).text), { done: true });
  await closed;
});

t.test('a client of the command line finds out that what answers is no agent', async (t) => {
  const socketPath = join(await makeFolder(t), 'api.sock');
  const other = createServer((_request, response) => response.end('<html>')).listen(socketPath);
  await once(other, 'listening');
  t.teardown(() => other.close());
  const result = await runCli(['ps', '--socket', socketPath]);
  t.equal(result.exitCode, 1);
  t.match(result.stderr, /not an agent/);
});
