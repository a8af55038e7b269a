import t from 'tap';
import { COUNTERS, type Counters, makeCounters, PAYLOAD, WIRE_RX_BYTES, WIRE_TX_BYTES } from '../../agent/counters.ts';
import { type ProcessRecord, ProcessTable, type TableListener } from '../../agent/process-table.ts';
import { RL_PROCESS_OFFSET, RlProcessEventType } from '../../bpf/layouts.ts';
import { FakeClock } from './fake-clock.ts';
import { encodeDetails, encodeU32, FakeKernel, FIRST_PID } from './fake-kernel.ts';

interface Harness {
  clock: FakeClock;
  kernel: FakeKernel;
  table: ProcessTable;
  /** Received wire bytes by app, as the deltas add up. */
  received: Map<string, number>;
  /** Every delta that was reported. */
  deltas: Counters[];
  started: string[];
  ended: string[];
  names(): string[];
}

function makeTable(
  override: { capacity?: number; clock?: FakeClock; restore?: TableListener['restore'] } = {},
): Harness {
  const clock = override.clock ?? new FakeClock();
  const kernel = new FakeKernel(clock, override.capacity ?? 16);
  const received = new Map<string, number>();
  const deltas: Counters[] = [];
  const started: string[] = [];
  const ended: string[] = [];
  const table = new ProcessTable(kernel.maps(), clock, {
    restore: override.restore ?? (() => 'keep'),
    changed: ({ app }, delta) => {
      received.set(app, (received.get(app) ?? 0) + (delta[WIRE_RX_BYTES] as number));
      deltas.push(makeCounters(delta));
    },
    started: ({ name }) => started.push(name),
    ended: ({ name }) => ended.push(name),
  });
  const names = (): string[] => [...table.records()].map(({ name }) => name);
  return { clock, kernel, table, received, deltas, started, ended, names };
}

function only(table: ProcessTable): ProcessRecord {
  const records = [...table.records()];
  if (records.length !== 1) throw new Error(`${records.length} records instead of one`);
  return records[0] as ProcessRecord;
}

t.test('a process is found by its event, with who it is', async (t) => {
  const { kernel, table, started, clock } = makeTable();
  kernel.touch({
    pid: FIRST_PID + 7,
    name: 'nginx',
    uid: 33,
    executable: '/usr/sbin/nginx',
    argv: ['nginx:', 'worker'],
    cgroup: '/system.slice/nginx.service',
    parentPid: 812,
    netns: 99,
    startNs: clock.bootNs() - 90_000_000_000n,
  });
  t.same([...table.records()], [], 'nothing before the first poll');
  table.poll();
  t.match(only(table), {
    tgid: FIRST_PID + 7,
    name: 'nginx',
    uid: 33,
    app: 'nginx',
    unit: 'nginx.service',
    container: null,
    startedAtMs: clock.nowMs() - 90_000,
    exitedAtMs: null,
    phase: 'live',
    details: {
      executable: '/usr/sbin/nginx',
      command: 'nginx: worker',
      cgroup: '/system.slice/nginx.service',
      parentPid: 812,
      netns: 99,
    },
  });
  table.poll();
  table.scan();
  t.same(started, ['nginx'], 'and reported once');
});

t.test('a process whose event was lost is found by a scan', async (t) => {
  const { kernel, table, names } = makeTable();
  kernel.ringIsFull = true;
  for (const name of ['one', 'two', 'three', 'four', 'five']) kernel.touch({ name });
  table.poll();
  t.same(names(), []);
  table.scan();
  t.same(names().sort(), ['five', 'four', 'one', 'three', 'two']);
});

t.test('a slot that changed hands while the table was scanned is left for the next look', async (t) => {
  const { kernel, table } = makeTable();
  kernel.ringIsFull = true;
  const process = kernel.touch();
  kernel.slots.update(kernel.keyOf({ ...process, startNs: process.startNs - 1n }), encodeU32(process.slot));
  kernel.slots.delete(kernel.keyOf(process));
  table.scan();
  t.equal(table.size, 0);
});

