import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import type { KernelDeny } from '../../../agent/policies/enforcer.ts';
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

t.test('disconnect ends the connections of one process', async (t) => {
  await using ground = await EnforcementGround.make();
  const { client, server } = ground.hosts;
  const answering = ground.start(server, 'dialogue', 'answerer', ['answer', '6000']);
  const spared = ground.start(server, 'dialogue', 'spared', ['answer', '6500']);
  await waitForPort(server, 'tcp', 6500);
  const cut = ground.ask(client, 'cut', 'tcp', server.address4, 6000, 20);
  const goesOn = ground.ask(client, 'goes-on', 'tcp', server.address4, 6500, 10);
  await sleep(700);
  const process = await ground.process(answering.pid);
  t.same(ground.enforcer.disconnect({ ...process, generation: process.generation + 1 }, 'all'), { tcp: 0, udp: 0 });
  t.equal(ground.enforcer.disconnect(process, 'relay').tcp, 0, 'no flow is ruled as relayed');
  t.equal(ground.enforcer.disconnect(process, 'all').tcp, 1);
  const words = await cut;
  t.equal(words.at(-1), 'ECONNRESET');
  t.ok(words.length < 20);
  t.same(await goesOn, Array(10).fill('ok'));
  t.same(await ground.ask(client, 'asker', 'tcp', server.address4, 6000), ['ok'], 'it still listens');
  spared.child.kill();
});
