import t from 'tap';
import { addCounters, makeCounters, PAYLOAD, relayedAt, SHARES } from '../../agent/counters.ts';
import { COUNTED_REASONS } from '../../agent/kernel-row.ts';
import { type AppSeries, Metrics, type MetricsInput, SeriesBudget } from '../../agent/metrics.ts';
import { readPolicy } from '../../agent/policies/validate.ts';
import type { Process, Status, UnattributedTraffic, Verdict } from '../../agent/readings.ts';
import { type Family, parseExposition, type Sample } from './parse-exposition.ts';

function makeStatus(override: Partial<Status> = {}): Status {
  return {
    version: '0.0.0-test',
    kernel: '6.18.0',
    startedAt: '2026-11-22T05:00:00.000Z',
    accountingSince: '2026-11-22T05:00:00.000Z',
    adopted: false,
    programs: [],
    maps: [],
    lost: [],
    unattributed: [],
    missing: [],
    interfaces: [],
    reconciliation: [],
    poll: { count: 1, lastSeconds: 0, intervalSeconds: 1 },
    processes: { live: 0, exited: 0, capacity: 32_768, forgottenEarly: 0 },
    fingerprints: null,
    ...override,
  };
}

interface Writing extends Partial<Omit<MetricsInput, 'status' | 'apps'>> {
  series?: AppSeries[];
  status?: Partial<Status>;
  dropped?: number;
  openMetrics?: boolean;
  metrics?: Metrics;
}

function makeMetrics(): Metrics {
  return new Metrics('0.0.0-test', '6.18.0 "x"');
}

async function write(writing: Writing = {}): Promise<Map<string, Family>> {
  const { series = [], dropped = 0, openMetrics = false, metrics = makeMetrics() } = writing;
  const input: MetricsInput = {
    apps: series,
    processes: writing.processes ?? null,
    sockets: writing.sockets ?? new Map(),
    verdicts: writing.verdicts ?? new Map(),
    status: makeStatus(writing.status),
    policies: writing.policies ?? [],
    policyErrors: writing.policyErrors ?? 0,
    historyRowsPruned: writing.historyRowsPruned ?? 0,
  };
  return parseExposition(await metrics.write(input, series, dropped, openMetrics), openMetrics);
}

function samples(families: Map<string, Family>, name: string): Pick<Sample, 'labels' | 'value'>[] {
  const family = families.get(name) ?? families.get(name.replace(/_total$/, ''));
  return (family?.samples ?? []).map(({ labels, value }) => ({ labels, value }));
}

const FULL: Writing = {
  series: [{ app: 'a "b" \\ \n', counters: makeCounters([1, 2, 3, 4, 5, 6, 7, 8, 9]) }],
  processes: [
    {
      process: { app: 'x', pid: 7, name: 'n"' } as Process,
      counters: makeCounters([1, 2, 3, 4]),
    },
  ],
  sockets: new Map([['x', new Map([['ESTAB', 2]])]]),
  dropped: 3,
  status: {
    lost: [{ reason: 'event', count: 1 }],
    unattributed: [{ reason: 'late', receivedBytes: 1, sentBytes: 2, receivedPackets: 3, sentPackets: 4 }],
    interfaces: [
      {
        netns: 5,
        netnsName: 'blue',
        interface: 'eth0',
        direction: 'rx',
        interfaceBytes: 9,
        interfacePackets: 1,
        seenBytes: 11,
        seenPackets: 1,
        errorBytes: -2,
      },
    ],
    programs: [{ name: 'skb_egress', hook: 'cgroup_skb/egress', attached: true, runCount: 10, nanosecondsPerRun: 50 }],
    maps: [{ name: 'processes', type: 'array', entries: 4, capacity: 32_768, bytes: 1 }],
  },
};

t.test('both formats are well formed and say the same', async (t) => {
  const metrics = makeMetrics();
  metrics.pollErrors.inc(2);
  metrics.pollDuration.observe(0.003);
  const text = await write({ ...FULL, metrics });
  const open = await write({ ...FULL, metrics, openMetrics: true });
  const family = (name: string): string => (text.get(name)?.type === 'counter' ? name.replace(/_total$/, '') : name);
  t.same([...text.keys()].map(family), [...open.keys()]);
  for (const [name, { type, help, samples }] of text) {
    if (name.startsWith('process_')) continue; // time has passed between the two
    t.same(open.get(family(name)), { type, help, samples }, name);
  }
});

