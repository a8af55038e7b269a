import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import type { Process } from '../../agent/readings.ts';
import { Agent } from './agent.ts';
import { buildPrograms } from './build.ts';
import { type Running, start, waitForFile } from './hosts.ts';
import { type Side, ThreeHosts } from './three-hosts.ts';

/** For flows of closed connections to be given back to the kernel, and their bill to be on disk. */
const SETTLED_MS = 18_000;
const UP = 100_000;
const DOWN = 400_000;
const SIZES = ['--up', String(UP), '--down', String(DOWN)];
const TO = ['--to', '203.0.113.2', '--to-port'];

t.test('what was relayed stays relayed, and counted once, over kill -9', async (t) => {
  const programs = await buildPrograms();
  const folder = mkdtempSync(join(tmpdir(), 'relayledger-e2e-relay-restart-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const three = await ThreeHosts.make();
  t.teardown(() => three.remove());
  await using agent = await Agent.start({ interval: 1 });

  let count = 0;
  const run = async (side: Side, name: string, ...rest: string[]): Promise<Running> => {
    const path = join(folder, String(count++));
    const files = { output: `${path}.output`, errors: `${path}.errors` };
    const environment = { E2E_READY: `${path}.ready` };
    const running = start(three.hosts[side], [join(programs, name), ...rest], { ...files, environment });
    if (rest[1] === '--port') await waitForFile(environment.E2E_READY, running);
    return running;
  };
  const relays = new Map<string, number>();
  const relayOf = async (name: string): Promise<Process['relay'] | undefined> => {
    const processes = await agent.processes();
    return processes.find(({ pid }) => pid === relays.get(name))?.relay;
  };
  const billed = async (name: string, bytes: number): Promise<number> => {
    let received = 0;
    for (const end = Date.now() + 8_000; Date.now() < end && received < bytes; await sleep(200)) {
      received = (await relayOf(name))?.receivedBytes ?? 0;
    }
    return received;
  };
  const swap = async (port: number, streams: number): Promise<void> => {
    const to = ['--to', '198.51.100.1', '--port', String(port), '--streams', String(streams)];
    const client = await run('client', 'peers', 'swapper', ...to, ...SIZES);
    t.same(await client.done, { code: 0, signal: null }, 'the traffic goes well');
  };

  await run('server', 'peers', 'swap', '--port', '7001', ...SIZES);
  await run('server', 'peers', 'swap', '--port', '7003', '--up', '1000', '--down', '2400000', '--rate', '100000');
  relays.set('short', (await run('middle', 'relay', 'stream', '--port', '7000', ...TO, '7001')).pid);
  relays.set('long', (await run('middle', 'relay', 'stream', '--port', '7002', ...TO, '7003')).pid);
  const long = ['--to', '198.51.100.1', '--port', '7002', '--up', '1000', '--down', '2400000'];
  const longOne = await run('client', 'peers', 'swapper', ...long);

  await swap(7000, 8);
  t.equal(await billed('short', 8 * (UP + DOWN)), 8 * (UP + DOWN), 'connections that are over');
  await sleep(SETTLED_MS);
  await swap(7000, 2);
  const before = await relayOf('long');
  await agent.kill9();
  await swap(7000, 3);
  await agent.start();
  t.equal((await relayOf('short'))?.verdict, 'relay', 'the verdict is there at once');
  const known = before?.receivedBytes ?? 0;
  t.ok(known > 0 && (await billed('long', known)) >= known, 'and the bill is found again');
  await swap(7000, 2);
  t.equal(await billed('short', 15 * (UP + DOWN)), 15 * (UP + DOWN), 'before, meanwhile and after, each once');
  t.same(await longOne.done, { code: 0, signal: null });
  t.equal(await billed('long', 2_401_000), 2_401_000, 'a connection that was there all the time');
  await sleep(1_500);
  t.equal((await relayOf('short'))?.receivedBytes, 15 * (UP + DOWN), 'and nothing is added later');
  t.equal((await relayOf('short'))?.sentBytes, 15 * (UP + DOWN));
});
