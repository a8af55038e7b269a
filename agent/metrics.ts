import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import {
  type Counters,
  PAYLOAD,
  PROTOCOLS,
  SCOPES,
  SHARES,
  WIRE_RX_BYTES,
  WIRE_RX_PACKETS,
  WIRE_TX_BYTES,
  WIRE_TX_PACKETS,
} from './counters.ts';
import { Exposition, label } from './exposition.ts';
import type { Process, Status } from './readings.ts';

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
  status: Status;
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
    writeApps(out, series);
    writeSockets(out, input.sockets);
    if (input.processes) writeProcesses(out, input.processes);
    writeAgent(out, input.status, dropped);
    out.append(await this.#registry.metrics());
    return out.end();
  }
}

function writeApps(out: Exposition, series: readonly AppSeries[]): void {
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
  for (const { labels } of labelled) out.sample(verdict, labels, 0);
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

function writeAgent(out: Exposition, status: Status, dropped: number): void {
  const counter = (name: string, help: string, samples: Iterable<readonly [labels: string, value: number]>): void => {
    out.family(name, 'counter', help);
    for (const [labels, value] of samples) out.sample(name, labels, value);
  };
  const gauge = (name: string, help: string, samples: Iterable<readonly [labels: string, value: number]>): void => {
    out.family(name, 'gauge', help);
    for (const [labels, value] of samples) out.sample(name, labels, value);
  };
  const { unattributed, lost, interfaces, programs, maps } = status;
  const moved = unattributed.filter(({ reason }) => reason !== 'unclaimed');
  counter(
    'relayledger_unattributed_bytes_total',
    'Wire bytes that belong to no process, by reason.',
    moved.flatMap(({ reason, receivedBytes, sentBytes }) => [
      [`direction="rx",${label('reason', reason)}`, receivedBytes] as const,
      [`direction="tx",${label('reason', reason)}`, sentBytes] as const,
    ]),
  );
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
    'Entries that a map can hold; sockets and threads have no limit of their own.',
    maps.filter(({ capacity }) => capacity > 0).map(({ name, capacity }) => [label('map', name), capacity]),
  );
}
