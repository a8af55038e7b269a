import t, { type Test } from 'tap';
import { parseSignal } from '../../../api/cli/kill.ts';
import { policyNameOf } from '../../../api/cli/policy-target.ts';
import { parseDuration, parseRate, parseSize } from '../../../api/cli/quantities.ts';
import { ControlHost, type ControlHostOptions, makeRecord } from '../../agent/policies/control-host.ts';
import { type CliResult, listenEverywhere, runHere } from '../fixture.ts';
import { makeProcess, makeReadings } from '../readings.ts';

t.test('sizes and rates as people write them', async (t) => {
  const sizes: [string, number][] = [
    ['1', 1],
    ['1K', 1000],
    ['1k', 1000],
    ['1Ki', 1024],
    ['1G', 1e9],
    ['1Gi', 2 ** 30],
    ['1.5M', 1_500_000],
    ['500MB', 5e8],
    ['2 GiB', 2 ** 31],
  ];
  for (const [text, bytes] of sizes) t.equal(parseSize(text), bytes, text);
  const rates: [string, number][] = [
    ['4K', 4000],
    ['4Ki', 4096],
    ['4KB/s', 4000],
    ['10Mbit', 1_250_000],
    ['10Mbits/s', 1_250_000],
    ['1.5M', 1_500_000],
    ['100', 100],
  ];
  for (const [text, rate] of rates) t.equal(parseRate(text), rate, text);
  for (const text of ['', '0', '-1', 'K', '4X', '4 K K', '1e3', 'NaN', 'Infinity', '0x10', '99999999G', '4K/h']) {
    t.throws(() => parseRate(text), { code: 'usage', message: /is not a rate: write/ }, text);
    t.throws(() => parseSize(text), { code: 'usage', message: /is not a size: write/ }, text);
  }
});

t.test('durations and signals', async (t) => {
  const durations: [string, number][] = [
    ['90s', 90_000],
    ['30m', 1_800_000],
    ['2h', 7_200_000],
    ['1d', 86_400_000],
    ['1h30m', 5_400_000],
  ];
  for (const [text, ms] of durations) t.equal(parseDuration(text), ms, text);
  for (const text of ['', '2', '0h', 'h', '-1h', '1y', '2h!'])
    t.throws(() => parseDuration(text), { code: 'usage' }, text);
  for (const text of ['SIGKILL', 'sigkill', 'KILL', 'kill', '9']) t.equal(parseSignal(text), 'SIGKILL', text);
  for (const text of ['', 'SIGSEGV', '0', '99']) t.throws(() => parseSignal(text), { code: 'usage' }, text);
});

t.test('the same NAME gives the same policy, another NAME another one', async (t) => {
  t.equal(policyNameOf('cap', 'skype'), 'cap-skype');
  t.equal(policyNameOf('cap', 'pid:4711'), 'cap-pid-4711');
  const names = ['a b', 'a/b', 'a-b', 'x'.repeat(100), 'x'.repeat(101), 'ä'].map((name) => policyNameOf('cap', name));
  t.equal(new Set(names).size, names.length);
  for (const name of names) t.match(name, /^[A-Za-z0-9][A-Za-z0-9._:@+-]{0,62}$/);
});

interface Started {
  socketPath: string;
  host: ControlHost;
  run: (...argv: string[]) => Promise<CliResult>;
}

async function start(t: Test, options: ControlHostOptions = {}, uid = 0): Promise<Started> {
  const host = new ControlHost({ records: [makeRecord()], ...options });
  const { socketPath } = await listenEverywhere(t, {
    control: host.control,
    readings: makeReadings({ processes: [makeProcess({ startedAt: '2026-11-22T05:00:00.000Z' })] }),
    peerCredentials: () => ({ pid: 1234, uid }),
  });
  return { host, socketPath, run: (...argv) => runHere([...argv, '--socket', socketPath]) };
}

t.test('cap says what it holds, whom, and how to undo it', async (t) => {
  const { host, run } = await start(t);
  const { stdout, exitCode } = await run('cap', 'socat', '4K', '--relay-only');
  t.equal(exitCode, 0);
  t.equal(
    stdout,
    [
      'cap-socat holds what is relayed by the app socat: at most 4.00 kB/s each way',
      'one process now, and those that start later:',
      '  4711 socat',
      'see: relayledger policies',
      'undo: relayledger policies remove cap-socat',
      '',
    ].join('\n'),
  );
  t.match(host.policies.list(), [
    { name: 'cap-socat', match: { app: 'socat' }, scope: 'relay', rate: { bytesPerSecond: 4000, direction: 'both' } },
  ]);
  await run('cap', 'socat', '1M', '--all', '--direction', 'sent', '--for', '2h');
  t.match(host.policies.list(), [
    {
      name: 'cap-socat',
      scope: 'all',
      rate: { bytesPerSecond: 1_000_000, direction: 'sent' },
      expiresAt: '2026-11-22T14:00:00.000Z',
    },
  ]);
});

