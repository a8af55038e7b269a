import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import type { App, Process } from '../../agent/readings.ts';
import { Agent, run } from './agent.ts';
import { buildPrograms } from './build.ts';
import { type Case, datagram, ownership, stream } from './cases.ts';
import { Hosts } from './hosts.ts';
import { Ground } from './run-case.ts';
import { payloadDifferences, rowsOf, type Truth } from './truth.ts';

const execute = promisify(execFile);

/** Every BPF program, map and link in the kernel: "prog 12". */
async function loaded(programs: string): Promise<string[]> {
  const { stdout } = await execute(join(programs, 'loaded'));
  return stdout.split('\n').filter(Boolean);
}

/** What was loaded since, and stays: the kernel frees programs and maps some time after their last user. */
async function leftLoaded(programs: string, before: readonly string[]): Promise<string[]> {
  let left: string[] = [];
  for (let tries = 0; tries < 50; tries++) {
    left = (await loaded(programs)).filter((line) => !before.includes(line));
    if (left.length === 0) break;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return left;
}

const whileAway: Case[] = [
  stream('TCP'),
  stream('TCP over IPv6, spliced', { listen: '{server6}', send: 'splice', receive: 'splice' }),
  datagram('UDP'),
  ...ownership,
];

for (const ending of ['SIGTERM', 'SIGKILL'] as const) {
  t.test(`accounting goes on after ${ending}, and the next agent adopts it to the byte`, async (t) => {
    await using hosts = await Hosts.make({ offloads: true });
    const ground = new Ground(hosts, await buildPrograms());
    await using agent = await Agent.start();

    const truths: Truth[] = [];
    truths.push(...(await ground.run(stream('a connection from before'))).truths);
    const longLived = await ground.begin(stream('a connection that stays', { pauses: true, countsAll: true }));
    const since = (await agent.status()).accountingSince;
    // An end right after the bytes, before any poll has seen them.
    truths.push(...(await ground.run(stream('a connection just before the end'))).truths);
    if (ending === 'SIGTERM') t.same(await agent.stop(), { code: 0, signal: null }, 'SIGTERM ends it with 0');
    else await agent.kill9();

    for (const it of whileAway) truths.push(...(await ground.run(it)).truths);
    await agent.start();
    truths.push(...(await longLived.goOn()).truths);
    truths.push(...(await ground.run(stream('a connection from after'))).truths);

    const pids = new Set(truths.map(({ pid }) => pid));
    const rows = await agent.settled((row) => pids.has(row.pid));
    t.same(payloadDifferences(truths, rows), [], 'payload of every process is equal to its own count');
    const moved = truths.filter((truth) => truth.sentBytes + truth.receivedBytes > 0);
    const misnamed = moved.filter((truth) => rowsOf(truth, rows)[0]?.name !== truth.name);
    t.same(misnamed, [], 'every process has its name');
    const unexplained = moved
      .filter(({ executable }) => executable !== '')
      .filter((truth) => rowsOf(truth, rows)[0]?.executable !== truth.executable);
    t.same(unexplained, [], 'every process has its executable');
    const status = await agent.status();
    t.equal(status.adopted, true, 'the agent says that it adopted');
    t.equal(status.accountingSince, since, 'and since when the accounting goes');
  });
}

t.test('totals by app never go back over restarts', async (t) => {
  await using hosts = await Hosts.make({ offloads: true });
  const ground = new Ground(hosts, await buildPrograms());
  await using agent = await Agent.start();
  const sentBy = async (app: string): Promise<number> => {
    const { apps } = await agent.api<{ apps: App[] }>('/v1/apps');
    return apps.find((one) => one.app === app)?.traffic.payload.sentBytes ?? 0;
  };
  const sent = async (): Promise<[string, number]> => {
    const { truths } = await ground.run(stream('TCP'));
    const pids = new Set(truths.map(({ pid }) => pid));
    const [row] = await agent.settled((one) => pids.has(one.pid));
    return [row?.app ?? '', truths.reduce((total, truth) => total + truth.sentBytes, 0)];
  };
  const [app, first] = await sent();
  const start = await sentBy(app);
  t.ok(start >= first, 'counts what its processes sent');
  for (const end of ['stop', 'kill9'] as const) {
    await agent[end]();
    await agent.start();
    t.equal(await sentBy(app), start, `stands where it stood after ${end}`);
  }
  const [, second] = await sent();
  t.equal(await sentBy(app), start + second, 'goes on from there');
});

t.test('taking everything out of the kernel leaves nothing in it', async (t) => {
  const programs = await buildPrograms();
  const before = await loaded(programs);

  t.test('with --detach-on-exit', async (t) => {
    await using agent = await Agent.start({ arguments: ['--detach-on-exit'] });
    t.not((await loaded(programs)).length, before.length, 'programs are loaded while it runs');
    t.same(await agent.stop(), { code: 0, signal: null }, 'it ends with 0');
    t.equal(existsSync(agent.bpffs), false, 'its pins are gone');
    t.same(await leftLoaded(programs, before), [], 'its programs, maps and links are gone');
  });

  for (const end of ['stop', 'kill9'] as const) {
    t.test(`with doctor --remove after ${end}`, async (t) => {
      await using agent = await Agent.start();
      await agent[end]();
      t.equal(existsSync(agent.bpffs), true, 'the pins are there until then');
      const removed = await run(['doctor', '--remove', ...agent.places()]);
      t.equal(removed.code, 0, `it ends with 0${removed.errors}`);
      t.equal(existsSync(agent.bpffs), false, 'the pins are gone');
      t.same(await leftLoaded(programs, before), [], 'programs, maps and links are gone');
    });
  }
});

t.test('what cannot start says why in one line and leaves nothing behind', async (t) => {
  const programs = await buildPrograms();
  await using first = await Agent.start();
  const before = await loaded(programs);
  const other = {
    bpffs: `${first.bpffs}-other`,
    state: join(first.folder, 'other-state'),
    socket: join(first.folder, 'other.sock'),
  };

  const refuse = async (t: Test, places: string[], expected: RegExp, uid?: number): Promise<void> => {
    const { code, errors } = await run(['agent', '--listen', '127.0.0.1:0', ...places], uid);
    const lines = errors.trim().split('\n');
    t.ok(code !== null && code !== 0, 'it ends with an error');
    t.equal(lines.length, 1, `one line: ${errors}`);
    t.match(lines[0], expected, 'which says what is wrong');
    t.equal(existsSync(other.bpffs), false, 'no pins are left');
    t.same(await leftLoaded(programs, before), [], 'nothing stays loaded');
    t.ok((await first.status()).version, 'the agent that runs is not disturbed');
  };
  const places = (over: Partial<typeof other> = {}): string[] => {
    const { bpffs, state, socket } = { ...other, ...over };
    return ['--bpffs', bpffs, '--state-dir', state, '--socket', socket];
  };

  t.test('a second agent with the same pins and state', (t) =>
    refuse(t, places({ bpffs: first.bpffs, state: first.stateDir }), /another|already|running/i),
  );
  t.test('a state directory that cannot be made', (t) =>
    refuse(t, places({ state: '/dev/null/state' }), /\/dev\/null\/state/),
  );
  t.test('a socket path that cannot be made', (t) =>
    refuse(t, places({ socket: '/dev/null/api.sock' }), /\/dev\/null\/api\.sock/),
  );
  t.test('a bpffs path that is on another file system', (t) =>
    refuse(t, places({ bpffs: join(first.folder, 'pins') }), /bpf/i),
  );
  t.test('a port in use', async (t) => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    const port = typeof address === 'object' ? address?.port : 0;
    await refuse(t, [...places(), '--listen', `127.0.0.1:${port}`], new RegExp(`${port}`));
    await new Promise((resolve) => server.close(resolve));
  });
  t.test('somebody who is not root', (t) => refuse(t, places(), /root|CAP_|capabilit/i, 65534));
});

