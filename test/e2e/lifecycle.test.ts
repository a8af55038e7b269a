import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import type { App, Process } from '../../agent/readings.ts';
import { RL_TOTALS_OFFSET } from '../../bpf/layouts.ts';
import { BpfMap } from '../../bpf/map.ts';
import { Agent, run } from './agent.ts';
import { buildPrograms } from './build.ts';
import { type Case, datagram, ownership, stream } from './cases.ts';
import { Hosts } from './hosts.ts';
import { Ground } from './run-case.ts';
import { payloadDifferences, rowsOf, type Truth } from './truth.ts';

const execute = promisify(execFile);

/** What an agent has in the kernel, as "prog 12", "map 7", "link 3": what it holds open and what it has pinned. */
async function objectsOf(agent: Agent, programs: string): Promise<string[]> {
  const folder = `/proc/${agent.pid}/fdinfo`;
  const infos = readdirSync(folder).map((fd) => readFileSync(join(folder, fd), 'utf8'));
  const open = infos.flatMap((info) =>
    [...info.matchAll(/^(prog|map|link)_id:\s+(\d+)$/gm)].map(([, kind, id]) => `${kind} ${id}`),
  );
  const { stdout } = await execute(join(programs, 'loaded'), ['--pinned', agent.bpffs]);
  return [...new Set([...open, ...stdout.split('\n').filter(Boolean)])];
}

/** Which of them stay: the kernel frees programs and maps some time after their last user. */
async function leftOf(objects: readonly string[], programs: string): Promise<string[]> {
  let left = objects;
  for (let tries = 0; tries < 50 && left.length > 0; tries++) {
    if (tries > 0) await sleep(100);
    left = (await execute(join(programs, 'loaded'), [...left])).stdout.split('\n').filter(Boolean);
  }
  return [...left];
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
    const earlier = await agent.settled((row) => truths.some(({ pid }) => pid === row.pid));
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
    const known = truths.slice(0, earlier.length);
    const startTimes = (list: Process[]): unknown[] => known.map((truth) => rowsOf(truth, list)[0]?.startedAt);
    t.same(startTimes(rows), startTimes(earlier), 'processes keep their start time, which is part of their identity');
    const status = await agent.status();
    t.equal(status.adopted, true, 'the agent says that it adopted');
    t.equal(status.accountingSince, since, 'and since when the accounting goes');
    const names = status.maps.map(({ name }) => name);
    t.ok(names.includes('interface_baselines'), `maps have their whole names: ${names.join(' ')}`);
  });
}

const replacements: [title: string, replace: (agent: Agent) => Promise<void>][] = [
  [
    'an agent with other programs takes over what those of another version had counted',
    async (agent) => {
      using totals = BpfMap.openPinned(join(agent.bpffs, 'maps', 'totals'));
      const [key, value] = [Buffer.alloc(4), totals.lookup(Buffer.alloc(4)) as Buffer];
      value.writeBigUInt64LE(4711n, RL_TOTALS_OFFSET.objectId);
      totals.update(key, value);
    },
  ],
  [
    'what was counted while no agent ran stays when doctor --remove takes the programs out',
    async (agent) => void (await run(['doctor', '--remove', ...agent.places()])),
  ],
];

