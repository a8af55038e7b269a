import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import type { AuditEntry } from '../../agent/audit.ts';
import type { PolicyReading } from '../../agent/policies/policy.ts';
import type { Process } from '../../agent/readings.ts';
import { Agent, run } from './agent.ts';
import { RelayGround } from './relay-ground.ts';
import { askUnix } from './unix-request.ts';

/* Policies from the command line to the packets, with a real relay in network namespaces. */

const MEGABYTE = 1_000_000;

async function waitUntil(what: string, holds: () => Promise<boolean> | boolean): Promise<void> {
  for (const end = Date.now() + 20_000; Date.now() < end; await sleep(100)) if (await holds()) return;
  throw new Error(`it did not come to this: ${what}`);
}

async function isRelay(agent: Agent, pid: number): Promise<boolean> {
  const { processes } = await agent.api<{ processes: Process[] }>('/v1/processes');
  return processes.some((process) => process.pid === pid && process.relay.verdict === 'relay');
}

async function policies(agent: Agent): Promise<PolicyReading[]> {
  return (await agent.api<{ policies: PolicyReading[] }>('/v1/policies')).policies;
}

/**
 * Has a shell connect to a port of the loopback: what it says, `connected` where it is. The shell is one that every user may
 * execute, wherever this clone lies.
 */
