import { mkdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { findCgroupRoot } from '../../agent/mounts.ts';
import { surroundings } from '../../agent/surroundings.ts';

t.test('an agent that sees its whole host misses nothing', async (t) => {
  t.same(surroundings(findCgroupRoot(), 'pid:[4026531836]'), []);
});

t.test('one in a container says what it does not see', async (t) => {
  const cgroup = join(findCgroupRoot(), `relayledger-test-${process.pid}`);
  mkdirSync(cgroup);
  t.teardown(() => rmdirSync(cgroup));
  t.match(surroundings(cgroup, 'pid:[4026532123]'), [
    { feature: 'host_processes', consequence: /under the pids of the host/ },
    { feature: 'host_cgroup', consequence: /packets of what runs elsewhere are not counted/, reason: cgroup },
  ]);
});
