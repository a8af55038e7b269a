import { execFileSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { type Host, waitForPort } from '../hosts.ts';
import { EnforcementGround, policy } from './ground.ts';

/** How a host's established connections on a port scale the windows that they offer, as an exponent, in order. */
function scales(host: Host, port: number): number[] {
  const filter = ['state', 'established', `( sport = :${port} or dport = :${port} )`];
  const text = execFileSync('ip', ['netns', 'exec', host.name, 'ss', '-Htin', ...filter], { encoding: 'utf8' });
  return [...text.matchAll(/wscale:\d+,(\d+)/g)].map(([, scale]) => Number(scale)).sort((a, b) => a - b);
}

async function listen(ground: EnforcementGround, name: string, port: number): Promise<number> {
  const { pid } = ground.start(ground.hosts.server, 'flows', name, [
    'sink',
    ground.counters(name),
    String(port),
    'tcp',
  ]);
  await waitForPort(ground.hosts.server, 'tcp', port);
  return pid;
}

async function send(ground: EnforcementGround, name: string, port: number, flows = 1, each = 0): Promise<void> {
  const to = [ground.hosts.server.address4, String(port), 'tcp', String(flows), 'cubic', String(each)];
  ground.start(ground.hosts.client, 'flows', name, ['send', ground.counters(name), ...to]);
  for (const end = Date.now() + 5000; Date.now() < end; await sleep(10)) {
    try {
      if (ground.moved(name) > 0) return;
    } catch {
      // It has not made its counters yet.
    }
  }
}

t.test('what begins under a received cap scales its window so little that it can be held back', async (t) => {
  await using ground = await EnforcementGround.make();
  const { client, server } = ground.hosts;
  for (const { name } of [client, server]) {
    execFileSync('ip', ['netns', 'exec', name, 'sysctl', '-qw', 'net.ipv4.tcp_rmem=4096 131072 33554432']);
  }
  const rate = { bytesPerSecond: 1_000_000, sent: false, received: true };
  ground.enforcer.install(policy({ rate }), { executableName: 'held' });
  await listen(ground, 'free-sink', 5301);
  await send(ground, 'held', 5301);
  t.same(scales(client, 5301), [8], 'one that connects');
  t.same(scales(server, 5301), [10], 'not the other side');

  ground.enforcer.install(policy({ name: 'accepts', rate }), { executableName: 'held-sink' });
  await listen(ground, 'held-sink', 5302);
  await send(ground, 'free', 5302);
  t.same(scales(server, 5302), [8], 'one that is accepted');

  const pid = await listen(ground, 'late-sink', 5303);
  ground.enforcer.install(policy({ name: 'late', rate }));
  ground.enforcer.assign(await ground.process(pid), ['late']);
  ground.enforcer.pace();
  await send(ground, 'first', 5303);
  t.same(scales(server, 5303), [8], 'by a listener from before the cap');
  ground.enforcer.remove('late');
  await send(ground, 'second', 5303);
  t.same(scales(server, 5303), [8, 10], 'no longer when the cap is gone');
});

t.test('a connection that has ended is not counted among the active flows', async (t) => {
  await using ground = await EnforcementGround.make();
  const rate = { bytesPerSecond: 125_000, sent: true, received: false };
  ground.enforcer.install(policy({ rate }), { executableName: 'coming-and-going' });
  await listen(ground, 'sink', 5301);
  await send(ground, 'coming-and-going', 5301, 8, 20_000);
  let most = 0;
  for (const end = Date.now() + 4000; Date.now() < end; await sleep(10)) {
    most = Math.max(most, ground.enforcer.counters('test').activeFlows);
  }
  t.ok(ground.moved('coming-and-going') > 9 * 20_000, 'connections have ended');
  t.equal(most, 8);
});
