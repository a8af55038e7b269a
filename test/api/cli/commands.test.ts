import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { displayWidth } from '../../../api/cli/text.ts';
import { parseTokens } from '../../../api/tokens.ts';
import { listenEverywhere, makeFolder, runCli, runHere, startServer } from '../fixture.ts';
import {
  makeBusyProcess,
  makeFlow,
  makeKernelRow,
  makeListener,
  makeProcess,
  makeReadings,
  makeRelayReading,
  makeSocket,
  makeStatus,
} from '../readings.ts';

const skype = { name: 'skypeforlinux', app: 'skype' };

function makeHost() {
  return makeReadings({
    processes: [
      makeKernelRow(),
      makeProcess({ command: 'socat \x1b]0;owned\x07 TCP-LISTEN:8000' }),
      makeBusyProcess(99, { received: 123_456_789, sent: 5, relayed: 44 }, skype),
      makeBusyProcess(7, { received: 1 }, { name: 'nc', app: 'nc', exitedAt: '2026-11-22T05:10:00.000Z' }),
    ],
    sockets: [
      makeSocket(),
      makeListener(),
      makeSocket({
        cookie: 'a',
        pid: 99,
        ...skype,
        family: 6,
        localAddress: 'fe80::1',
        remoteAddress: '2001:db8::2',
      }),
      makeListener({ cookie: 'b', pid: 99, ...skype, protocol: 'udp', state: 'UNCONN', localPort: 33033 }),
    ],
    flows: [makeFlow(), makeFlow({ cookie: 'a', pid: 99, ...skype, payload: { receivedBytes: 9e6, sentBytes: 1 } })],
    relays: [makeRelayReading(), makeRelayReading({ pid: 99, ...skype, receivedBytes: 44, sentBytes: 44 })],
  });
}

t.test('ps shows processes as a table, in the order of the API, safe to print', async (t) => {
  const { socketPath } = await listenEverywhere(t, { readings: makeHost() });
  const { stdout, stderr, exitCode } = await runCli(['ps', '--socket', socketPath]);
  t.equal(stderr, '');
  t.equal(exitCode, 0);
  const lines = stdout.trimEnd().split('\n');
  t.match(
    lines[0],
    /^ PID {2}USER {2}NAME +APP +RECEIVED +SENT +WIRE-RX +WIRE-TX +RELAYED +VERDICT +ROLE +STARTED +COM/,
  );
  t.match(lines[1], /^ {2}99 {2}root {2}skypeforlinux {2}skype +123 MB +5 B +1\.57 kB +2\.57 kB +88 B {2}none +-/);
  t.match(lines[2], /^4711 {2}root {2}socat .* socat \\x1b\]0;owned\\x07 TCP-LISTEN:8000$/);
  t.match(lines[3], /^ {3}0 {2}0 +kernel /);
  t.equal(lines.length, 4);
  t.notOk(stdout.includes('\x1b') || stdout.includes('\x07'));
});

t.test('ps takes names, sorts, exact bytes and ended processes', async (t) => {
  const { socketPath } = await listenEverywhere(t, { readings: makeHost() });
  const pids = async (...argv: string[]): Promise<number[]> => {
    const { stdout } = await runHere(['ps', '--socket', socketPath, ...argv]);
    return stdout
      .trimEnd()
      .split('\n')
      .slice(1)
      .map((line) => Number(line.trim().split(' ')[0]));
  };
  t.strictSame(await pids('--all'), [99, 4711, 7, 0]);
  t.strictSame(await pids('--sort', 'name'), [0, 99, 4711]);
  t.strictSame(await pids('--sort', 'received', '--order', 'asc'), [0, 4711, 99]);
  t.strictSame(await pids('skype'), [99]);
  t.strictSame(await pids('--name', 'skypeforlinux'), [99]);
  t.strictSame(await pids('--name', 'skype'), []);
  t.strictSame(await pids('pid:4711'), [4711]);
  const exact = await runHere(['ps', '--socket', socketPath, '-b', 'skype']);
  t.match(exact.stdout, / 123456789 +5 +1572 +2572 +88 /);
  const none = await runHere(['ps', '--socket', socketPath, 'nobody']);
  t.equal(none.exitCode, 0);
  t.match(none.stderr, /no process matches nobody/);
});

