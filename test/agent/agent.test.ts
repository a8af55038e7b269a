import t from 'tap';
import type { Process } from '../../agent/readings.ts';
import { RL_TOTALS_OFFSET, RlLost } from '../../bpf/layouts.ts';
import { listed, MINUTE, makeHost, start } from './fake-host.ts';
import { FIRST_PID } from './fake-kernel.ts';
import { encodeSocketRecord, makeSocketRecord } from './socket-records.ts';

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

t.test('an ended process reads as it did, while it has its slot and when it was given back', async (t) => {
  const host = makeHost(t);
  const { kernel, clock } = host;
  const running = start(t, host);
  const process = kernel.touch({ pid: FIRST_PID, name: 'curl', argv: ['curl', '-4'] });
  kernel.charge(process, { rxBytes: 1500, rxPackets: 1, txBytes: 60, txPackets: 1 });
  clock.advance(1000);
  const asAnswered = (): unknown => {
    const row = running.agent.processes({ includeExited: true }).find(({ pid }) => pid === FIRST_PID);
    const { exitedAt: _exitedAt, ...rest } = JSON.parse(JSON.stringify(row)) as Process;
    t.same(JSON.stringify(running.agent.process(FIRST_PID)), JSON.stringify(row));
    return rest;
  };
  const live = asAnswered();
  t.match(live, { command: 'curl -4', traffic: { wire: { receivedBytes: 1500 } }, payloadShares: [] });
  kernel.exit(process);
  clock.advance(1000);
  t.same(asAnswered(), live, 'with its slot');
  clock.advance(MINUTE);
  for (let i = 0; i < 3; i++) running.checkpoint();
  t.equal(kernel.holds(process), false);
  t.same(asAnswered(), live, 'without');
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

t.test('the kernel’s row keeps its start time while the wall clock is slewed', async (t) => {
  const host = makeHost(t);
  const { agent } = start(t, host);
  const [before] = agent.processes();
  host.clock.wallMs += 3;
  t.equal(agent.processes()[0]?.startedAt, before?.startedAt);
  t.equal(agent.process(0)?.startedAt, before?.startedAt);
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

t.test(
  'what passed while the hooks were being attached is no error, and hides no packet that comes later',
  async (t) => {
    const host = makeHost(t);
    const { kernel, clock } = host;
    const process = kernel.touch();
    kernel.charge(process, { rxBytes: 9000, rxPackets: 6 });
    const { agent } = start(t, host);
    t.match(agent.status().reconciliation[0], { interfacesBytes: 9000, processesBytes: 9000, errorBytes: 0 });
    kernel.charge(process, { rxBytes: 1000, rxPackets: 1 });
    Object.assign(host.seen.rx, { ipBytes: 1040, ipPackets: 2 });
    clock.advance(1000);
    t.match(agent.processes()[0]?.traffic.wire, { receivedBytes: 40, receivedPackets: 1 });
    t.match(agent.status().reconciliation[0], { interfacesBytes: 10_040, processesBytes: 10_000, errorBytes: 0 });
  },
);

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
        makeSocketRecord({ cookie: 1n, owner: slot, ownerGeneration: generation }),
        makeSocketRecord({ cookie: 2n, owner: slot, ownerGeneration: generation - 1 }),
        makeSocketRecord({ cookie: 3n, owner: 0, ownerGeneration: 0 }),
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

t.test('each kind of loss is told apart', async (t) => {
  const { losses, ...reasons } = RlLost;
  const host = makeHost(t);
  for (const index of Object.values(reasons)) {
    host.kernel.totals.setBigUint64(RL_TOTALS_OFFSET.lost + 8 * index, BigInt(10 + index), true);
  }
  const { agent } = start(t, host);
  const expected = Object.entries(reasons).map(([reason, index]) => ({ reason, count: 10 + index }));
  t.same(agent.status().lost, expected);
  t.equal(expected.length, losses);
});
