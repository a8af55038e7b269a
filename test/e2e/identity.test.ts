import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { Process } from '../../agent/readings.ts';
import { Agent, run } from './agent.ts';
import { atEnd } from './at-end.ts';
import { buildPrograms } from './build.ts';
import { type Case, datagram, ownership, stream } from './cases.ts';
import { Hosts, start } from './hosts.ts';
import { Ground, type Outcome } from './run-case.ts';
import { readTruths, rowsOf, type Truth } from './truth.ts';

const users = new Map(
  readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
    .map(([name, , uid]) => [Number(uid), name]),
);

/** The agent may cut long command lines; what it shows has to be the beginning. */
function isCommandOf(shown: string, command: string): boolean {
  return shown === command || (shown.length >= 200 && command.startsWith(shown.replace(/…$/, '').trimEnd()));
}

/** What of a row is not as the process itself said. */
function identityDifferences(truth: Truth, row: Process | undefined, endedAt: number): string[] {
  if (row === undefined) return ['no row'];
  const differences: string[] = [];
  const check = (what: string, shown: unknown, right: boolean, truly: unknown): void => {
    if (!right) differences.push(`${what} ${JSON.stringify(shown)}, truly ${JSON.stringify(truly)}`);
  };
  check('name', row.name, row.name === truth.name, truth.name);
  if (truth.executable !== '') {
    check('executable', row.executable, row.executable === truth.executable, truth.executable);
    check('command', row.command, isCommandOf(row.command, truth.command), truth.command);
  }
  check('parentPid', row.parentPid, row.parentPid === truth.parentPid, truth.parentPid);
  check('uid', row.uid, row.uid === truth.uid, truth.uid);
  check('user', row.user, row.user === (users.get(truth.uid) ?? null), users.get(truth.uid));
  const exited = row.exitedAt === null ? Number.NaN : Date.parse(row.exitedAt);
  // Clocks are read at different times; the exit itself is well within.
  check('exitedAt', row.exitedAt, exited >= truth.startedAtMs - 20 && exited <= endedAt + 100, new Date(endedAt));
  return differences;
}

t.test(
  'each process stands under its own name, program, user and parent, after its end too',
  { timeout: 120_000 },
  async (t) => {
    await using hosts = await Hosts.make({ offloads: true });
    const ground = new Ground(hosts, await buildPrograms());
    await using agent = await Agent.start();

    const outcomes: [Case, Outcome][] = [];
    for (const it of [stream('a client and a server'), ...ownership]) outcomes.push([it, await ground.run(it)]);
    const pids = new Set(outcomes.flatMap(([, { truths }]) => truths.map(({ pid }) => pid)));
    const rows = await agent.settled((row) => pids.has(row.pid));

    for (const [it, { truths, endedAt, skipped }] of outcomes) {
      const touched = truths.filter((truth) => truth.sentBytes + truth.receivedBytes > 0);
      const differences = touched.flatMap((truth) => {
        const found = rowsOf(truth, rows);
        const wrong = identityDifferences(truth, found[0], endedAt);
        return wrong.map((difference) => `${truth.role}: ${difference}`);
      });
      t.same(differences, [], it.title, skipped === undefined ? {} : { skip: skipped });
    }
  },
);

t.test('a process that has come to its end', async (t) => {
  await using hosts = await Hosts.make({ offloads: true });
  const ground = new Ground(hosts, await buildPrograms());
  await using agent = await Agent.start();
  const { truths } = await ground.run(datagram('UDP'));
  const [truth] = truths;
  if (truth === undefined) throw new Error('nobody told the truth');
  await agent.settled((row) => row.pid === truth.pid);

  const one = await agent.api<Process>(`/v1/processes/${truth.pid}`);
  t.equal(one.name, truth.name, 'is found by its pid');
  const named = (path: string): Promise<{ processes: Process[] }> => agent.api(path);
  const live = await named('/v1/processes?name=datagram');
  t.same(
    live.processes.filter(({ pid }) => pid === truth.pid),
    [],
    'is not among the live ones',
  );
  const all = await named('/v1/processes?name=datagram&includeExited=true');
  t.equal(
    all.processes.filter(({ pid }) => pid === truth.pid).length,
    1,
    'is found by its name among those that ended',
  );
});

