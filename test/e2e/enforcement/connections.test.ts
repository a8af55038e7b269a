import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { waitForPort } from '../hosts.ts';
import { EnforcementGround, policy } from './ground.ts';

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