t.test('ports shows what a program is configured to listen on beside what it has opened', async (t) => {
  const host = makeHost();
  const configured = makeReadings({
    processes: [makeBusyProcess(99, {}, { ...skype, configuredPorts: [33_033, 33_991] })],
    sockets: host.sockets(),
  });
  const { socketPath } = await listenEverywhere(t, { readings: configured });
  const { stdout } = await runHere(['ports', 'skype', '--socket', socketPath]);
  t.same(stdout.trimEnd().split('\n').slice(-2), [
    '99/skypeforlinux is configured to listen on port 33033, which is open',
    '99/skypeforlinux is configured to listen on port 33991, which is not open',
  ]);
});

t.test('ports answers what netstat and grep did', async (t) => {
  const { socketPath } = await listenEverywhere(t, { readings: makeHost() });
  const all = await runHere(['ports', '--socket', socketPath]);
  const words = (text: string): string[][] =>
    text
      .trimEnd()
      .split('\n')
      .slice(1)
      .map((line) => line.trim().split(/ {2,}/));
  t.strictSame(words(all.stdout), [
    ['tcp', '0 B', '0 B', '0.0.0.0:8000', '0.0.0.0:*', 'LISTEN', '4711/socat'],
    ['udp', '0 B', '0 B', '0.0.0.0:33033', '0.0.0.0:*', 'UNCONN', '99/skypeforlinux'],
    ['tcp', '1.00 kB', '2.00 kB', '10.0.0.1:8000', '10.0.0.2:51234', 'ESTABLISHED', '4711/socat'],
    ['tcp6', '1.00 kB', '2.00 kB', '[fe80::1]:8000', '[2001:db8::2]:51234', 'ESTABLISHED', '99/skypeforlinux'],
  ]);
  const port = async (...argv: string[]): Promise<string[]> =>
    words((await runHere(['ports', '--socket', socketPath, ...argv])).stdout).map((row) => row[3] ?? '');
  t.strictSame(await port('skype'), ['0.0.0.0:33033', '[fe80::1]:8000']);
  t.strictSame(await port('skype', '--listening'), ['0.0.0.0:33033']);
  t.strictSame(await port('99'), ['0.0.0.0:33033', '[fe80::1]:8000']);
  t.strictSame(await port('pid:4711', '-l'), ['0.0.0.0:8000']);
});

t.test('flows shows who talks with whom, the most bytes first', async (t) => {
  const { socketPath } = await listenEverywhere(t, { readings: makeHost() });
  const { stdout } = await runHere(['flows', '--socket', socketPath]);
  const lines = stdout.trimEnd().split('\n');
  t.match(lines[0], /^PROTO +RECEIVED +SENT +LOCAL ADDRESS +PEER ADDRESS +SCOPE +LAST ACTIVE +APP +PID\/PROGRAM$/);
  t.match(lines[1], /^tcp +9\.00 MB .* 99\/skypeforlinux$/);
  t.match(lines[2], /^tcp +1\.00 kB .* 4711\/socat$/);
  t.equal((await runHere(['flows', '--socket', socketPath, '4711'])).stdout.trimEnd().split('\n').length, 2);
});