t.test('asking for one format does not change what the other one says', async (t) => {
  const metrics = makeMetrics();
  const before = [...(await write({ ...FULL, metrics })).keys()];
  for (let i = 0; i < 3; i++) await write({ ...FULL, metrics, openMetrics: true });
  t.same([...(await write({ ...FULL, metrics })).keys()], before);
  t.ok(before.includes('relayledger_poll_errors_total'));
});

t.test('every family of the contract that the agent has figures for is there', async (t) => {
  const families = await write(FULL);
  for (const [name, type] of [
    ['relayledger_process_wire_bytes_total', 'counter'],
    ['relayledger_process_wire_packets_total', 'counter'],
    ['relayledger_process_payload_bytes_total', 'counter'],
    ['relayledger_process_relay_verdict', 'gauge'],
    ['relayledger_process_relayed_bytes_total', 'counter'],
    ['relayledger_process_sockets', 'gauge'],
    ['relayledger_unattributed_bytes_total', 'counter'],
    ['relayledger_lost_events_total', 'counter'],
    ['relayledger_reconciliation_error_bytes', 'gauge'],
    ['relayledger_bpf_program_run_seconds_total', 'counter'],
    ['relayledger_bpf_program_runs_total', 'counter'],
    ['relayledger_bpf_map_entries', 'gauge'],
    ['relayledger_bpf_map_capacity', 'gauge'],
    ['relayledger_poll_duration_seconds', 'histogram'],
    ['relayledger_build_info', 'gauge'],
    ['relayledger_series_dropped_total', 'counter'],
  ] as const) {
    t.equal(families.get(name)?.type, type, name);
  }
});

t.test('an app’s traffic stands under its labels', async (t) => {
  const counters = makeCounters([10, 1, 20, 2]);
  counters[PAYLOAD] = 7; // received, TCP, loopback
  counters[PAYLOAD + SHARES + 3 + 2] = 8; // sent, UDP, public
  counters[PAYLOAD + SHARES + 2 * 3 + 1] = 9; // sent, other, private
  const families = await write({ series: [{ app: 'skype', counters }] });
  const app = 'skype';
  t.same(samples(families, 'relayledger_process_wire_bytes_total'), [
    { labels: { app, direction: 'rx' }, value: 10 },
    { labels: { app, direction: 'tx' }, value: 20 },
  ]);
  t.same(samples(families, 'relayledger_process_wire_packets_total'), [
    { labels: { app, direction: 'rx' }, value: 1 },
    { labels: { app, direction: 'tx' }, value: 2 },
  ]);
  t.same(samples(families, 'relayledger_process_payload_bytes_total'), [
    { labels: { app, direction: 'rx', protocol: 'tcp', scope: 'loopback' }, value: 7 },
    { labels: { app, direction: 'tx', protocol: 'udp', scope: 'public' }, value: 8 },
    { labels: { app, direction: 'tx', protocol: 'other', scope: 'private' }, value: 9 },
  ]);
  t.same(samples(families, 'relayledger_process_relay_verdict'), [{ labels: { app }, value: 0 }]);
});

t.test('names of apps come through as they are', async (t) => {
  const app = 'a "b" \\ \n {x="y"}';
  for (const openMetrics of [false, true]) {
    const families = await write({ series: [{ app, counters: makeCounters([1]) }], openMetrics });
    t.equal(samples(families, 'relayledger_process_wire_bytes_total')[0]?.labels['app'], app);
  }
});

t.test('an app’s verdict is a number, and what it relayed stands by role and direction', async (t) => {
  const relaying = makeCounters();
  relaying[relayedAt('third-party')] = 10;
  relaying[relayedAt('third-party') + 1] = 11;
  relaying[relayedAt('service') + 1] = 12;
  const verdicts = new Map<string, Verdict>([
    ['relays', 'relay'],
    ['maybe', 'suspected'],
    ['not', 'none'],
    ['elsewhere', 'relay'],
  ]);
  const series = ['relays', 'maybe', 'not', 'quiet'].map((app) => {
    return { app, counters: app === 'relays' ? relaying : makeCounters([1]) };
  });
  const families = await write({ series, verdicts });
  t.same(
    samples(families, 'relayledger_process_relay_verdict').map(({ labels, value }) => [labels['app'], value]),
    [
      ['relays', 2],
      ['maybe', 1],
      ['not', 0],
      ['quiet', 0],
    ],
  );
  const app = 'relays';
  t.same(samples(families, 'relayledger_process_relayed_bytes_total'), [
    { labels: { app, direction: 'rx', role: 'third-party' }, value: 10 },
    { labels: { app, direction: 'tx', role: 'third-party' }, value: 11 },
    { labels: { app, direction: 'tx', role: 'service' }, value: 12 },
  ]);
});