async function connectBy(shell: string, port: number, uid = 0): Promise<string> {
  const user = ['--reuid', String(uid), '--regid', String(uid), '--clear-groups'];
  const script = `exec 3<>/dev/tcp/127.0.0.1/${port} && echo connected`;
  const child = spawn('setpriv', [...user, shell, '--norc', '-c', script], {
    cwd: '/',
    env: { LC_ALL: 'C' },
    // By a socket as its input bash would take itself for a remote shell, and read the user's start-up file.
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (said += text));
  await once(child, 'close');
  return said.trim();
}

t.test('what a process relays is capped while its own download runs on, until the policy is removed', async (t) => {
  await using agent = await Agent.start({ interval: 1 });
  await using ground = await RelayGround.make();
  const { pid } = ground.relay;
  await waitUntil('the relay is told', () => isRelay(agent, pid));
  const free = await ground.rates(1000);
  t.ok(free.relayed > 2 * MEGABYTE && free.own > 2 * MEGABYTE, JSON.stringify(free));

  const dry = await run(['cap', `pid:${pid}`, '1M', '--relay-only', '--dry-run', '--socket', agent.socket]);
  t.match(dry.output, new RegExp(`would hold .*\\n.*\\n {2}${pid} `));
  t.same(await policies(agent), []);
  const capped = await run(['cap', `pid:${pid}`, '1M', '--relay-only', '--socket', agent.socket]);
  t.match(capped, { code: 0, output: /undo: relayledger policies remove cap-pid-/ });
  await sleep(3000);
  const held = await ground.rates(3000);
  t.ok(held.relayed < 1.3 * MEGABYTE && held.relayed > 0.6 * MEGABYTE, `relayed ${held.relayed}`);
  t.ok(held.own > 0.8 * free.own, `own ${held.own} of ${free.own}`);
  const [policy] = await policies(agent);
  t.match(policy, { state: 'active', scope: 'relay', matches: [{ pid }], effect: { now: true } });
  t.ok((policy?.effect?.throttled.sentBytes ?? 0) > 0);
  const metrics = await (await fetch(`http://127.0.0.1:${agent.port}/metrics`)).text();
  t.match(metrics, new RegExp(`relayledger_policy_rate_bytes_per_second\\{policy="cap-pid-${pid}"\\} 1000000`));

  await agent.kill9();
  await sleep(500);
  const dead = await ground.rates(2000);
  t.ok(dead.relayed < 1.3 * MEGABYTE, `relayed ${dead.relayed} while no agent runs`);
  await agent.start();
  t.match(await policies(agent), [{ name: `cap-pid-${pid}`, state: 'active', matches: [{ pid }] }]);

  t.match(await run(['policies', 'remove', `cap-pid-${pid}`, '--socket', agent.socket]), { code: 0 });
  await sleep(2000);
  const after = await ground.rates(1000);
  t.ok(after.relayed > 0.8 * free.relayed, `relayed ${after.relayed} of ${free.relayed} after removal`);
});

t.test('a quota that is used up ends the process, once, and the audit says so', async (t) => {
  await using agent = await Agent.start({ interval: 1 });
  await using ground = await RelayGround.make();
  const { pid, done } = ground.relay;
  const quota = ['--quota', '5M', '--per', 'day', '--then', 'kill', '--all'];
  t.match(await run(['cap', `pid:${pid}`, ...quota, '--socket', agent.socket]), { code: 0 });
  t.same(await done, { code: null, signal: 'SIGTERM' });
  const { audit } = await agent.api<{ audit: AuditEntry[] }>('/v1/audit');
  const killed = audit.filter(({ action }) => action === 'kill');
  t.match(killed, [{ actor: 'agent', target: new RegExp(`^process ${pid} `), result: 'done' }]);
  t.match(
    audit.find(({ action }) => action === 'quota-used-up'),
    { target: `quota-pid-${pid}` },
  );
});

t.test('what a quota has used survives the agent and, as after a reboot, an empty kernel', async (t) => {
  await using agent = await Agent.start({ interval: 1 });
  await using ground = await RelayGround.make();
  const quota = ['--quota', '1G', '--per', 'month', '--then', 'notify', '--all'];
  await run(['cap', `pid:${ground.relay.pid}`, ...quota, '--policy', 'by-pid', '--socket', agent.socket]);
  const policy = {
    match: { executable: process.execPath },
    scope: 'all',
    quota: { bytes: 1e9, period: 'month', then: 'notify' },
  };
  t.match(await askUnix(agent.socket, 'PUT', '/v1/policies/by-program', policy), { status: 200 });
  const used = async (name: string): Promise<number> =>
    (await policies(agent)).find((one) => one.name === name)?.quotaUse?.usedBytes ?? 0;
  await waitUntil('something is used', async () => (await used('by-pid')) > 2 * MEGABYTE);
  t.ok((await used('by-program')) > 2 * MEGABYTE);
  await agent.kill9();
  await agent.start();
  t.ok((await used('by-pid')) > 2 * MEGABYTE, 'over a crash');
  await agent.stop();
  const before = (await run(['doctor', '--remove', ...agent.places()])).code;
  t.equal(before, 0);
  await ground[Symbol.asyncDispose]();
  await agent.start();
  t.ok((await used('by-program')) > 2 * MEGABYTE, 'over a reboot');
  t.match(
    (await policies(agent)).map(({ name }) => name),
    ['by-program'],
    'a pid means nothing after its process',
  );
});

t.test('deny inbound keeps new callers out; who is connected stays', async (t) => {
  await using agent = await Agent.start({ interval: 1 });
  await using ground = await RelayGround.make();
  const { pid } = ground.relay;
  await waitUntil('the relay is seen', async () => (await agent.processes()).some((process) => process.pid === pid));
  t.equal(await ground.isReachable(), true);
  t.match(await run(['deny', `pid:${pid}`, '--inbound', '--socket', agent.socket]), { code: 0 });
  t.equal(await ground.isReachable(), false);
  t.ok((await ground.rates(1000)).relayed > MEGABYTE, 'the caller from before goes on');
  t.ok(((await policies(agent))[0]?.effect?.dropped[0]?.packets ?? 0) > 0);
  t.match(await run(['policies', 'remove', `deny-pid-${pid}`, '--socket', agent.socket]), { code: 0 });
  t.equal(await ground.isReachable(), true);
});

t.test('disconnect cuts the relayed connections and spares the process’s own', async (t) => {
  await using agent = await Agent.start({ interval: 1 });
  await using ground = await RelayGround.make();
  const { pid } = ground.relay;
  await run(['cap', `pid:${pid}`, '100M', '--socket', agent.socket]);
  await waitUntil('the relay is told', () => isRelay(agent, pid));
  await sleep(1500);
  const { output } = await run(['disconnect', String(pid), '--socket', agent.socket]);
  t.match(output, /^destroyed 2 TCP and 0 UDP connections/);
  await sleep(300);
  const cut = await ground.rates(500);
  t.equal(cut.relayed, 0);
  t.ok(cut.own > 2 * MEGABYTE, `own ${cut.own}`);
  await run(['disconnect', String(pid), '--all', '--socket', agent.socket]);
  await sleep(300);
  t.equal((await ground.rates(500)).own, 0);
});

t.test('who came since the last poll is held, listed and disconnected all the same', async (t) => {
  await using agent = await Agent.start({ interval: 3600 });
  const listener = createServer((socket) => socket.on('error', () => undefined)).listen(0, '127.0.0.1');
  await once(listener, 'listening');
  t.teardown(() => listener.close());
  const { port } = listener.address() as AddressInfo;
  const script = `require('net').connect(${port}, '127.0.0.1').on('error', () => undefined); setInterval(() => {}, 1000)`;
  const connected = once(listener, 'connection');
  const child = spawn(process.execPath, ['-e', script], { stdio: 'ignore', env: {} });
  t.teardown(() => child.kill('SIGKILL'));
  await connected;
  const { pid = 0 } = child;
  const cap = { match: { pid }, scope: 'all', rate: { bytesPerSecond: 1_000_000 } };
  t.match((await askUnix(agent.socket, 'PUT', '/v1/policies/new', cap)).body, { matches: [{ pid }] });
  const cut = await askUnix(agent.socket, 'POST', `/v1/processes/${pid}/disconnect`, { scope: 'all' });
  t.match(cut, { status: 200, body: { pid, tcp: 1 } });
  const later = spawn(process.execPath, ['-e', script], { stdio: 'ignore', env: {} });
  t.teardown(() => later.kill('SIGKILL'));
  await once(listener, 'connection');
  await sleep(100); // what was read less than 50 ms ago is not read again
  const byUser = { match: { uid: 0, executable: process.execPath }, scope: 'all', rate: { bytesPerSecond: 1_000_000 } };
  await askUnix(agent.socket, 'PUT', '/v1/policies/user', byUser);
  const listed = (await policies(agent)).find(({ name }) => name === 'user');
  t.ok(listed?.matches.some((match) => match.pid === later.pid));
});

t.test('a policy holds who starts later, at its first socket; deny outbound of a user', async (t) => {
  await using agent = await Agent.start({ interval: 1 });
  const policy = { match: { uid: 54_321 }, scope: 'all', deny: { outbound: true, how: 'reject' } };
  t.match(await askUnix(agent.socket, 'PUT', '/v1/policies/deny-user', policy), { status: 200 });
  const connect = (uid: number): Promise<string> => connectBy('/bin/bash', agent.port, uid);
  t.equal(await connect(54_322), 'connected');
  t.match(await connect(54_321), /Connection refused|Operation not permitted/);
  t.match(await askUnix(agent.socket, 'DELETE', '/v1/policies/deny-user'), { status: 200 });
  t.equal(await connect(54_321), 'connected');
});

t.test('a protected program is not held at its first socket, not even while no agent looks', async (t) => {
  const guarded = join(t.testdir(), 'guarded');
  copyFileSync('/bin/bash', guarded);
  const server = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1');
  t.teardown(() => server.close());
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await using agent = await Agent.start({ interval: 1, arguments: ['--protected', 'guarded'] });
  for (const app of ['bash', 'guarded']) {
    const policy = { match: { app }, scope: 'all', deny: { outbound: true, how: 'reject' } };
    t.match(await askUnix(agent.socket, 'PUT', `/v1/policies/deny-${app}`, policy), { status: 200 });
  }
  await agent.stop();
  t.match(await connectBy('/bin/bash', port), /Connection refused|Operation not permitted/);
  t.equal(await connectBy(guarded, port), 'connected');
});
