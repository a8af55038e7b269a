import type { Protocol, Scope } from '../../../agent/readings.ts';
import type { FlowEvidence, PairEvidence } from '../../../agent/relay/evidence.ts';
import { RelayLedger } from '../../../agent/relay/ledger.ts';
import type { Fifo } from '../../../agent/relay/relay-process.ts';

/*
 * Recorded evidence: JSON lines, of which each says what changed. `{t}` begins what was known at t seconds; `{f}` is a
 * flow and `{p}` a pair, cumulative; `{comm}`, `{fork}`, `{exit}`, `{fd}` are what processes did.
 */

interface DumpedFlow {
  f: string;
  g: number;
  fam: number;
  proto: number;
  n: string;
  h: string;
  us?: string;
  up?: string;
  rx: number;
  tx: number;
  rxe: number;
  txe: number;
  first: number;
  gap: number[];
  srx?: number[];
  stx?: number[];
}

interface DumpedPair {
  p: 1;
  a: string;
  b: string;
  mv: number;
  cp: number;
  ev: number;
  cev: number;
  st: number;
  di: number;
  sr: number;
  rn: number;
  rs: number[];
  lag: number[];
}

type Line =
  | { t: number }
  | DumpedFlow
  | DumpedPair
  | { comm: number; n: string }
  | { fork: number; pp: number }
  | { exit: number }
  | { fd: number; ino: string; mode: number }
  | { stats: 1 };

/** What a process's flows moved, and what the ledger said of it. */
export interface Replayed {
  readonly ledger: RelayLedger;
  readonly names: ReadonlyMap<number, string>;
  readonly parents: ReadonlyMap<number, number>;
  /** Seconds from a process's first byte to its first verdict of relay. */
  readonly detected: ReadonlyMap<number, number>;
  readonly suspected: ReadonlySet<number>;
  readonly pids: readonly number[];
}

const EPOCH_MS = Date.UTC(2026, 10, 22);
/** Flow ids and kernel addresses are beyond 2^53. */
const LARGE_NUMBERS = /"(f|a|b|h|us|up|ino)":(\d+)/g;
const NOTHING: readonly never[] = [];

export function parseLine(line: string): Line {
  return JSON.parse(line.replace(LARGE_NUMBERS, '"$1":"$2"')) as Line;
}

/** Feeds the ledger as the agent does: updates as they come, judged once a second; at the end all processes end. */
export function replay(lines: Iterable<string>, ledger: RelayLedger = new RelayLedger()): Replayed {
  const names = new Map<number, string>();
  const parents = new Map<number, number>();
  const fifos = new Map<number, Fifo[]>();
  const owners = new Map<string, number>();
  const firstMs = new Map<number, number>();
  const detected = new Map<number, number>();
  const suspected = new Set<number>();
  let nowMs = EPOCH_MS;
  let judgedMs = EPOCH_MS;

  const update = (pid: number, flows: readonly FlowEvidence[], pairs: readonly PairEvidence[], ended = false): void => {
    const state = { key: String(pid), pid, name: names.get(pid) ?? '', ended, fifos: fifos.get(pid) ?? NOTHING };
    ledger.update(state, flows, pairs, nowMs);
  };
  const judge = (): void => {
    judgedMs = nowMs;
    for (const { pid, verdict } of ledger.judge(nowMs)) {
      if (verdict === 'suspected') suspected.add(pid);
      if (verdict === 'relay') detected.set(pid, (nowMs - (firstMs.get(pid) ?? nowMs)) / 1000);
    }
  };

  for (const text of lines) {
    const line = parseLine(text);
    if ('t' in line) {
      if (nowMs - judgedMs > 950) judge();
      nowMs = EPOCH_MS + line.t * 1000;
    } else if ('f' in line) {
      const flow = toFlow(line);
      owners.set(flow.id, line.g);
      firstMs.set(line.g, Math.min(flow.firstMs, firstMs.get(line.g) ?? flow.firstMs));
      update(line.g, [flow], NOTHING);
    } else if ('p' in line) {
      const pid = owners.get(line.b) ?? owners.get(line.a);
      if (pid !== undefined) update(pid, NOTHING, [toPair(line)]);
    } else if ('comm' in line) names.set(line.comm, line.n);
    else if ('fork' in line) parents.set(line.fork, line.pp);
    else if ('fd' in line) {
      const known = fifos.get(line.fd) ?? [];
      fifos.set(line.fd, [...known, { inode: Number(line.ino), modes: line.mode }]);
      if (firstMs.has(line.fd)) update(line.fd, NOTHING, NOTHING);
    } else if ('exit' in line && firstMs.has(line.exit)) update(line.exit, NOTHING, NOTHING, true);
  }
  judge();
  const pids = [...firstMs.keys()];
  for (const pid of pids) update(pid, NOTHING, NOTHING, true);
  nowMs += 1000;
  judge();
  return { ledger, names, parents, detected, suspected, pids };
}

