import type { Builder } from '@grafana/grafana-foundation-sdk/cog';
import type { Panel } from '@grafana/grafana-foundation-sdk/dashboard';
import { graph, table } from './panels.ts';
import { HOSTS, rate, series } from './queries.ts';

const pollBuckets = series('poll_duration_seconds_bucket', HOSTS);
const runs = series('bpf_program_runs_total', HOSTS);
const runSeconds = series('bpf_program_run_seconds_total', HOSTS);

export const health: Builder<Panel>[] = [
  graph({
    title: 'CPU of the agent',
    description: 'Share of one core. Lasting above a tenth: longer `--interval`, or see Poll time and Sockets by app.',
    unit: 'percentunit',
    width: 8,
    queries: [{ expr: rate(`process_cpu_seconds_total{${HOSTS}}`), legend: '{{instance}}' }],
  }),
  graph({
    title: 'Memory of the agent',
    description:
      'Resident memory. Growing for hours without more processes or sockets is a bug: file it with `/v1/status`.',
    unit: 'decbytes',
    width: 8,
    queries: [{ expr: `process_resident_memory_bytes{${HOSTS}}`, legend: '{{instance}}' }],
  }),
  graph({
    title: 'Poll time',
    description:
      'How long one poll of the kernel takes, mean and 99th percentile. Near the interval (1 s unless set): the agent falls behind and events may be lost.',
    unit: 's',
    width: 8,
    queries: [
      {
        expr: `${rate(series('poll_duration_seconds_sum', HOSTS))} / ${rate(series('poll_duration_seconds_count', HOSTS))}`,
        legend: '{{instance}} mean',
      },
      {
        expr: `histogram_quantile(0.99, sum by (instance, le) (${rate(pollBuckets)}))`,
        legend: '{{instance}} 99 %',
      },
    ],
  }),
  graph({
    title: 'Time per run of a program',
    description:
      'What each program in the kernel costs each time it runs. Measured while `kernel.bpf_stats_enabled` is 1, which costs some itself: switch it on to look, then off.',
    unit: 's',
    width: 8,
    empty: 'kernel.bpf_stats_enabled is 0',
    queries: [{ expr: `max by (program) (${rate(runSeconds)} / (${rate(runs)} > 0))`, legend: '{{program}}' }],
  }),
  graph({
    title: 'Failed polls and dropped series',
    description:
      "Polls or checkpoints that failed: the agent's log says why. Apps past the series budget: they stand as `other`; raise `--max-apps`.",
    unit: 'short',
    width: 8,
    queries: [
      {
        expr: `increase(${series('poll_errors_total', HOSTS)}[$__rate_interval])`,
        legend: '{{instance}} failed polls',
      },
      {
        expr: `increase(${series('series_dropped_total', HOSTS)}[$__rate_interval])`,
        legend: '{{instance}} dropped series',
      },
    ],
  }),
  table({
    title: 'What runs',
    description: 'Version of each agent, its kernel and its Node. After an upgrade: every host shows the new one.',
    unit: 'none',
    width: 8,
    queries: [{ expr: series('build_info', HOSTS), legend: '' }],
    columns: { instance: 'Host', version: 'Version', kernel: 'Kernel', node: 'Node' },
    sortBy: 'Host',
  }),
];