function makeUnattributed(reason: string, receivedBytes: number, sentBytes: number): UnattributedTraffic {
  return { reason, receivedBytes, sentBytes, receivedPackets: 1, sentPackets: 1 };
}

/** The counter of what has no process, by reason: received and sent. */
function byReason(families: Map<string, Family>): Record<string, [rx: number, tx: number]> {
  const all = samples(families, 'relayledger_unattributed_bytes_total');
  const value = (reason: string, direction: string): number =>
    all.find(({ labels }) => labels['reason'] === reason && labels['direction'] === direction)?.value ?? Number.NaN;
  const reasons = new Set(all.map(({ labels }) => labels['reason'] ?? ''));
  return Object.fromEntries([...reasons].map((reason) => [reason, [value(reason, 'rx'), value(reason, 'tx')]]));
}

t.test('every reason has its counters from the start, and what is only waiting is no counter', async (t) => {
  const zero = Object.fromEntries(COUNTED_REASONS.map((reason) => [reason, [0, 0]]));
  for (const openMetrics of [false, true]) t.same(byReason(await write({ openMetrics })), zero);
  t.notOk('unclaimed' in zero);
  const families = await write({
    status: { unattributed: [makeUnattributed('no_socket', 5, 6), makeUnattributed('unclaimed', 7, 8)] },
  });
  t.same(byReason(families), { ...zero, no_socket: [5, 6] });
  t.same(samples(families, 'relayledger_unclaimed_bytes'), [
    { labels: { direction: 'rx' }, value: 7 },
    { labels: { direction: 'tx' }, value: 8 },
  ]);
});

t.test('what has no process never goes down, and grows again once it has caught up', async (t) => {
  const metrics = makeMetrics();
  for (const [unattributed, kernelSocket, late] of [
    [[makeUnattributed('kernel_socket', 10, 1000)], [10, 1000], [0, 0]],
    [
      [makeUnattributed('kernel_socket', 11, 400), makeUnattributed('late', 3, 0)],
      [11, 1000],
      [3, 0],
    ],
    [[], [11, 1000], [3, 0]],
    [
      [makeUnattributed('kernel_socket', 5, 1000), makeUnattributed('late', 3, 9)],
      [11, 1000],
      [3, 9],
    ],
    [
      [makeUnattributed('kernel_socket', 12, 1001), makeUnattributed('late', 4, 8)],
      [12, 1001],
      [4, 9],
    ],
  ] as const) {
    const counters = byReason(await write({ metrics, status: { unattributed: [...unattributed] } }));
    t.same(counters['kernel_socket'], kernelSocket);
    t.same(counters['late'], late);
  }
  t.same(byReason(await write())['late'], [0, 0], 'each agent has its own');
});

t.test('an interface’s error may have either sign', async (t) => {
  const families = await write(FULL);
  t.same(samples(families, 'relayledger_reconciliation_error_bytes'), [
    { labels: { interface: 'eth0', netns: '5', direction: 'rx' }, value: -2 },
  ]);
});

