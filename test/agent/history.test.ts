import { DatabaseSync } from 'node:sqlite';
import t from 'tap';
import { type Counters, makeCounters, PAYLOAD, relayedAt, SHARES } from '../../agent/counters.ts';
import { HistoryRecords } from '../../agent/history.ts';

const NOW = Date.UTC(2026, 10, 22, 5, 0, 30);
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

function delta(wireRx: number, payloadTx = 0, relayedTx = 0): Counters {
  const counters = makeCounters([wireRx]);
  counters[PAYLOAD + SHARES] = payloadTx;
  counters[relayedAt('third-party') + 1] = relayedTx;
  return counters;
}

function flush(history: HistoryRecords, nowMs = NOW): void {
  history.write();
  history.written();
  history.prune(nowMs);
}

t.test('what an app moved stands in its minute and its hour, also before it is on disk', async (t) => {
  const history = new HistoryRecords(new DatabaseSync(':memory:'));
  history.add('socat', delta(100, 20, 7), NOW);
  history.add('socat', delta(1), NOW + 29_000);
  const read = (): unknown =>
    history.read({ app: 'socat', fromMs: NOW - MINUTE, toMs: NOW + MINUTE, stepSeconds: 60 }, NOW).series;
  const nothing = { receivedBytes: 0, sentBytes: 0 };
  const expected = [
    {
      app: 'socat',
      points: [
        { at: '2026-11-22T04:59:00.000Z', wire: nothing, payload: nothing, relayed: nothing },
        {
          at: '2026-11-22T05:00:00.000Z',
          wire: { receivedBytes: 101, sentBytes: 0 },
          payload: { receivedBytes: 0, sentBytes: 20 },
          relayed: { receivedBytes: 0, sentBytes: 7 },
        },
        { at: '2026-11-22T05:01:00.000Z', wire: nothing, payload: nothing, relayed: nothing },
      ],
    },
  ];
  t.same(read(), expected);
  flush(history);
  t.same(read(), expected);
  history.add('socat', delta(1000), NOW + 40_000);
  flush(history);
  const hour = history.read({ app: 'socat', fromMs: NOW, toMs: NOW + 1, stepSeconds: 3600 }, NOW);
  t.match(hour, { from: '2026-11-22T05:00:00.000Z', to: '2026-11-22T06:00:00.000Z', stepSeconds: 3600 });
  t.match(hour.series, [{ points: [{ wire: { receivedBytes: 1101 } }] }]);
});

t.test('a transaction that is rolled back loses nothing and doubles nothing', async (t) => {
  const db = new DatabaseSync(':memory:');
  const history = new HistoryRecords(db);
  history.add('socat', delta(100), NOW);
  db.exec('BEGIN');
  history.write();
  db.exec('ROLLBACK');
  flush(history);
  flush(history);
  t.match(history.read({ app: 'socat', toMs: NOW }, NOW).series[0]?.points.at(-1), { wire: { receivedBytes: 100 } });
});

t.test('without an app every app that moved anything is there, by name', async (t) => {
  const history = new HistoryRecords(new DatabaseSync(':memory:'));
  history.add('socat', delta(1), NOW);
  history.add('curl', delta(2), NOW);
  history.add('idle', delta(0), NOW);
  flush(history);
  t.same(
    history.read({}, NOW).series.map(({ app }) => app),
    ['curl', 'socat'],
  );
  t.match(history.read({ app: 'nobody' }, NOW).series, [{ app: 'nobody', points: [] }]);
});

t.test('steps are multiples of a minute, their sums equal what was moved', async (t) => {
  const history = new HistoryRecords(new DatabaseSync(':memory:'));
  for (let i = 0; i < 300; i++) history.add('socat', delta(1), NOW - i * MINUTE);
  flush(history);
  for (const stepSeconds of [60, 300, 420, 3600, 7200, 86_400]) {
    const { series } = history.read({ app: 'socat', fromMs: NOW - DAY, toMs: NOW, stepSeconds }, NOW);
    const sum = (series[0]?.points ?? []).reduce((total, { wire }) => total + wire.receivedBytes, 0);
    t.equal(sum, 300, `${stepSeconds}`);
  }
});

t.test('minutes go after two days, hours after 400', async (t) => {
  const history = new HistoryRecords(new DatabaseSync(':memory:'));
  for (const age of [0, DAY, 3 * DAY, 399 * DAY, 401 * DAY]) history.add('socat', delta(1), NOW - age);
  flush(history);
  t.equal(history.read({ stepSeconds: 3600, fromMs: NOW - 500 * DAY }, NOW).since, '2025-10-19T05:00:00.000Z');
  t.equal(history.read({}, NOW).since, '2026-11-21T05:00:00.000Z');
});

t.test('a range that can’t be answered is refused with the parameter that is wrong', async (t) => {
  const history = new HistoryRecords(new DatabaseSync(':memory:'));
  const cases: [title: string, query: Parameters<HistoryRecords['read']>[0], name: string][] = [
    ['nothing', { fromMs: NOW, toMs: NOW }, 'from'],
    ['backwards', { fromMs: NOW + 1, toMs: NOW }, 'from'],
    ['half a minute', { stepSeconds: 30 }, 'step'],
    ['no multiple', { stepSeconds: 90 }, 'step'],
    ['minutes of last year', { fromMs: NOW - 300 * DAY, toMs: NOW - 200 * DAY, stepSeconds: 60 }, 'step'],
    ['a million steps', { fromMs: 0, toMs: NOW, stepSeconds: 60 }, 'step'],
  ];
  for (const [title, query, name] of cases) {
    t.throws(() => history.read(query, NOW), { code: 'HISTORY_RANGE_INVALID', faults: [{ in: 'query', name }] }, title);
  }
});
