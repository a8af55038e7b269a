import t from 'tap';
import type { Sample } from '../../../api/cli/rates.ts';
import { defaultTopSort, rateHost, rateProcesses, sortForTop } from '../../../api/cli/rates.ts';
import { displayWidth } from '../../../api/cli/text.ts';
import { topLines } from '../../../api/cli/top-screen.ts';
import {
  makeBusyProcess,
  makeKernelRow,
  makePayload,
  makeProcess,
  makeRelay,
  makeStatus,
  makeWire,
} from '../readings.ts';

const start = Date.parse('2026-11-22T06:00:00.000Z');

function makeMoving(pid: number, receivedBytes: number, sentBytes: number, override = {}) {
  const wire = makeWire({ receivedBytes, sentBytes });
  return makeProcess({ pid, traffic: { wire, payload: makePayload() }, ...override });
}

function makeSample(override: Partial<Sample> = {}): Sample {
  return { atMilliseconds: start, processes: [], status: makeStatus(), ...override };
}

t.test('a rate is the difference of the wire bytes over the time', async (t) => {
  const before = makeSample({ processes: [makeMoving(1, 1000, 500), makeMoving(2, 7, 7)] });
  const after = makeSample({
    atMilliseconds: start + 2000,
    processes: [makeMoving(1, 5000, 500), makeMoving(2, 7, 9)],
  });
  t.match(rateProcesses(before, after), [
    { pid: 1, rates: { rxBytesPerSecond: 2000, txBytesPerSecond: 0 } },
    { pid: 2, rates: { rxBytesPerSecond: 0, txBytesPerSecond: 1 } },
  ]);
});

t.test(
  'what started since counts from zero, what was found late does not, and a pid used again is a new process',
  async (t) => {
    const before = makeSample({ processes: [makeMoving(1, 9000, 9000)] });
    const after = makeSample({
      atMilliseconds: start + 1000,
      processes: [
        makeMoving(1, 100, 0, { startedAt: '2026-11-22T06:00:00.500Z' }),
        makeMoving(2, 300, 0, { startedAt: '2026-11-22T06:00:00.900Z' }),
        makeMoving(3, 4000, 0, { startedAt: '2026-11-22T01:00:00.000Z' }),
      ],
    });
    t.strictSame(
      rateProcesses(before, after).map(({ rates }) => rates.rxBytesPerSecond),
      [100, 300, 0],
    );
  },
);

t.test('no time passed, or counters that began anew, give zero and not nonsense', async (t) => {
  const before = makeSample({ processes: [makeMoving(1, 1000, 1000)] });
  const same = makeSample({ processes: [makeMoving(1, 2000, 2000)] });
  const less = makeSample({ atMilliseconds: start + 1000, processes: [makeMoving(1, 5, 5)] });
  for (const after of [same, less]) {
    t.match(rateProcesses(before, after), [{ rates: { rxBytesPerSecond: 0, txBytesPerSecond: 0 } }]);
  }
});

t.test('the relayed rate is what moved since, not what a verdict billed of the past', async (t) => {
  const relaying = (bytes: number, wire: number, override = {}) =>
    makeMoving(1, wire, wire, { relay: makeRelay({ receivedBytes: bytes, sentBytes: bytes }), ...override });
  const started = { startedAt: '2026-11-22T06:00:00.500Z' };
  const cases: [string, Sample['processes'], Sample['processes'], number][] = [
    ['steady', [relaying(100, 200)], [relaying(300, 500)], 200],
    ['a first bill over all that went before', [relaying(0, 9000)], [relaying(9000, 9100)], 100],
    ['all of it in this interval', [], [relaying(50, 60, started)], 50],
    ['found late', [], [relaying(50, 60)], 0],
    ['silence', [relaying(100, 200)], [relaying(100, 200)], 0],
  ];
  for (const [name, before, after, expected] of cases) {
    const [rated] = rateProcesses(
      makeSample({ processes: before }),
      makeSample({ atMilliseconds: start + 2000, processes: after }),
    );
    t.equal(rated?.rates.relayedBytesPerSecond, expected, name);
  }
});

