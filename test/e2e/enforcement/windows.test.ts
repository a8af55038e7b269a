import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { Accounting } from '../../../agent/accounting.ts';
import { KernelEnforcer } from '../../../agent/enforcement/kernel-enforcer.ts';
import { findCgroupRoot } from '../../../agent/mounts.ts';
import { pinsFor } from '../agent.ts';
import { type Host, type Running, waitForPort } from '../hosts.ts';
import { EnforcementGround, policy } from './ground.ts';

/* What a received cap offers to those who send. */

const received = (bytesPerSecond: number): { bytesPerSecond: number; sent: boolean; received: boolean } => ({
  bytesPerSecond,
  sent: false,
  received: true,
});

function socketsOn(host: Host, port: number): string {
  const filter = ['state', 'established', `( sport = :${port} or dport = :${port} )`];
  return execFileSync('ip', ['netns', 'exec', host.name, 'ss', '-Htin', ...filter], { encoding: 'utf8' });
}

/** How a host's established connections on a port scale the windows that they offer, as an exponent, greatest first. */
function scales(host: Host, port: number): number[] {
  const found = [...socketsOn(host, port).matchAll(/wscale:\d+,(\d+)/g)].map(([, scale]) => Number(scale));
  return found.toSorted((one, other) => other - one);
}

/** Bytes that have come and were not read. */
function waiting(host: Host, port: number): number {
  return [...socketsOn(host, port).matchAll(/^(\d+) /gm)].reduce((sum, [, bytes]) => sum + Number(bytes), 0);
}

async function listen(ground: EnforcementGround, name: string, port: number): Promise<Running> {
  const { server } = ground.hosts;
  const running = ground.start(server, 'flows', name, ['sink', ground.counters(name), String(port), 'tcp']);
  await waitForPort(server, 'tcp', port);
  return running;
}

async function send(ground: EnforcementGround, name: string, port: number): Promise<void> {
  const to = [ground.hosts.server.address4, String(port), 'tcp', '1', 'cubic'];
  ground.start(ground.hosts.client, 'flows', name, ['send', ground.counters(name), ...to]);
  for (const end = Date.now() + 5000; Date.now() < end; await sleep(10)) {
    try {
      if (ground.moved(name) > 0) return;
    } catch {
      // It has not made its counters yet.
    }
  }
}

/** The scale is 10, as it is from kernel 6.16 on. */
function widen(ground: EnforcementGround): void {
  for (const { name } of [ground.hosts.client, ground.hosts.server]) {
    execFileSync('ip', ['netns', 'exec', name, 'sysctl', '-qw', 'net.ipv4.tcp_rmem=4096 131072 33554432']);
  }
}

t.test('what begins under a received cap scales its window so little that it can be held back', async (t) => {
  await using ground = await EnforcementGround.make();
  const { client, server } = ground.hosts;
  widen(ground);
  ground.enforcer.install(policy({ rate: received(1_000_000) }), { executableName: 'held' });
  await listen(ground, 'free-sink', 5301);
  await send(ground, 'held', 5301);
  t.same(scales(client, 5301), [8], 'one that connects');
  t.same(scales(server, 5301), [10], 'not the other side');

  ground.enforcer.install(policy({ name: 'accepts', rate: received(1_000_000) }), { executableName: 'held-sink' });
  await listen(ground, 'held-sink', 5302);
  await send(ground, 'free', 5302);
  t.same(scales(server, 5302), [8], 'one that is accepted');

  const { pid } = await listen(ground, 'late-sink', 5303);
  ground.enforcer.install(policy({ name: 'late', rate: received(1_000_000) }));
  ground.enforcer.assign(await ground.process(pid), ['late']);
  ground.enforcer.pace();
  await send(ground, 'first', 5303);
  t.same(scales(server, 5303), [8], 'by a listener from before the cap');
  ground.enforcer.remove('late');
  await send(ground, 'second', 5303);
  t.same(scales(server, 5303), [10, 8], 'no longer when the cap is gone');
});

t.test('what comes before a connection is accepted is asked for, and charged, as what comes after', async (t) => {
  await using ground = await EnforcementGround.make();
  const { server } = ground.hosts;
  ground.enforcer.install(policy({ rate: received(2000) }), { executableName: 'held-sink' });
  const sink = await listen(ground, 'held-sink', 5301);
  sink.child.kill('SIGSTOP');
  await send(ground, 'free', 5301);
  for (const end = Date.now() + 5000; waiting(server, 5301) === 0 && Date.now() < end; ) await sleep(10);
  const before = waiting(server, 5301);
  const charged = ground.enforcer.counters('test').passedBytes.rx;
  const after = waiting(server, 5301);
  t.ok(before > 0 && charged >= before && charged <= after, `${charged} bytes charged of ${before} to ${after}`);
  t.ok(after < 20_000, `${after} bytes have come: no more than some segments were asked for`);
});

t.test('another program that asks for no callbacks takes none of ours away', async (t) => {
  await using ground = await EnforcementGround.make();
  widen(ground);
  ground.enforcer.install(policy({ rate: received(1_000_000) }), { executableName: 'held-sink' });
  const bpffs = pinsFor('enforcement-other');
  try {
    using accounting = Accounting.start({ bpffs, cgroup: findCgroupRoot() });
    using other = new KernelEnforcer(accounting);
    other.install(policy({ rate: received(1_000_000) }), { executableName: 'nobody' });
    await ground.stream('held', 5301, { flows: 1 });
    await sleep(3000);
    const moved = await ground.rate('held-sink', 4000);
    t.ok(Math.abs(moved / 1_000_000 - 1) < 0.25, `${moved} bytes a second`);
    t.same(ground.enforcer.counters('test').droppedPackets, [], 'nothing had to be dropped');
  } finally {
    Accounting.remove(bpffs);
  }
});

t.test(
  'a connection has back the pace and the window that its program asked for, when the caps are gone',
  async (t) => {
    await using ground = await EnforcementGround.make();
    const { client, server } = ground.hosts;
    await listen(ground, 'sink', 5301);
    const own = ['50000000', '200000'];
    const running = ground.start(client, 'options', 'asks', [server.address4, '5301', ...own]);
    const last = (): string =>
      readFileSync((running as Running & { output: string }).output, 'utf8')
        .trim()
        .split('\n')
        .at(-1) ?? '';
    const until = async (isIt: () => boolean): Promise<void> => {
      for (const end = Date.now() + 5000; !isIt() && Date.now() < end; ) await sleep(50);
    };
    await until(() => last() !== '');
    t.equal(last(), '50000000 200000 cubic');
    ground.enforcer.install(policy({ rate: { ...received(1_000_000), sent: true } }));
    ground.enforcer.assign(await ground.process(running.pid), ['test']);
    await until(() => !last().startsWith('50000000 '));
    const [pace, window, congestion] = last().split(' ');
    t.ok(Number(pace) < 2_000_000, `${pace} bytes a second`);
    t.ok(Number(window) <= 200_000, `a window of ${window} bytes: no more than it has asked for`);
    t.equal(congestion, 'cubic');
    await sleep(1000);
    ground.enforcer.remove('test');
    await until(() => last() === '50000000 200000 cubic');
    t.equal(last(), '50000000 200000 cubic');
  },
);