for (const [title, replace] of replacements) {
  t.test(title, async (t) => {
    await using hosts = await Hosts.make({ offloads: true });
    const ground = new Ground(hosts, await buildPrograms());
    await using agent = await Agent.start();
    const truths: Truth[] = [];
    truths.push(...(await ground.run(stream('a connection from before'))).truths);
    await agent.settled((row) => truths.some(({ pid }) => pid === row.pid));
    truths.push(...(await ground.run(stream('a connection just before the end'))).truths);
    await agent.kill9();
    for (const it of whileAway) truths.push(...(await ground.run(it)).truths);
    await replace(agent);
    await agent.start();
    t.equal((await agent.status()).adopted, false);
    const pids = new Set(truths.map(({ pid }) => pid));
    const rows = await agent.settled((row) => pids.has(row.pid));
    t.same(payloadDifferences(truths, rows), [], 'payload of every process is equal to its own count');
    const { apps } = await agent.api<{ apps: App[] }>('/v1/apps');
    const all = await agent.processes();
    for (const app of new Set(rows.map((row) => row.app))) {
      const sent = all.filter((row) => row.app === app).reduce((sum, row) => sum + row.traffic.payload.sentBytes, 0);
      t.equal(
        apps.find((each) => each.app === app)?.traffic.payload.sentBytes,
        sent,
        `${app} has what its processes sent`,
      );
    }
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

  t.test('with --detach-on-exit', async (t) => {
    await using agent = await Agent.start({ arguments: ['--detach-on-exit'] });
    const objects = await objectsOf(agent, programs);
    t.ok(
      objects.some((object) => object.startsWith('prog')),
      'programs are loaded while it runs',
    );
    t.same(await agent.stop(), { code: 0, signal: null }, 'it ends with 0');
    t.equal(existsSync(agent.bpffs), false, 'its pins are gone');
    t.same(await leftOf(objects, programs), [], 'its programs, maps and links are gone');
  });

  for (const end of ['stop', 'kill9'] as const) {
    t.test(`with doctor --remove after ${end}`, async (t) => {
      await using agent = await Agent.start();
      const objects = await objectsOf(agent, programs);
      const early = await run(['doctor', '--remove', ...agent.places()]);
      t.match(early, { code: 1, errors: /another agent uses/ }, 'not while it runs, whatever its socket is');
      await agent[end]();
      t.equal(existsSync(agent.bpffs), true, 'the pins are there until then');
      const removed = await run(['doctor', '--remove', ...agent.places()]);
      t.equal(removed.code, 0, `it ends with 0${removed.errors}`);
      t.equal(existsSync(agent.bpffs), false, 'the pins are gone');
      t.same(await leftOf(objects, programs), [], 'programs, maps and links are gone');
    });
  }
});

t.test('what cannot start says why in one line and leaves nothing behind', async (t) => {
  await using first = await Agent.start();
  let count = 0;
  const refuse = async (
    t: Test,
    over: { bpffs?: string; state?: string; socket?: string },
    expected: RegExp,
    uid?: number,
    port = 0,
  ): Promise<void> => {
    const other = `${first.bpffs}-${count++}`;
    const {
      bpffs = other,
      state = join(first.folder, `state-${count}`),
      socket = join(first.folder, 'other.sock'),
    } = over;
    const places = ['--listen', `127.0.0.1:${port}`, '--bpffs', bpffs, '--state-dir', state, '--socket', socket];
    const { code, errors } = await run(['agent', ...places], uid);
    t.ok(
      code !== null && code !== 0,
      `it ends with an error, not ${code === null ? 'because the test ended it' : code}`,
    );
    t.equal(errors.trim().split('\n').length, 1, `one line: ${errors}`);
    t.match(errors, expected, 'which says what is wrong');
    t.equal(existsSync(other), false, 'no pins are left');
    if (existsSync(other))
      await run(['doctor', '--remove', '--bpffs', other, '--state-dir', join(first.folder, `state-${count}`)]);
    t.ok((await first.status()).version, 'the agent that runs is not disturbed');
  };

  const same = { bpffs: first.bpffs, state: first.stateDir };
  await t.test('a second agent with the same pins and state', (t) => refuse(t, same, /another|already|running/i));
  await t.test('a state directory that cannot be made', (t) => refuse(t, { state: '/dev/null/state' }, /\/dev\/null/));
  await t.test('a socket that cannot be made', (t) => refuse(t, { socket: '/dev/null/api.sock' }, /\/dev\/null/));
  await t.test('a bpffs path on another file system', (t) => refuse(t, { bpffs: join(first.folder, 'pins') }, /bpf/i));
  await t.test('a port in use', (t) => refuse(t, {}, new RegExp(`${first.port}`), undefined, first.port));
  await t.test('somebody who is not root', (t) => refuse(t, {}, /root|CAP_|capabilit/i, 65534));
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
