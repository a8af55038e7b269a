import { pino } from 'pino';
import t, { type Test } from 'tap';
import type { Accounting } from '../../agent/accounting.ts';
import { Agent } from '../../agent/agent.ts';
import { type InterfaceBooks, nothingSeen, type Seen } from '../../agent/interface-books.ts';
import type { Process } from '../../agent/readings.ts';
import { Store } from '../../agent/store.ts';
import { Users } from '../../agent/users.ts';
import { RL_TOTALS_OFFSET } from '../../bpf/layouts.ts';
import { FakeClock } from './fake-clock.ts';
import { FakeKernel, FIRST_PID } from './fake-kernel.ts';
import { makeFolder } from './folder.ts';
import { encodeSocketRecord, makeSocketRecord } from './socket-records.ts';

const MINUTE = 60_000;

/** The kernel's side as it outlives the agent, and the folder that does. */
interface Host {
  clock: FakeClock;
  kernel: FakeKernel;
  folder: string;
  epoch: string;
  /** What the device hooks saw. */
  seen: { rx: Seen; tx: Seen };
  /** The socket dump. */
  sockets: Buffer;
}

interface Running {
  agent: Agent;
  store: Store;
  /** What the interval timer does. */
  tick(): void;
  /** Waits, then ticks: polls and writes a checkpoint. */
  checkpoint(): void;
  app(name: string): number | undefined;
}

function makeHost(t: Test, override: Partial<Host> & { capacity?: number } = {}): Host {
  const clock = override.clock ?? new FakeClock();
  return {
    clock,
    kernel: new FakeKernel(clock, override.capacity ?? 16),
    folder: makeFolder(t),
    epoch: 'boot:1',
    seen: { rx: nothingSeen(), tx: nothingSeen() },
    sockets: Buffer.alloc(0),
    ...override,
  };
}

function fakeAccounting({ kernel }: Host, dump: () => Buffer): Accounting {
  const { processes, events, ...maps } = kernel.maps();
  const byName: Record<string, unknown> = {
    process_slots: maps.slots,
    free_slots: maps.freeSlots,
    process_details: maps.details,
  };
  return {
    maps: new Map(Object.entries(byName)),
    map: (name: string) => byName[name],
    processes,
    events,
    totals: kernel.totals,
    adopted: false,
    missing: [],
    programs: [],
    sinceNs: 900_000_000_000n,
    dumpSockets: dump,
    programInfo: () => undefined,
  } as unknown as Accounting;
}

/** Starts an agent whose timer only runs when the test says so. */
function start(t: Test, host: Host, override: { maxApps?: number; metricsPerProcess?: boolean } = {}): Running {
  const { clock, folder, epoch } = host;
  const store = Store.open(folder);
  t.teardown(() => store[Symbol.dispose]());
  store.beginEpoch(epoch, clock.nowMs());
  const agent = new Agent({
    accounting: fakeAccounting(host, () => host.sockets),
    store,
    books: {
      read: (between: () => void) => {
        between();
        return [];
      },
      sum: (_: unknown, direction: 'rx' | 'tx') => ({ before: host.seen[direction], after: host.seen[direction] }),
      forgetGone: () => undefined,
    } as unknown as InterfaceBooks,
    users: new Users('/nonexistent/passwd'),
    clock,
    logger: pino({ level: 'silent' }),
    version: '0.0.0-test',
    kernel: '6.18.0',
    intervalSeconds: 1,
    maxApps: override.maxApps ?? 1000,
    metricsPerProcess: override.metricsPerProcess ?? false,
  });
  const { setInterval } = globalThis;
  let tick = (): void => undefined;
  globalThis.setInterval = ((work: () => void) => {
    tick = work;
  }) as unknown as typeof setInterval;
  try {
    agent.start();
  } finally {
    globalThis.setInterval = setInterval;
  }
  const app = (name: string): number | undefined =>
    agent.apps().find((each) => each.app === name)?.traffic.wire.receivedBytes;
  const checkpoint = (): void => {
    clock.advance(10_001);
    tick();
  };
  return { agent, store, tick: () => tick(), checkpoint, app };
}

function listed(agent: Agent): string[] {
  return agent
    .processes({ includeExited: true })
    .filter(({ pid }) => pid !== 0)
    .map(({ name, exitedAt, traffic }) => `${name}${exitedAt ? ' (ended)' : ''} ${traffic.wire.receivedBytes}`);
}

t.test('a process that moves bytes stands under its name with its bytes', async (t) => {
  const host = makeHost(t);
  const { agent } = start(t, host);
  const process = host.kernel.touch({ name: 'curl', pid: FIRST_PID, uid: 7, argv: ['curl', '-4'] });
  host.kernel.charge(process, { rxBytes: 1500, rxPackets: 1, txBytes: 60, txPackets: 1 });
  host.clock.advance(1000);
  t.match(agent.process(FIRST_PID), {
    pid: FIRST_PID,
    name: 'curl',
    command: 'curl -4',
    executable: '/usr/bin/curl',
    uid: 7,
    user: null,
    startedAt: '2026-11-22T05:00:00.000Z',
    exitedAt: null,
    app: 'curl',
    profile: null,
    traffic: { wire: { receivedBytes: 1500, receivedPackets: 1, sentBytes: 60, sentPackets: 1 } },
    relay: { verdict: 'none', role: null, confidence: 0 },
  });
  t.equal(agent.process(FIRST_PID + 1), undefined);
});

