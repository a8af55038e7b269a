import type { RelayPeer, RelayReading, Role } from '../../agent/readings.ts';
import { formatBytes, formatCount, formatEndpoint, formatPercent, formatStarted } from './format.ts';
import type { Column } from './table.ts';
import { tableLines } from './table.ts';
import { printable, wrapText } from './text.ts';

export interface RelayReportOptions {
  bytes: boolean;
  now: Date;
  /** undefined: every direction and peer, in lines as long as they need to be. */
  width: number | undefined;
}

/** One process with the directions in which it relays, the most bytes first. */
interface Relayer {
  pid: number;
  name: string;
  app: string;
  verdict: RelayReading['verdict'];
  /** Of the directions that have the verdict; one process can relay for itself and for others. */
  roles: Role[];
  confidence: number;
  since: string;
  receivedBytes: number;
  sentBytes: number;
  readings: RelayReading[];
}

/** A supernode has hundreds of directions: a screen shows those that carry most. */
const maxDirectionsOnScreen = 8;
const maxPeersOnScreen = 3;
/** An interval narrower than this is not worth telling. */
const certainWithin = 0.01;
/** Handshakes and repeated headers are no copies. */
const isCopied = 1.05;
const directionIndent = '    ';
const evidenceIndent = '      ';

function billedBytes({ receivedBytes, sentBytes }: { receivedBytes: number; sentBytes: number }): number {
  return receivedBytes + sentBytes;
}

function relayerOf(readings: readonly RelayReading[]): Relayer {
  const [first] = readings as [RelayReading, ...RelayReading[]];
  const relayed = readings.filter(({ verdict }) => verdict === 'relay');
  const telling = relayed.length > 0 ? relayed : readings;
  return {
    pid: first.pid,
    name: first.name,
    app: first.app,
    verdict: relayed.length > 0 ? 'relay' : 'suspected',
    roles: [...new Set(telling.flatMap(({ role }) => role ?? []))].sort(),
    confidence: Math.max(...telling.map(({ confidence }) => confidence)),
    since: telling.map(({ since }) => since).sort()[0] ?? first.since,
    receivedBytes: readings.reduce((sum, reading) => sum + reading.receivedBytes, 0),
    sentBytes: readings.reduce((sum, reading) => sum + reading.sentBytes, 0),
    readings: readings.toSorted((a, b) => billedBytes(b) - billedBytes(a) || b.upperBytes - a.upperBytes),
  };
}

/** Those that relay before those that are suspected, the most relayed bytes first. */
function relayersOf(readings: readonly RelayReading[]): Relayer[] {
  const byProcess = Map.groupBy(readings, ({ pid, name, app }) => JSON.stringify([pid, name, app]));
  return [...byProcess.values()]
    .map(relayerOf)
    .sort(
      (a, b) =>
        Number(b.verdict === 'relay') - Number(a.verdict === 'relay') ||
        billedBytes(b) - billedBytes(a) ||
        a.pid - b.pid,
    );
}

function relayColumns({ bytes, now }: RelayReportOptions): Column<Relayer>[] {
  const size = bytes ? String : formatBytes;
  return [
    { header: 'PID', align: 'right', value: ({ pid }) => String(pid) },
    { header: 'NAME', value: ({ name }) => name, maxWidth: 20 },
    { header: 'APP', value: ({ app }) => app, maxWidth: 24, dropRank: 3 },
    { header: 'VERDICT', value: ({ verdict }) => verdict },
    { header: 'ROLE', value: ({ roles }) => roles.join(', ') || '-', dropRank: 1 },
    { header: 'SURE', align: 'right', value: ({ confidence }) => formatPercent(confidence) },
    { header: 'SINCE', value: ({ since }) => formatStarted(since, now), dropRank: 2 },
    { header: 'RECEIVED', align: 'right', value: ({ receivedBytes }) => size(receivedBytes) },
    { header: 'SENT', align: 'right', value: ({ sentBytes }) => size(sentBytes) },
  ];
}

function endpointOf({ address, port, protocol }: RelayPeer): string {
  if (protocol === 'unix') return 'a Unix socket';
  if (protocol === 'pipe') return 'a pipe';
  return `${protocol} ${formatEndpoint(address ?? '', port)}`;
}

