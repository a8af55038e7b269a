import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { pinPath } from '../../../agent/accounting.ts';
import { DESTROY_TCP, DESTROY_UDP, PACE_CONNECTIONS } from '../../../agent/hooks.ts';
import type { KernelDeny, ProcessSlot } from '../../../agent/policies/enforcer.ts';
import { unpin } from '../../../bpf/pin.ts';
import { waitForPort } from '../hosts.ts';
import { EnforcementGround, policy } from './ground.ts';

const everyPort = { firstPort: 0, lastPort: 65535 };
const inbound: KernelDeny = { inbound: true, outbound: false, ...everyPort, how: 'drop' };
const outbound: KernelDeny = { inbound: false, outbound: true, ...everyPort, how: 'drop' };

t.test('inbound is denied whatever port the program opens; what is established goes on', async (t) => {
  await using ground = await EnforcementGround.make();
  const { client, server } = ground.hosts;
  const answering = ground.start(server, 'dialogue', 'denied', ['answer', '6000']);
  const other = ground.start(server, 'dialogue', 'other', ['answer', '6500']);
  await waitForPort(server, 'tcp', 6000);
  await waitForPort(server, 'tcp', 6500);
  for (const how of ['tcp', 'udp', 'connected', 'fastopen']) {
    t.same(await ground.ask(client, 'asker', how, server.address4, 6000), ['ok'], `${how} before`);
  }
  const established = ground.ask(client, 'established', 'tcp', server.address4, 6000, 12);
  const knownPeer = ground.ask(client, 'known', 'udp', server.address4, 6000, 12);
  await sleep(600);
  ground.enforcer.install(policy({ deny: inbound }));
  ground.enforcer.assign(await ground.process(answering.pid), ['test']);
  answering.child.kill('SIGUSR1');
  await waitForPort(server, 'tcp', 6001);
  for (const port of [6000, 6001]) {
    for (const how of ['tcp', 'udp', 'connected', 'fastopen', 'mptcp']) {
      for (const address of [server.address4, server.address6]) {
        t.same(await ground.ask(client, 'asker', how, address, port), ['timeout'], `${how} to ${address} port ${port}`);
      }
    }
  }
  t.same(await established, Array(12).fill('ok'), 'an established connection goes on');
  t.same(await knownPeer, Array(12).fill('ok'), 'a peer that was answered before goes on');
  t.same(await ground.ask(client, 'asker', 'tcp', server.address4, 6500), ['ok'], 'another program is not denied');
  const { droppedPackets } = ground.enforcer.counters('test');
  t.ok(
    droppedPackets.some(({ direction, reason, packets }) => direction === 'rx' && reason === 'denied' && packets >= 20),
  );

  ground.enforcer.install(policy({ deny: { ...inbound, firstPort: 6001, lastPort: 6001 } }));
  t.same(await ground.ask(client, 'asker', 'tcp', server.address4, 6000), ['ok'], 'outside the ports that are denied');
  t.same(await ground.ask(client, 'asker', 'tcp', server.address4, 6001), ['timeout'], 'inside them');
  ground.enforcer.remove('test');
  for (const how of ['tcp', 'udp']) {
    t.same(await ground.ask(client, 'asker', how, server.address4, 6001), ['ok'], `${how} after the removal`);
  }
  other.child.kill();
});

t.test('outbound is denied by every way to begin', async (t) => {
  await using ground = await EnforcementGround.make();
  const { client, server } = ground.hosts;
  ground.start(server, 'dialogue', 'answerer', ['answer', '6000']);
  await waitForPort(server, 'tcp', 6000);
  t.same(await ground.ask(client, 'denied', 'mptcp', server.address4, 6000), ['ok'], 'mptcp before');
  ground.enforcer.install(policy({ deny: outbound }), { executableName: 'denied' });
  const addresses = [server.address4, server.address6, `::ffff:${server.address4}`];
  for (const address of addresses) {
    for (const how of ['tcp', 'udp', 'connected', 'fastopen', 'mptcp']) {
      t.same(await ground.ask(client, 'denied', how, address, 6000), ['EPERM'], `${how} to ${address}`);
    }
    t.same(await ground.ask(client, 'allowed', 'tcp', address, 6000), ['ok'], 'another program is not denied');
  }
  t.ok(ground.enforcer.counters('test').refusedCalls >= 12);
  ground.enforcer.install(policy({ deny: { ...outbound, how: 'reject' } }), { executableName: 'denied' });
  for (const how of ['tcp', 'udp', 'connected', 'fastopen']) {
    t.same(await ground.ask(client, 'denied', how, server.address4, 6000), ['ECONNREFUSED'], `${how}, rejected`);
  }
  ground.enforcer.install(policy({ deny: { ...outbound, firstPort: 1, lastPort: 5999 } }), {
    executableName: 'denied',
  });
  t.same(await ground.ask(client, 'denied', 'tcp', server.address4, 6000), ['ok'], 'outside the ports that are denied');
});

