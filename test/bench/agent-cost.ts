import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent } from '../e2e/agent.ts';
import type { Bench } from './bench.ts';
import { type BusyOptions, BusySockets } from './busy-sockets.ts';
import { scrape } from './scrape.ts';
import { sum } from './statistics.ts';
import { formatMegabytes, formatNumber, formatPercent, type Section, type Verdict } from './table.ts';
import { cpuShare, type Resident, residentBytes } from './usage.ts';

const WANTED_CPU = 0.01;
const WANTED_BYTES = 120e6;
const CASES: readonly BusyOptions[] = [
  { sockets: 100, processes: 100 },
  { sockets: 1000, processes: 100 },
  { sockets: 10_000, processes: 100 },
  { sockets: 10_000, processes: 2 },
];
const QUICK_SOCKETS = 1000;
/** In which it gets to know everybody, and V8 compiles what runs often. */
const FIRST_SECONDS = 20;
const IDLE_MS = 4000;

interface Cost {
  /** Shares of a core: busy in the first seconds after it was ready, busy from then on, idle. */
  first: number;
  then: number;
  idle: number;
  /** At the end, and after `/metrics` and `/v1/sockets` were read once. */
  resident: Resident;
  residentWhenRead: Resident;
}

async function measureCase(options: BusyOptions, thenSeconds: number, bench: Bench): Promise<Cost> {
  await using load = await BusySockets.start(options, bench);
  await load.set('busy');
  await using agent = await Agent.start({ interval: 1 });
  const first = await cpuShare(agent.pid, () => sleep(1000 * FIRST_SECONDS));
  const then = await cpuShare(agent.pid, () => sleep(1000 * thenSeconds));
  const moved = await payloadBytes(agent);
  // 100 bytes a socket and second; a load that is not there would look like a cheap agent.
  const least = 50 * options.sockets * (FIRST_SECONDS + thenSeconds);
  if (moved < least) throw new Error(`the load moved ${moved} bytes only`);
  await load.set('idle');
  const idle = await cpuShare(agent.pid, () => sleep(IDLE_MS));
  const resident = residentBytes(agent.pid);
  await scrape(agent.port);
  await agent.api('/v1/sockets?limit=1000');
  return { first, then, idle, resident, residentWhenRead: residentBytes(agent.pid) };
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
  const thenSeconds = bench.windowSeconds ?? 20;
  const only = bench.sockets ?? (bench.quick ? QUICK_SOCKETS : undefined);
  for (const options of CASES.filter(({ sockets }) => only === undefined || sockets === only)) {
    const { sockets, processes } = options;
    const name = `${sockets.toLocaleString('en-US')} sockets, ${processes} processes`;
    bench.progress(`agent: ${name}`);
    const { first, then, idle, resident, residentWhenRead } = await measureCase(options, thenSeconds, bench);
    rows.push([
      name,
      formatPercent(first),
      formatPercent(then),
      formatPercent(idle),
      formatNumber(then / idle),
      formatMegabytes(resident.all),
      formatMegabytes(residentWhenRead.all),
      formatMegabytes(residentWhenRead.anonymous),
      formatMegabytes(residentWhenRead.mapped),
      formatMegabytes(residentWhenRead.shared),
      formatNumber(residentWhenRead.all / bareNode),
    ]);
    if (sockets === 1000) {
      const wanted = `${formatPercent(WANTED_CPU)} or less`;
      const verdict = (when: string, share: number): Verdict => ({
        what: `agent CPU, ${name} busy, ${when}`,
        wanted,
        measured: formatPercent(share),
        holds: share <= WANTED_CPU,
      });
      verdicts.push(verdict(`first ${FIRST_SECONDS} s`, first), verdict(`next ${thenSeconds} s`, then));
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
      'over veth count as sockets, half of the processes are clients; each sends 100 bytes a second while busy. Busy, the',
      `first ${FIRST_SECONDS} s after /readyz said so and the next ${thenSeconds} s; then ${IDLE_MS / 1000} s idle. RSS (VmRSS) at the end, then after /metrics`,
      "and a page of /v1/sockets were read, with its parts RssAnon, RssFile (Node's own program, shared with every other",
      `Node, and BPF maps) and RssShmem. A Node that runs nothing: ${formatMegabytes(bareNode)}.`,
    ],
    columns: [
      '',
      `CPU, first ${FIRST_SECONDS} s`,
      `next ${thenSeconds} s`,
      'idle',
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