t.test('relays says who relays, and who does not', async (t) => {
  const readings = makeHost();
  const { socketPath } = await listenEverywhere(t, { readings });
  const show = async (...argv: string[]) => runHere(['relays', '--socket', socketPath, ...argv]);
  const all = await show();
  t.equal(all.exitCode, 0);
  t.match(
    all.stdout,
    /^ PID {2}NAME .*\n4711 {2}socat .*\n {4}tcp .*\n {6}why: .*\n {4}next: .*\n {2}99 {2}skypeforlinux .*\n/,
  );
  for (const argument of ['skype', 'skypefor', '99', 'pid:99']) {
    const { stdout } = await show(argument);
    t.match(stdout, /^PID .*\n 99 {2}skypeforlinux /, argument);
    t.notMatch(stdout, /socat/, argument);
  }
  t.match((await show('-b', '4711')).stdout, /: 1000000 B in, 1000000 B out/);
  t.equal((await show('\x1b[2J')).stdout, 'nobody relays who matches \\x1b[2J\n');
  readings.data.relays = [];
  const none = await show();
  t.match(none, { exitCode: 0, stdout: 'nobody relays\n', stderr: '' });
  t.strictSame(JSON.parse((await show('--json')).stdout), { relays: [], nextCursor: null });
});

t.test('--json is what the API answers', async (t) => {
  const readings = makeHost();
  const { socketPath, server } = await listenEverywhere(t, { readings });
  const cases: [string[], string][] = [
    [['ps'], '/v1/processes'],
    [['ps', '--all', '--sort', 'name'], '/v1/processes?includeExited=true&sort=name'],
    [['ps', '--name', 'socat'], '/v1/processes?name=socat'],
    [['relays'], '/v1/relays'],
    [['relays', '4711'], '/v1/relays?pid=4711'],
    [['doctor'], '/v1/status'],
  ];
  for (const [argv, url] of cases) {
    const { stdout, exitCode } = await runCli([...argv, '--json', '--socket', socketPath]);
    t.equal(exitCode, 0, argv.join(' '));
    t.strictSame(JSON.parse(stdout), (await server.app.inject(url)).json(), argv.join(' '));
  }
  const ports = JSON.parse((await runCli(['ports', 'skype', '--json', '--socket', socketPath])).stdout);
  t.match(ports, { sockets: [{ pid: 99 }, { pid: 99 }], nextCursor: null });
  const flows = JSON.parse((await runCli(['flows', 'skype', '--json', '--socket', socketPath])).stdout);
  t.match(flows, { flows: [{ pid: 99 }], nextCursor: null });
  const relays = JSON.parse((await runCli(['relays', 'skype', '--json', '--socket', socketPath])).stdout);
  t.match(relays, { relays: [{ pid: 99, lagMedianMs: 0.0512 }], nextCursor: null });
  const top = await runCli(['top', '--json', '-d', '0.01', '-n', '2', '--socket', socketPath]);
  const readingsOfTop = top.stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  t.match(readingsOfTop, [
    { at: String, processes: [{ pid: 99, rates: { relayedBytesPerSecond: 0 } }, { pid: 0 }, { pid: 4711 }] },
    { at: String },
  ]);
});

t.test('doctor says in words what the agent knows, and ends with 1 where something is wrong', async (t) => {
  const readings = makeHost();
  const { socketPath } = await listenEverywhere(t, { readings });
  const healthy = await runHere(['doctor', '--socket', socketPath]);
  t.equal(healthy.exitCode, 0);
  t.match(healthy.stdout, /Hooks in use: 2 of 2/);
  readings.data.status = makeStatus({ lost: [{ reason: 'flow-table-full', count: 3 }] });
  const ill = await runHere(['doctor', '--socket', socketPath]);
  t.equal(ill.exitCode, 1);
  t.match(ill.stdout, /3 flow-table-full/);
  const remove = await runHere(['doctor', '--remove', '--socket', socketPath]);
  t.equal(remove.exitCode, 1);
  t.match(remove.stderr, /an agent is running.*stop it first/);
});

t.test('where no agent runs, one line says so and what to do', async (t) => {
  const socketPath = join(await makeFolder(t), 'api.sock');
  for (const command of ['ps', 'top', 'ports', 'flows', 'relays']) {
    const { exitCode, stdout, stderr } = await runHere([command, '--socket', socketPath]);
    t.equal(exitCode, 1, command);
    t.equal(stdout, '', command);
    t.match(
      stderr,
      /^relayledger: no agent is running on .*api\.sock: start one with "relayledger agent".*\n$/,
      command,
    );
  }
  const remote = await runHere(['ps', '--url', 'http://127.0.0.1:1']);
  t.equal(remote.exitCode, 1);
  t.match(remote.stderr, /no agent answers at http:\/\/127\.0\.0\.1:1/);
});

