import { readFileSync } from 'node:fs';
import type { Accounting } from './accounting.ts';
import type { Balance } from './double-entry.ts';
import type { Fingerprints } from './fingerprints.ts';
import type { Status } from './readings.ts';
import { toIso } from './wall-time.ts';

export interface StatusInput {
  accounting: Accounting;
  balance: Balance;
  version: string;
  kernel: string;
  startedAt: string;
  poll: Status['poll'];
  processes: Status['processes'];
  /** Entries of the kernel's process table. */
  tableSize: number;
  fingerprints: Fingerprints | null;
}

const LOST_REASONS = ['process', 'socket', 'interface', 'details', 'event', 'flow', 'pair', 'thread'] as const;

/** `GET /v1/status`: what is attached and full, what was lost, and whether the books balance. */
export function describeStatus(input: StatusInput): Status {
  const { accounting, balance, version, kernel, startedAt, poll, processes, tableSize, fingerprints } = input;
  const { accounts, unattributed, reconciliation, totals } = balance;
  const statsEnabled = readSysctl('/proc/sys/kernel/bpf_stats_enabled') === '1';
  return {
    version,
    kernel,
    startedAt,
    accountingSince: toIso(accounting.sinceWallMs),
    adopted: accounting.adopted,
    programs: accounting.programs.map((program) => {
      const info = statsEnabled ? accounting.programInfo(program) : undefined;
      return {
        name: program.hook.program,
        hook: program.hook.section,
        attached: program.fd !== null,
        runCount: info?.runCount ?? null,
        nanosecondsPerRun: info && info.runCount > 0 ? info.runTimeNs / info.runCount : null,
      };
    }),
    maps: [...accounting.maps].map(([name, { info, valueStride }]) => ({
      name,
      type: info.type,
      entries: name === 'processes' || name === 'process_slots' ? tableSize : null,
      capacity: info.maxEntries,
      bytes: info.maxEntries * (info.keySize + valueStride),
    })),
    lost: LOST_REASONS.map((reason, index) => ({ reason, count: totals.lost[index] ?? 0 })),
    unattributed,
    missing: [...accounting.missing, fingerprints?.missing].filter((each) => each != null),
    interfaces: accounts.flatMap(({ lines }) => lines),
    reconciliation,
    poll,
    processes,
    fingerprints: fingerprints?.status() ?? null,
  };
}

function readSysctl(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return ''; // a kernel without it
  }
}
