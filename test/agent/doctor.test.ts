import { join } from 'node:path';
import t from 'tap';
import { doctor } from '../../agent/doctor.ts';
import { makeFolder } from './folder.ts';

t.test('removing what is not there says so and is no failure', async (t) => {
  const bpffs = join(makeFolder(t), 'nothing');
  for (const [json, expected] of [
    [false, `nothing to remove: ${bpffs} holds no programs or maps`],
    [true, '{"removed":false}'],
  ] as const) {
    const printed = t.capture(console, 'log');
    const code = await doctor({ remove: true, json, socketPath: '/x', bpffs, stateDir: '/x', cgroup: undefined });
    t.equal(code, 0);
    t.same(
      printed().map(({ args }) => args[0]),
      [expected],
    );
  }
});
