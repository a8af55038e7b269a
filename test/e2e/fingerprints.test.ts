import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import type { RelayReading } from '../../agent/readings.ts';
import { Agent } from './agent.ts';
import { type Running, start, waitForPort } from './hosts.ts';
import { type Side, ThreeHosts } from './three-hosts.ts';

const program = join(import.meta.dirname, 'programs', 'equal-calls.ts');
const SECONDS = 14;
const CALLS = 2;
const BEATS = 8000;
const JUDGED_MS = 3_000;

interface Middle {
  what: 'held' | 'own' | 'mixed' | 'beats';
  protocol: 'tcp' | 'udp';
  family: 4 | 6;
  port: number;
}

const MIDDLES: readonly Middle[] = (['held', 'own', 'mixed', 'beats'] as const)
  .flatMap((what) =>
    (['tcp', 'udp'] as const).flatMap((protocol) => ([4, 6] as const).map((family) => ({ what, protocol, family }))),
  )
  .map((middle, index) => ({ ...middle, port: (middle.what === 'beats' ? BEATS : 7000) + CALLS * index }));

const ADDRESSES = { 4: ['198.51.100.2', '203.0.113.2'], 6: ['2001:db8:1::2', '2001:db8:2::2'] } as const;

t.test('equal calls of a constant rate: content tells those that are relayed', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'rl-e2e-prints-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const three = await ThreeHosts.make();
  t.teardown(() => three.remove());
  await using comparing = await Agent.start({ interval: 1, arguments: ['--fingerprints'] });
  await using other = await Agent.start({ interval: 1 });

  let count = 0;
  const run = (side: Side, ...words: (string | number)[]): Running => {
    // tap has every Node program that a test starts load hooks of its own.
    const node = ['env', '--unset=NODE_OPTIONS', process.execPath, '--disable-warning=ExperimentalWarning'];
    const output = join(folder, String(count++));
    return start(three.hosts[side], [...node, program, ...words.map(String)], { output, errors: `${output}.errors` });
  };
  for (const [index, side] of (['client', 'server'] as const).entries()) {
    for (const family of [4, 6] as const) {
      const host = ADDRESSES[family][index] as string;
      run(side, 'speak', 'noise', host, 7000, CALLS * MIDDLES.length, SECONDS);
      run(side, 'speak', 'beats', host, BEATS, CALLS * MIDDLES.length, SECONDS);
      await waitForPort(three.hosts[side], 'udp', 7000 + CALLS * MIDDLES.length - 1);
    }
  }
  const runs = MIDDLES.map(({ what, protocol, family, port }) =>
    run('middle', what, protocol, ...ADDRESSES[family], port, CALLS, SECONDS),
  );
  await Promise.all(runs.map(({ done }) => done));
  await sleep(JUDGED_MS);
  const say = async (agent: Agent): Promise<Map<number, RelayReading[]>> => {
    const { relays } = await agent.api<{ relays: RelayReading[] }>('/v1/relays?limit=1000');
    return Map.groupBy(relays, ({ pid }) => pid);
  };
  const [compared, uncompared] = [await say(comparing), await say(other)];
  console.error(
    JSON.stringify(await comparing.status().then(({ fingerprints, missing }) => ({ fingerprints, missing }))),
  );
  for (const [index, { what, protocol, family }] of MIDDLES.entries()) {
    const pid = runs[index]?.pid ?? 0;
    console.error(what, protocol, family, readFileSync(join(folder, `${index + 8}.errors`), 'utf8'));
    for (const [name, all] of [
      ['with', compared],
      ['without', uncompared],
    ] as const)
      for (const r of all.get(pid) ?? [])
        console.error(
          '   ',
          name,
          r.verdict,
          r.kind,
          r.receivedBytes,
          r.sentBytes,
          r.upperBytes,
          r.from.map((p) => `${p.address}:${p.port}`).join(),
          r.to.map((p) => `${p.address}:${p.port}`).join(),
          r.why,
          JSON.stringify(r.fingerprints),
        );
  }
});