t.test('relayed bytes are the order once anybody relays, and rates until then', async (t) => {
  const idle = makeBusyProcess(1, { received: 9 });
  const relaying = makeBusyProcess(2, { relayed: 1 });
  t.equal(defaultTopSort([]), 'rate');
  t.equal(defaultTopSort([idle]), 'rate');
  t.equal(defaultTopSort([idle, relaying]), 'relayed');
  const view = { before: makeSample(), sort: undefined, now: new Date(start), trouble: undefined };
  const shown = (processes: Sample['processes'], sort?: 'name') =>
    topLines({ ...view, after: makeSample({ processes }), sort }, undefined);
  t.match(shown([idle])[0], /sorted by rate$/);
  const [head, , columns, first] = shown([idle, relaying]);
  t.match(head, /sorted by relayed$/);
  t.match(columns, /^PID +USER +NAME +APP +RX\/s +TX\/s +RX +TX +RELAYED\/s +RELAYED +VERDICT +ROLE +COMMAND$/);
  t.match(first, /^ {2}2 .* 0 B\/s +2 B +none +- +socat/);
  t.match(shown([idle, relaying], 'name')[0], /sorted by name$/, 'a chosen order stays');
  const narrow = topLines({ ...view, after: makeSample({ processes: [relaying] }) }, { columns: 80, rows: 24 });
  t.match(narrow[2], /RELAYED\/s +RELAYED /);
});

t.test('the host is processes and kernel together, ended ones included', async (t) => {
  const books = (rx: number, tx: number) =>
    makeStatus({
      reconciliation: [
        { direction: 'rx', interfacesBytes: 0, processesBytes: rx, kernelBytes: 10, errorBytes: 0 },
        { direction: 'tx', interfacesBytes: 0, processesBytes: tx, kernelBytes: 20, errorBytes: 0 },
      ],
    });
  const before = makeSample({ status: books(1000, 2000) });
  const after = makeSample({ atMilliseconds: start + 1000, status: books(1600, 2050) });
  t.strictSame(rateHost(before, after), { rxBytesPerSecond: 600, txBytesPerSecond: 50 });
});

t.test('each order of top', async (t) => {
  const before = makeSample({
    processes: [
      makeBusyProcess(
        1,
        {},
        { name: 'b', traffic: { wire: makeWire({ receivedBytes: 900, sentBytes: 0 }), payload: makePayload() } },
      ),
      makeBusyProcess(
        2,
        { relayed: 5 },
        { name: 'c', traffic: { wire: makeWire({ receivedBytes: 0, sentBytes: 800 }), payload: makePayload() } },
      ),
      makeBusyProcess(
        3,
        {},
        { name: 'a', traffic: { wire: makeWire({ receivedBytes: 10, sentBytes: 10 }), payload: makePayload() } },
      ),
    ],
  });
  const after = makeSample({
    atMilliseconds: start + 1000,
    processes: before.processes.map((process) =>
      process.pid === 3
        ? { ...process, traffic: { ...process.traffic, wire: makeWire({ receivedBytes: 500, sentBytes: 10 }) } }
        : process,
    ),
  });
  const rated = rateProcesses(before, after);
  const order = (sort: Parameters<typeof sortForTop>[1]) => sortForTop(rated, sort).map(({ pid }) => pid);
  t.strictSame(order('rate'), [3, 1, 2]);
  t.strictSame(order('relayed'), [2, 3, 1]);
  t.strictSame(order('received'), [1, 3, 2]);
  t.strictSame(order('sent'), [2, 3, 1]);
  t.strictSame(order('name'), [3, 1, 2]);
});

t.test('the screen fits the terminal and says what was lost and what went wrong', async (t) => {
  const processes = [makeKernelRow(), ...Array.from({ length: 40 }, (_, pid) => makeMoving(pid + 1, 1, 1))];
  const status = makeStatus({ lost: [{ reason: 'ring-full', count: 12_345 }] });
  const before = makeSample({ processes, status });
  const view = { before, after: before, sort: 'rate' as const, now: new Date(start), trouble: 'no \x1b answer' };
  for (const [columns, rows] of [
    [80, 24],
    [132, 50],
    [30, 5],
    [10, 2],
  ] as const) {
    const lines = topLines(view, { columns, rows });
    t.ok(lines.length <= rows, `${columns}x${rows}`);
    for (const line of lines) t.ok(displayWidth(line) <= columns, line);
  }
  const wide = topLines(view, undefined);
  t.match(wide[0], /rx 0 B\/s {2}tx 0 B\/s {2}3 processes, 1 ended {2}sorted by rate/);
  t.equal(wide[1], 'LOST: 12,345 ring-full');
  t.equal(wide[2], 'no \\x1b answer');
  t.equal(wide.length, 5 + processes.length);
  const healthy = topLines({ ...view, after: makeSample(), trouble: undefined }, undefined);
  t.notMatch(healthy.join('\n'), /LOST/);
});
