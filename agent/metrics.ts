import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import {
  type Counters,
  PAYLOAD,
  PROTOCOLS,
  ROLES,
  relayedAt,
  SCOPES,
  SHARES,
  WIRE_RX_BYTES,
  WIRE_RX_PACKETS,
  WIRE_TX_BYTES,
  WIRE_TX_PACKETS,
} from './counters.ts';
import { Exposition, label } from './exposition.ts';
import { writeFingerprints } from './fingerprint-metrics.ts';
import { COUNTED_REASONS } from './kernel-row.ts';
import { type PolicySeries, writePolicies } from './policies/policy-metrics.ts';
import type { Process, Status, UnattributedTraffic, Verdict } from './readings.ts';

/** One app's share of `/metrics`. */
export interface AppSeries {
  app: string;
  counters: Counters;
}

export interface MetricsInput {
  apps: Iterable<AppSeries>;
  /** Only with `metricsPerProcess`. */
  processes: Iterable<{ process: Process; counters: Counters }> | null;
  /** Sockets by app and state, of live processes. */
  sockets: Map<string, Map<string, number>>;
  /** Of live processes. */
  verdicts: ReadonlyMap<string, Verdict>;
  status: Status;
  policies: readonly PolicySeries[];
  /** Times that the kernel could not be told whom a policy holds. */
  policyErrors: number;
  /** Rows of the history that went before their time. */
  historyRowsPruned: number;
}

const OTHER = 'other';
const DIRECTIONS = ['rx', 'tx'] as const;

/**
 * Which apps have series of their own. Admission is for good: a later app never displaces an earlier one, so that no
 * counter goes backwards; what comes past the budget is summed up as `other`.
 */
export class SeriesBudget {
  readonly #limit: number;
  readonly #admitted = new Set<string>();
  readonly #refused = new Set<string>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  get dropped(): number {
    return this.#refused.size;
  }

  admits(app: string): boolean {
    if (this.#admitted.has(app)) return true;
    if (this.#admitted.size < this.#limit && !this.#refused.has(app) && app !== OTHER) {
      this.#admitted.add(app);
      return true;
    }
    this.#refused.add(app);
    return false;
  }

  /** Whether the app has series of its own, without admitting it. */
  has(app: string): boolean {
    return this.#admitted.has(app);
  }

  /** Apps within the budget as they are, the others as one. */
  apply(apps: Iterable<AppSeries>, sum: (to: Counters, from: Counters) => void, zero: () => Counters): AppSeries[] {
    const series: AppSeries[] = [];
    let other: Counters | undefined;
    for (const each of apps) {
      if (this.admits(each.app)) {
        series.push(each);
        continue;
      }
      other ??= zero();
      sum(other, each.counters);
    }
    if (other) series.push({ app: OTHER, counters: other });
    return series;
  }
}

/** The agent's own health, kept by prom-client, beside the per-app families, written by hand. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #highWater = new HighWater();
  readonly pollDuration: Histogram;
  readonly pollErrors: Counter;

  constructor(version: string, kernel: string) {
    const registers = [this.#registry];
    const prefix = 'relayledger_';
    const buckets = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1];
    const pollHelp = 'Time that one poll of the kernel took.';
    this.pollDuration = new Histogram({ name: `${prefix}poll_duration_seconds`, help: pollHelp, buckets, registers });
    const errorHelp = 'Polls or checkpoints that failed; the log says why.';
    this.pollErrors = new Counter({ name: `${prefix}poll_errors_total`, help: errorHelp, registers });
    const info = { name: `${prefix}build_info`, help: 'Constant 1, labelled with what runs.', registers };
    new Gauge({ ...info, labelNames: ['version', 'kernel', 'node'] }).set(
      { version, kernel, node: process.version },
      1,
    );
    const memory: Gauge = new Gauge({
      name: 'process_resident_memory_bytes',
      help: 'Resident memory of the agent.',
      registers,
      collect: () => memory.set(process.memoryUsage.rss()),
    });
    const cpu: Counter = new Counter({
      name: 'process_cpu_seconds_total',
      help: 'User and system CPU time of the agent.',
      registers,
      collect: () => {
        const { user, system } = process.cpuUsage();
        cpu.reset();
        cpu.inc((user + system) / 1e6);
      },
    });
  }

  async write(
    input: MetricsInput,
    series: readonly AppSeries[],
    dropped: number,
    openMetrics: boolean,
  ): Promise<string> {
    const out = new Exposition(openMetrics);
    writeApps(out, series, input.verdicts);
    writeSockets(out, input.sockets);
    if (input.processes) writeProcesses(out, input.processes);
    writeAgent(out, input.status, dropped, this.#highWater);
    writePolicies(out, input.policies, input.policyErrors);
    if (input.status.fingerprints) writeFingerprints(out, input.status.fingerprints);
    const pruned = 'relayledger_history_rows_pruned_total';
    out.family(pruned, 'counter', 'Rows of the history that went before their time, because there were too many.');
    out.sample(pruned, '', input.historyRowsPruned);
    out.append(await this.#registry.metrics());
    return out.end();
  }
}

/** A packet that is dropped after it was counted is taken off again; a counter then waits until it has caught up. */
class HighWater {
  readonly #values = new Map<string, number>();

