import t from 'tap';
import { FakeClock } from './fake-clock.ts';
import { listed, MINUTE, makeHost, type Running, start } from './fake-host.ts';
import { FakeKernel, FIRST_PID } from './fake-kernel.ts';

t.test('neither a crash nor a clean stop loses or doubles a byte, whenever it comes', async (t) => {
  const stops: [title: string, stop: (running: Running) => void | Promise<void>][] = [
    ['crash before the next checkpoint', () => undefined],
    ['crash after a checkpoint', ({ checkpoint }) => checkpoint()],
    ['crash after two', ({ checkpoint }) => [1, 2].forEach(checkpoint)],
    ['clean stop', ({ agent }) => agent[Symbol.asyncDispose]()],
  ];
  for (const [title, stop] of stops) {
    const host = makeHost(t);
    const { kernel, clock } = host;
    const curl = kernel.touch({ name: 'curl' });
    const ended = kernel.touch({ name: 'ended' });
    const first = start(t, host);
    kernel.charge(curl, { rxBytes: 1000, rxPackets: 2 });
    kernel.charge(ended, { rxBytes: 70, rxPackets: 1 });
    first.checkpoint();
    kernel.charge(curl, { rxBytes: 500, rxPackets: 1 });
    kernel.exit(ended);
    clock.advance(1000);
    first.tick();
    kernel.charge(curl, { rxBytes: 7, rxPackets: 1 });
    await stop(first);
    kernel.charge(curl, { rxBytes: 30, rxPackets: 1 });
    for (const round of [1, 2]) {
      const { agent, app, checkpoint } = start(t, host);
      t.equal(app('curl'), 1537, `${title}, start ${round}`);
      t.equal(app('ended'), 70, `${title}, start ${round}`);
      t.same(listed(agent).sort(), ['curl 1537', 'ended (ended) 70'], `${title}, start ${round}`);
      t.equal(agent.status().reconciliation[0]?.processesBytes, 1607, `${title}, start ${round}`);
      checkpoint();
    }
  }
});

t.test('what was told to have met no socket is not taken back by the next agent', async (t) => {
  const host = makeHost(t);
  const { kernel, seen } = host;
  const process = kernel.touch();
  const noSocket = ({ agent }: Running): unknown[] => {
    const rows = agent.status().unattributed.filter(({ reason }) => reason === 'no_socket');
    return rows.map(({ receivedBytes, sentBytes }) => [receivedBytes, sentBytes]);
  };
  const first = start(t, host);
  kernel.charge(process, { rxBytes: 600, rxPackets: 6, txBytes: 50, txPackets: 5 });
  Object.assign(seen.rx, { ipBytes: 1000, ipPackets: 10 });
  Object.assign(seen.tx, { ipBytes: 70, ipPackets: 7 });
  host.clock.advance(1000);
  t.same(noSocket(first), [[400, 20]]);
  // The device hooks miss a packet, or it was delivered to two sockets.
  kernel.charge(process, { rxBytes: 100, rxPackets: 1, txBytes: 10, txPackets: 1 });
  host.clock.advance(1000);
  t.same(noSocket(first), [[400, 20]]);
  const second = start(t, { ...host, adopted: true });
  t.same(noSocket(second), [[400, 20]]);
  Object.assign(seen.rx, { ipBytes: 1130, ipPackets: 11 });
  host.clock.advance(1000);
  t.same(noSocket(second), [[430, 20]]);
});

t.test('a slot is given back when its bytes are on disk, and a crash in between doubles nothing', async (t) => {
  for (const crash of ['before the slot was given back', 'after it was given back'] as const) {
    const host = makeHost(t);
    const { kernel, clock } = host;
    const process = kernel.touch({ name: 'curl' });
    kernel.charge(process, { rxBytes: 1000, rxPackets: 1 });
    const first = start(t, host);
    kernel.exit(process);
    clock.advance(MINUTE);
    first.checkpoint();
    t.ok(kernel.holds(process), 'closed, not given back');
    const { delete: giveBack } = kernel.slots;
    if (crash === 'before the slot was given back') {
      kernel.slots.delete = () => {
        throw new Error('killed');
      };
    }
    first.checkpoint();
    kernel.slots.delete = giveBack;
    t.equal(kernel.holds(process), crash === 'before the slot was given back');

    const second = start(t, host);
    t.notOk(kernel.holds(process));
    t.same(kernel.freeSlots.values, [process.slot], 'once');
    t.equal(second.app('curl'), 1000, crash);
    t.equal(second.agent.status().reconciliation[0]?.processesBytes, 1000, crash);
    t.same(listed(second.agent), ['curl (ended) 1000']);
    const next = kernel.touch({ name: 'next' });
    kernel.charge(next, { rxBytes: 3, rxPackets: 1 });
    clock.advance(1000);
    t.equal(second.app('curl'), 1000);
    t.equal(second.app('next'), 3);
  }
});

t.test('those whose slots were given back stay in the books, however many checkpoints ago', async (t) => {
  const host = makeHost(t);
  const { kernel, clock } = host;
  const first = start(t, host);
  for (const bytes of [100, 20, 3]) {
    const process = kernel.touch();
    kernel.charge(process, { rxBytes: bytes, rxPackets: 1 });
    first.tick();
    kernel.exit(process);
    clock.advance(MINUTE);
    for (let i = 0; i < 3; i++) first.checkpoint();
    t.notOk(kernel.holds(process));
  }
  for (const { agent } of [first, start(t, host)]) {
    t.equal(agent.status().reconciliation[0]?.processesBytes, 123);
  }
});

