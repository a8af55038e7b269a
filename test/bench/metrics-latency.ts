import { execFile } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Agent } from '../e2e/agent.ts';
import { Hosts } from '../e2e/hosts.ts';
import type { Bench } from './bench.ts';
import { type Scrape, scrape } from './scrape.ts';
import { median, ratioSpread, spreadOf } from './statistics.ts';
import { formatNumber, formatRange, type Section } from './table.ts';
import { cpuNs } from './usage.ts';

const execute = promisify(execFile);

const MANY_SERIES = 10_000;
/** Wire bytes and packets by direction, payload sent, and the verdict. */
const SERIES_PER_APP = 6;
/** The agent answers from its last poll for 50 ms; every scrape here takes a poll of its own, as Prometheus's do. */
const PAUSE_MS = 80;
const DISCARD_PORT = '9';

interface Reading extends Scrape {
  cpuMilliseconds: number;
}

async function read(agent: Agent): Promise<Reading> {
  await sleep(PAUSE_MS);
  const before = cpuNs(agent.pid);
  const result = await scrape(agent.port);
  return { ...result, cpuMilliseconds: (cpuNs(agent.pid) - before) / 1e6 };
}

export async function measureMetrics(bench: Bench): Promise<Section> {
  const rounds = bench.quick ? 10 : 25;
  await using hosts = await Hosts.make();
  // Two agents count the same traffic; the one has room for a single app, the other for all.
  await using few = await Agent.start({ interval: 1, arguments: ['--max-apps', '1'] });
  await using many = await Agent.start({ interval: 1, arguments: ['--max-apps', '100000'] });
  const { series: base } = await scrape(many.port);
  const apps = Math.max(1, Math.ceil((MANY_SERIES - base) / SERIES_PER_APP));
  bench.progress(`metrics: making ${apps} apps`);
  const folder = join(bench.folder, 'many-apps');
  mkdirSync(folder);
  const inClient = `--net=/run/netns/${hosts.client.name}`;
  const command = [bench.programs.apps, folder, String(apps), hosts.server.address4, DISCARD_PORT];
  await execute('nsenter', [inClient, ...command]);
  await sleep(1500);
  const { series } = await scrape(many.port);
  if (series < 0.95 * MANY_SERIES) throw new Error(`${apps} apps gave only ${series} series`);

  const readings = { few: [] as Reading[], many: [] as Reading[] };
  for (let round = 0; round < rounds; round++) {
    if (round % 5 === 0) bench.progress(`metrics: scrape ${round + 1} of ${rounds}`);
    readings.few.push(await read(few));
    readings.many.push(await read(many));
  }
  const of = (side: 'few' | 'many', key: keyof Reading): number[] => readings[side].map((reading) => reading[key]);
  const row = (what: string, key: keyof Reading): string[] => [
    what,
    formatNumber(median(of('many', key))),
    formatRange(spreadOf(of('many', key))),
    formatNumber(median(of('few', key))),
    formatRange(spreadOf(of('few', key))),
    formatNumber(ratioSpread(of('many', key), of('few', key)).median),
  ];
  return {
    title: '/metrics with many series and with few',
    notes: [
      `${apps} apps, each a hard link of one program that sent one datagram. Two agents at once, one of which has room for`,
      `one app only, scraped by turns, ${rounds} times each; every scrape takes a poll of its own.`,
    ],
    columns: ['', 'many', 'min to max', 'few', 'min to max', 'many / few'],
    rows: [
      row('series', 'series'),
      row('latency, ms', 'milliseconds'),
      row('CPU of the agent, ms', 'cpuMilliseconds'),
      row('size, bytes', 'bytes'),
    ],
    verdicts: [],
  };
}