t.test('neither a crash nor a clean stop loses or doubles a byte, whenever it comes', async (t) => {
  const stops: [title: string, stop: (running: Running) => void | Promise<void>][] = [
    ['crash before the next checkpoint', () => undefined],
    ['crash after a checkpoint', ({ checkpoint }) => checkpoint()],
    ['crash after two', ({ checkpoint }) => (checkpoint(), checkpoint())],
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

t.test('of two processes that had the same pid the one that lives answers, else the last', async (t) => {
  const host = makeHost(t);
  const { kernel, clock } = host;
  const { agent } = start(t, host);
  const named = (): string | undefined => {
    clock.advance(1000);
    return agent.process(FIRST_PID)?.name;
  };
  const first = kernel.touch({ pid: FIRST_PID, name: 'first' });
  kernel.exit(first);
  t.equal(named(), 'first');
  const second = kernel.touch({ pid: FIRST_PID, name: 'second' });
  t.equal(named(), 'second');
  kernel.exit(second);
  t.equal(named(), 'second');
  const both = agent.processes({ includeExited: true }).filter(({ pid }) => pid === FIRST_PID);
  t.same(
    both.map(({ name }) => name),
    ['first', 'second'],
  );
});

t.test('an app is the sum of its processes, ended ones included, and says how many live', async (t) => {
  const host = makeHost(t);
  const { kernel, clock } = host;
  const { agent } = start(t, host);
  const unit = { cgroup: '/system.slice/nginx.service' };
  for (const bytes of [100, 20, 3]) {
    kernel.charge(kernel.touch({ name: `worker ${bytes}`, ...unit }), { rxBytes: bytes, rxPackets: 1 });
  }
  const ended = kernel.touch({ name: 'reload', ...unit });
  kernel.charge(ended, { rxBytes: 4000, rxPackets: 1 });
  kernel.exit(ended);
  clock.advance(1000);
  t.match(agent.apps(), [{ app: 'nginx', processes: 3, traffic: { wire: { receivedBytes: 4123 } } }]);
});

t.test('processes and the kernel’s row add up to the interfaces', async (t) => {
  const host = makeHost(t);
  const { kernel, clock } = host;
  const { agent } = start(t, host);
  const process = kernel.touch();
  kernel.charge(process, { rxBytes: 1000, rxPackets: 10, txBytes: 400, txPackets: 4 });
  kernel.charge({ ...process, generation: 99 }, { rxBytes: 50, rxPackets: 1, txBytes: 20, txPackets: 2 });
  Object.assign(host.seen.rx, { ipBytes: 1132, ipPackets: 13, nonIpBytes: 28, nonIpPackets: 1 });
  Object.assign(host.seen.tx, { ipBytes: 500, ipPackets: 8, forwardedBytes: 60, forwardedPackets: 1 });
  clock.advance(1000);
  const [kernelRow] = agent.processes();
  t.match(kernelRow, { pid: 0, name: 'kernel', app: 'kernel', exitedAt: null });
  t.same(kernelRow?.traffic.wire, { receivedBytes: 160, receivedPackets: 4, sentBytes: 100, sentPackets: 4 });
  t.same(
    kernelRow?.unattributed?.map(({ reason, receivedBytes, sentBytes }) => [reason, receivedBytes, sentBytes]),
    [
      ['late', 50, 20],
      ['non_ip', 28, 0],
      ['forwarded', 60, 60],
      ['no_socket', 22, 20],
    ],
  );
  t.same(agent.status().reconciliation, [
    { direction: 'rx', interfacesBytes: 1160, processesBytes: 1000, kernelBytes: 160, errorBytes: 0 },
    { direction: 'tx', interfacesBytes: 500, processesBytes: 400, kernelBytes: 100, errorBytes: 0 },
  ]);
});

t.test('after lost events nobody is missed', async (t) => {
  const host = makeHost(t);
  const { kernel, clock } = host;
  const { agent } = start(t, host);
  kernel.ringIsFull = true;
  kernel.touch({ name: 'unheard' });
  clock.advance(1000);
  t.same(listed(agent), ['unheard 0']);
  t.match(
    agent.status().lost.find(({ reason }) => reason === 'event'),
    { count: 1 },
  );
});

t.test(
  'sockets stand under their owners, and under the kernel where the owner’s slot is another’s by now',
  async (t) => {
    const host = makeHost(t);
    const { kernel, clock } = host;
    const { agent } = start(t, host);
    const { slot, generation } = kernel.touch({ pid: FIRST_PID, name: 'curl' });
    host.sockets = Buffer.concat(
      [
        makeSocketRecord({ cookie: 1, owner: slot, ownerGeneration: generation }),
        makeSocketRecord({ cookie: 2, owner: slot, ownerGeneration: generation - 1 }),
        makeSocketRecord({ cookie: 3, owner: 0, ownerGeneration: 0 }),
      ].map(encodeSocketRecord),
    );
    clock.advance(5000);
    t.match(agent.sockets(), [
      { cookie: '1', pid: FIRST_PID, name: 'curl', app: 'curl', startedAt: '2026-11-22T05:00:00.000Z' },
      { cookie: '2', pid: 0, name: 'kernel', app: 'kernel', startedAt: null },
      { cookie: '3', pid: 0, name: 'kernel' },
    ]);
    t.match(agent.flows(FIRST_PID), [{ cookie: '1', pid: FIRST_PID, remotePort: 443 }]);
    t.equal(agent.flows(FIRST_PID).length, 1);
    host.sockets = Buffer.alloc(0);
    clock.advance(1);
    t.equal(agent.sockets(FIRST_PID).length, 0, 'asked for one process, the answer is fresh');
  },
);

t.test('starts and ends are published to whoever listens', async (t) => {
  const host = makeHost(t);
  const { kernel, clock } = host;
  const { agent, tick } = start(t, host);
  const heard: string[] = [];
  const stop = agent.subscribe(({ type, data }) => heard.push(`${type} ${(data['process'] as Process).name}`));
  const process = kernel.touch({ name: 'curl' });
  clock.advance(1000);
  tick();
  kernel.exit(process);
  tick();
  stop();
  kernel.touch({ name: 'unheard' });
  tick();
  t.same(heard, ['process-started curl', 'process-ended curl']);
});

t.test('a poll that fails is counted, and the next one catches up', async (t) => {
  const host = makeHost(t);
  const { kernel, clock } = host;
  const { agent, tick } = start(t, host);
  const { consume } = kernel.events;
  kernel.events.consume = () => {
    throw new Error('out of order');
  };
  const process = kernel.touch();
  kernel.charge(process, { rxBytes: 12, rxPackets: 1 });
  tick();
  kernel.events.consume = consume;
  clock.advance(1000);
  t.same(listed(agent), ['curl 12']);
  t.match(await agent.metrics(false), /^relayledger_poll_errors_total 1$/m);
});

t.test('a lost network namespace ends the agent', async (t) => {
  const host = makeHost(t);
  const { tick } = start(t, host);
  host.kernel.events.consume = () => {
    throw Object.assign(new Error('in the wrong place'), { code: 'BPF_NAMESPACE_LOST' });
  };
  t.throws(tick, { code: 'BPF_NAMESPACE_LOST' });
});

t.test('the series of /metrics never go backwards, whoever comes and goes', async (t) => {
  const host = makeHost(t, { capacity: 64 });
  const { kernel, clock } = host;
  const previous = new Map<string, number>();
  let running = start(t, host, { maxApps: 3 });
  for (let round = 0; round < 12; round++) {
    const process = kernel.touch({ name: `app-${round % 7}` });
    kernel.charge(process, { rxBytes: 100 + round, rxPackets: 1 });
    if (round % 2 === 0) kernel.exit(process);
    clock.advance(MINUTE);
    running.checkpoint();
    if (round === 8) running = start(t, host, { maxApps: 3 });
    const text = await running.agent.metrics(false);
    const lines = text.matchAll(/^(relayledger_process_wire_bytes_total\{app="([^"]*)",direction="rx"\}) (\d+)$/gm);
    const apps: string[] = [];
    for (const [, series = '', app = '', value] of lines) {
      apps.push(app);
      t.ok(Number(value) >= (previous.get(series) ?? 0), `${series} in round ${round}`);
      previous.set(series, Number(value));
    }
    t.same(apps, ['app-0', 'app-1', 'app-2', 'other'].slice(0, Math.min(4, round + 1)));
  }
  t.equal(
    [...previous.values()].reduce((a, b) => a + b),
    1266,
    'all that was received is in one of them',
  );
});

t.test('series by process are there only when asked for', async (t) => {
  for (const metricsPerProcess of [false, true]) {
    const host = makeHost(t);
    const process = host.kernel.touch({ pid: FIRST_PID, name: 'a "b"' });
    host.kernel.charge(process, { txBytes: 5, txPackets: 1 });
    const { agent } = start(t, host, { metricsPerProcess });
    const line = `relayledger_pid_wire_bytes_total{app="a \\"b\\"",pid="${FIRST_PID}",name="a \\"b\\"",direction="tx"} 5`;
    t.equal((await agent.metrics(false)).includes(line), metricsPerProcess);
  }
});

t.test('a kernel that counts beyond its first lost event is told apart from one that lost none', async (t) => {
  const host = makeHost(t);
  host.kernel.totals.setBigUint64(RL_TOTALS_OFFSET.lost, 3n, true);
  const { agent } = start(t, host);
  t.same(agent.status().lost, [
    { reason: 'process', count: 3 },
    { reason: 'socket', count: 0 },
    { reason: 'interface', count: 0 },
    { reason: 'details', count: 0 },
    { reason: 'event', count: 0 },
  ]);
});