t.test('a process that lives and waits', async (t) => {
  await using hosts = await Hosts.make({ offloads: true });
  const ground = new Ground(hosts, await buildPrograms());
  await using agent = await Agent.start();
  const paused = await ground.begin(stream('a client that pauses', { pauses: true, more: ['--note', 'waits-here'] }));
  const netns = [hosts.client.netns, hosts.server.netns];
  const rows = await agent.settled((row) => row.netns !== null && netns.includes(row.netns));

  t.equal(rows.length, 2, 'is listed with its peer');
  for (const row of rows) {
    t.equal(row.exitedAt, null, 'has not exited');
    t.match(row.command, /waits-here/, 'has its command line');
    t.equal(row.traffic.payload.sentBytes, 5000, 'shows what it has sent so far');
    t.equal(row.traffic.payload.receivedBytes, 5000, 'shows what it has received so far');
  }
  const listed = await run(['ps', '--json', '--socket', agent.socket]);
  const shown = JSON.parse(listed.output) as { processes: Process[] };
  const pids = shown.processes.map(({ pid }) => pid);
  t.ok(
    rows.every(({ pid }) => pids.includes(pid)),
    'stands in `relayledger ps`',
  );
  await paused.goOn();
});

/** Where the whole cgroup2 hierarchy is mounted. */
function findCgroup2(): string {
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    const [mount = '', type = ''] = line.split(' - ');
    const [, , , root, target] = mount.split(' ');
    if (type.startsWith('cgroup2 ') && root === '/' && target) return target;
  }
  throw new Error('these tests need cgroup2, and it is not mounted');
}

/** Makes a cgroup two levels deep; both are gone when this is disposed of, or this process ends. */
function makeCgroup(name: string): { path: string } & Disposable {
  const parent = join(findCgroup2(), `relayledger-e2e-${process.pid}`);
  const path = join(parent, name);
  const remove = (): void => {
    for (const folder of [path, parent]) if (existsSync(folder)) rmdirSync(folder);
  };
  atEnd(remove);
  mkdirSync(path, { recursive: true });
  return { path, [Symbol.dispose]: remove };
}

t.test('a process in a container', async (t) => {
  const id = randomBytes(32).toString('hex');
  using cgroup = makeCgroup(`docker-${id}.scope`);
  await using hosts = await Hosts.make({ offloads: true });
  const ground = new Ground(hosts, await buildPrograms());
  await using agent = await Agent.start();
  const files = { output: join(ground.folder, 'container.truth'), errors: join(ground.folder, 'container.errors') };
  const program = [join(ground.programs, 'endings'), 'alone', hosts.client.address4, '7999', '--mode', 'tcp-self'];
  // It is over before anybody could read its /proc/PID/cgroup.
  const enter = ['sh', '-c', 'echo $$ > "$0" && exec "$@"', join(cgroup.path, 'cgroup.procs'), ...program];
  const { code } = await start(hosts.client, enter, files).done;
  t.equal(code, 0, readFileSync(files.errors, 'utf8'));
  const [truth] = readTruths(files.output);
  if (truth === undefined) throw new Error('nobody told the truth');
  const [row] = rowsOf(truth, await agent.settled(({ pid }) => pid === truth.pid));

  t.equal(row?.container, id, 'is reported with the container’s whole id');
  t.equal(row?.app, id.slice(0, 12), 'goes by what `docker ps` shows');
  t.equal(row?.unit, null, 'whose scope is no unit of its own');
  t.equal(row?.traffic.payload.sentBytes, truth.sentBytes, 'has its bytes');
});
