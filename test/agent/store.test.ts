import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { type Counters, makeCounters } from '../../agent/counters.ts';
import { type Checkpoint, Store, type StoredProcess } from '../../agent/store.ts';
import { makeFolder } from './folder.ts';

const HOUR = 3_600_000;
const MINUTE = 60_000;

function makeProcess(override: Partial<StoredProcess> = {}): StoredProcess {
  return {
    tgid: 4711,
    startNs: 1_000_000_000n,
    app: 'curl',
    counters: makeCounters([100, 1]),
    exitedAtMs: null,
    freed: false,
    description: '{"name":"curl"}',
    ...override,
  };
}

function makeCheckpoint(override: Partial<Checkpoint> = {}): Checkpoint {
  return { apps: [], processes: [], freed: makeCounters(), forgetBeforeMs: 0, ...override };
}

function open(t: Test, folder: string): Store {
  const store = Store.open(folder);
  t.teardown(() => store[Symbol.dispose]());
  return store;
}

function contents(store: Store): { apps: [string, number[]][]; processes: StoredProcess[]; freed: number[] } {
  const apps = [...store.apps()].map(([app, counters]): [string, number[]] => [app, [...counters]]);
  return { apps, processes: store.processes(), freed: [...store.freed()] };
}

t.test('a new store is empty', async (t) => {
  const store = open(t, join(makeFolder(t), 'made', 'on', 'the', 'way'));
  t.same(contents(store), { apps: [], processes: [], freed: [...makeCounters()] });
  t.equal(store.closedInterfaces().size, 0);
});

t.test('what was written in a checkpoint is there after a crash, to the byte', async (t) => {
  const folder = makeFolder(t);
  const large = makeCounters([2 ** 53 - 1, 2 ** 52 + 1, 7]);
  const processes = [
    makeProcess({ startNs: 2n ** 53n + 1n, counters: large }),
    makeProcess({ startNs: 2n ** 53n + 2n, app: 'naïve "app" \\ \n', exitedAtMs: 1_795_323_600_123 }),
    makeProcess({ tgid: 2 ** 22, freed: true, exitedAtMs: 1, description: '{}' }),
  ];
  const freed = makeCounters([5, 6, 7, 8]);
  const crashed = open(t, folder);
  crashed.checkpoint(
    makeCheckpoint({
      apps: [
        ['curl', large],
        ['it’s', makeCounters([1])],
      ],
      processes,
      freed,
    }),
  );
  const store = open(t, folder);
  t.same(contents(store).processes, processes);
  t.same(contents(store), {
    apps: [
      ['curl', [...large]],
      ['it’s', [...makeCounters([1])]],
    ],
    processes,
    freed: [...freed],
  });
});

t.test('a process’s row is replaced, and told from another that had the same pid', async (t) => {
  const store = open(t, makeFolder(t));
  store.checkpoint(makeCheckpoint({ processes: [makeProcess(), makeProcess({ startNs: 2n })] }));
  store.checkpoint(makeCheckpoint({ processes: [makeProcess({ counters: makeCounters([200, 2]) })] }));
  t.same(
    store.processes().map(({ startNs, counters }) => [startNs, counters[0]]),
    [
      [2n, 100],
      [1_000_000_000n, 200],
    ],
  );
});

t.test('a checkpoint that fails on the way changes nothing, and the next one is written', async (t) => {
  const folder = makeFolder(t);
  const store = open(t, folder);
  const before = makeCheckpoint({
    apps: [['curl', makeCounters([100])]],
    processes: [makeProcess()],
    freed: makeCounters([1]),
  });
  store.checkpoint(before);
  const was = contents(store);
  function* failing(): Generator<StoredProcess> {
    yield makeProcess({ counters: makeCounters([150]) });
    throw new Error('the disk went away');
  }
  const after = makeCheckpoint({
    apps: [
      ['curl', makeCounters([150])],
      ['new', makeCounters([1])],
    ],
    freed: makeCounters([2]),
  });
  t.throws(() => store.checkpoint({ ...after, processes: failing() }), {
    code: 'AGENT_STATE_UNUSABLE',
    message: `cannot write to ${join(folder, 'ledger.sqlite')}: the disk went away`,
    cause: { message: 'the disk went away' },
  });
  t.same(contents(store), was);
  t.same(contents(open(t, folder)), was);
  store.checkpoint(after);
  t.equal(store.apps().get('curl')?.[0], 150);
  t.equal(store.freed()[0], 2);
});