t.test('a process that ended while no agent ran is counted once, however long that was', async (t) => {
  for (const [title, awayMs] of [
    ['a second', 1000],
    ['an hour', 60 * MINUTE],
  ] as const) {
    const host = makeHost(t);
    const { kernel, clock } = host;
    const process = kernel.touch({ name: 'curl' });
    kernel.charge(process, { rxBytes: 1000, rxPackets: 1 });
    const first = start(t, host);
    first.checkpoint();
    await first.agent[Symbol.asyncDispose]();
    kernel.charge(process, { rxBytes: 24, rxPackets: 1 });
    kernel.exit(process);
    clock.advance(awayMs);
    for (const round of [1, 2, 3]) {
      const { agent, app, checkpoint } = start(t, host);
      t.equal(app('curl'), 1024, `${title}, start ${round}`);
      checkpoint();
      clock.advance(1000);
      t.equal(app('curl'), 1024, `${title}, start ${round}, after a checkpoint`);
      await agent[Symbol.asyncDispose]();
    }
  }
});

t.test('processes that outlive the kernel’s counters are counted on', async (t) => {
  const host = makeHost(t);
  const { clock } = host;
  const startNs = clock.bootNs();
  const process = host.kernel.touch({ name: 'sshd', pid: FIRST_PID, startNs });
  host.kernel.charge(process, { rxBytes: 1000, rxPackets: 1 });
  const first = start(t, host);
  first.checkpoint();
  await first.agent[Symbol.asyncDispose]();

  // Another build of the programs, or `doctor --remove`: the same process in a new table, from zero.
  const later = { ...host, kernel: new FakeKernel(clock), epoch: 'boot:2' };
  const again = later.kernel.touch({ name: 'sshd', pid: FIRST_PID, startNs });
  later.kernel.charge(again, { rxBytes: 5, rxPackets: 1 });
  const { agent, app, checkpoint } = start(t, later);
  t.ok(later.kernel.holds(again), 'its slot is its own');
  t.equal(app('sshd'), 1005);
  t.match(agent.process(FIRST_PID), { exitedAt: null, traffic: { wire: { receivedBytes: 5 } } });
  t.same(listed(agent), ['sshd 5'], 'and it is there once');
  later.kernel.charge(again, { rxBytes: 1, rxPackets: 1 });
  checkpoint();
  t.equal(start(t, later).app('sshd'), 1006);
});

t.test('after a boot totals go on, and those that ran before stay readable as ended', async (t) => {
  const host = makeHost(t);
  const process = host.kernel.touch({ name: 'curl' });
  host.kernel.charge(process, { rxBytes: 1000, rxPackets: 1 });
  const first = start(t, host);
  first.checkpoint();
  const clock = new FakeClock({ wallMs: host.clock.nowMs() + MINUTE, bootNs: 20_000_000_000n });
  const { agent, app } = start(t, { ...host, clock, kernel: new FakeKernel(clock), epoch: 'another boot:1' });
  t.equal(app('curl'), 1000);
  t.same(listed(agent), ['curl (ended) 1000']);
  t.equal(agent.status().reconciliation[0]?.processesBytes, 0, 'the books begin anew with the interfaces’');
});

t.test('a checkpoint that fails is made up for by the next: nothing is lost, doubled or left locked', async (t) => {
  const host = makeHost(t);
  const { kernel, clock } = host;
  const ended = kernel.touch({ name: 'ended' });
  kernel.charge(ended, { rxBytes: 1000, rxPackets: 1 });
  const first = start(t, host);
  kernel.exit(ended);
  clock.advance(MINUTE);
  first.checkpoint();
  const { checkpoint } = first.store;
  let refused = 0;
  first.store.checkpoint = () => {
    refused++;
    throw new Error('the disk is full');
  };
  first.checkpoint();
  t.equal(refused, 1);
  t.ok(kernel.holds(ended), 'not before it is on disk');
  first.store.checkpoint = checkpoint;
  first.checkpoint();
  t.notOk(kernel.holds(ended), 'the slot is given back after all');
  t.equal(first.agent.status().reconciliation[0]?.processesBytes, 1000);
  const second = start(t, host);
  t.equal(second.app('ended'), 1000);
  t.equal(second.agent.status().reconciliation[0]?.processesBytes, 1000);
});

t.test('those that ended are readable for 15 minutes, across a restart too', async (t) => {
  const host = makeHost(t);
  const { kernel, clock } = host;
  const process = kernel.touch({ name: 'wget', pid: FIRST_PID });
  kernel.charge(process, { rxBytes: 9, rxPackets: 1 });
  let running = start(t, host);
  clock.advance(1000);
  kernel.exit(process);
  const exitedAt = new Date(clock.nowMs()).toISOString();
  for (const minutes of [0, 2, 14]) {
    clock.setWall(Date.parse(exitedAt));
    clock.wallMs += minutes * MINUTE;
    clock.bootTimeNs += BigInt(minutes * MINUTE) * 1_000_000n;
    running.checkpoint();
    running.checkpoint();
    t.match(running.agent.process(FIRST_PID), { name: 'wget', exitedAt }, `${minutes} minutes`);
    t.same(
      running.agent.processes().map(({ name }) => name),
      ['kernel'],
      'only when asked for',
    );
    running = start(t, host);
    t.match(running.agent.process(FIRST_PID), { name: 'wget', exitedAt }, `${minutes} minutes, after a restart`);
  }
  clock.advance(2 * MINUTE);
  running.checkpoint();
  running.checkpoint();
  t.equal(running.agent.process(FIRST_PID), undefined);
  t.equal(running.app('wget'), 9, 'its app keeps its bytes');
});
