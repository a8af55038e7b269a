import t from 'tap';
import { WIRE_RX_BYTES } from '../../agent/counters.ts';
import { RlProcessEventType } from '../../bpf/layouts.ts';
import { FakeClock } from './fake-clock.ts';
import { FIRST_PID } from './fake-kernel.ts';
import { makeTable, only } from './fake-table.ts';

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