/** A limit on file size is the full disk that needs no root; without the signal the write fails with EFBIG. */
function fillDisk(
  folder: string,
  what: 'totals' | 'policies',
): { status: number | null; stdout: string; stderr: string } {
  const script = `trap '' XFSZ; ulimit -S -f 1000; exec "$0" --disable-warning=ExperimentalWarning "$1" "$2" "$3"`;
  const program = fileURLToPath(new URL('fill-store.ts', import.meta.url));
  return spawnSync('sh', ['-c', script, process.execPath, program, folder, what], { encoding: 'utf8' });
}

t.test('a full disk is reported as such, and writing goes on when there is room again', async (t) => {
  const folder = makeFolder(t);
  const run = fillDisk(folder, 'totals');
  t.equal(run.status, 0, run.stderr);
  const { code, message, appsAfter } = JSON.parse(run.stdout);
  t.equal(code, 'AGENT_STATE_UNUSABLE');
  t.match(message, /^cannot write to .*ledger\.sqlite: .*(disk|full)/);
  t.same(appsAfter, ['before', 'after']);
  t.same([...open(t, folder).apps().keys()], ['before', 'after']);
});

t.test('a policy that a full disk has no room for is refused, and nothing that is written later is lost', async (t) => {
  const folder = makeFolder(t);
  const run = fillDisk(folder, 'policies');
  t.equal(run.status, 0, run.stderr);
  const { refused, kept } = JSON.parse(run.stdout);
  t.same(refused, ['AGENT_STATE_UNUSABLE', 'AGENT_STATE_UNUSABLE', 'AGENT_STATE_UNUSABLE']);
  const store = open(t, folder);
  t.same([...store.apps().keys()], ['after']);
  t.equal(store.policies.policies().length, kept + 1);
});

t.test(
  'apps come back in the order in which they were first seen, so that the same ones stay within a budget',
  async (t) => {
    const folder = makeFolder(t);
    const store = open(t, folder);
    const counters = makeCounters([1]);
    const put = (...apps: string[]): void =>
      store.checkpoint(makeCheckpoint({ apps: apps.map((app): [string, Counters] => [app, counters]) }));
    put('first', 'second');
    put('third');
    put('first');
    put('second', 'first');
    t.same([...open(t, folder).apps().keys()], ['first', 'second', 'third']);
  },
);

t.test('processes are forgotten once they ended before the given time and their slots were given back', async (t) => {
  const now = 100 * HOUR;
  const forgetBeforeMs = now - 15 * MINUTE;
  for (const { title, process, kept } of [
    { title: 'alive', process: { exitedAtMs: null }, kept: true },
    { title: 'alive for ever', process: { exitedAtMs: null, startNs: 0n }, kept: true },
    { title: 'ended lately', process: { exitedAtMs: now - 14 * MINUTE, freed: true }, kept: true },
    { title: 'ended 15 minutes ago', process: { exitedAtMs: forgetBeforeMs, freed: true }, kept: true },
    { title: 'ended longer ago', process: { exitedAtMs: forgetBeforeMs - 1, freed: true }, kept: false },
    { title: 'ended longer ago, counters still in the kernel', process: { exitedAtMs: 1, freed: false }, kept: true },
  ]) {
    const store = open(t, makeFolder(t));
    store.checkpoint(makeCheckpoint({ processes: [makeProcess(process)] }));
    store.checkpoint(makeCheckpoint({ forgetBeforeMs }));
    t.equal(store.processes().length, kept ? 1 : 0, title);
  }
});

t.test(
  'a slot that this checkpoint gives back keeps its row until the next one, however long ago it ended',
  async (t) => {
    const store = open(t, makeFolder(t));
    store.checkpoint(
      makeCheckpoint({ processes: [makeProcess({ exitedAtMs: 1, freed: true })], forgetBeforeMs: HOUR }),
    );
    t.match(store.processes(), [{ freed: true }], 'the kernel still has the slot');
    store.checkpoint(makeCheckpoint({ forgetBeforeMs: HOUR }));
    t.same(store.processes(), []);
  },
);

t.test('the same epoch goes on as it was', async (t) => {
  const folder = makeFolder(t);
  const crashed = open(t, folder);
  crashed.beginEpoch('boot-a:1', HOUR);
  crashed.checkpoint(makeCheckpoint({ processes: [makeProcess()], freed: makeCounters([9]) }));
  crashed.closeInterface('key', '{}');
  const store = open(t, folder);
  store.beginEpoch('boot-a:1', 2 * HOUR);
  t.match(store.processes(), [{ exitedAtMs: null, freed: false }]);
  t.equal(store.freed()[0], 9);
  t.same([...store.closedInterfaces()], [['key', '{}']]);
});

