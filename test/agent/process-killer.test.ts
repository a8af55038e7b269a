import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import t, { type Test } from 'tap';
import { parseProcStat, readAncestors, readProcStat } from '../../agent/proc-stat.ts';
import { type KillerOptions, type KillRequest, ProcessKiller } from '../../agent/process-killer.ts';
import type { ProcessRecord } from '../../agent/process-table.ts';
import { Protection } from '../../agent/protection.ts';
import { bootTimeNs, wallTimeMs } from '../../bpf/clock.ts';
import { makeRecord } from './policies/control-host.ts';

function makeKiller(override: Partial<KillerOptions> & { names?: string[]; agentPid?: number } = {}): ProcessKiller {
  const { names = [], agentPid = 0, ...options } = override;
  return new ProcessKiller({
    protection: new Protection({ agentPid, names }),
    find: () => undefined,
    toWallMs: (ns) => wallTimeMs() - Number(bootTimeNs() - ns) / 1e6,
    ...options,
  });
}

function request(pid: number, override: Partial<KillRequest> = {}): KillRequest {
  return { pid, signal: 'SIGTERM', startedAtMs: undefined, executable: undefined, forced: false, ...override };
}

/** A real process that waits. */
function startSleep(t: Test): ChildProcess & { pid: number } {
  const child = spawn('sleep', ['60'], { stdio: 'ignore' });
  t.teardown(() => child.kill('SIGKILL'));
  return child as ChildProcess & { pid: number };
}

function startTicks(pid: number): number {
  return readProcStat(pid)?.startTicks ?? 0;
}

/** What the process table would know of it. */
function recordOf(pid: number, override: Partial<ProcessRecord> = {}): ProcessRecord {
  return makeRecord({ tgid: pid, startNs: BigInt(startTicks(pid)) * 10_000_000n + 5n, startedAtMs: 1000, ...override });
}

t.test('a real process gets the signal, and its start is answered', async (t) => {
  const child = startSleep(t);
  const startedMs = Date.now();
  const result = makeKiller().kill(request(child.pid), []);
  t.match(result, { pid: child.pid, name: /sleep|MainThread|node/, signal: 'SIGTERM' });
  t.ok(Math.abs(Date.parse(result.startedAt) - startedMs) < 2000);
  t.same(await once(child, 'exit'), [null, 'SIGTERM']);
});

t.test('SIGKILL', async (t) => {
  const child = startSleep(t);
  makeKiller().kill(request(child.pid, { signal: 'SIGKILL' }), []);
  t.same(await once(child, 'exit'), [null, 'SIGKILL']);
});

t.test('who has started at another time is another process', async (t) => {
  const { pid } = startSleep(t);
  const shown = Math.round(wallTimeMs() - Number(bootTimeNs() - BigInt(startTicks(pid)) * 10_000_000n) / 1e6);
  const refused = { code: 'PROCESS_CHANGED' };
  t.throws(() => makeKiller().kill(request(pid, { startedAtMs: shown - 5000 }), []), refused);
  t.throws(() => makeKiller().kill(request(pid, { startedAtMs: shown + 5000 }), []), refused);
  const known = makeKiller({ find: () => recordOf(pid) });
  t.throws(() => known.kill(request(pid, { startedAtMs: shown }), []), refused, 'what the API has shown counts');
  t.equal(known.kill(request(pid, { startedAtMs: 1000, signal: 'SIGCONT' }), []).startedAt, '1970-01-01T00:00:01.000Z');
  t.equal(makeKiller().kill(request(pid, { startedAtMs: shown, signal: 'SIGCONT' }), []).pid, pid);
});

t.test('a pid that was reused since the last poll is not taken for its old owner', async (t) => {
  const { pid } = startSleep(t);
  const stale = recordOf(pid, { startNs: BigInt(startTicks(pid) - 1) * 10_000_000n });
  const killer = makeKiller({ find: () => stale });
  t.throws(() => killer.kill(request(pid), []), { code: 'PROCESS_CHANGED', message: /just been replaced/ });
  t.throws(() => killer.kill(request(pid, { startedAtMs: stale.startedAtMs }), []), { code: 'PROCESS_CHANGED' });
});

