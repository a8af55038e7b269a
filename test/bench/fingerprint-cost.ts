import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Fingerprints } from '../../agent/fingerprints.ts';
import type { FlowIdentity } from '../../agent/flow-reading.ts';
import { findCgroupRoot } from '../../agent/mounts.ts';
import { enableStats, listPrograms } from '../../bpf/info.ts';
import { mapped } from '../agent/fake-flows.ts';
import { makeIdentity } from '../agent/make-identity.ts';
import { buildPrograms } from '../e2e/build.ts';
import { type Host, Hosts, type Running, start, waitForPort } from '../e2e/hosts.ts';
import type { Bench } from './bench.ts';
import { median } from './statistics.ts';
import { formatNumber, formatRange, type Section } from './table.ts';

/** Noise, below what is looked at in a second, at the pace of calls: nothing is warm. */
interface Traffic {
  name: string;
  protocol: 'tcp' | 'udp';
  bytes: number;
  periodUs: number;
}

const TRAFFICS: readonly Traffic[] = [
  { name: '160-byte UDP', protocol: 'udp', bytes: 160, periodUs: 1_000 },
  { name: '1,400-byte UDP', protocol: 'udp', bytes: 1_400, periodUs: 8_000 },
  { name: '64 KB TCP super-packets', protocol: 'tcp', bytes: 65_536, periodUs: 400_000 },
];
const PROGRAMS = ['print_egress', 'print_ingress'] as const;
const PORT = 9100;
const COLUMNS = ['', 'program', 'ns a run', 'min to max', 'runs/s', 'ns a byte of payload'];

interface Sample {
  ns: number;
  runs: number;
}

/** What comparing costs: for each packet of anybody while anybody is suspected, and for those that are looked at. */
export async function measureFingerprintCost(bench: Bench): Promise<Section> {
  const rounds = bench.quick ? 3 : 6;
  const seconds = bench.quick ? 1 : 2;
  const program = join(await buildPrograms(), 'equal-calls');
  await using hosts = await Hosts.make({ offloads: true });
  let files = 0;
  const run = (host: Host, ...words: (string | number)[]): Running => {
    const output = join(bench.folder, `fingerprints-${files++}`);
    return start(host, [program, ...words.map(String)], { output, errors: `${output}.errors` });
  };
  // It hears, and says nothing.
  const listener = run(hosts.server, 'speak', 'noise', '::', PORT, 1, 0);
  await waitForPort(hosts.server, 'udp', PORT);
  using _stats = enableStats();

  const rows: string[][] = [];
  for (const traffic of TRAFFICS) {
    for (const isLookedAt of [false, true]) {
      bench.progress(`${traffic.name}, ${isLookedAt ? 'suspected' : 'not suspected'}`);
      const samples = new Map<string, Sample[]>(PROGRAMS.map((name) => [name, []]));
      for (let round = 0; round < rounds; round++) {
        const { protocol, bytes, periodUs } = traffic;
        const host = hosts.server.address4;
        const sender = run(hosts.client, 'send', protocol, host, PORT, bytes, periodUs, seconds + 1);
        await sleep(300);
        using fingerprints = new Fingerprints(findCgroupRoot());
        const [source, destination] = findFlows(hosts, protocol);
        const nobodys = { source: makeIdentity(source.id), destination: makeIdentity(destination.id) };
        fingerprints.watch([isLookedAt ? { source, destination } : nobodys], 0);
        const before = readStats();
        await sleep(1000 * seconds - 500);
        const after = readStats();
        for (const [name, { ns, runs }] of after) {
          const was = before.get(name) ?? { ns: 0, runs: 0 };
          samples.get(name)?.push({ ns: ns - was.ns, runs: runs - was.runs });
        }
        sender.child.kill();
        await sender.done;
      }
      for (const [name, each] of samples) rows.push(render(traffic, isLookedAt, name, each, seconds - 0.5));
    }
  }
  listener.child.kill();
  await listener.done;
  return {
    title: 'Fingerprints: cost of a packet while somebody is suspected',
    notes: [
      `Median of ${rounds} rounds; both programs see all packets of the host, those that are not suspected included.`,
      'The run statistics themselves cost some 20 ns a run. TCP: acknowledgements are runs, too.',
    ],
    columns: COLUMNS,
    rows,
    verdicts: [],
  };
}

function render(
  { name, bytes, periodUs }: Traffic,
  isLookedAt: boolean,
  program: string,
  samples: readonly Sample[],
  seconds: number,
): string[] {
  const means = samples.map(({ ns, runs }) => ns / Math.max(1, runs));
  const payload = (bytes * 1e6 * seconds) / periodUs;
  return [
    `${name}, ${isLookedAt ? 'suspected' : 'not suspected'}`,
    program,
    formatNumber(median(means)),
    formatRange({ median: 0, min: Math.min(...means), max: Math.max(...means) }),
    formatNumber(median(samples.map(({ runs }) => runs)) / seconds),
    isLookedAt ? (median(samples.map(({ ns }) => ns)) / payload).toFixed(2) : '',
  ];
}

function readStats(): Map<string, Sample> {
  const stats = new Map<string, Sample>();
  // The last ones with these names are this process's own.
  for (const { name, runTimeNs, runCount } of listPrograms()) {
    if (PROGRAMS.includes(name as (typeof PROGRAMS)[number])) stats.set(name, { ns: runTimeNs, runs: runCount });
  }
  return stats;
}

/** The flows at both ends of what is sent, by what the kernel tells of their sockets. */
function findFlows({ client, server }: Hosts, protocol: 'tcp' | 'udp'): [FlowIdentity, FlowIdentity] {
  const near = findSocket(client, protocol, 'dport');
  const far = findSocket(server, protocol, 'sport');
  return [
    makeFlow(near.cookie, { slot: 1, protocol, address: server.address4, port: PORT }),
    makeFlow(far.cookie, { slot: 2, protocol, address: client.address4, port: near.port }),
  ];
}

function findSocket(
  { name }: Host,
  protocol: 'tcp' | 'udp',
  side: 'sport' | 'dport',
): { cookie: bigint; port: number } {
  const kind = protocol === 'tcp' ? ['-t', 'state', 'established'] : ['-ua'];
  const text = execFileSync('ss', ['--net', name, '-Hne', ...kind, side, '=', `:${PORT}`], { encoding: 'utf8' });
  const [, port] = /:(\d+)\s/.exec(text) ?? [];
  const [, cookie] = /sk:([0-9a-f]+)/.exec(text) ?? [];
  if (cookie === undefined) throw new Error(`no ${protocol} socket in ${name}: ${text}`);
  return { cookie: BigInt(`0x${cookie}`), port: Number(port) };
}

interface End {
  slot: number;
  protocol: 'tcp' | 'udp';
  address: string;
  port: number;
}

function makeFlow(cookie: bigint, { slot, protocol, address, port }: End): FlowIdentity {
  const remoteAddress = mapped(...address.split('.').map(Number));
  return makeIdentity(slot, { slot, cookie, protocol: protocol === 'tcp' ? 6 : 17, remoteAddress, remotePort: port });
}