  of(rows: readonly UnattributedTraffic[]): [labels: string, value: number][] {
    return COUNTED_REASONS.flatMap((reason) => {
      const row = rows.find((each) => each.reason === reason);
      return [
        this.#raise(`direction="rx",reason="${reason}"`, row?.receivedBytes ?? 0),
        this.#raise(`direction="tx",reason="${reason}"`, row?.sentBytes ?? 0),
      ];
    });
  }

  #raise(labels: string, value: number): [labels: string, value: number] {
    const highest = Math.max(value, this.#values.get(labels) ?? 0);
    this.#values.set(labels, highest);
    return [labels, highest];
  }
}

/** The graver the greater. */
export const VERDICT_VALUES: Readonly<Record<Verdict, number>> = { none: 0, suspected: 1, relay: 2 };

function writeApps(out: Exposition, series: readonly AppSeries[], verdicts: ReadonlyMap<string, Verdict>): void {
  const labelled = series.map(({ app, counters }) => ({ labels: label('app', app), counters }));
  writeWire(out, 'process', labelled);
  const name = 'relayledger_process_payload_bytes_total';
  out.family(name, 'counter', 'Payload that processes read and wrote through their sockets, by app.');
  for (const { labels, counters } of labelled) {
    for (const [d, direction] of DIRECTIONS.entries()) {
      for (let share = 0; share < SHARES; share++) {
        const value = counters[PAYLOAD + d * SHARES + share] as number;
        if (value === 0) continue;
        const protocol = PROTOCOLS[Math.floor(share / SCOPES.length)];
        const scope = SCOPES[share % SCOPES.length];
        out.sample(name, `${labels},direction="${direction}",protocol="${protocol}",scope="${scope}"`, value);
      }
    }
  }
  const verdict = 'relayledger_process_relay_verdict';
  out.family(verdict, 'gauge', 'Whether the app relays: 0 none, 1 suspected, 2 relay.');
  for (const { app } of series) out.sample(verdict, label('app', app), VERDICT_VALUES[verdicts.get(app) ?? 'none']);
  const relayed = 'relayledger_process_relayed_bytes_total';
  out.family(relayed, 'counter', 'Payload received to be passed on, and passed on, by app and role.');
  for (const { labels, counters } of labelled) {
    for (const role of ROLES) {
      const at = relayedAt(role);
      for (const [d, direction] of DIRECTIONS.entries()) {
        const value = counters[at + d] as number;
        if (value > 0) out.sample(relayed, `${labels},direction="${direction}",role="${role}"`, value);
      }
    }
  }
}

function writeWire(out: Exposition, what: string, series: readonly { labels: string; counters: Counters }[]): void {
  const families = [
    [
      'bytes',
      'Bytes that crossed the IP layer, headers included, super-packets as the packets they become.',
      WIRE_RX_BYTES,
      WIRE_TX_BYTES,
    ],
    [
      'packets',
      'Packets that crossed the IP layer, super-packets as the packets they become.',
      WIRE_RX_PACKETS,
      WIRE_TX_PACKETS,
    ],
  ] as const;
  for (const [unit, help, rx, tx] of families) {
    const name = `relayledger_${what}_wire_${unit}_total`;
    out.family(name, 'counter', help);
    for (const { labels, counters } of series) {
      out.sample(name, `${labels},direction="rx"`, counters[rx] as number);
      out.sample(name, `${labels},direction="tx"`, counters[tx] as number);
    }
  }
}