t.test('a process that has ended before it is looked at still has its name', async (t) => {
  const { kernel, table, started, ended } = makeTable();
  const process = kernel.touch({ name: 'wget', cgroup: '/system.slice/cron.service' });
  kernel.charge(process, { rxBytes: 512, rxPackets: 1 });
  kernel.exit(process);
  table.poll();
  t.match(only(table), { name: 'wget', app: 'cron', phase: 'ended' });
  t.equal(only(table).counters[WIRE_RX_BYTES], 512);
  t.same([started, ended], [['wget'], ['wget']]);
});

t.test('a process without details goes by its name', async (t) => {
  const { kernel, table } = makeTable();
  kernel.details.delete(encodeU32(kernel.touch({ name: 'mystery' }).slot));
  table.poll();
  t.match(only(table), { app: 'mystery', details: { executable: null, command: '', parentPid: null } });
});

t.test('each counter of the kernel has its place in the vector', async (t) => {
  const { kernel, table } = makeTable();
  kernel.touch();
  const process = kernel.touch();
  const offsets = [
    RL_PROCESS_OFFSET.wireRx,
    RL_PROCESS_OFFSET.wireRx + 8,
    RL_PROCESS_OFFSET.wireTx,
    RL_PROCESS_OFFSET.wireTx + 8,
    ...Array.from({ length: COUNTERS - PAYLOAD }, (_, i) => RL_PROCESS_OFFSET.payload + 8 * i),
  ];
  t.equal(offsets.length, 22, 'four of the wire, payload by 2 directions, 3 protocols, 3 scopes');
  for (const [index, offset] of offsets.entries()) kernel.setCounter(process, offset, 1000 + index);
  table.poll();
  const record = table.bySlot(process.slot, process.generation);
  t.same(
    [...(record?.counters ?? [])],
    offsets.map((_, index) => 1000 + index),
  );
});

t.test('what rose since the last poll is reported, and nothing where nothing rose', async (t) => {
  const { kernel, table, deltas, received } = makeTable();
  const process = kernel.touch({ name: 'curl' });
  table.poll();
  t.equal(deltas.length, 0, 'no traffic yet');
  for (const [rxBytes, total] of [
    [100, 100],
    [1, 101],
    [2 ** 40, 2 ** 40 + 101],
  ] as const) {
    kernel.charge(process, { rxBytes, rxPackets: 1 });
    table.poll();
    t.equal(deltas.at(-1)?.[WIRE_RX_BYTES], rxBytes);
    t.equal(received.get('curl'), total);
    t.equal(only(table).counters[WIRE_RX_BYTES], total);
  }
  const before = deltas.length;
  table.poll();
  t.equal(deltas.length, before);
});

t.test('packets dropped before a device had them are taken off what was sent', async (t) => {
  const { kernel, table, deltas } = makeTable();
  const process = kernel.touch();
  kernel.charge(process, { txBytes: 1000, txPackets: 10 });
  kernel.setCounter(process, RL_PROCESS_OFFSET.unsent, 300);
  kernel.setCounter(process, RL_PROCESS_OFFSET.unsent + 8, 3);
  table.poll();
  t.same([...only(table).counters].slice(0, 4), [0, 0, 700, 7]);
  t.same([...(deltas[0] ?? [])].slice(0, 4), [0, 0, 700, 7]);
});

t.test('a counter that was reported never falls: a later drop is made up for by what is sent next', async (t) => {
  const { kernel, table } = makeTable();
  const process = kernel.touch();
  kernel.charge(process, { txBytes: 1000, txPackets: 1 });
  table.poll();
  for (const [unsent, sent, expected] of [
    [400, 0, 1000],
    [400, 100, 1000],
    [400, 300, 1000],
    [400, 50, 1050],
  ] as const) {
    kernel.setCounter(process, RL_PROCESS_OFFSET.unsent, unsent);
    kernel.charge(process, { txBytes: sent });
    table.poll();
    t.equal(only(table).counters[WIRE_TX_BYTES], expected);
  }
});

