import t from 'tap';
import { buildPrograms } from './build.ts';
import { cases, olderSockets } from './cases.ts';
import { Hosts } from './hosts.ts';
import { Ground, type Outcome } from './run-case.ts';

function sum(outcome: Outcome, direction: 'sentBytes' | 'receivedBytes'): number {
  return outcome.truths.reduce((total, truth) => total + truth[direction], 0);
}

// Without an agent: what the other tests hold it against has to be right by itself.
t.test('the test programs agree among themselves about what they moved', { timeout: 120_000 }, async (t) => {
  const hosts = await Hosts.make({ offloads: true });
  t.teardown(() => hosts.remove());
  const ground = new Ground(hosts, await buildPrograms());

  for (const it of [...cases, ...olderSockets]) {
    const outcome = await ground.run(it).catch((error: Error) => t.fail(error.message));
    if (typeof outcome === 'boolean') continue;
    const options = outcome.skipped === undefined ? {} : { skip: outcome.skipped };
    if (it.balanced)
      t.equal(sum(outcome, 'receivedBytes'), sum(outcome, 'sentBytes'), `${it.title}: received as sent`, options);
    else t.pass(`${it.title}: ran`, options);
  }
});
