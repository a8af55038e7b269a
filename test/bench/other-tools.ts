import { closeSync, existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { enableStats, listPrograms, type ProgramInfo, programInfo } from '../../bpf/info.ts';
import { openPin } from '../../bpf/pin.ts';
import { Agent } from '../e2e/agent.ts';
import { type Host, type Running, start, waitForPort } from '../e2e/hosts.ts';
import type { Bench } from './bench.ts';
import { BusySockets } from './busy-sockets.ts';
import { median, pairwise, spreadOf, sum } from './statistics.ts';
import { Streams } from './streams.ts';
import { formatNumber, formatPercent, type Section } from './table.ts';
import { cpuShare } from './usage.ts';

/** Bytes by process and second: what nethogs shows, said in bpftrace. */
const ONE_LINER = `
  tracepoint:sock:sock_send_length /args->ret > 0/ { @sent[pid, comm] = sum(args->ret); }
  tracepoint:sock:sock_recv_length /args->ret > 0/ { @received[pid, comm] = sum(args->ret); }
  interval:s:1 { print(@sent); print(@received); clear(@sent); clear(@received); }`;
const UDP_PORT = '5203';
/** 64-byte datagrams, 40,000 a second. */
const UDP_RATE = '20.48M';

interface Cost {
  /** Shares of a core. */
  process: number;
  programs: number;
  /** Of a sender at full speed. */
  packetsPerSecond: number;
}

interface Load {
  busy: BusySockets;
  /** Halted while CPU is measured. */
  streams: Streams;
}

/** Something that accounts for traffic by process: runs for a while, says what that cost. */
type Tool = (load: Load, bench: Bench) => Promise<Cost>;

const TOOLS: Readonly<Record<string, Tool>> = {
  relayledger: async (load, bench) => {
    await using agent = await Agent.start({ interval: 1 });
    return await measure(agent.pid, () => pinnedRunTime(join(agent.bpffs, 'programs')), load, bench);
  },
  nethogs: (load, bench) => {
    const command = ['nethogs', '-t', '-d', '1', 'eth0'];
    return withCommand(load.busy.hosts.client, 'nethogs', command, bench, ({ pid }) =>
      measure(pid, () => 0, load, bench),
    );
  },
  bpftrace: (load, bench) => {
    const before = new Set(listPrograms().map(({ id }) => id));
    // Classic tracepoints are what bpftrace attaches here; ours are none.
    const own = (): ProgramInfo[] => listPrograms().filter(({ id, type }) => type === 'tracepoint' && !before.has(id));
    const runTime = (): number => sum(own().map(({ runTimeNs }) => runTimeNs));
    return withCommand(load.busy.hosts.client, 'bpftrace', ['bpftrace', '-e', ONE_LINER], bench, async ({ pid }) => {
      for (const end = Date.now() + 15_000; own().length < 2; await sleep(100)) {
        if (Date.now() > end) throw new Error(`bpftrace attached nothing; it said: ${errorsOf('bpftrace', bench)}`);
      }
      return await measure(pid, runTime, load, bench);
    });
  },
};

export async function measureOtherTools(bench: Bench): Promise<Section> {
  const rounds = bench.quick ? 1 : 2;
  const names = Object.keys(TOOLS).filter((name) => name === 'relayledger' || isInstalled(name));
  const costs = new Map<string, Cost[]>(names.map((name) => [name, []]));
  const slowdowns = new Map<string, number[]>(names.map((name) => [name, []]));
  await using busy = await BusySockets.start({ sockets: 1000, processes: 20 }, bench);
  const load = { busy, streams: await Streams.start(busy.hosts, ['udp'], bench) };
  await startDatagrams(busy, bench);
  await busy.set('busy');
  using _stats = enableStats();
  for (let round = 0; round < rounds; round++) {
    for (const name of names) {
      bench.progress(`tools: ${name}, round ${round + 1} of ${rounds}`);
      const { packetsPerSecond } = await load.streams.run('udp', rateMs(bench));
      const cost = await (TOOLS[name] as Tool)(load, bench);
      costs.get(name)?.push(cost);
      slowdowns.get(name)?.push(cost.packetsPerSecond / packetsPerSecond);
    }
  }
  const ours = (costs.get('relayledger') ?? []).map(total);
  return {
    title: 'Beside other tools that account by process',
    notes: [
      'Share of one core, under the same load: 1,000 TCP sockets of 20 processes that each send 100 bytes a second, and',
      '40,000 UDP datagrams of 64 bytes a second. nethogs watches one interface, the others the host. The kernel copies',
      'each packet for nethogs, which no share shows: hence, last, the rate of 64-byte datagrams at full speed.',
    ],
    columns: ['', 'process', 'its programs', 'both', 'min to max', 'over relayledger', 'UDP rate with / without'],
    rows: Object.keys(TOOLS).map((name) => renderRow(name, costs.get(name) ?? [], slowdowns.get(name) ?? [], ours)),
    verdicts: [],
  };
}

function renderRow(
  name: string,
  costs: readonly Cost[],
  slowdowns: readonly number[],
  ours: readonly number[],
): string[] {
  if (costs.length === 0) return [name, 'not installed'];
  const totals = costs.map(total);
  const { min, max } = spreadOf(totals);
  return [
    name,
    formatPercent(median(costs.map((cost) => cost.process))),
    formatPercent(median(costs.map((cost) => cost.programs))),
    formatPercent(median(totals)),
    `${formatPercent(min)} to ${formatPercent(max)}`,
    formatNumber(median(pairwise(totals, ours, (theirs, own) => theirs / own))),
    formatNumber(median(slowdowns)),
  ];
}

function total({ process, programs }: Cost): number {
  return process + programs;
}

async function measure(pid: number, runTimeNs: () => number, load: Load, bench: Bench): Promise<Cost> {
  await sleep(1000);
  const before = runTimeNs();
  const begin = performance.now();
  const share = await cpuShare(pid, () => sleep(bench.quick ? 3000 : 5000));
  const programs = (runTimeNs() - before) / 1e6 / (performance.now() - begin);
  const { packetsPerSecond } = await load.streams.run('udp', rateMs(bench));
  return { process: share, programs, packetsPerSecond };
}

function rateMs({ quick }: Bench): number {
  return quick ? 500 : 1000;
}

async function startDatagrams({ hosts }: BusySockets, { folder }: Bench): Promise<void> {
  const run = (host: Host, name: string, more: string[]): Running => {
    const path = join(folder, `datagrams-${name}`);
    return start(host, ['iperf3', '--interval', '0', '--port', UDP_PORT, ...more], { output: path, errors: path });
  };
  run(hosts.server, 'server', ['--server']);
  await waitForPort(hosts.server, 'tcp', Number(UDP_PORT));
  const rate = ['--udp', '--length', '64', '-b', UDP_RATE, '--time', '86400'];
  run(hosts.client, 'client', ['--client', hosts.server.address4, ...rate]);
}

/** Runs a tool in a host for the time that `work` takes. */
async function withCommand<T>(
  host: Host,
  name: string,
  command: string[],
  bench: Bench,
  work: (running: Running) => Promise<T>,
): Promise<T> {
  const running = start(host, command, {
    output: join(bench.folder, `${name}.output`),
    errors: join(bench.folder, `${name}.errors`),
  });
  try {
    await sleep(1000);
    if (running.child.exitCode !== null) throw new Error(`${name} ended: ${errorsOf(name, bench)}`);
    return await work(running);
  } finally {
    running.child.kill('SIGINT');
    await running.done;
  }
}

function errorsOf(name: string, { folder }: Bench): string {
  return readFileSync(join(folder, `${name}.errors`), 'utf8').trim();
}

function pinnedRunTime(folder: string): number {
  let ns = 0;
  for (const name of readdirSync(folder)) {
    const fd = openPin('program', join(folder, name));
    ns += programInfo(fd).runTimeNs;
    closeSync(fd);
  }
  return ns;
}

function isInstalled(program: string): boolean {
  return (process.env['PATH'] ?? '').split(':').some((folder) => existsSync(join(folder, program)));
}