t.test(
  'inbound that is rejected gets a reset, where others listen on the same port in another place too',
  async (t) => {
    await using ground = await EnforcementGround.make();
    const { client, server } = ground.hosts;
    const answering = ground.start(server, 'dialogue', 'denied', ['answer', '6000']);
    ground.start(client, 'dialogue', 'elsewhere', ['answer', '6000']);
    await waitForPort(server, 'tcp', 6000);
    await waitForPort(client, 'tcp', 6000);
    const established = ground.ask(client, 'established', 'tcp', server.address4, 6000, 8);
    await sleep(300);
    ground.enforcer.install(policy({ deny: { ...inbound, how: 'reject' } }));
    ground.enforcer.assign(await ground.process(answering.pid), ['test']);
    ground.enforcer.pace();
    answering.child.kill('SIGUSR1');
    await waitForPort(server, 'tcp', 6001);
    for (const port of [6000, 6001]) {
      for (const address of [server.address4, server.address6]) {
        t.same(await ground.ask(client, 'asker', 'tcp', address, port), ['ECONNREFUSED'], `${address} port ${port}`);
      }
    }
    t.same(await ground.ask(server, 'asker', 'tcp', client.address4, 6000), ['ok'], 'the same port of another host');
    t.same(await established, Array(8).fill('ok'), 'what is established goes on');
    t.ok(
      ground.enforcer
        .counters('test')
        .droppedPackets.some(({ reason, packets }) => reason === 'denied' && packets >= 4),
    );
    ground.restartAgent();
    t.same(await ground.ask(client, 'asker', 'tcp', server.address4, 6001), ['ECONNREFUSED'], 'after a restart');
    ground.enforcer.remove('test');
    t.same(await ground.ask(client, 'asker', 'tcp', server.address4, 6000), ['ok'], 'after the removal');
  },
);

t.test('a rejected port stays so for the second who listens on it, and is nobody else’s refusal', async (t) => {
  await using ground = await EnforcementGround.make();
  const { client, server } = ground.hosts;
  const listeners = ['first', 'second'].map((name) => ground.start(server, 'dialogue', name, ['share', '6000']));
  await waitForPort(server, 'tcp', 6000);
  const [first, second] = (await Promise.all(listeners.map(({ pid }) => ground.process(pid)))) as [
    ProcessSlot,
    ProcessSlot,
  ];
  const ask = (): Promise<string[]> => ground.ask(client, 'asker', 'tcp', server.address4, 6000);
  ground.enforcer.install(policy({ deny: { ...inbound, how: 'reject' } }));
  ground.enforcer.assign(second, ['test']);
  ground.enforcer.pace();
  const words = new Set<string>();
  for (let i = 0; i < 12; i++) for (const word of await ask()) words.add(word);
  t.same([...words].sort(), ['ok', 'timeout'], 'who comes to the other is let in');
  ground.enforcer.assign(first, ['test']);
  ground.enforcer.pace();
  for (let i = 0; i < 4; i++) t.same(await ask(), ['ECONNREFUSED'], 'both are rejected');
  listeners[0]?.child.kill();
  await listeners[0]?.done;
  for (let i = 0; i < 4; i++) t.same(await ask(), ['ECONNREFUSED'], 'the first has gone');
  ground.enforcer.remove('test');
  t.same(await ask(), ['ok'], 'after the removal');
  ground.enforcer.install(policy({ deny: { ...inbound, how: 'reject' } }));
  ground.enforcer.assign(second, ['test']);
  ground.enforcer.pace();
  t.same(await ask(), ['ECONNREFUSED'], 'and rejected once more');
});