t.test('the pidfd is opened before anything is looked at', async (t) => {
  const order: string[] = [];
  const killer = makeKiller({
    open: () => {
      order.push('open');
      return { signal: () => void order.push('signal'), [Symbol.dispose]: () => void order.push('close') };
    },
    readStat: (pid) => {
      order.push('look');
      return { pid, name: 'x', state: 'S', parentPid: 1, isKernelThread: false, startTicks: 1 };
    },
    readExecutable: () => '/bin/x',
  });
  killer.kill(request(5_000_000), []);
  t.same(order, ['open', 'look', 'signal', 'close']);
  order.length = 0;
  t.throws(() => killer.kill(request(5_000_000, { executable: '/bin/y' }), []), { code: 'PROCESS_CHANGED' });
  t.same(order, ['open', 'look', 'close'], 'nothing was sent, nothing stays open');
});

t.test('no process, an ended one, a thread', async (t) => {
  const child = startSleep(t);
  t.throws(() => makeKiller().kill(request(4_194_303), []), { code: 'PROCESS_UNKNOWN' });
  const zombie = makeKiller({
    readStat: (pid) => ({ pid, name: 'x', state: 'Z', parentPid: 1, isKernelThread: false, startTicks: 1 }),
  });
  t.throws(() => zombie.kill(request(child.pid), []), { code: 'PROCESS_CHANGED', message: /has ended/ });
  child.kill('SIGKILL');
  await once(child, 'exit');
  t.throws(() => makeKiller().kill(request(child.pid), []), { code: 'PROCESS_UNKNOWN' });
});

t.test(
  'protected: the kernel, pid 1, the agent, the caller and its ancestors, what the configuration names',
  async (t) => {
    const { pid } = startSleep(t);
    const protectedBy = (killer: ProcessKiller, target: number, pattern: RegExp, override: Partial<KillRequest> = {}) =>
      t.throws(
        () => killer.kill(request(target, { signal: 'SIGCONT', ...override }), readAncestors(process.pid)),
        { code: 'PROCESS_PROTECTED', message: pattern },
        String(pattern),
      );
    protectedBy(makeKiller(), 0, /the kernel/);
    protectedBy(makeKiller(), 1, /pid 1/);
    protectedBy(makeKiller({ agentPid: pid }), pid, /the agent itself/);
    protectedBy(makeKiller(), process.pid, /the caller itself/);
    protectedBy(makeKiller(), process.ppid, /an ancestor of the caller/);
    protectedBy(makeKiller({ names: ['sleep'] }), pid, /the configuration protects sleep/);
    const executable = { find: () => recordOf(pid, { app: 'database' }), names: ['database'] };
    protectedBy(makeKiller(executable), pid, /the configuration protects database/);
    const thread = { pid, name: 'kworker', state: 'I', parentPid: 2, isKernelThread: true, startTicks: 1 };
    protectedBy(makeKiller({ readStat: () => thread }), pid, /kernel thread/, { forced: true });
    const forced = makeKiller({ names: ['sleep'] }).kill(request(pid, { forced: true, signal: 'SIGCONT' }), []);
    t.equal(forced.pid, pid);
  },
);

t.test('/proc/PID/stat with a name that looks like the rest of it', async (t) => {
  const rest = `S 1 2 3 4 5 4194304 ${'0 '.repeat(12)}98765 1 2`;
  t.match(parseProcStat(`77 (a) S 1 (b) ) ${rest}`), {
    pid: 77,
    name: 'a) S 1 (b) ',
    state: 'S',
    parentPid: 1,
    isKernelThread: false,
    startTicks: 98_765,
  });
  t.equal(parseProcStat(''), undefined);
  t.equal(parseProcStat('77 (a'), undefined);
  t.equal(readAncestors(process.pid)[0]?.pid, process.pid);
  t.equal(readAncestors(process.pid).at(-1)?.pid, 1);
});
