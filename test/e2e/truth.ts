import { readFileSync } from 'node:fs';
import type { Process } from '../../agent/readings.ts';

/** What a process itself says it is and has moved, by the return values of its system calls. */
export interface Truth {
  role: string;
  pid: number;
  parentPid: number;
  name: string;
  /** Empty where the process could not say: its leading thread has ended. */
  executable: string;
  command: string;
  uid: number;
  /** Exact to 10 ms, the resolution of /proc/PID/stat. */
  startedAtMs: number;
  sentBytes: number;
  receivedBytes: number;
}

/** How far the agent's start time may be from the process's own: two clock ticks. */
const startToleranceMs = 20;

/** The truths in a file that programs appended their lines to. */
export function readTruths(file: string): Truth[] {
  const lines = readFileSync(file, 'utf8').split('\n');
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as Truth);
}

/** The rows that can be this process: pid and start time are the identity, the name tells apart what comes close. */
export function rowsOf(truth: Truth, rows: readonly Process[]): Process[] {
  const candidates = rows.filter(
    (row) => row.pid === truth.pid && Math.abs(Date.parse(row.startedAt) - truth.startedAtMs) <= startToleranceMs,
  );
  const named = candidates.filter((row) => row.name === truth.name);
  return named.length > 0 ? named : candidates;
}

function describe(truth: Truth): string {
  return `${truth.role} ${truth.name} (pid ${truth.pid})`;
}

/** In words, what the agent's rows get wrong about the payload of these processes; empty when all is equal. */
export function payloadDifferences(truths: readonly Truth[], rows: readonly Process[]): string[] {
  return truths.flatMap((truth) => {
    const found = rowsOf(truth, rows);
    if (found.length > 1) return [`${describe(truth)}: ${found.length} rows`];
    const payload = found[0]?.traffic.payload;
    // Who moved nothing need not be listed.
    if (payload === undefined && truth.sentBytes + truth.receivedBytes === 0) return [];
    if (payload === undefined) {
      const others = rows.filter((row) => row.pid === truth.pid).map((row) => `${row.name} started ${row.startedAt}`);
      const started = new Date(truth.startedAtMs).toISOString();
      return [`${describe(truth)}, started ${started}: no row; rows with its pid: ${others.join(', ') || 'none'}`];
    }
    const differences: string[] = [];
    for (const direction of ['sentBytes', 'receivedBytes'] as const) {
      if (payload[direction] === truth[direction]) continue;
      const difference = payload[direction] - truth[direction];
      const sign = difference > 0 ? '+' : '';
      differences.push(
        `${describe(truth)}: ${direction} ${payload[direction]}, truly ${truth[direction]} (${sign}${difference})`,
      );
    }
    return differences;
  });
}

/** Rows with payload in these network namespaces that no truth accounts for. */
export function unexpectedRows(truths: readonly Truth[], rows: readonly Process[], netns: readonly number[]): string[] {
  const expected = new Set(truths.flatMap((truth) => rowsOf(truth, rows)));
  return rows
    .filter((row) => row.pid !== 0 && row.netns !== null && netns.includes(row.netns) && !expected.has(row))
    .filter(({ traffic: { payload } }) => payload.sentBytes + payload.receivedBytes > 0)
    .map(
      ({ pid, name, command, traffic: { payload } }) => `${name} (pid ${pid}, ${command}) ${JSON.stringify(payload)}`,
    );
}