t.test('a wrong command line ends with 2 and says what is wrong', async (t) => {
  const cases: [string[], RegExp][] = [
    [[], /Usage: relayledger/],
    [['nonsense'], /unknown command 'nonsense'/],
    [['ps', '--nonsense'], /unknown option '--nonsense'/],
    [['ps', 'a', 'b'], /too many arguments/],
    [['ps', '--sort', 'size'], /Allowed choices are relayed, sent, received, name/],
    [['ps', 'pid:x'], /"pid:x" is not a pid/],
    [['relays', 'pid:x'], /"pid:x" is not a pid/],
    [['relays', 'a', 'b'], /too many arguments/],
    [['ps', '--socket'], /argument missing/],
    [['ps', '--url', 'nonsense'], /"nonsense" is not a URL/],
    [['ps', '--url', 'http://localhost', '--socket', '/x'], /not both/],
    [['top', '-d', '0'], /must be a number above 0/],
    [['top', '-n', '1.5'], /must be a whole number/],
    [['doctor', 'x'], /too many arguments/],
  ];
  for (const [argv, message] of cases) {
    const { exitCode, stderr, stdout } = await runHere(argv);
    t.equal(exitCode, 2, argv.join(' '));
    t.match(stderr, message, argv.join(' '));
    t.equal(stdout, '', argv.join(' '));
  }
});

t.test('help is there for every command and ends with 0', async (t) => {
  const main = await runHere(['--help']);
  t.equal(main.exitCode, 0);
  for (const command of ['agent', 'ps', 'top', 'relays', 'ports', 'flows', 'doctor']) {
    t.match(main.stdout, new RegExp(`^  ${command} `, 'm'), command);
    if (command === 'agent') continue;
    const help = await runHere([command, '--help']);
    t.equal(help.exitCode, 0, command);
    t.match(help.stdout, new RegExp(`^Usage: relayledger ${command} `), command);
    t.match(help.stdout, /--socket <path>/, command);
    t.match(help.stdout, /--json/, command);
  }
  t.equal((await runHere(['--version'])).stdout, '0.0.0-test\n');
});

t.test('the socket comes from the flag, else the environment, else the configuration', async (t) => {
  const { socketPath } = await listenEverywhere(t);
  const folder = await makeFolder(t);
  const config = join(folder, 'config.yaml');
  await writeFile(config, `# where the agent is\nsocket: ${socketPath}\n`);
  const missing = join(folder, 'missing.sock');
  const exitCode = async (argv: string[], environment = {}): Promise<number | null> =>
    (await runCli(['ps', ...argv], environment)).exitCode;
  t.equal(await exitCode(['--config', config]), 0);
  t.equal(await exitCode([], { RELAYLEDGER_CONFIG: config }), 0);
  t.equal(await exitCode(['--config', config], { RELAYLEDGER_SOCKET: missing }), 1);
  t.equal(await exitCode([], { RELAYLEDGER_SOCKET: socketPath }), 0);
  t.equal(await exitCode(['--socket', missing], { RELAYLEDGER_SOCKET: socketPath }), 1);
  t.equal(await exitCode(['--socket', socketPath], { RELAYLEDGER_URL: 'http://127.0.0.1:1' }), 0);
  await writeFile(config, 'socket: [');
  const broken = await runCli(['ps', '--config', config]);
  t.equal(broken.exitCode, 1);
  t.match(broken.stderr, /config\.yaml is not YAML/);
  t.match((await runCli(['ps', '--config', missing])).stderr, /cannot read .*missing\.sock/);
});