t.test('processes forgotten before their time go from the disk, unless they still have their slots', async (t) => {
  const store = open(t, makeFolder(t));
  const freed = { freed: true, exitedAtMs: HOUR };
  const kept = makeProcess({ startNs: 3n });
  store.checkpoint(makeCheckpoint({ processes: [makeProcess(freed), makeProcess({ ...freed, startNs: 2n }), kept] }));
  store.checkpoint(makeCheckpoint({ forget: ['4711:1000000000', '4711:3', '4711:4'] }));
  t.same(
    store.processes().map(({ startNs }) => startNs),
    [2n, 3n],
  );
});

t.test('in a new epoch totals stay, and what belongs to the old counters is history', async (t) => {
  const folder = makeFolder(t);
  const crashed = open(t, folder);
  crashed.beginEpoch('boot-a:1', HOUR);
  crashed.checkpoint(
    makeCheckpoint({
      apps: [['curl', makeCounters([100])]],
      processes: [makeProcess(), makeProcess({ tgid: 12, exitedAtMs: 30 * MINUTE, freed: true })],
      freed: makeCounters([9]),
    }),
  );
  crashed.closeInterface('key', '{}');
  for (const epoch of ['boot-a:2', 'boot-b:2']) {
    const store = open(t, folder);
    store.beginEpoch(epoch, 2 * HOUR);
    t.equal(store.apps().get('curl')?.[0], 100);
    t.equal(store.freed()[0], 0);
    t.equal(store.closedInterfaces().size, 0);
    t.same(store.processes(), [], 'whoever lives on has counters that began at zero');
    t.same(
      [...store.freedProcesses()].map(({ tgid, freed, exitedAtMs }) => [tgid, freed, exitedAtMs]),
      [
        [12, true, 30 * MINUTE],
        [4711, true, 2 * HOUR],
      ],
      'and can be read as ended, who ended first comes first',
    );
  }
});

t.test('closed interfaces are kept by key', async (t) => {
  const folder = makeFolder(t);
  const crashed = open(t, folder);
  crashed.beginEpoch('a', 0);
  crashed.closeInterface('one', '{"rx":1}');
  crashed.closeInterface('two', '{}');
  crashed.closeInterface('one', '{"rx":2}');
  t.same([...open(t, folder).closedInterfaces()].sort(), [
    ['one', '{"rx":2}'],
    ['two', '{}'],
  ]);
});

t.test('a state folder that cannot be used is refused in one line that says what to do', async (t) => {
  const folder = makeFolder(t);
  const file = join(folder, 'file');
  writeFileSync(file, '');
  const cases: [title: string, stateDir: string, reason: RegExp][] = [
    ['the folder is a file', file, /EEXIST/],
    ['the folder would be in a file', join(file, 'state'), /ENOTDIR/],
    ['the kernel says that the parent is missing, which is there', '/proc/relayledger/state', /ENOENT/],
    ['the path holds a NUL', `${folder}\0`, /null bytes/],
    ['the database is a folder', join(folder, 'occupied'), /unable to open/],
    ['the database is something else', join(folder, 'garbage'), /not a database/],
    ['the database is a later agent’s', join(folder, 'later'), /version 2.*knows 1/],
  ];
  mkdirSync(join(folder, 'occupied', 'ledger.sqlite'), { recursive: true });
  mkdirSync(join(folder, 'garbage'));
  writeFileSync(join(folder, 'garbage', 'ledger.sqlite'), 'x'.repeat(5000));
  const { DatabaseSync } = await import('node:sqlite');
  mkdirSync(join(folder, 'later'));
  const later = new DatabaseSync(join(folder, 'later', 'ledger.sqlite'));
  later.exec(`CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
    INSERT INTO meta VALUES ('version', '2');`);
  later.close();
  for (const [title, stateDir, reason] of cases) {
    try {
      Store.open(stateDir)[Symbol.dispose]();
      t.fail(title);
    } catch (error) {
      const { code, message } = error as { code: string; message: string };
      t.equal(code, 'AGENT_STATE_UNUSABLE', title);
      t.match(message, reason, title);
      t.ok(message.startsWith(`cannot use the state in ${join(stateDir, 'ledger.sqlite')}: `), title);
      t.ok(message.endsWith('; give another folder with --state-dir'), title);
      t.notMatch(message, /\n/, title);
    }
  }
});
