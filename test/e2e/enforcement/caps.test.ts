import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { Accounting } from '../../../agent/accounting.ts';
import { RL_POLICY_OFFSET, RL_POLICY_SIZE, RL_PROCESS_OFFSET, RL_PROCESS_SIZE } from '../../../bpf/layouts.ts';
import { waitForPort } from '../hosts.ts';
import { EnforcementGround, policy } from './ground.ts';

const MEGABYTE = 1_000_000;
const sent = (bytesPerSecond: number): { bytesPerSecond: number; sent: boolean; received: boolean } => ({
  bytesPerSecond,
  sent: true,
  received: false,
});

/** What the flows that no cap holds ask for themselves, each: a hundred caps' worth, and CPU is left for the held ones. */
const FREE_PACE = 100 * MEGABYTE;

t.test('what an agent was taking back as it was killed is let go by the next one', async (t) => {
  await using ground = await EnforcementGround.make();
  const held = await ground.stream('held', 5301);
  ground.enforcer.install(policy({ rate: sent(MEGABYTE) }));
  const process = await ground.process(held);
  ground.enforcer.assign(process, ['test']);
  await sleep(2000);
  t.ok((await ground.rate('held-sink', 500)) < 2 * MEGABYTE);
  // As far as `remove` comes before it goes through the sockets.
  {
    using policies = ground.accounting.map('policies').mmap();
    new DataView(policies.buffer).setUint32(RL_POLICY_SIZE + RL_POLICY_OFFSET.flags, 0, true);
    new DataView(ground.accounting.processes.buffer).setBigUint64(
      process.slot * RL_PROCESS_SIZE + RL_PROCESS_OFFSET.policies,
      0n,
      true,
    );
  }
  ground.restartAgent();
  t.same(ground.enforcer.installed(), []);
  await sleep(2000);
  t.ok((await ground.rate('held-sink', 1000)) > 10 * MEGABYTE);
});

t.test('a cap holds one process and not its neighbour, follows changes, and is gone at once', async (t) => {
  await using ground = await EnforcementGround.make();
  const held = await ground.stream('held', 5301);
  await ground.stream('free', 5302, { flows: 1, pace: FREE_PACE });
  const before = await ground.rate('held-sink', 500);
  ground.enforcer.install(policy({ rate: sent(MEGABYTE) }));
  ground.enforcer.assign(await ground.process(held), ['test']);
  t.same(ground.enforcer.assigned(await ground.process(held)), ['test']);
  await sleep(3000);
  const capped = await ground.rate('held-sink', 2000);
  t.ok(Math.abs(capped / MEGABYTE - 1) < 0.05, `${capped} of ${MEGABYTE} bytes a second`);
  t.ok((await ground.rate('free-sink', 500)) > 20 * MEGABYTE, 'the neighbour goes on');

  ground.enforcer.install(policy({ rate: sent(4 * MEGABYTE) }));
  await sleep(1500);
  const raised = await ground.rate('held-sink', 1000);
  t.ok(Math.abs(raised / MEGABYTE / 4 - 1) < 0.1, `${raised} of ${4 * MEGABYTE} bytes a second`);
  const { passedBytes, throttledBytes, activeFlows } = ground.enforcer.counters('test');
  t.ok(passedBytes.tx > 6 * MEGABYTE && throttledBytes.tx > 0);
  t.equal(activeFlows, 4);

  ground.enforcer.remove('test');
  t.same(ground.enforcer.installed(), []);
  await sleep(500);
  const after = await ground.rate('held-sink', 1000);
  t.ok(after > before / 4, `${after} after, ${before} before`);
});

t.test('a process that starts later is held from its first byte; the cap outlives the agent', async (t) => {
  await using ground = await EnforcementGround.make();
  ground.enforcer.install(policy({ rate: sent(MEGABYTE) }), { executableName: 'held', uid: 0 });
  ground.enforcer.install(policy({ name: 'other', rate: sent(10) }), { executableName: 'held', name: 'no-such' });
  ground.restartAgent();
  t.same(ground.enforcer.installed().sort(), ['other', 'test']);
  const pid = await ground.stream('held', 5301);
  const first = await ground.rate('held-sink', 1000);
  t.ok(first < 1.5 * MEGABYTE, `${first} bytes in the first second`);
  t.same(ground.enforcer.assigned(await ground.process(pid)), ['test']);
  ground.restartAgent();
  const after = await ground.rate('held-sink', 2000);
  t.ok(Math.abs(after / MEGABYTE - 1) < 0.05, `${after} bytes a second after a restart`);
  t.same(ground.enforcer.assigned(await ground.process(pid)), ['test']);
  ground.enforcer[Symbol.dispose]();
  Accounting.remove(ground.bpffs);
  await sleep(300);
  const removed = await ground.rate('held-sink', 1000);
  t.ok(removed > 20 * MEGABYTE, `${removed} bytes a second after everything was taken out, with no agent`);
  ground.restartAgent();
});

t.test('what is delayed is what a policy made to wait, and another one that is wider says nothing', async (t) => {
  await using ground = await EnforcementGround.make();
  ground.enforcer.install(policy({ rate: sent(MEGABYTE) }), { executableName: 'held' });
  ground.enforcer.install(policy({ name: 'wide', rate: sent(20 * MEGABYTE) }), { executableName: 'held' });
  await ground.stream('held', 5301, { flows: 1 });
  await sleep(3000);
  const { passedBytes, throttledBytes } = ground.enforcer.counters('test');
  t.ok(passedBytes.tx > 2 * MEGABYTE);
  // What passes at first, out of a full bucket, waits for nothing.
  t.ok(throttledBytes.tx > 0.7 * passedBytes.tx, `${throttledBytes.tx} of ${passedBytes.tx} bytes`);
  t.ok(throttledBytes.tx <= passedBytes.tx, `${throttledBytes.tx} of ${passedBytes.tx} bytes`);
  t.equal(ground.enforcer.counters('wide').throttledBytes.tx, 0, 'under the wider one');

  await ground.stream('slow', 5302, { flows: 1, pace: MEGABYTE / 2 });
  ground.enforcer.install(policy({ name: 'above', rate: sent(MEGABYTE) }), { executableName: 'slow' });
  await sleep(2000);
  t.equal(ground.enforcer.counters('above').throttledBytes.tx, 0, 'of a program that asks for less');
});

