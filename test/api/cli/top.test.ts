import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import t from 'tap';
import { listenEverywhere, runCli } from '../fixture.ts';
import type { FakeReadings } from '../readings.ts';
import { makeProcess, makeReadings, makeStatus, makeWire } from '../readings.ts';

const cliPath = fileURLToPath(new URL('../../../api/cli/main.ts', import.meta.url));
const enterScreen = '\x1b[?1049h';
const leaveScreen = '\x1b[?1049l';

/** Readings in which every poll adds to what the process received. */
function makeMovingReadings(): FakeReadings {
  const readings = makeReadings({ processes: [makeProcess({ name: 'mover\x1b[2J' })] });
  let polls = 0;
  readings.status = () => {
    polls += 1;
    return makeStatus({ poll: { count: polls, lastSeconds: 0, intervalSeconds: 1 } });
  };
  readings.processes = () => [
    makeProcess({
      name: 'mover\x1b[2J',
      traffic: { ...makeProcess().traffic, wire: makeWire({ receivedBytes: polls * 1_000_000 }) },
    }),
  ];
  return readings;
}

interface Session {
  child: ChildProcessWithoutNullStreams;
  until(pattern: RegExp): Promise<string>;
  /** All that was shown, once the session has ended. */
  end(): Promise<string>;
}

/** `top` on a terminal of its own; `stty -g` before and after tells whether it was given back as it was. */
function startTop(t: Test, socketPath: string): Session {
  const top = `${process.execPath} --disable-warning=ExperimentalWarning ${cliPath} top -d 0.05 --socket ${socketPath}`;
  const command = `stty cols 100 rows 20; stty -g; sh -c 'echo pid=$$; exec ${top}'; echo exit=$?; stty -g`;
  const child = spawn('script', ['-qefc', command, '/dev/null'], { env: { ...process.env, TZ: 'UTC' } });
  t.teardown(() => child.kill());
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => {
    text += chunk.toString();
    child.emit('more');
  });
  child.stdout.on('close', () => child.emit('more'));
  return {
    child,
    async until(pattern) {
      while (!pattern.test(text)) {
        if (child.exitCode !== null) throw new Error(`ended before ${pattern}: ${text}`);
        await once(child, 'more');
      }
      return text;
    },
    async end() {
      if (child.exitCode === null) await once(child, 'close');
      return text;
    },
  };
}

function isRestored(t: Test, text: string): void {
  t.ok(text.lastIndexOf(leaveScreen) > text.lastIndexOf(enterScreen), 'back on the ordinary screen');
  t.ok(text.lastIndexOf('\x1b[?25h') > text.lastIndexOf('\x1b[?25l'), 'the cursor is shown');
  const settings = [...text.matchAll(/^([0-9a-f]+:[0-9a-f:]+)\r?$/gm)].map(([, setting]) => setting);
  t.equal(settings.length, 2);
  t.equal(settings[0], settings[1], 'the terminal is set as before');
}

t.test('on a terminal it draws until q, and s changes the order', async (t) => {
  const { socketPath } = await listenEverywhere(t, { readings: makeMovingReadings() });
  const session = startTop(t, socketPath);
  await session.until(/sorted by rate[\s\S]*[0-9.]+ MB\/s/);
  session.child.stdin.write('s');
  await session.until(/sorted by relayed/);
  session.child.stdin.write('q');
  const text = await session.end();
  t.match(text, /exit=0/);
  t.match(text, /mover\\x1b\[2J/, 'a hostile name cannot clear the screen');
  isRestored(t, text);
});

t.test('Ctrl-C ends it and gives the terminal back', async (t) => {
  const { socketPath } = await listenEverywhere(t, { readings: makeMovingReadings() });
  const session = startTop(t, socketPath);
  await session.until(/sorted by rate/);
  session.child.stdin.write('\x03');
  isRestored(t, await session.end());
});

t.test('signals end it and give the terminal back', async (t) => {
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    const { socketPath } = await listenEverywhere(t, { readings: makeMovingReadings() });
    const session = startTop(t, socketPath);
    const text = await session.until(/pid=[0-9]+[\s\S]*sorted by rate/);
    process.kill(Number(/pid=([0-9]+)/.exec(text)?.[1]), signal);
    isRestored(t, await session.end());
  }
});

t.test('an agent that goes away is said so, and its last readings stay', async (t) => {
  const { socketPath, server } = await listenEverywhere(t, { readings: makeMovingReadings() });
  const session = startTop(t, socketPath);
  await session.until(/sorted by rate/);
  await server.close();
  await session.until(/The agent does not answer[\s\S]*mover/);
  session.child.stdin.write('q');
  isRestored(t, await session.end());
});

t.test('without a terminal it prints one reading, or as many as asked for', async (t) => {
  const { socketPath } = await listenEverywhere(t, { readings: makeMovingReadings() });
  const count = (text: string): number => text.split('sorted by').length - 1;
  for (const [argv, readings] of [
    [[], 1],
    [['--once'], 1],
    [['--batch', '-n', '3'], 3],
    [['-b', '-n2', '--sort', 'name'], 2],
  ] as const) {
    const { stdout, exitCode } = await runCli(['top', '-d', '0.01', '--socket', socketPath, ...argv]);
    t.equal(exitCode, 0);
    t.equal(count(stdout), readings, argv.join(' '));
    t.notOk(stdout.includes('\x1b'));
    t.match(stdout, /[0-9.]+ [kMG]B\/s/);
  }
});
