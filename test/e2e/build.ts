import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readdir, readFile, rename, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const execute = promisify(execFile);
const sources = join(import.meta.dirname, 'programs');

/** Each program and the files it is made of; every one is linked with truth.c and sockets.c too. */
const programs: Record<string, string[]> = {
  stream: ['stream.c', 'stream-send.c', 'stream-receive.c', 'uring.c'],
  datagram: ['datagram.c', 'datagram-send.c', 'datagram-receive.c', 'uring.c'],
  endings: ['endings.c'],
  raw: ['raw.c'],
  owners: ['owners.c'],
  corners: ['corners.c'],
  handlers: ['handlers.c'],
  burst: ['burst.c'],
  capture: ['capture.c'],
  loaded: ['loaded.c'],
  relay: ['relay.c'],
  peers: ['peers.c'],
  'equal-calls': ['equal-calls.c'],
};

/** Second names of programs that execute themselves: exec then gives the process another name. */
const otherNames: Record<string, string> = { 'after-exec': 'owners', 'after-inetd': 'handlers' };

const flags = ['-O1', '-g', '-Wall', '-Wextra', '-Werror', '-pthread'];

async function fingerprint(): Promise<string> {
  const hash = createHash('sha256').update(JSON.stringify([flags, programs, otherNames]));
  for (const file of (await readdir(sources)).sort()) hash.update(file).update(await readFile(join(sources, file)));
  return hash.digest('hex').slice(0, 16);
}

/** Compiles the programs, once for each state of their sources; the folder that holds them. */
export async function buildPrograms(): Promise<string> {
  const folder = join(tmpdir(), `relayledger-e2e-${process.getuid?.()}-${await fingerprint()}`);
  const present = await readdir(folder).catch(() => []);
  if (present.length > 0) return folder;

  const unfinished = await mkdtemp(`${folder}.`);
  const compile = ([program, files]: [string, string[]]): Promise<unknown> =>
    execute('gcc', [
      ...flags,
      '-o',
      join(unfinished, program),
      ...[...files, 'sockets.c', 'truth.c'].map((file) => join(sources, file)),
    ]);
  await Promise.all(Object.entries(programs).map(compile));
  for (const [name, program] of Object.entries(otherNames)) await symlink(program, join(unfinished, name));
  await chmod(unfinished, 0o755);
  await mkdir(tmpdir(), { recursive: true });
  // Another test run may have been quicker: then its folder is as good as ours.
  await rename(unfinished, folder).catch(() => rm(unfinished, { recursive: true }));
  return folder;
}
