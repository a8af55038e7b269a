import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { pino } from 'pino';
import type { Test } from 'tap';
import { makeFolders } from '../../agent/folders.ts';
import { runProgram } from '../../api/cli/program.ts';
import type { Terminal } from '../../api/cli/terminal.ts';
import type { Listening } from '../../api/listen.ts';
import type { ApiServer, ServerOptions } from '../../api/server.ts';
import { createServer } from '../../api/server.ts';
import { ControlHost } from '../agent/policies/control-host.ts';
import { makeReadings } from './readings.ts';

/** Where a log goes that a test looks into. */
export interface CapturedLog {
  logger: ServerOptions['logger'];
  lines(): Record<string, unknown>[];
}

export function captureLog(): CapturedLog {
  const stream = new PassThrough();
  let text = '';
  stream.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  return {
    logger: pino({ level: 'info' }, stream),
    lines: () =>
      text
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line)),
  };
}

/** A server over fake readings, closed when the test ends. */
export function startServer(t: Test, override: Partial<ServerOptions> = {}): ApiServer {
  const server = createServer({
    readings: makeReadings(),
    control: new ControlHost().control,
    logger: pino({ level: 'silent' }),
    version: '0.0.0-test',
    makeFolders,
    ...override,
  });
  t.teardown(() => server.close());
  return server;
}

/** A folder of the test's own, gone when it ends. */
export async function makeFolder(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'relayledger-test-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

export interface ListeningServer {
  server: ApiServer;
  listening: Listening;
  socketPath: string;
  url: string;
}

export async function listenEverywhere(t: Test, override: Partial<ServerOptions> = {}): Promise<ListeningServer> {
  const socketPath = join(await makeFolder(t), 'api.sock');
  const server = startServer(t, override);
  const listening = await server.listen({ tcp: ['127.0.0.1:0'], socketPath });
  return { server, listening, socketPath, url: listening.urls[0] ?? '' };
}

export interface Answer {
  status: number;
  headers: IncomingMessage['headers'];
  text: string;
}

export async function ask(
  where: { socketPath: string } | { url: string },
  path: string,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const options = { path, headers, agent: false };
  const sent = 'url' in where ? request(where.url, options) : request({ ...options, socketPath: where.socketPath });
  sent.end();
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  let text = '';
  for await (const chunk of response) text += chunk;
  return { status: response.statusCode ?? 0, headers: response.headers, text };
}

/** Sends bytes as they are and answers all that comes back until the server closes. */
export async function sendRaw(url: string, bytes: string | Buffer): Promise<string> {
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port) });
  let text = '';
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1');
  });
  // A server that refuses early may reset what is still being sent; what it answered counts.
  socket.on('error', () => undefined);
  socket.end(bytes);
  await once(socket, 'close');
  return text;
}

export interface CliResult {
  exitCode: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
}

const cliPath = fileURLToPath(new URL('../../api/cli/main.ts', import.meta.url));

/** Runs `relayledger` as its own process, with local time UTC and nothing from the environment's settings. */
export async function runCli(argv: string[], environment: Record<string, string> = {}): Promise<CliResult> {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', cliPath, ...argv], {
    env: { PATH: process.env['PATH'] ?? '', TZ: 'UTC', ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  const [exitCode, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  return { exitCode, signal, stdout, stderr };
}

/** Runs `relayledger` in this process: many times faster, for what does not depend on being a process. */
export async function runHere(argv: string[], size?: { columns: number; rows: number }): Promise<CliResult> {
  let stdout = '';
  let stderr = '';
  const terminal: Terminal = {
    write: (text) => {
      stdout += text;
    },
    writeError: (text) => {
      stderr += text;
    },
    size: () => size,
    now: () => new Date('2026-11-22T12:00:00.000Z'),
  };
  const exitCode = await runProgram(argv, {
    version: '0.0.0-test',
    terminal,
    runAgent: async (agentArgv) => terminal.write(`agent ${JSON.stringify(agentArgv)}`),
    runDoctor: async (options) => {
      terminal.write(JSON.stringify(options));
      return 3;
    },
  });
  return { exitCode, signal: null, stdout, stderr };
}