t.test('an agent is asked by URL, with the token of a file', async (t) => {
  const text = '# tokens\nprometheus read 0123456789abcdef\n';
  const server = startServer(t, { tokens: parseTokens(text) });
  const seen: (string | undefined)[] = [];
  server.app.addHook('onRequest', async ({ peer }) => {
    seen.push(peer.token?.name);
  });
  const { urls } = await server.listen({ tcp: ['127.0.0.1:0'] });
  const url = urls[0] ?? '';
  const folder = await makeFolder(t);
  const bare = join(folder, 'bare');
  const full = join(folder, 'full');
  const empty = join(folder, 'empty');
  await writeFile(bare, '0123456789abcdef\n');
  await writeFile(full, text);
  await writeFile(empty, '\n# nothing\n');
  t.equal((await runCli(['ps', '--url', url])).exitCode, 0);
  t.equal((await runCli(['ps', '--url', url, '--token-file', bare])).exitCode, 0);
  t.equal((await runCli(['ps', '--url', url], { RELAYLEDGER_TOKEN_FILE: full })).exitCode, 0);
  t.strictSame(seen, [undefined, 'prometheus', 'prometheus']);
  const refused = await runCli(['ps', '--url', url, '--token-file', empty]);
  t.equal(refused.exitCode, 1);
  t.match(refused.stderr, /there is no token in/);
});

t.test('a refusal of the agent is passed on in its words', async (t) => {
  const readings = makeHost();
  readings.status = () => {
    throw new Error('broken');
  };
  const { socketPath } = await listenEverywhere(t, { readings });
  const { exitCode, stderr } = await runCli(['doctor', '--socket', socketPath]);
  t.equal(exitCode, 1);
  t.match(stderr, /^relayledger: the agent refused: The cause is in the agent's log/);
});

t.test('on a terminal no line is wider than it, unless asked for', async (t) => {
  const { socketPath } = await listenEverywhere(t, { readings: makeHost() });
  for (const command of ['ps', 'ports', 'flows', 'relays']) {
    for (const columns of [200, 80, 40]) {
      const { stdout } = await runHere([command, '--socket', socketPath], { columns, rows: 24 });
      for (const line of stdout.split('\n')) t.ok(displayWidth(line) <= columns, `${command}, ${columns}: ${line}`);
    }
    const piped = await runHere([command, '--socket', socketPath]);
    const wide = await runHere([command, '--wide', '--socket', socketPath], { columns: 40, rows: 24 });
    t.equal(wide.stdout, piped.stdout, command);
  }
  const narrow = await runHere(['ps', '--socket', socketPath], { columns: 80, rows: 24 });
  t.match(narrow.stdout.split('\n')[0], /^ PID +NAME +APP +RECEIVED +SENT +RELAYED +VERDICT +COMMAND$/);
});

t.test('agent passes everything on, help included', async (t) => {
  const argv = ['--listen', '127.0.0.1:1', '--help', '--interval=2', 'x'];
  t.equal((await runHere(['agent', ...argv])).stdout, `agent ${JSON.stringify(argv)}`);
  t.equal((await runHere(['agent'])).stdout, 'agent []');
});

t.test('doctor examines the host itself where no agent answers', async (t) => {
  const socketPath = join(await makeFolder(t), 'api.sock');
  const plain = await runHere(['doctor', '--socket', socketPath]);
  t.equal(plain.exitCode, 3, 'its exit code is passed on');
  t.strictSame(JSON.parse(plain.stdout), {
    remove: false,
    json: false,
    socketPath,
    bpffs: '/sys/fs/bpf/relayledger',
    stateDir: '/var/lib/relayledger',
  });
  const argv = ['--remove', '--json', '--bpffs', '/b', '--state-dir', '/s', '--cgroup', '/c', '--socket', socketPath];
  t.strictSame(JSON.parse((await runHere(['doctor', ...argv])).stdout), {
    remove: true,
    json: true,
    socketPath,
    bpffs: '/b',
    stateDir: '/s',
    cgroup: '/c',
  });
  t.equal((await runHere(['doctor', '--url', 'http://127.0.0.1:1'])).exitCode, 1, 'another host is not this one');
});
