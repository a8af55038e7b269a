import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { EnforcementGround, policy } from './ground.ts';

t.test('a connection that has ended is not counted among the active flows', async (t) => {
  await using ground = await EnforcementGround.make();
  const rate = { bytesPerSecond: 125_000, sent: true, received: false };
  ground.enforcer.install(policy({ rate }), { executableName: 'coming-and-going' });
  await ground.stream('coming-and-going', 5301, { flows: 8, bytesEach: 20_000 });
  let most = 0;
  for (const end = Date.now() + 4000; Date.now() < end; await sleep(10)) {
    most = Math.max(most, ground.enforcer.counters('test').activeFlows);
  }
  t.ok(ground.moved('coming-and-going') > 9 * 20_000, 'connections have ended');
  t.equal(most, 8);
});