t.test('a quota, a deny, a pid, a name nobody has', async (t) => {
  const { host, run } = await start(t);
  await run('cap', 'socat', '--quota', '1G', '--per', 'day', '--then', 'throttle', '--throttle-to', '8K');
  await run('cap', 'socat', '10K', '--quota', '1Gi');
  await run('deny', 'socat', '--inbound', '--ports', '1024-65535', '--reject');
  await run('cap', 'pid:4711', '1K', '--policy', 'mine');
  t.match(host.policies.list(), [
    { name: 'cap-socat', rate: { bytesPerSecond: 10_000 }, quota: { bytes: 2 ** 30, period: 'day', then: 'throttle' } },
    { name: 'deny-socat', deny: { inbound: true, outbound: false, ports: '1024-65535', how: 'reject' } },
    { name: 'mine', match: { pid: 4711 } },
    { name: 'quota-socat', rate: null, quota: { bytes: 1e9, throttleBytesPerSecond: 8000 } },
  ]);
  const later = await run('cap', 'later', '1K', '--dry-run');
  t.match(later.stdout, /would hold .* processes called later.*\nno process now.*\nnothing was changed\n$/s);
  t.match(later.stderr, /nothing goes by the name later yet: .*"relayledger ps" shows the names/);
  const gone = await run('cap', 'pid:77', '4K');
  t.match(gone, { exitCode: 1, stderr: /is 77, and no process has this pid now: look again with ps/ });
  t.match(await run('deny', 'socat', '--inbound', '--ports', '80:90'), { exitCode: 1, stderr: /a port such as "80"/ });
  t.match((await run('deny', 'socat', '--outbound', '--dry-run', '--json')).stdout, /"dryRun": true/);
});

t.test('what is wrong on the command line is said before anything is asked', async (t) => {
  const { host, run } = await start(t);
  const cases: [argv: string[], message: RegExp][] = [
    [['cap', 'socat'], /Give a RATE such as 4K, or --quota/],
    [['cap', 'socat', 'fast'], /"fast" is not a rate/],
    [['cap', 'socat', '4K', '--all', '--relay-only'], /not both/],
    [['cap', 'socat', '4K', '--per', 'day'], /belong to --quota/],
    [['cap', 'socat', '--quota', '1G', '--direction', 'sent'], /--direction belongs to a RATE/],
    [['cap', 'socat', '4K', '--for', 'ever'], /is not a duration/],
    [['cap', 'socat', '4K', '--force'], /--force needs --reason/],
    [['cap', 'socat', '4K', '--direction', 'up'], /Allowed choices are sent, received, both/],
    [['deny', 'socat'], /Give --inbound, --outbound, or both/],
    [['cap', '77', '4K'], /nothing goes by the name 77: write pid:77/],
    [['cap', ' ', '4K'], /whom\? Give an app or the name of a process: "relayledger ps" shows them/],
    [['kill', 'socat'], /"socat" is not a pid: write a number such as 4711; "relayledger ps" shows them/],
    [['kill', '4711', '--signal', 'SIGSEGV'], /is not a signal/],
    [['disconnect', '-x'], /unknown option/],
  ];
  for (const [argv, message] of cases) {
    const { exitCode, stderr } = await run(...argv);
    t.equal(exitCode, 2, argv.join(' '));
    t.match(stderr, message, argv.join(' '));
  }
  t.same(host.enforcer?.calls, []);
});

t.test('policies lists what is held back; remove takes a policy back', async (t) => {
  const { host, run } = await start(t, { protectedNames: ['postgres'] });
  t.equal((await run('policies')).stdout, 'no policies\n');
  host.add(makeRecord({ tgid: 9, name: 'postgres' }));
  await run('cap', 'socat', '4K');
  host.enforcer?.count('cap-socat', {
    throttledBytes: { rx: 0, tx: 12_345 },
    droppedPackets: [{ direction: 'tx', reason: 'rate', packets: 3 }],
    lastHeldBackNs: Number(host.clock.bootNs()),
  });
  const { stdout } = await run('policies');
  t.match(stdout, /^POLICY +STATE +WHOM +SCOPE +PROCESSES +LIMITS +HELD BACK +QUOTA USED +UNTIL +FROM$/m);
  t.match(
    stdout,
    /^cap-socat +active +app=socat +relay +1 +at most 4\.00 kB\/s each way +now: 12\.3 kB delayed, 3 packets dropped/m,
  );
  t.match(stdout, /cap-socat leaves 9 \(postgres\) alone: the configuration protects postgres/);
  t.match(JSON.parse((await run('policies', '--json')).stdout), { policies: [{ name: 'cap-socat' }] });
  t.match(await run('policies', 'remove', 'cap-socat'), { exitCode: 0, stdout: /^removed cap-socat/ });
  t.match(await run('policies', 'remove', 'cap-socat'), {
    exitCode: 1,
    stderr: /there is no policy called cap-socat: "relayledger policies" shows them/,
  });
});

