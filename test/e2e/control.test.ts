import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import type { AuditEntry } from '../../agent/audit.ts';
import type { History } from '../../agent/history.ts';
import type { App } from '../../agent/readings.ts';
import { Agent, run } from './agent.ts';
import { askUnix } from './unix-request.ts';

/* What takes no enforcement: killing, the audit, the history, and who may ask for what. */

async function audit(agent: Agent): Promise<AuditEntry[]> {
  return (await agent.api<{ audit: AuditEntry[] }>('/v1/audit')).audit;
}

t.test(
  'kill ends exactly the process that was seen, says who asked for it, and spares what is protected',
  async (t) => {
    await using agent = await Agent.start();
    const child = spawn('sleep', ['60'], { stdio: 'ignore' });
    t.teardown(() => child.kill('SIGKILL'));
    const { pid = 0 } = child;
    const path = `/v1/processes/${pid}/kill`;
    const other = await askUnix(agent.socket, 'POST', path, { startedAt: '2020-01-01T00:00:00.000Z' });
    t.match(other, { status: 409, body: { code: 'process-changed' } }, 'a pid that was another process then');
    const dry = await run(['kill', String(pid), '--dry-run', '--socket', agent.socket]);
    t.match(dry, { code: 0, output: /nothing was changed/ });
    t.equal(child.exitCode, null);
    const ended = once(child, 'exit');
    t.match(await run(['kill', String(pid), '--socket', agent.socket]), {
      code: 0,
      output: /^sent SIGTERM to \d+ \(sleep/,
    });
    t.same(await ended, [null, 'SIGTERM']);
    t.match(await askUnix(agent.socket, 'POST', path), { status: 404, body: { code: 'process-not-found' } });
    t.match((await audit(agent))[1], { actor: 'root', uid: 0, action: 'kill', target: /^process \d+/, result: 'done' });

    for (const [target, why] of [
      [1, /pid 1/],
      [2, /kernel thread|pid 2/],
      [agent.pid, /the agent itself/],
      [process.pid, /ancestor of the caller/],
    ] as const) {
      const { code, errors } = await run(['kill', String(target), '--signal', 'SIGCONT', '--socket', agent.socket]);
      t.equal(code, 1);
      t.match(errors, why);
    }
    const forced = ['kill', String(process.pid), '--signal', 'SIGCONT', '--force', '--socket', agent.socket];
    t.match(await run(forced), { code: 2, errors: /--force needs --reason/ });
    t.match(await run([...forced, '--reason', 'a drill']), { code: 0 });
    t.match((await audit(agent))[0], {
      result: 'done',
      reason: 'a drill',
      detail: { forced: true, signal: 'SIGCONT' },
    });
  },
);

t.test('changes take root on the Unix socket, or a token with the role control', async (t) => {
  await using agent = await Agent.start();
  const tokens = join(agent.folder, 'tokens');
  writeFileSync(tokens, 'admin control control-token-0123456789\nviewer read read-token-0123456789\n', { mode: 0o600 });
  await agent.stop();
  await agent.start(['--token-file', tokens]);
  const url = `http://127.0.0.1:${agent.port}/v1/processes/2147483647/kill`;
  const ask = async (token?: string): Promise<number> => {
    const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const response = await fetch(url, { method: 'POST', headers });
    await response.arrayBuffer();
    return response.status;
  };
  t.equal(await ask(), 401);
  t.equal(await ask('read-token-0123456789'), 403);
  t.equal(await ask('control-token-0123456789'), 404);
  t.equal((await askUnix(agent.socket, 'POST', '/v1/processes/2147483647/kill')).status, 404);
  const entries = await audit(agent);
  t.match(entries[1], { actor: 'admin', token: 'admin', address: '127.0.0.1', result: 'PROCESS_UNKNOWN' });
  t.match(entries[2], { actor: 'viewer', action: 'access', result: 'control-not-permitted' });
});

t.test('a policy that is not valid is refused, one that is can be tried', async (t) => {
  await using agent = await Agent.start();
  const path = '/v1/policies/cap-nobody';
  const policy = { match: { app: 'nobody' }, rate: { bytesPerSecond: 4096 } };
  const bad = { ...policy, rate: { bytesPerSecond: 0 } };
  t.match(await askUnix(agent.socket, 'PUT', path, bad), { status: 400, body: { code: 'invalid-body' } });
  t.match(await askUnix(agent.socket, 'PUT', `${path}?dryRun=true`, policy), { status: 200, body: { dryRun: true } });
  t.same(await agent.api('/v1/policies'), { policies: [] });
});

t.test('the history of an app adds up to its totals, over a restart and a crash', async (t) => {
  await using agent = await Agent.start();
  const sums = async (): Promise<{ history: number; total: number }> => {
    const { series } = await agent.api<History>('/v1/history?app=curl');
    const { apps } = await agent.api<{ apps: App[] }>('/v1/apps');
    const total = apps.find(({ app }) => app === 'curl')?.traffic.wire.receivedBytes ?? 0;
    const points = series[0]?.points ?? [];
    return { history: points.reduce((sum, { wire }) => sum + wire.receivedBytes, 0), total };
  };
  const load = async (): Promise<void> => {
    const child = spawn('curl', ['-s', '-o', '/dev/null', `http://127.0.0.1:${agent.port}/v1/status`]);
    await once(child, 'exit');
    await sleep(500);
  };
  await load();
  const first = await sums();
  t.ok(first.total > 0);
  t.equal(first.history, first.total);
  await agent.stop();
  await agent.start();
  t.same(await sums(), first);
  await load();
  await agent.kill9();
  await agent.start();
  const last = await sums();
  t.ok(last.total > first.total);
  t.equal(last.history, last.total, 'what was not on disk yet is counted once');
});

/** A process with exactly this pid: the kernel is told to give it out next. Others fork meanwhile, so it takes tries. */
async function spawnWithPid(t: Test, pid: number): Promise<ChildProcess> {
  for (let i = 0; i < 500; i++) {
    writeFileSync('/proc/sys/kernel/ns_last_pid', String(pid - 1));
    const child = spawn('sleep', ['60'], { stdio: 'ignore' });
    if (child.pid === pid) {
      t.teardown(() => child.kill('SIGKILL'));
      return child;
    }
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  throw new Error(`pid ${pid} could not be had again`);
}

t.test('a pid that went to another process between ps and kill is not killed', async (t) => {
  await using agent = await Agent.start();
  // It uses the network, so that the agent shows it, and then waits.
  const script = `require('net').connect(${agent.port}, '127.0.0.1'); setInterval(() => {}, 1000)`;
  const seen = spawn(process.execPath, ['-e', script], { stdio: 'ignore', env: {} });
  t.teardown(() => seen.kill('SIGKILL'));
  const { pid = 0 } = seen;
  let startedAt: string | undefined;
  for (const end = Date.now() + 10_000; Date.now() < end && startedAt === undefined; await sleep(100)) {
    startedAt = (await agent.processes()).find((process) => process.pid === pid)?.startedAt;
  }
  t.ok(startedAt);
  seen.kill('SIGKILL');
  await once(seen, 'exit');
  const next = await spawnWithPid(t, pid);
  const refused = await askUnix(agent.socket, 'POST', `/v1/processes/${pid}/kill`, { startedAt });
  t.match(refused, { status: 409, body: { code: 'process-changed' } });
  await sleep(100);
  t.equal(next.exitCode ?? next.signalCode, null, 'the next owner lives on');
});