t.test('a policy that rejects fewer ports lets callers in before the agent has been round', async (t) => {
  await using ground = await EnforcementGround.make();
  const { client, server } = ground.hosts;
  const answering = ground.start(server, 'dialogue', 'denied', ['answer', '6000']);
  await waitForPort(server, 'tcp', 6000);
  const reject: KernelDeny = { ...inbound, how: 'reject' };
  ground.enforcer.install(policy({ deny: reject }));
  ground.enforcer.assign(await ground.process(answering.pid), ['test']);
  ground.enforcer.pace();
  t.same(await ground.ask(client, 'asker', 'tcp', server.address4, 6000), ['ECONNREFUSED']);
  unpin(pinPath(ground.bpffs, 'links', PACE_CONNECTIONS));
  ground.enforcer.install(policy({ deny: { ...reject, firstPort: 7000, lastPort: 7400 } }));
  t.same(
    await ground.ask(client, 'asker', 'tcp', server.address4, 6000),
    ['ok'],
    'outside the ports that are rejected',
  );
  ground.enforcer.install(policy({ deny: { ...reject, firstPort: 6000, lastPort: 6000 } }));
  t.same(await ground.ask(client, 'asker', 'tcp', server.address4, 6000), ['ECONNREFUSED'], 'inside them');
});

t.test(
  'a policy that expires is no longer in force, and holds nobody who starts later, with no agent there',
  async (t) => {
    await using ground = await EnforcementGround.make();
    const { client, server } = ground.hosts;
    const answering = ground.start(server, 'dialogue', 'denied', ['answer', '6000']);
    ground.start(server, 'dialogue', 'other', ['answer', '6500']);
    const held = await ground.stream('held', 5301, { flows: 2 });
    await waitForPort(server, 'tcp', 6000);
    await waitForPort(server, 'tcp', 6500);
    const rate = { bytesPerSecond: 1_000_000, sent: true, received: true };
    const expiresAtMs = Date.now() + 6000;
    const slots = { denied: await ground.process(answering.pid), held: await ground.process(held) };
    ground.enforcer.install(policy({ name: 'deny', deny: { ...inbound, how: 'reject' }, expiresAtMs }));
    ground.enforcer.install(policy({ name: 'early', deny: outbound, expiresAtMs }), { executableName: 'asking' });
    ground.enforcer.install(policy({ name: 'cap', rate, expiresAtMs }));
    ground.enforcer.assign(slots.denied, ['deny']);
    ground.enforcer.assign(slots.held, ['cap']);
    ground.enforcer.pace();
    t.same(await ground.ask(client, 'asker', 'tcp', server.address4, 6000), ['ECONNREFUSED']);
    t.same(await ground.ask(client, 'asking', 'tcp', server.address4, 6500), ['EPERM']);
    await sleep(1500);
    t.ok((await ground.rate('held-sink', 500)) < 2_000_000);
    ground.enforcer[Symbol.dispose]();
    await sleep(Math.max(0, expiresAtMs - Date.now()) + 1500);
    t.same(await ground.ask(client, 'asker', 'tcp', server.address4, 6000), ['ok']);
    t.same(await ground.ask(client, 'asking', 'tcp', server.address4, 6500), ['ok']);
    t.ok((await ground.rate('held-sink', 1000)) > 20_000_000);
    ground.restartAgent();
    t.same(ground.enforcer.installed(), []);
  },
);

t.test('the place of a policy that the kernel has found expired is not another’s before it is removed', async (t) => {
  await using ground = await EnforcementGround.make();
  const { client, server } = ground.hosts;
  ground.start(server, 'dialogue', 'other', ['answer', '6500']);
  await waitForPort(server, 'tcp', 6500);
  ground.enforcer.install(policy({ name: 'short', deny: outbound, expiresAtMs: Date.now() }), {
    executableName: 'asking',
  });
  t.same(await ground.ask(client, 'asking', 'tcp', server.address4, 6500), ['ok']);
  ground.enforcer.install(policy({ name: 'next', deny: outbound }), { executableName: 'asking' });
  ground.enforcer.remove('short');
  t.same(ground.enforcer.installed(), ['next']);
  t.same(await ground.ask(client, 'asking', 'tcp', server.address4, 6500), ['EPERM']);
  ground.enforcer.setExpiry('next', Date.now());
  t.same(await ground.ask(client, 'asking', 'tcp', server.address4, 6500), ['ok'], 'as after the clock was set');
});