t.test('one packet and one call are not listed as several, nor a deny as one of relayed traffic alone', async (t) => {
  const { host, run } = await start(t);
  host.policies.put(
    'd',
    { match: { name: 'x' }, deny: { inbound: true, ports: '80' } },
    { dryRun: false, forced: false, spared: [] },
  );
  host.enforcer?.count('d', { droppedPackets: [{ direction: 'rx', reason: 'denied', packets: 1 }], refusedCalls: 1 });
  const { stdout } = await run('policies');
  t.match(stdout, /^d +active +name=x +all +0 +deny inbound on port 80 \(drop\) +1 packet dropped, 1 call refused/m);
});

t.test('options before "remove" are meant for it too', async (t) => {
  const { host, run, socketPath } = await start(t);
  await run('cap', 'socat', '4K');
  const { stdout, exitCode } = await runHere(['policies', '--socket', socketPath, '--json', 'remove', 'cap-socat']);
  t.equal(exitCode, 0);
  t.match(JSON.parse(stdout), { name: 'cap-socat' });
  t.same(host.policies.list(), []);
});

t.test('kill and disconnect look first, and send what they saw', async (t) => {
  const { host, run } = await start(t);
  t.match((await run('kill', '4711', '--dry-run')).stdout, /^would send SIGTERM to 4711 .*nothing was changed/);
  t.same(host.signals, []);
  t.match((await run('kill', '4711', '--signal', 'kill')).stdout, /^sent SIGKILL to 4711 \(socat, since 2026-11-22T05/);
  t.same(host.signals, ['SIGKILL 4711']);
  t.match((await run('disconnect', '4711', '--dry-run')).stdout, /^would destroy the relayed connections of 4711/);
  t.match((await run('disconnect', '4711')).stdout, /^destroyed 3 TCP and 1 UDP connections of 4711 \(socat\)$/m);
  t.match(host.enforcer?.calls.at(-1), / relay$/);
  await run('disconnect', '4711', '--all');
  t.match(host.enforcer?.calls.at(-1), / all$/);
  t.match(await run('disconnect', '77'), {
    exitCode: 1,
    stderr: /process 77 has no connections, .*"relayledger ps" shows those/,
  });
  // Since `ps` the pid went to another process.
  host.records.length = 0;
  const [first] = [host.policies.live(4711)];
  if (first) host.end(first);
  host.add(makeRecord({ startNs: 200_000_000_000n, startedAtMs: Date.UTC(2026, 10, 22, 6), name: 'other' }));
  t.match(await run('kill', '4711'), { exitCode: 1, stderr: /not that one any more/ });
  t.equal(host.signals.length, 1);
});

t.test('who is not root is told so', async (t) => {
  const { run } = await start(t, {}, 1000);
  t.match(await run('cap', 'socat', '4K'), { exitCode: 1, stderr: /Only root may change anything/ });
  t.match(await run('policies'), { exitCode: 0 });
});

t.test('history: the sums of all apps, or one step by step', async (t) => {
  const { host, run } = await start(t);
  host.clock.setWall(Date.UTC(2026, 10, 22, 12));
  const { makeCounters } = await import('../../../agent/counters.ts');
  host.history.add('socat', makeCounters([1500, 1, 3000, 2]), Date.UTC(2026, 10, 22, 11, 30));
  const all = await run('history');
  t.match(all.stdout, /^APP +WIRE IN +WIRE OUT/m);
  t.match(all.stdout, /^socat +1\.50 kB +3\.00 kB/m);
  const one = await run('history', 'socat', '--bytes', '--step', '1m');
  t.match(one.stdout, /^2026-11-22 11:30 +1500 +3000/m);
  t.match(JSON.parse((await run('history', 'socat', '--json')).stdout), {
    stepSeconds: 60,
    series: [{ app: 'socat' }],
  });
  t.equal((await run('history', 'nobody')).stdout, 'nobody moved nothing then\n');
  t.match(await run('history', '--step', '90s'), { exitCode: 1, stderr: /multiple of 60 seconds/ });
  t.match(await run('history', '--from', 'x'), { exitCode: 2, stderr: /is not a time/ });
});

t.test('every command of the contract is in the help', async (t) => {
  const { stdout } = await runHere(['--help']);
  for (const name of ['cap', 'deny', 'disconnect', 'kill', 'policies', 'history']) {
    t.match(stdout, new RegExp(`^ {2}${name}\\b`, 'm'));
    t.match((await runHere([name, '--help'])).stdout, /--socket/);
  }
});