const burstSize = process.env['RELAYLEDGER_E2E_FULL'] === '1' ? 20_000 : 2_000;

t.test(`${burstSize} processes that each connect, send 1 KB and exit`, { timeout: 600_000 }, async (t) => {
  await using hosts = await Hosts.make({ offloads: true });
  const ground = new Ground(hosts, await buildPrograms());
  await using agent = await Agent.start();
  const { truths } = await ground.run({
    title: 'burst',
    server: ['stream', 'serve', '{server4}', '{port}', '--connections', String(burstSize), '--bytes', '0'],
    clients: [['burst', '{server4}', '{port}', String(burstSize), '8']],
    truths: burstSize + 1,
    balanced: true,
    seconds: 300,
  });
  const clients = truths.filter(({ role }) => role === 'client');
  const netns = hosts.client.netns;
  const rows = await agent.settled((row) => row.netns === netns);

  const byPid = new Map<number, Process[]>();
  for (const row of rows) byPid.set(row.pid, [...(byPid.get(row.pid) ?? []), row]);
  const found = clients.map((truth) => ({ truth, row: rowsOf(truth, byPid.get(truth.pid) ?? [])[0] }));
  const examples = (wrong: (one: (typeof found)[number]) => boolean): unknown[] => {
    const all = found.filter(wrong);
    return all.length <= 5 ? all : [`${all.length} of ${found.length}, such as`, ...all.slice(0, 3)];
  };
  t.equal(clients.length, burstSize, 'all of them ran');
  t.same(
    examples(({ row }) => row === undefined),
    [],
    'none is missing',
  );
  t.same(
    examples(({ truth, row }) => row !== undefined && row.name !== truth.name),
    [],
    'all have their names',
  );
  t.same(
    examples(({ truth, row }) => row !== undefined && row.executable !== truth.executable),
    [],
    'all have their executables',
  );
  t.same(
    examples(({ truth, row }) => row !== undefined && row.command !== truth.command),
    [],
    'all have their command lines',
  );
  t.same(
    examples(({ row }) => row !== undefined && row.exitedAt === null),
    [],
    'all have exited',
  );
  t.same(
    examples(({ row }) => row !== undefined && row.traffic.payload.sentBytes !== 1024),
    [],
    'each has sent 1,024 bytes',
  );
  const total = rows.reduce((sum, row) => sum + row.traffic.payload.sentBytes, 0);
  t.equal(total, 1024 * burstSize, 'no byte is charged to anybody else');
  const { lost } = await agent.status();
  t.same(
    lost.filter(({ count }) => count > 0),
    [],
    'the agent lost no event',
  );
});