t.test('what is not measured is left out rather than zero', async (t) => {
  const families = await write({
    status: {
      programs: [
        { name: 'measured', hook: 'x', attached: true, runCount: 10, nanosecondsPerRun: 50 },
        { name: 'idle', hook: 'x', attached: true, runCount: 0, nanosecondsPerRun: null },
        { name: 'unmeasured', hook: 'x', attached: true, runCount: null, nanosecondsPerRun: null },
      ],
      maps: [
        { name: 'known', type: 'hash', entries: 0, capacity: 5, bytes: 1 },
        { name: 'unknown', type: 'hash', entries: null, capacity: 5, bytes: 1 },
        { name: 'unbounded', type: 'sk_storage', entries: null, capacity: 0, bytes: 1 },
      ],
    },
  });
  t.same(samples(families, 'relayledger_bpf_program_run_seconds_total'), [
    { labels: { program: 'measured' }, value: 5e-7 },
    { labels: { program: 'idle' }, value: 0 },
  ]);
  t.same(samples(families, 'relayledger_bpf_program_runs_total'), [
    { labels: { program: 'measured' }, value: 10 },
    { labels: { program: 'idle' }, value: 0 },
  ]);
  t.same(samples(families, 'relayledger_bpf_map_entries'), [{ labels: { map: 'known' }, value: 0 }]);
  t.same(
    samples(families, 'relayledger_bpf_map_capacity').map(({ labels }) => labels['map']),
    ['known', 'unknown'],
  );
});

t.test('sockets are counted by app and state, series by process only when asked for', async (t) => {
  const without = await write({ ...FULL, processes: null });
  t.same(samples(without, 'relayledger_process_sockets'), [{ labels: { app: 'x', state: 'ESTAB' }, value: 2 }]);
  t.notOk([...without.keys()].some((name) => name.startsWith('relayledger_pid_')));
  const families = await write(FULL);
  t.same(samples(families, 'relayledger_pid_wire_bytes_total'), [
    { labels: { app: 'x', pid: '7', name: 'n"', direction: 'rx' }, value: 1 },
    { labels: { app: 'x', pid: '7', name: 'n"', direction: 'tx' }, value: 3 },
  ]);
});

t.test('build and dropped series are told', async (t) => {
  const families = await write({ dropped: 12 });
  t.same(samples(families, 'relayledger_series_dropped_total'), [{ labels: {}, value: 12 }]);
  t.same(samples(families, 'relayledger_build_info'), [
    { labels: { version: '0.0.0-test', kernel: '6.18.0 "x"', node: process.version }, value: 1 },
  ]);
});

function apply(budget: SeriesBudget, apps: Record<string, number>): Record<string, number> {
  const series = Object.entries(apps).map(([app, value]) => ({ app, counters: makeCounters([value]) }));
  const kept = budget.apply(series, addCounters, makeCounters);
  return Object.fromEntries(kept.map(({ app, counters }) => [app, counters[0] ?? 0]));
}

t.test('apps within the budget have their own series, the others one together', async (t) => {
  for (const { limit, apps, expected, dropped } of [
    { limit: 3, apps: {}, expected: {}, dropped: 0 },
    { limit: 3, apps: { a: 1, b: 2, c: 3 }, expected: { a: 1, b: 2, c: 3 }, dropped: 0 },
    { limit: 2, apps: { a: 1, b: 2, c: 3 }, expected: { a: 1, b: 2, other: 3 }, dropped: 1 },
    { limit: 1, apps: { a: 1, b: 2, c: 3, d: 4 }, expected: { a: 1, other: 9 }, dropped: 3 },
    { limit: 5, apps: { a: 1, other: 2 }, expected: { a: 1, other: 2 }, dropped: 1 },
    { limit: 1, apps: { other: 2, a: 1, b: 4 }, expected: { a: 1, other: 6 }, dropped: 2 },
  ]) {
    const budget = new SeriesBudget(limit);
    t.same(apply(budget, apps), expected);
    t.same(apply(budget, apps), expected, 'asked again, the same');
    t.equal(budget.dropped, dropped);
  }
});

t.test('admission is for good, and so is refusal: no series ever goes backwards', async (t) => {
  const budget = new SeriesBudget(2);
  for (const [apps, expected] of [
    [{ a: 1 }, { a: 1 }],
    [
      { a: 1, b: 1 },
      { a: 1, b: 1 },
    ],
    [
      { c: 5, a: 1, b: 1 },
      { a: 1, b: 1, other: 5 },
    ],
    [
      { c: 6, b: 1, a: 2 },
      { b: 1, a: 2, other: 6 },
    ],
    [
      { c: 6, d: 1, b: 9 },
      { b: 9, other: 7 },
    ],
    [
      { c: 6, d: 2, b: 9, a: 3 },
      { b: 9, a: 3, other: 8 },
    ],
  ] as const) {
    t.same(apply(budget, apps), expected);
  }
  t.equal(budget.dropped, 2, 'each refused app counts once');
});

