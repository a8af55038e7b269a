import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent } from '../e2e/agent.ts';
import type { Bench } from './bench.ts';
import { type BusyOptions, BusySockets } from './busy-sockets.ts';
import { scrape } from './scrape.ts';
import { median, spreadOf, sum } from './statistics.ts';
import { formatMegabytes, formatNumber, formatPercent, type Section, type Verdict } from './table.ts';
import { cpuShare, type Resident, residentBytes } from './usage.ts';

const WANTED_CPU = 0.01;
const WANTED_BYTES = 120e6;
const CASES: readonly BusyOptions[] = [100, 1000, 10_000].flatMap((sockets) => [
  { sockets, processes: 2 },
  { sockets, processes: 100 },
]);
const QUICK_CASES: readonly BusyOptions[] = [{ sockets: 1000, processes: 100 }];

interface Cost {
  /** Shares of a core. */
  busy: number[];
  idle: number[];
  /** At the end, and after `/metrics` and `/v1/sockets` were read once. */
  resident: Resident;
  residentWhenRead: Resident;
}

async function measureCase(options: BusyOptions, bench: Bench): Promise<Cost> {
  const rounds = 2;
  const busyMs = (1000 * (bench.windowSeconds ?? (bench.quick ? 5 : 10))) / rounds;
  const idleMs = 2000;
  await using load = await BusySockets.start(options, bench);
  await using agent = await Agent.start({ interval: 1 });
  await load.set('busy');
  await sleep(1500); // every socket has sent once, and the agent knows every process
  const shares: Pick<Cost, 'busy' | 'idle'> = { busy: [], idle: [] };
  for (let round = 0; round < rounds; round++) {
    await load.set('busy');
    const before = await payloadBytes(agent);
    shares.busy.push(await cpuShare(agent.pid, () => sleep(busyMs)));
    const moved = (await payloadBytes(agent)) - before;
    // 100 bytes a socket and second; a load that is not there would look like a cheap agent.
    if (moved < 50 * options.sockets * (busyMs / 1000)) throw new Error(`the load moved ${moved} bytes only`);
    await load.set('idle');
    shares.idle.push(await cpuShare(agent.pid, () => sleep(idleMs)));
  }
  const resident = residentBytes(agent.pid);
  await scrape(agent.port);
  await agent.api('/v1/sockets?limit=1000');
  return { ...shares, resident, residentWhenRead: residentBytes(agent.pid) };
}

/** What Node takes to run nothing. */
async function bareNodeBytes(): Promise<number> {
  const child = spawn(process.execPath, ['--eval', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
  try {
    await sleep(500);
    return residentBytes(child.pid as number).all;
  } finally {
    child.kill('SIGKILL');
  }
}

/** What the processes of the load have sent. */
async function payloadBytes(agent: Agent): Promise<number> {
  const processes = await agent.processes();
  return sum(processes.filter(({ name }) => name === 'busy').map(({ traffic }) => traffic.payload.sentBytes));
}

export async function measureAgentCost(bench: Bench): Promise<Section> {
  const bareNode = await bareNodeBytes();
  const rows: string[][] = [];
  const verdicts: Verdict[] = [];
  for (const options of bench.quick ? QUICK_CASES : CASES) {
    const { sockets, processes } = options;
    const name = `${sockets.toLocaleString('en-US')} sockets, ${processes} processes`;
    bench.progress(`agent: ${name}`);
    const { busy, idle, resident, residentWhenRead } = await measureCase(options, bench);
    const shares = { busy: median(busy), idle: median(idle) };
    const busySpread = spreadOf(busy);
    rows.push([
      name,
      formatPercent(shares.busy),
      `${formatPercent(busySpread.min)} to ${formatPercent(busySpread.max)}`,
      formatPercent(shares.idle),
      formatNumber(shares.busy / shares.idle),
      formatMegabytes(resident.all),
      formatMegabytes(residentWhenRead.all),
      formatMegabytes(residentWhenRead.anonymous),
      formatMegabytes(residentWhenRead.mapped),
      formatMegabytes(residentWhenRead.shared),
      formatNumber(residentWhenRead.all / bareNode),
    ]);
    if (sockets === 1000) {
      const measured = formatPercent(shares.busy);
      const wanted = `${formatPercent(WANTED_CPU)} or less`;
      verdicts.push({ what: `agent CPU, ${name} busy`, wanted, measured, holds: shares.busy <= WANTED_CPU });
    }
    if (sockets === 10_000) {
      const { all } = residentWhenRead;
      const measured = formatMegabytes(all);
      const wanted = `${formatMegabytes(WANTED_BYTES)} or less`;
      verdicts.push({ what: `agent RSS, ${name}`, wanted, measured, holds: all <= WANTED_BYTES });
    }
  }
  return {
    title: 'CPU and memory of the agent',
    notes: [
      'User and system time of all its threads as a share of one core, polling every second. Both ends of TCP connections',
      'over veth count as sockets, half of the processes are clients; each sends 100 bytes a second while busy, and',
      'nothing while idle, by turns. RSS (VmRSS) at the end, then after /metrics and a page of /v1/sockets were read, with',
      "its parts RssAnon, RssFile (Node's own program, shared with every other Node, and BPF maps) and RssShmem.",
      `A Node that runs nothing: ${formatMegabytes(bareNode)}.`,
    ],
    columns: [
      '',
      'CPU busy',
      'min to max',
      'CPU idle',
      'busy / idle',
      'RSS',
      'RSS when read',
      'anonymous',
      'file',
      'shared',
      'over bare Node',
    ],
    rows,
    verdicts,
  };
}