t.test('names are followed as the kernel gives them', async (t) => {
  const { kernel, table } = makeTable();
  const process = kernel.touch({ name: 'skypeforlinux', executable: '/usr/bin/skypeforlinux' });
  table.poll();
  for (const [name, expected] of [
    ['renamed', 'renamed'],
    ['renam', 'renam'],
    ['renamed again', 'renamed again'],
    ['exactly-15-char', 'exactly-15-char'],
    ['more-than-15-characters', 'more-than-15-ch'],
    ['', ''],
    ['naïve café', 'naïve café'],
    ['naïve cafe', 'naïve cafe'],
    ['日本語', '日本語'],
    [Buffer.from('14 characters é'), '14 characters \ufffd'],
    [Buffer.from([0x66, 0xff, 0x6f]), 'f\ufffdo'],
  ] as const) {
    kernel.rename(process, name);
    table.poll();
    t.equal(only(table).name, expected);
    table.poll();
    t.equal(only(table).name, expected, 'and stays so');
    t.equal(only(table).app, 'skypeforlinux', 'a rename does not change the app of a program that is known');
  }
});

t.test('setuid shows', async (t) => {
  const { kernel, table } = makeTable();
  const process = kernel.touch({ uid: 0 });
  table.poll();
  kernel.setUser(process, 65534);
  table.poll();
  t.equal(only(table).uid, 65534);
});

t.test('what comes after exec goes to the new app', async (t) => {
  const { kernel, table, received } = makeTable();
  const process = kernel.touch({ name: 'sh', executable: '/usr/bin/dash' });
  kernel.charge(process, { rxBytes: 10 });
  table.poll();
  kernel.exec(process, { name: 'curl', executable: '/usr/bin/curl', argv: ['curl', 'http://[::1]/'] });
  kernel.charge(process, { rxBytes: 7 });
  table.poll();
  t.same(
    [...received],
    [
      ['dash', 10],
      ['curl', 7],
    ],
  );
  t.match(only(table), { name: 'curl', app: 'curl', details: { command: 'curl http://[::1]/' } });
});

t.test('an exec of the slot’s former holder changes nothing', async (t) => {
  const { kernel, table } = makeTable();
  const process = kernel.touch({ name: 'curl' });
  table.poll();
  kernel.details.update(encodeU32(process.slot), encodeDetails({ ...process, executable: '/usr/bin/other' }));
  kernel.announce({ ...process, generation: process.generation - 1 }, RlProcessEventType.processExec);
  table.poll();
  t.equal(only(table).app, 'curl');
  kernel.announce(process, RlProcessEventType.processExec);
  table.poll();
  t.equal(only(table).app, 'other', 'its own does');
});

t.test('an end is noticed with and without its event, and reported once', async (t) => {
  for (const ringIsFull of [false, true]) {
    const { kernel, table, ended, clock } = makeTable();
    const process = kernel.touch({ name: 'ssh' });
    table.poll();
    clock.advance(5_000);
    kernel.ringIsFull = ringIsFull;
    kernel.exit(process);
    const exitedAtMs = clock.nowMs();
    clock.advance(700);
    table.poll();
    table.poll();
    t.same(ended, ['ssh']);
    t.match(only(table), { exitedAtMs, phase: 'ended' });
  }
});

t.test('what an ended process’s connections still send is charged to it', async (t) => {
  const { kernel, table, clock, received } = makeTable();
  const process = kernel.touch({ name: 'curl' });
  kernel.exit(process);
  table.poll();
  for (const [waitMs, expected] of [
    [1_000, 1],
    [58_000, 2],
  ] as const) {
    clock.advance(waitMs);
    kernel.charge(process, { rxBytes: 1 });
    table.poll();
    t.equal(received.get('curl'), expected);
  }
  clock.advance(10_000);
  table.poll();
  kernel.charge(process, { rxBytes: 5 });
  table.retire();
  table.poll();
  t.equal(received.get('curl'), 7, 'after the last regular look too');
});