t.test('asking whether an app has its own series neither admits nor refuses it', async (t) => {
  const budget = new SeriesBudget(2);
  t.notOk(budget.has('a'));
  apply(budget, { a: 1 });
  t.ok(budget.has('a'));
  for (const app of ['b', 'c', 'other']) t.notOk(budget.has(app), app);
  t.equal(budget.dropped, 0);
  t.same(apply(budget, { c: 1, b: 2 }), { c: 1, other: 2 }, 'there was room for one more, whoever came first');
  t.ok(budget.has('a') && budget.has('c'));
  t.notOk(budget.has('b'));
  t.equal(budget.dropped, 1);
});

t.test('summing up leaves the apps’ own counters alone', async (t) => {
  const budget = new SeriesBudget(1);
  const series = ['a', 'b', 'c'].map((app) => ({ app, counters: makeCounters([1, 1]) }));
  const [, other] = budget.apply(series, addCounters, makeCounters);
  t.same([...(other?.counters ?? [])].slice(0, 2), [2, 2]);
  t.same(
    series.map(({ counters }) => counters[0]),
    [1, 1, 1],
  );
});

t.test('policies have series of their own; what has no rate or quota has none of those', async (t) => {
  const policy = readPolicy({ match: { app: 'a' }, rate: { bytesPerSecond: 4096 } }, 0);
  const quota = { bytes: 1000, period: 'day', then: 'deny' };
  const series = {
    policy,
    sums: {
      passed: { rx: 1, tx: 2 },
      throttled: { rx: 3, tx: 4 },
      dropped: [{ direction: 'tx' as const, reason: 'rate' as const, packets: 5 }],
      refusedCalls: 6,
    },
    quotaUsedBytes: 0,
    processes: 7,
    notApplied: 8,
    actions: new Map(),
  };
  const families = await write({
    policies: [
      { ...series, name: 'cap' },
      {
        ...series,
        name: 'quota',
        policy: readPolicy({ match: { app: 'a' }, quota }, 0),
        quotaUsedBytes: 10,
        actions: new Map([['deny', 2]]),
      },
    ],
    policyErrors: 9,
    historyRowsPruned: 11,
  });
  const of = (name: string) => samples(families, `relayledger_${name}`);
  t.same(of('policy_rate_bytes_per_second'), [{ labels: { policy: 'cap' }, value: 4096 }]);
  t.same(of('policy_quota_bytes'), [{ labels: { policy: 'quota' }, value: 1000 }]);
  t.same(of('policy_quota_used_bytes'), [{ labels: { policy: 'quota' }, value: 10 }]);
  t.same(of('policy_throttled_bytes_total').slice(0, 2), [
    { labels: { policy: 'cap', direction: 'rx' }, value: 3 },
    { labels: { policy: 'cap', direction: 'tx' }, value: 4 },
  ]);
  t.same(of('policy_dropped_packets_total')[0], {
    labels: { policy: 'cap', direction: 'tx', reason: 'rate' },
    value: 5,
  });
  t.same(of('policy_actions_total'), [{ labels: { policy: 'quota', action: 'deny' }, value: 2 }]);
  t.equal(of('policy_errors_total')[0]?.value, 9);
  t.equal(of('history_rows_pruned_total')[0]?.value, 11);
});

t.test('comparison of content: counts where it is on, nothing where it is off', async (t) => {
  const fingerprints = {
    attached: true,
    pairs: 3,
    pairsWaiting: 1,
    receivedPieces: 50,
    sentPieces: 40,
    matchedPieces: 30,
    evictedPieces: 2,
    skippedBytes: 9,
  };
  const families = await write({ status: { fingerprints } });
  t.same(samples(families, 'relayledger_fingerprint_pairs'), [
    { labels: { state: 'compared' }, value: 3 },
    { labels: { state: 'waiting' }, value: 1 },
  ]);
  t.same(
    samples(families, 'relayledger_fingerprint_pieces_total').map(({ labels, value }) => [labels['what'], value]),
    [
      ['received', 50],
      ['sent', 40],
      ['matched', 30],
      ['evicted', 2],
    ],
  );
  t.same(samples(families, 'relayledger_fingerprint_skipped_bytes_total'), [{ labels: {}, value: 9 }]);
  t.notOk([...(await write()).keys()].some((name) => name.includes('fingerprint')));
});
