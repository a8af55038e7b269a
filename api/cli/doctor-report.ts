import type { InterfaceReconciliation, Reconciliation, Status } from '../../agent/readings.ts';
import { formatBytes, formatCount, formatShare } from './format.ts';
import { printable } from './text.ts';

const directionWords = { rx: 'received', tx: 'sent' } as const;

function agentLines(status: Status): string[] {
  const since = status.adopted
    ? `since ${status.accountingSince}, taken over from an earlier agent without a gap`
    : `since ${status.accountingSince}`;
  return [
    `Agent ${status.version} on kernel ${status.kernel}, running since ${status.startedAt}.`,
    `Every byte is accounted for ${since}.`,
    `It reads the kernel's counters every ${status.poll.intervalSeconds} s; the last time took ` +
      `${(status.poll.lastSeconds * 1000).toFixed(1)} ms. Processes: ${formatCount(status.processes.live)} live, ` +
      `${formatCount(status.processes.exited)} ended, room for ${formatCount(status.processes.capacity)}.`,
  ];
}

function hookLines({ programs }: Status): string[] {
  const attached = programs.filter((program) => program.attached).length;
  const lines = programs.map((program) => {
    const state = program.attached ? 'attached    ' : 'NOT ATTACHED';
    const name = program.name === program.hook ? '' : ` (${program.name})`;
    const runs = program.runCount === null ? '' : `, ${formatCount(program.runCount)} runs`;
    const cost = program.nanosecondsPerRun === null ? '' : ` of ${program.nanosecondsPerRun.toFixed(0)} ns`;
    return `  ${state}  ${program.hook}${name}${runs}${cost}`;
  });
  return [`Hooks in use: ${attached} of ${programs.length}.`, ...lines];
}

function missingLines({ missing }: Status): string[] {
  if (missing.length === 0) return ['Missing on this host: nothing.'];
  const lines = missing.map(({ feature, consequence, reason }) => `  ${feature}: ${consequence} (${reason})`);
  return ['Missing on this host:', ...lines];
}

function lostLines(status: Status): string[] {
  const lost = status.lost.filter(({ count }) => count > 0);
  if (lost.length === 0) return ['Lost: nothing.'];
  return [
    'LOST, the numbers are too low by these events:',
    ...lost.map(({ reason, count }) => `  ${formatCount(count)} ${reason}`),
  ];
}

function mapLines({ maps }: Status): string[] {
  const bytes = maps.reduce((sum, map) => sum + map.bytes, 0);
  const lines = maps.map(({ name, type, entries, capacity }) => {
    // Storage that belongs to sockets or threads has no capacity of its own; a ring buffer's is in bytes.
    if (capacity === 0) return `  ${name} (${type}): as many as there are`;
    if (type === 'ringbuf') return `  ${name} (${type}): room for ${formatBytes(capacity)}`;
    if (entries === null) return `  ${name} (${type}): room for ${formatCount(capacity)}`;
    return `  ${name} (${type}): ${formatCount(entries)} (${formatShare(entries, capacity)}) of ${formatCount(capacity)}`;
  });
  return [`Maps: ${maps.length}, ${formatBytes(bytes)}.`, ...lines];
}

function balance(errorBytes: number, wholeBytes: number): string {
  if (errorBytes === 0) return 'adds up to the byte';
  return `${formatCount(Math.abs(errorBytes))} bytes ${errorBytes > 0 ? 'unaccounted' : 'too many'} (${formatShare(
    Math.abs(errorBytes),
    wholeBytes,
  )})`;
}

function bookLine(row: Reconciliation): string {
  return (
    `  ${directionWords[row.direction]}: interfaces ${formatBytes(row.interfacesBytes)}, processes ` +
    `${formatBytes(row.processesBytes)}, kernel ${formatBytes(row.kernelBytes)}; ` +
    balance(row.errorBytes, row.interfacesBytes)
  );
}

function interfaceLine(row: InterfaceReconciliation): string {
  const where = row.netnsName ?? (row.netns === 0 ? '' : `netns ${row.netns}`);
  return (
    `  ${row.interface}${where === '' ? '' : ` (${where})`} ${directionWords[row.direction]}: counter ` +
    `${formatBytes(row.interfaceBytes)} in ${formatCount(row.interfacePackets)} packets, seen ` +
    `${formatBytes(row.seenBytes)} in ${formatCount(row.seenPackets)}; ${balance(row.errorBytes, row.interfaceBytes)}`
  );
}

function bookLines(status: Status): string[] {
  const lines = ['The books, in wire bytes:', ...status.reconciliation.map(bookLine)];
  const busy = status.interfaces.filter((row) => row.interfaceBytes > 0 || row.seenBytes > 0);
  if (busy.length > 0) lines.push('Interfaces, in link bytes:', ...busy.map(interfaceLine));
  const unowned = status.unattributed.filter((row) => row.receivedBytes + row.sentBytes > 0);
  if (unowned.length > 0) {
    lines.push('Packets without an owner:');
    for (const { reason, receivedBytes, sentBytes } of unowned) {
      lines.push(`  ${reason}: received ${formatBytes(receivedBytes)}, sent ${formatBytes(sentBytes)}`);
    }
  }
  return lines;
}

function fingerprintLines({ fingerprints }: Status): string[] {
  if (fingerprints === null) return ['Content of suspected relays: not compared (--fingerprints would).'];
  const { attached, pairs, pairsWaiting, sentPieces, matchedPieces, evictedPieces, skippedBytes } = fingerprints;
  const waiting = pairsWaiting === 0 ? '' : `, ${formatCount(pairsWaiting)} more wait for room`;
  const now = attached ? `${formatCount(pairs)} pairs at the moment${waiting}` : 'nobody is suspected at the moment';
  return [
    `Content of suspected relays: compared, by keyed hashes of samples; ${now}.`,
    `  ${formatCount(matchedPieces)} of ${formatCount(sentPieces)} pieces sent had come in; ` +
      `${formatCount(evictedPieces)} made room too early, ${formatBytes(skippedBytes)} were not looked at`,
  ];
}

/** Whether something is wrong that makes the numbers wrong. A missing feature is not: it is known and compensated. */
export function isHealthy(status: Status): boolean {
  return status.programs.every(({ attached }) => attached) && status.lost.every(({ count }) => count === 0);
}

/** The status in words. */
export function doctorLines(status: Status): string[] {
  const verdict = isHealthy(status)
    ? 'Everything that can be attached is attached, and nothing was lost.'
    : 'Something is wrong: see NOT ATTACHED and LOST.';
  const sections = [agentLines, hookLines, missingLines, lostLines, mapLines, fingerprintLines, bookLines];
  const lines = sections.flatMap((section) => [...section(status), '']);
  return [...lines, verdict].map(printable);
}