t.test('an ended process keeps its slot for a minute, and three seconds where slots run short', async (t) => {
  for (const { title, capacity, others, graceMs } of [
    { title: 'empty table', capacity: 16, others: 0, graceMs: 60_000 },
    { title: 'three quarters full', capacity: 16, others: 11, graceMs: 60_000 },
    { title: 'fuller than that', capacity: 16, others: 12, graceMs: 3_000 },
  ]) {
    const { kernel, table, clock } = makeTable({ capacity });
    for (let i = 0; i < others; i++) kernel.touch();
    const process = kernel.touch();
    kernel.exit(process);
    table.poll();
    clock.advance(graceMs - 1);
    table.retire();
    t.equal(kernel.generationAt(process.slot), process.generation, `${title}: kept`);
    clock.advance(1);
    table.retire();
    t.equal(kernel.generationAt(process.slot), process.generation + 1, `${title}: retired`);
  }
});

t.test('the grace counts from the end, whatever the wall clock is set to meanwhile', async (t) => {
  for (const [title, stepMs] of [
    ['a day back', -86_400_000],
    ['a day ahead', 86_400_000],
  ] as const) {
    const { kernel, table, clock } = makeTable();
    const process = kernel.touch();
    kernel.exit(process);
    table.poll();
    const { startedAtMs, exitedAtMs } = only(table);
    clock.setWall(clock.nowMs() + stepMs);
    clock.advance(30_000);
    table.poll();
    table.retire();
    t.equal(only(table).phase, 'ended', `${title}: not before its time`);
    t.match(only(table), { startedAtMs, exitedAtMs }, `${title}: its times are not rewritten`);
    clock.advance(30_001);
    table.poll();
    table.retire();
    t.equal(only(table).phase, 'retiring', `${title}: nor long after`);
  }
});

t.test('a slot is closed first, read once more, and only then given back', async (t) => {
  const { kernel, table, clock, received } = makeTable();
  const process = kernel.touch({ name: 'curl' });
  kernel.exit(process);
  table.poll();
  clock.advance(61_000);
  kernel.charge(process, { rxBytes: 3 });
  table.retire();
  kernel.charge(process, { rxBytes: 40 });
  t.same(table.freeable(), [], 'not before a poll has read its last bytes');
  t.ok(kernel.holds(process));
  table.poll();
  const freeable = table.freeable();
  t.equal(freeable[0]?.counters[WIRE_RX_BYTES], 3, 'what came after closing is not its own');
  t.equal(received.get('curl'), 3);
  t.ok(kernel.holds(process), 'and not before it is told to');
  t.same(kernel.freeSlots.values, []);
  table.free(freeable);
  t.notOk(kernel.holds(process));
  t.same(kernel.freeSlots.values, [process.slot]);
  t.equal(kernel.details.size, 0);
  t.equal(table.size, 0);
  table.free(table.freeable());
  t.same(kernel.freeSlots.values, [process.slot], 'once');
});

t.test('live processes and the freshly ended are never retired', async (t) => {
  const { kernel, table, clock } = makeTable();
  const live = kernel.touch({ name: 'live' });
  table.poll();
  clock.advance(3_600_000);
  const fresh = kernel.touch({ name: 'fresh' });
  kernel.exit(fresh);
  table.poll();
  table.retire();
  table.poll();
  t.same(table.freeable(), []);
  t.equal(kernel.generationAt(live.slot), live.generation);
  t.equal(kernel.generationAt(fresh.slot), fresh.generation);
});

t.test('the next holder of a slot starts from zero, and stale references to it show', async (t) => {
  const { kernel, table, clock, received } = makeTable();
  const first = kernel.touch({ name: 'first' });
  kernel.charge(first, { rxBytes: 1000 });
  kernel.exit(first);
  table.poll();
  clock.advance(61_000);
  table.retire();
  table.poll();
  table.free(table.freeable());
  const second = kernel.touch({ name: 'second' });
  t.equal(second.slot, first.slot);
  kernel.charge(second, { rxBytes: 5 });
  kernel.charge(first, { rxBytes: 77 });
  table.poll();
  t.equal(table.bySlot(first.slot, first.generation), undefined);
  t.equal(table.bySlot(second.slot, second.generation)?.name, 'second');
  t.same(
    [...received],
    [
      ['first', 1000],
      ['second', 5],
    ],
  );
});