function toFlow(line: DumpedFlow): FlowEvidence {
  const isUnix = line.fam === 1;
  const [local, remote] = isUnix ? [NO_ADDRESS, NO_ADDRESS] : parseEnds(line.n);
  const isLoopback = isUnix || isLoopbackAddress(remote.address) || isLoopbackAddress(local.address);
  return {
    id: line.f,
    netns: isLoopback ? 0 : netnsOf(local.address, line.g),
    family: isUnix ? 'unix' : 'ip',
    protocol: isUnix ? 'other' : (PROTOCOLS[line.proto] ?? 'other'),
    localAddress: local.address,
    localPort: local.port,
    remoteAddress: remote.address,
    remotePort: remote.port,
    localSocket: line.us ?? '',
    remoteSocket: line.up ?? '',
    opened: 'unknown',
    scope: isLoopback ? 'loopback' : scopeOf(remote.address),
    host: line.h,
    firstMs: EPOCH_MS + line.first * 1000,
    received: line.rx,
    sent: line.tx,
    receives: line.rxe,
    sends: line.txe,
    gaps: line.gap,
    receivedSizes: line.srx ?? NOTHING,
    sentSizes: line.stx ?? NOTHING,
    tunnelSizes: NOTHING,
  };
}

function toPair(line: DumpedPair): PairEvidence {
  const [x = 0, y = 0, xx = 0, yy = 0, xy = 0] = line.rs;
  return {
    source: line.a,
    destination: line.b,
    moved: line.mv,
    copied: line.cp,
    moves: line.ev,
    copies: line.cev,
    settled: line.st,
    direct: line.di,
    sameRun: line.sr,
    lags: line.lag,
    sizes: { count: line.rn, x, y, xx, yy, xy },
  };
}

const PROTOCOLS: Readonly<Record<number, Protocol>> = { 6: 'tcp', 17: 'udp' };
const NO_ADDRESS = { address: '', port: 0 };

function parseEnds(name: string): [{ address: string; port: number }, { address: string; port: number }] {
  const [local = '', remote = ''] = name.split('>');
  return [parseEnd(local), parseEnd(remote)];
}

function parseEnd(text: string): { address: string; port: number } {
  const colon = text.lastIndexOf(':');
  return { address: text.slice(0, colon), port: Number(text.slice(colon + 1)) };
}

function isLoopbackAddress(address: string): boolean {
  return address.startsWith('127.') || address === '::1';
}

function scopeOf(address: string): Scope {
  return /^(10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|f[cd]|fe80)/.test(address) ? 'private' : 'public';
}

const netnsByAddress = new Map<string, number>();

/** The recordings don't say: the test hosts are namespaces of one machine, each with its own addresses. */
function netnsOf(localAddress: string, pid: number): number {
  if (localAddress === '0.0.0.0' || localAddress === '::') return 1_000_000 + pid;
  const known = netnsByAddress.get(localAddress) ?? netnsByAddress.size + 1;
  netnsByAddress.set(localAddress, known);
  return known;
}
