import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import type { Process, RelayReading } from '../../agent/readings.ts';
import { Agent } from './agent.ts';
import { buildPrograms } from './build.ts';
import { type Running, start, waitForFile, waitForPort } from './hosts.ts';
import { patience } from './patience.ts';
import { type RelayCase, relayCases } from './relay-cases.ts';
import { type Side, ThreeHosts } from './three-hosts.ts';
import { readTruths } from './truth.ts';

/** All cases at once: each takes seconds of waiting, and a relay is to be told from its neighbours anyway. */
const LONGEST_MS = 60_000;
/** Judged once a second, and a second time. */
const JUDGED_MS = 3_000;

interface Started {
  running: Running;
  output: string;
  errors: string;
  ready: string;
}

/** The programs of one case. */
class Play {
  readonly case: RelayCase;
  readonly #three: ThreeHosts;
  readonly #folder: string;
  readonly #programs: string;
  readonly #places: Readonly<Record<string, string>>;
  readonly #port: number;
  #count = 0;
  program: Started | undefined;
  #driver: Started | undefined;

  constructor(three: ThreeHosts, folder: string, programs: string, one: RelayCase, index: number) {
    this.case = one;
    this.#three = three;
    this.#folder = join(folder, `case-${index}`);
    this.#programs = programs;
    this.#port = 7000 + 10 * index;
    const ports = { port: this.#port, peer: this.#port + 1, next: this.#port + 2, third: this.#port + 3 };
    const addresses = { client: '198.51.100.2', server: '203.0.113.2' };
    this.#places = Object.fromEntries(Object.entries({ ...ports, ...addresses }).map(([k, v]) => [k, String(v)]));
  }

  async prepare(): Promise<void> {
    for (const side of ['client', 'server'] as const) {
      for (const command of this.case.peers[side] ?? []) {
        const peer = this.#start(side, command);
        // Callers don't wait for anybody.
        if (command[1] !== 'call') await waitForFile(peer.ready, peer.running);
      }
    }
    this.program = this.#start('middle', this.case.program);
    if (this.case.says) await waitForFile(this.program.ready, this.program.running);
    else if (this.case.driver) await waitForPort(this.#three.hosts.middle, 'tcp', this.#port);
    if (this.case.driver) this.#driver = this.#start('client', this.case.driver);
  }

  /** Until all traffic has been; how it went. */
  async end(): Promise<string> {
    const last = this.#driver ?? this.program;
    const exit = await last?.running.done;
    if (this.#driver) this.program?.running.child.kill('SIGTERM');
    await this.program?.running.done;
    return exit?.code === 0 ? '' : `${exit?.code ?? exit?.signal}: ${readFileSync(last?.errors ?? '', 'utf8')}`;
  }

  /** Received to be passed on, and passed on. */
  truth(): { receivedBytes: number; sentBytes: number } {
    const { bytes } = this.case;
    const [truth] = this.case.says && this.program ? readTruths(this.program.output) : [];
    return truth ?? { receivedBytes: bytes ?? 0, sentBytes: bytes ?? 0 };
  }

  #start(side: Side, command: readonly string[]): Started {
    const path = `${this.#folder}-${this.#count++}`;
    const files = { output: `${path}.output`, errors: `${path}.errors`, ready: `${path}.ready` };
    const [name = '', ...rest] = command.map((word) =>
      word.replaceAll(/\{(\w+)\}/g, (whole, place: string) => this.#places[place] ?? whole),
    );
    const path0 = name === 'relay' || name === 'peers' ? join(this.#programs, name) : name;
    const environment = { E2E_READY: files.ready };
    return { running: start(this.#three.hosts[side], [path0, ...rest], { ...files, environment }), ...files };
  }
}

function check(t: Test, play: Play, family: readonly Process[], relays: readonly RelayReading[]): void {
  const { verdict, tolerance = 0, callers } = play.case;
  const verdicts = family.map(({ relay }) => relay.verdict);
  const billed = {
    receivedBytes: family.reduce((sum, { relay }) => sum + relay.receivedBytes, 0),
    sentBytes: family.reduce((sum, { relay }) => sum + relay.sentBytes, 0),
  };
  if (verdict !== 'relay') {
    t.notOk(verdicts.includes('relay'), 'is not called a relay');
    if (verdict === 'none') t.notOk(verdicts.includes('suspected'), 'nor suspected');
    t.same(billed, { receivedBytes: 0, sentBytes: 0 }, 'and billed nothing');
    return;
  }
  t.ok(verdicts.includes('relay'), 'is called a relay');
  const truth = play.truth();
  for (const direction of ['receivedBytes', 'sentBytes'] as const) {
    const error = Math.abs(billed[direction] - truth[direction]) / truth[direction];
    t.ok(error <= tolerance, `${direction} within ${100 * tolerance} %: ${billed[direction]} of ${truth[direction]}`);
  }
  if (callers === undefined) return;
  const named = relays.flatMap(({ from }) => from).filter(({ address }) => address === '198.51.100.2');
  t.equal(new Set(named.map(({ port }) => port)).size, callers, 'every caller is named');
}

t.test('who relays, between whom, and how much', async (t) => {
  const programs = await buildPrograms();
  const folder = mkdtempSync(join(tmpdir(), 'relayledger-e2e-relays-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const three = await ThreeHosts.make();
  t.teardown(() => three.remove());
  await using agent = await Agent.start({ interval: 1 });

  const plays = relayCases.map((one, index) => new Play(three, folder, programs, one, index));
  for (const play of plays) await play.prepare();
  const tooLong = new AbortController();
  const ends = await Promise.race([
    Promise.all(plays.map((play) => play.end())),
    sleep(patience(LONGEST_MS), null, { signal: tooLong.signal }).catch(() => null),
  ]);
  tooLong.abort();
  t.ok(ends, 'the traffic ends');
  await sleep(JUDGED_MS);

  const processes = await agent.processes();
  const { relays } = await agent.api<{ relays: RelayReading[] }>('/v1/relays');
  for (const [index, play] of plays.entries()) {
    await t.test(play.case.name, async (t) => {
      t.equal(ends?.[index], '', 'its traffic goes well');
      const pids = new Set([play.program?.running.pid ?? 0]);
      for (const { pid, parentPid } of processes) if (parentPid !== null && pids.has(parentPid)) pids.add(pid);
      const family = processes.filter(({ pid }) => pids.has(pid));
      check(
        t,
        play,
        family,
        relays.filter(({ pid }) => pids.has(pid)),
      );
    });
  }
});