t.test('what is received under two policies comes at the rate of the stricter', async (t) => {
  await using ground = await EnforcementGround.make();
  const rate = { bytesPerSecond: MEGABYTE, sent: false, received: true };
  for (const name of ['one', 'other']) ground.enforcer.install(policy({ name, rate }), { executableName: 'held-sink' });
  await ground.stream('held', 5301, { flows: 1 });
  await sleep(3000);
  const received = await ground.rate('held-sink', 4000);
  t.ok(Math.abs(received / MEGABYTE - 1) < 0.1, `${received} of ${MEGABYTE} bytes a second`);
});

t.test('UDP is policed, sent and received, and TCP beside it keeps its share', async (t) => {
  await using ground = await EnforcementGround.make();
  const udp = await ground.stream('udp', 5301, { flows: 1, protocol: 'udp' });
  const tcp = await ground.stream('tcp', 5302, { flows: 1 });
  ground.enforcer.install(policy({ rate: sent(MEGABYTE) }));
  for (const pid of [udp, tcp]) ground.enforcer.assign(await ground.process(pid), ['test']);
  await sleep(2500);
  const [byUdp, byTcp] = await Promise.all([ground.rate('udp-sink', 2000), ground.rate('tcp-sink', 2000)]);
  t.ok(Math.abs((byUdp + byTcp) / MEGABYTE - 1) < 0.06, `${byUdp} and ${byTcp} bytes a second`);
  t.ok(byTcp > 0.3 * MEGABYTE, 'TCP is not starved');
});

t.test('with scope relay only ruled flows are held', async (t) => {
  await using ground = await EnforcementGround.make();
  const pid = await ground.stream('both', 5301, { flows: 2, pace: FREE_PACE });
  ground.enforcer.install(policy({ scope: 'relay', rate: sent(MEGABYTE) }));
  ground.enforcer.assign(await ground.process(pid), ['test']);
  t.ok((await ground.rate('both-sink', 500)) > 20 * MEGABYTE, 'nothing is ruled yet');
  const { slot } = await ground.process(pid);
  const flows = ground.flowsOf(slot);
  t.equal(flows.length, 2);
  ground.enforcer.rule(flows[0] as number, true, 5 * MEGABYTE);
  await sleep(1500);
  const moved = (): number[] => flows.map((flow) => ground.sentOn(flow));
  const before = moved();
  await sleep(2000);
  const rates = moved().map((bytes, index) => (bytes - (before[index] as number)) / 2);
  t.ok(Math.abs((rates[0] as number) / MEGABYTE - 1) < 0.15, `${rates[0]} bytes a second on the ruled flow`);
  t.ok((rates[1] as number) > 20 * MEGABYTE, `${rates[1]} on the other`);
  ground.enforcer.rule(flows[0] as number, false, 0);
  await sleep(500);
  const at = moved();
  await sleep(500);
  t.ok((moved()[0] as number) - (at[0] as number) > 2 * MEGABYTE, 'ruled otherwise, it is free');
});

t.test('a quota that is used up denies or throttles until its period ends, by the kernel alone', async (t) => {
  await using ground = await EnforcementGround.make();
  const { client, server } = ground.hosts;
  const quota = { bytes: 3 * MEGABYTE, usedBytes: MEGABYTE, endsAtMs: null, periodMs: null, throttleBytesPerSecond: 0 };
  const pid = await ground.stream('held', 5301, { flows: 2 });
  ground.enforcer.install(policy({ quota: { ...quota, then: 'deny' } }));
  ground.enforcer.assign(await ground.process(pid), ['test']);
  await sleep(500);
  const { quotaUsedBytes, quotaExhausted } = ground.enforcer.counters('test');
  t.ok(quotaExhausted && quotaUsedBytes >= 3 * MEGABYTE);
  t.ok((await ground.rate('held-sink', 500)) < 1000, 'nothing passes any more');

  const endsAtMs = Date.now() + 1500;
  ground.enforcer.install(
    policy({ quota: { ...quota, then: 'throttle', throttleBytesPerSecond: 500_000, endsAtMs, periodMs: 3_600_000 } }),
  );
  // TCP's timers have backed off while nothing passed: it comes back when they fire.
  await sleep(1600);
  for (const end = Date.now() + 20_000; Date.now() < end; await sleep(100)) {
    if (ground.enforcer.counters('test').quotaExhausted) break;
  }
  t.equal(ground.enforcer.counters('test').quotaExhausted, true, 'used up again in the new period');
  await sleep(3000);
  const throttled = await ground.rate('held-sink', 2000);
  t.ok(Math.abs(throttled / 500_000 - 1) < 0.1, `${throttled} bytes a second`);

  ground.enforcer.install(policy({ name: 'spent', quota: { ...quota, bytes: 1, then: 'deny' } }), {
    executableName: 'spent',
  });
  ground.start(server, 'dialogue', 'answerer', ['answer', '6000']);
  await waitForPort(server, 'tcp', 6000);
  t.same(await ground.ask(client, 'spent', 'tcp', server.address4, 6000), ['EPERM']);
});
