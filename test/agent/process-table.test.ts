import t from 'tap';
import { KERNEL_COUNTERS, PAYLOAD, relayedAt, WIRE_RX_BYTES, WIRE_TX_BYTES } from '../../agent/counters.ts';
import { RL_PROCESS_OFFSET, RlProcessEventType } from '../../bpf/layouts.ts';
import { encodeDetails, encodeU32, FIRST_PID } from './fake-kernel.ts';
import { makeTable, only } from './fake-table.ts';

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

t.test('what /proc shows is not taken from another process with that pid', async (t) => {
  const { kernel, table } = makeTable();
  kernel.touch({ pid: process.pid, argv: [''] });
  table.poll();
  t.equal(only(table).details.command, '');
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
    ...Array.from({ length: KERNEL_COUNTERS - PAYLOAD }, (_, i) => RL_PROCESS_OFFSET.payload + 8 * i),
  ];
  t.equal(offsets.length, 22, 'four of the wire, payload by 2 directions, 3 protocols, 3 scopes');
  for (const [index, offset] of offsets.entries()) kernel.setCounter(process, offset, 1000 + index);
  table.poll();
  const record = table.bySlot(process.slot, process.generation);
  t.same(
    [...(record?.counters ?? [])].slice(0, KERNEL_COUNTERS),
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

t.test('what the agent counts itself is left alone, and reported by whoever counts it', async (t) => {
  const { kernel, table, deltas } = makeTable();
  const process = kernel.touch();
  table.poll();
  only(table).counters[relayedAt('service')] = 77;
  kernel.charge(process, { rxBytes: 5 });
  table.poll();
  t.equal(only(table).counters[relayedAt('service')], 77);
  t.same(
    deltas.map((delta) => [delta[WIRE_RX_BYTES], delta[relayedAt('service')]]),
    [[5, 0]],
  );
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

t.test('whatever a policy may match a process by is told when it changes, and only then', async (t) => {
  const { kernel, table, described } = makeTable();
  const process = kernel.touch({ name: 'sh', uid: 0 });
  table.poll();
  t.same(described, ['sh 0']);
  table.poll();
  t.equal(described.length, 1);
  kernel.rename(process, 'relay');
  table.poll();
  t.same(described.slice(1), ['relay 0']);
});