t.test('an event that comes after its process’s slot was given back brings nobody back', async (t) => {
  const { kernel, table, clock, received, started } = makeTable();
  const process = kernel.touch({ name: 'curl' });
  kernel.charge(process, { rxBytes: 1000 });
  kernel.exit(process);
  table.poll();
  clock.advance(61_000);
  table.retire();
  table.poll();
  table.free(table.freeable());
  kernel.announce(process, RlProcessEventType.processExit);
  table.poll();
  t.equal(table.size, 0);
  t.equal(received.get('curl'), 1000);
  t.same(started, ['curl']);
});

t.test('two processes that had the same pid are two records', async (t) => {
  const { kernel, table, clock } = makeTable();
  const first = kernel.touch({ pid: FIRST_PID, name: 'first' });
  kernel.exit(first);
  table.poll();
  clock.advance(10);
  kernel.touch({ pid: FIRST_PID, name: 'second' });
  table.poll();
  t.match(
    [...table.records()],
    [
      { tgid: FIRST_PID, name: 'first', phase: 'ended' },
      { tgid: FIRST_PID, name: 'second', phase: 'live' },
    ],
  );
});

t.test('start times stay exact beyond 104 days of uptime', async (t) => {
  const bootNs = 2n ** 53n + 1_000_000_001n;
  const { kernel, table, clock } = makeTable({ clock: new FakeClock({ bootNs }) });
  const first = kernel.touch({ pid: FIRST_PID, name: 'first', startNs: 2n ** 53n });
  const second = kernel.touch({ pid: FIRST_PID, name: 'second', startNs: 2n ** 53n + 1n });
  kernel.exit(first);
  table.poll();
  t.same(
    [...table.records()].map(({ startNs }) => startNs),
    [2n ** 53n, 2n ** 53n + 1n],
  );
  t.equal([...table.records()][0]?.startedAtMs, clock.nowMs() - 1000);
  clock.advance(61_000);
  table.retire();
  table.poll();
  table.free(table.freeable());
  t.notOk(kernel.holds(first));
  t.ok(kernel.holds(second), 'the one that lives is not the one that is freed');
});

t.test('what the totals hold of an adopted process already is not reported again', async (t) => {
  const { kernel, table, received } = makeTable({
    restore: (record) => {
      record.counters[WIRE_RX_BYTES] = 900;
      return 'keep';
    },
  });
  const process = kernel.touch({ name: 'curl' });
  kernel.charge(process, { rxBytes: 900 });
  table.scan();
  table.poll();
  t.same([...received], []);
  kernel.charge(process, { rxBytes: 8 });
  table.poll();
  t.equal(received.get('curl'), 8);
  t.equal(only(table).counters[WIRE_RX_BYTES], 908);
});

t.test('a slot that was about to be given back when the agent died is given back at the next start', async (t) => {
  const { kernel, table, received, started, ended } = makeTable({
    restore: ({ name }) => (name === 'dead' ? 'freed' : 'keep'),
  });
  const processes = ['one', 'dead', 'two', 'three'].map((name) => kernel.touch({ name }));
  const [, dead] = processes;
  if (!dead) throw new Error('no such process');
  kernel.charge(dead, { rxBytes: 500 });
  kernel.exit(dead);
  table.scan();
  table.poll();
  t.notOk(kernel.holds(dead));
  t.same(kernel.freeSlots.values, [dead.slot]);
  t.equal(table.size, 3);
  t.same([...received], []);
  t.same(started.sort(), ['one', 'three', 'two']);
  t.same(ended, []);
});

t.test('a record is dirty when there is something new to write', async (t) => {
  const { kernel, table } = makeTable();
  const process = kernel.touch();
  table.poll();
  for (const [title, change] of [
    ['traffic', () => kernel.charge(process, { txBytes: 1 })],
    ['a new name', () => kernel.rename(process, 'other')],
    ['a new user', () => kernel.setUser(process, 7)],
    ['a new program', () => kernel.exec(process, { executable: '/usr/bin/nc' })],
    ['its end', () => kernel.exit(process)],
  ] as const) {
    only(table).dirty = false;
    table.poll();
    t.equal(only(table).dirty, false, 'nothing new');
    change();
    table.poll();
    t.equal(only(table).dirty, true, title);
  }
});
