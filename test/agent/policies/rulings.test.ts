import t from 'tap';
import { ControlHost, makeRecord } from './control-host.ts';

const BY_HAND = { dryRun: false, forced: false, spared: [] };
const rate = { bytesPerSecond: 4096 };

t.test('flows are ruled for processes under a policy for relayed traffic, with what they carried before', async (t) => {
  const host = new ControlHost({ records: [makeRecord({ tgid: 1001 }), makeRecord({ tgid: 1002, app: 'curl' })] });
  host.ruled.set(1001, [{ flow: 5, role: 'third-party', relayedBytes: 900 }]);
  host.ruled.set(1002, [{ flow: 6, role: 'third-party', relayedBytes: 1 }]);
  host.poll();
  t.equal(host.enforcer?.rulings.size, 0, 'no policy, no ruling');
  host.policies.put('cap', { match: { app: 'socat' }, rate }, BY_HAND);
  host.poll();
  t.same([...(host.enforcer?.rulings ?? [])], [[5, { relayed: true, alreadyBytes: 900 }]]);
  const calls = host.enforcer?.calls.length;
  host.ruled.set(1001, [{ flow: 5, role: 'third-party', relayedBytes: 5000 }]);
  host.poll();
  t.equal(host.enforcer?.calls.length, calls, 'once a flow');
  host.ruled.set(1001, [{ flow: 7, role: 'third-party', relayedBytes: 1 }]);
  host.poll();
  t.same(host.enforcer?.calls.slice(-2), ['rule 7 true', 'rule 5 false']);
  host.policies.remove('cap');
  host.poll();
  t.equal(host.enforcer?.calls.at(-1), 'rule 7 false');
});

t.test('a policy for everything needs no rulings', async (t) => {
  const host = new ControlHost({ records: [makeRecord()] });
  host.ruled.set(4711, [{ flow: 5, role: 'third-party', relayedBytes: 900 }]);
  host.policies.put('cap', { match: { app: 'socat' }, scope: 'all', rate }, BY_HAND);
  host.poll();
  t.equal(host.enforcer?.rulings.size, 0);
});

t.test('only third parties’ traffic is held, unless the policy names the program', async (t) => {
  const host = new ControlHost({ records: [makeRecord()] });
  host.ruled.set(4711, [
    { flow: 5, role: 'third-party', relayedBytes: 1 },
    { flow: 6, role: 'service', relayedBytes: 1 },
  ]);
  host.policies.put('by-user', { match: { uid: 0 }, rate }, BY_HAND);
  host.poll();
  t.same([...(host.enforcer?.rulings.keys() ?? [])], [5]);
  host.policies.put('by-name', { match: { name: 'socat' }, rate }, BY_HAND);
  host.poll();
  t.same([...(host.enforcer?.rulings.keys() ?? [])], [5, 6]);
});

t.test('a kernel that can’t be told is tried again, and counted', async (t) => {
  const socat = makeRecord();
  const host = new ControlHost({ records: [socat] });
  const { enforcer } = host;
  if (!enforcer) return;
  const assign = enforcer.assign.bind(enforcer);
  enforcer.assign = () => {
    throw new Error('EIO');
  };
  host.policies.put('cap', { match: { app: 'socat' }, rate }, BY_HAND);
  t.ok(host.policies.errors > 0);
  enforcer.assign = assign;
  host.poll();
  t.same(enforcer.assigned(socat), ['cap']);
});