t.test('strangers’ datagrams that are rejected are answered by an ICMP error; known peers go on', async (t) => {
  await using ground = await EnforcementGround.make();
  const { client, server } = ground.hosts;
  const answering = ground.start(server, 'dialogue', 'denied', ['answer', '6000']);
  const other = ground.start(server, 'dialogue', 'other', ['answer', '6500']);
  await waitForPort(server, 'udp', 6000);
  await waitForPort(server, 'udp', 6500);
  const knownPeer = ground.ask(client, 'known', 'udp', server.address4, 6000, 8);
  await sleep(500);
  ground.enforcer.install(policy({ deny: { ...inbound, how: 'reject' } }));
  ground.enforcer.assign(await ground.process(answering.pid), ['test']);
  ground.enforcer.pace();
  const ask = (address: string, port: number): Promise<string[]> =>
    ground.ask(client, 'asker', 'connected', address, port);
  for (const address of [server.address4, server.address6]) {
    t.same(await ask(address, 6000), ['ECONNREFUSED'], address);
    t.same(await ask(address, 6500), ['ok'], 'another program is not denied');
  }
  t.same(await knownPeer, Array(8).fill('ok'), 'a peer that was answered before goes on');
  ground.enforcer.install(policy({ deny: { ...inbound, how: 'drop' } }));
  t.same(await ask(server.address4, 6000), ['timeout'], 'dropped');
  ground.enforcer.install(policy({ deny: { ...inbound, how: 'reject' } }));
  ground.enforcer.pace();
  answering.child.kill();
  await answering.done;
  ground.start(server, 'dialogue', 'next', ['answer', '6000']);
  await waitForPort(server, 'udp', 6000);
  t.same(await ask(server.address4, 6000), ['ok'], 'who is bound there next');
  other.child.kill();
});

t.test('raw sockets of a process that is denied outbound send nothing', async (t) => {
  await using ground = await EnforcementGround.make();
  const { client, server } = ground.hosts;
  const ways = [
    ['raw', server.address4],
    ['raw', server.address6],
    ['header', server.address4],
  ] as const;
  const ask = (name: string, [how, address]: (typeof ways)[number]): Promise<string[]> =>
    ground.ask(client, name, how, address, 1);
  for (const way of ways) t.same(await ask('denied', way), ['ok'], `${way} before`);
  ground.enforcer.install(policy({ deny: outbound }), { executableName: 'denied' });
  for (const way of ways) {
    t.same(await ask('denied', way), ['EPERM'], `${way}`);
    t.same(await ask('allowed', way), ['ok'], 'another program is not denied');
  }
  ground.enforcer.install(policy({ deny: { ...outbound, firstPort: 443, lastPort: 443 } }), {
    executableName: 'denied',
  });
  for (const way of ways) t.same(await ask('denied', way), ['ok'], 'where ports are denied');
});

/** Enough for a loaded machine to come in between. */
const QUESTIONS = 100;

for (const by of ['bpf_sock_destroy', 'SOCK_DIAG'] as const) {
  t.test(`disconnect ends the connections of one process, by ${by}`, async (t) => {
    await using ground = await EnforcementGround.make();
    const { client, server } = ground.hosts;
    // What a kernel before 6.5 leaves there.
    if (by === 'SOCK_DIAG')
      for (const program of [DESTROY_TCP, DESTROY_UDP]) unpin(pinPath(ground.bpffs, 'links', program));
    const answering = ground.start(server, 'dialogue', 'answerer', ['answer', '6000']);
    const spared = ground.start(server, 'dialogue', 'spared', ['answer', '6500']);
    await waitForPort(server, 'tcp', 6500);
    const cut = [server.address4, server.address6].map((address, index) =>
      ground.ask(client, `cut${index}`, 'tcp', address, 6000, QUESTIONS),
    );
    const goesOn = ground.ask(client, 'goes-on', 'tcp', server.address4, 6500, 10);
    const connected = ground.start(client, 'dialogue', 'connected', [
      'ask',
      'connected',
      server.address4,
      '6500',
      String(QUESTIONS),
    ]);
    await sleep(700);
    const process = await ground.process(answering.pid);
    t.same(ground.enforcer.disconnect({ ...process, generation: process.generation + 1 }, 'all'), { tcp: 0, udp: 0 });
    t.same(ground.enforcer.disconnect(process, 'relay'), { tcp: 0, udp: 0 }, 'no flow is ruled as relayed');
    t.same(ground.enforcer.disconnect(await ground.process(connected.pid), 'all'), { tcp: 0, udp: 1 });
    const [flow] = ground.flowsOf(process.slot).filter((each) => ground.sentOn(each) > 0);
    ground.enforcer.rule(flow ?? 0, true, 0);
    t.equal(ground.enforcer.disconnect(process, 'relay').tcp, 1, 'the one that is');
    t.same(ground.enforcer.disconnect(process, 'all'), { tcp: 1, udp: 1 }, 'the other, and the socket for datagrams');
    for (const words of await Promise.all(cut)) {
      t.equal(words.at(-1), 'ECONNRESET');
      t.ok(words.length < QUESTIONS);
    }
    t.same(await goesOn, Array(10).fill('ok'));
    t.same(await ground.ask(client, 'asker', 'tcp', server.address4, 6000), ['ok'], 'it still listens');
    spared.child.kill();
  });
}