function peersText(peers: readonly RelayPeer[], count: number, limit: number): string {
  const shown = peers.slice(0, limit);
  const more = Math.max(count, peers.length) - shown.length;
  const names = shown.map(endpointOf);
  const scopes = [...new Set(shown.filter(({ address }) => address !== null).map(({ scope }) => scope))];
  if (more > 0) names.push(names.length === 0 ? `${formatCount(more)} peers` : `${formatCount(more)} more`);
  const list = names.length > 1 ? `${names.slice(0, -1).join(', ')} and ${names.at(-1)}` : (names[0] ?? 'nobody');
  return scopes.length === 0 ? list : `${list} (${scopes.join(', ')})`;
}

function bytesText(reading: RelayReading, { bytes }: RelayReportOptions): string {
  const size = (value: number): string => (bytes ? `${value} B` : formatBytes(value));
  const { lowerBytes, upperBytes } = reading;
  const isUncertain = upperBytes - lowerBytes > certainWithin * upperBytes;
  const interval = isUncertain ? ` (${size(lowerBytes)} .. ${size(upperBytes)})` : '';
  const copies = reading.fanOut >= isCopied ? `, each byte out ${reading.fanOut.toFixed(1)} times` : '';
  return `${size(reading.receivedBytes)} in, ${size(reading.sentBytes)} out${interval}${copies}`;
}

/** What of a direction is not as its process's row says. */
function differences(reading: RelayReading, relayer: Relayer, now: Date): string {
  const parts: string[] = [];
  if (reading.verdict !== relayer.verdict) parts.push(reading.verdict);
  if (reading.role !== null && relayer.roles.length > 0 && relayer.roles.join() !== reading.role) {
    parts.push(reading.role);
  }
  if (reading.confidence !== relayer.confidence) parts.push(`${formatPercent(reading.confidence)} sure`);
  if (reading.since !== relayer.since) parts.push(`since ${formatStarted(reading.since, now)}`);
  return parts.length === 0 ? '' : `; ${parts.join(', ')}`;
}

/** The ledger's own words, which have the figures in them. */
function whyText({ why, kind }: RelayReading): string {
  return `why: ${why} (${kind})`;
}

function directionLines(reading: RelayReading, relayer: Relayer, options: RelayReportOptions): string[] {
  const limit = options.width === undefined ? Number.POSITIVE_INFINITY : maxPeersOnScreen;
  const from = peersText(reading.from, reading.fromCount, limit);
  const to = peersText(reading.to, reading.toCount, limit);
  const counts = ` [${formatCount(reading.fromCount)} -> ${formatCount(reading.toCount)}]`;
  const what = `${from} -> ${to}${reading.fromCount === 1 && reading.toCount === 1 ? '' : counts}`;
  const text = `${what}: ${bytesText(reading, options)}${differences(reading, relayer, options.now)}`;
  return [
    ...wrapText(printable(text), options.width, directionIndent, evidenceIndent),
    ...wrapText(printable(whyText(reading)), options.width, evidenceIndent, `${evidenceIndent}  `),
  ];
}

/** As it is typed in a shell; by pid where the name is hard to type. */
function asArgument({ app, pid }: Relayer): string {
  if (/^[\w.@+/][\w.:@+/-]*$/.test(app) && !app.startsWith('pid:')) return app;
  return /^[\x20-\x26\x28-\x7e]+$/.test(app) && !/^(?:-|pid:)/.test(app) ? `'${app}'` : `pid:${pid}`;
}

/** What to type against a relay that nobody has declared. */
function nextLines(relayer: Relayer, width: number | undefined): string[] {
  if (relayer.verdict !== 'relay' || !relayer.roles.includes('third-party')) return [];
  const name = asArgument(relayer);
  const text = `next: relayledger cap ${name} 4K (hold what it relays), relayledger deny ${name} --inbound (let nobody in)`;
  return wrapText(text, width, directionIndent, evidenceIndent);
}

/** A row for each process, and below it between whom it relays and why it is judged so. */
export function relayLines(readings: readonly RelayReading[], options: RelayReportOptions): string[] {
  const relayers = relayersOf(readings);
  const [header = '', ...rows] = tableLines(relayers, relayColumns(options), options.width);
  const limit = options.width === undefined ? Number.POSITIVE_INFINITY : maxDirectionsOnScreen;
  const lines = relayers.flatMap((relayer, index) => {
    const shown = relayer.readings.slice(0, limit);
    const hidden = relayer.readings.length - shown.length;
    const rest = hidden === 0 ? [] : [`and ${formatCount(hidden)} more directions with less: --wide shows them`];
    return [
      rows[index] ?? '',
      ...shown.flatMap((reading) => directionLines(reading, relayer, options)),
      ...rest.flatMap((text) => wrapText(text, options.width, directionIndent, evidenceIndent)),
      ...nextLines(relayer, options.width),
    ];
  });
  return [header, ...lines];
}