/** One line a live process; families of their own, so that summing the per-app ones counts nothing twice. */
function writeProcesses(out: Exposition, processes: Iterable<{ process: Process; counters: Counters }>): void {
  const labelled = [...processes].map(({ process: { app, pid, name }, counters }) => ({
    labels: `${label('app', app)},pid="${pid}",${label('name', name)}`,
    counters,
  }));
  writeWire(out, 'pid', labelled);
}

function writeSockets(out: Exposition, sockets: Map<string, Map<string, number>>): void {
  const name = 'relayledger_process_sockets';
  out.family(name, 'gauge', 'Sockets, by app and state.');
  for (const [app, states] of sockets) {
    for (const [state, count] of states) out.sample(name, `${label('app', app)},${label('state', state)}`, count);
  }
}

function writeAgent(out: Exposition, status: Status, dropped: number, highWater: HighWater): void {
  const counter = (name: string, help: string, samples: Iterable<readonly [labels: string, value: number]>): void => {
    out.family(name, 'counter', help);
    for (const [labels, value] of samples) out.sample(name, labels, value);
  };
  const gauge = (name: string, help: string, samples: Iterable<readonly [labels: string, value: number]>): void => {
    out.family(name, 'gauge', help);
    for (const [labels, value] of samples) out.sample(name, labels, value);
  };
  const { unattributed, lost, interfaces, programs, maps } = status;
  const help = 'Wire bytes that belong to no process, by reason.';
  counter('relayledger_unattributed_bytes_total', help, highWater.of(unattributed));
  const unclaimed = unattributed.find(({ reason }) => reason === 'unclaimed');
  gauge('relayledger_unclaimed_bytes', 'Wire bytes of accepted connections that no process has touched yet.', [
    ['direction="rx"', unclaimed?.receivedBytes ?? 0],
    ['direction="tx"', unclaimed?.sentBytes ?? 0],
  ]);
  counter(
    'relayledger_lost_events_total',
    'Things that should have been recorded and could not be, by reason.',
    lost.map(({ reason, count }) => [label('reason', reason), count]),
  );
  counter(
    'relayledger_processes_forgotten_early_total',
    'Ended processes forgotten before 15 minutes were over, because there were too many.',
    [['', status.processes.forgottenEarly]],
  );
  gauge(
    'relayledger_reconciliation_error_bytes',
    'Interface counter less what the device hooks saw pass, since accounting began.',
    interfaces.map((line) => [
      `${label('interface', line.interface)},netns="${line.netns}",direction="${line.direction}"`,
      line.errorBytes,
    ]),
  );
  counter('relayledger_series_dropped_total', 'Apps past the series budget, counted in app="other".', [['', dropped]]);
  const measured = programs.filter(({ runCount }) => runCount !== null);
  counter(
    'relayledger_bpf_program_run_seconds_total',
    'Time spent in a program; counted while kernel.bpf_stats_enabled is 1.',
    measured.map(({ name, runCount, nanosecondsPerRun }) => [
      label('program', name),
      ((runCount ?? 0) * (nanosecondsPerRun ?? 0)) / 1e9,
    ]),
  );
  counter(
    'relayledger_bpf_program_runs_total',
    'Runs of a program; counted while kernel.bpf_stats_enabled is 1.',
    measured.map(({ name, runCount }) => [label('program', name), runCount ?? 0]),
  );
  gauge(
    'relayledger_bpf_map_entries',
    'Entries in a map.',
    maps.filter(({ entries }) => entries !== null).map(({ name, entries }) => [label('map', name), entries ?? 0]),
  );
  gauge(
    'relayledger_bpf_map_capacity',
    'Entries that a map can hold; sockets have no limit of their own.',
    maps.filter(({ capacity }) => capacity > 0).map(({ name, capacity }) => [label('map', name), capacity]),
  );
}
