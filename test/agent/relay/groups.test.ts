import t from 'tap';
import type { Evidence } from '../../../agent/relay/evidence.ts';
import { type Exchange, edgesOf, exchanges, isStale, pool } from '../../../agent/relay/groups.ts';
import { histogram, LATE, makeEvidence, makeFlow, makePair, SOON } from './make-evidence.ts';

function exchangesIn(evidence: Evidence, withStale = true): Exchange[] {
  return exchanges(edgesOf(evidence).filter((edge) => withStale || !isStale(edge)));
}

function shapes(evidence: Evidence, withStale = true): string[][] {
  return exchangesIn(evidence, withStale).map((exchange) =>
    exchange.map(({ sources, destinations }) => {
      const ids = (flows: readonly { id: string }[]): string => flows.map(({ id }) => id).join('+');
      return `${ids(sources)}>${ids(destinations)}`;
    }),
  );
}

t.test('what belongs together', async (t) => {
  const [a, b, c, d] = [makeFlow('1'), makeFlow('2'), makeFlow('3'), makeFlow('4')];
  const all = [a, b, c, d];
  const cases: [string, Evidence, string[][]][] = [
    ['there and back', makeEvidence(all, [makePair('1', '2'), makePair('2', '1')]), [['1>2', '2>1']]],
    ['two of them', makeEvidence(all, [makePair('1', '2'), makePair('3', '4')]), [['1>2'], ['3>4']]],
    ['many to one', makeEvidence(all, [makePair('1', '4'), makePair('2', '4'), makePair('3', '4')]), [['1+2+3>4']]],
    ['one to many', makeEvidence(all, [makePair('1', '2'), makePair('1', '3')]), [['1>2+3']]],
    ['a pair that carries nothing', makeEvidence(all, [makePair('1', '2', { moved: 0 })]), []],
    ['a pair that matters to neither', makeEvidence(all, [makePair('1', '2', { moved: 4_000 })]), []],
    [
      'a pair that matters to one',
      makeEvidence([a, makeFlow('2', { sent: 10_000_000 })], [makePair('1', '2', { moved: 6_000 })]),
      [['1>2']],
    ],
    ['copies count', makeEvidence(all, [makePair('1', '2', { moved: 0, copied: 90_000 })]), [['1>2']]],
    [
      'among connections of one host',
      makeEvidence([makeFlow('1', { host: 'x' }), makeFlow('2', { host: 'x' })], [makePair('1', '2')]),
      [],
    ],
    ['a flow that is not known', makeEvidence([a], [makePair('1', '2')]), []],
  ];
  for (const [what, evidence, expected] of cases) t.same(shapes(evidence), expected, what);
});

t.test('credit that happened to lie there joins nothing in the second look, unless it pays for most', async (t) => {
  const flows = [makeFlow('1'), makeFlow('2'), makeFlow('3')];
  const stale = { moved: 20_000, lags: histogram({ [LATE]: 20 }), moves: 20 };
  const evidence = makeEvidence(flows, [makePair('1', '2'), makePair('3', '2', stale)]);
  t.same(shapes(evidence), [['1+3>2']]);
  t.same(shapes(evidence, false), [['1>2']]);
  const held = makeEvidence(flows, [makePair('3', '2', { ...stale, moved: 90_000 })]);
  t.same(shapes(held, false), [['3>2']]);
});

t.test('shares are over all sources and all destinations', async (t) => {
  const flows = [
    makeFlow('1', { received: 60_000 }),
    makeFlow('2', { received: 40_000 }),
    makeFlow('3', { sent: 105_000 }),
  ];
  const pairs = [makePair('1', '3', { moved: 60_000 }), makePair('2', '3', { moved: 40_000 })];
  const [[direction] = []] = exchangesIn(makeEvidence(flows, pairs));
  t.match(direction, {
    received: 100_000,
    sent: 105_000,
    moved: 100_000,
    receivedShare: 1,
    events: 200,
    sameRunShare: 1,
  });
  t.equal(direction?.conservation.toFixed(3), '0.952');
});

t.test('more going out than came in is not conserved either', async (t) => {
  const flows = [makeFlow('1', { received: 40_000 }), makeFlow('2')];
  const [[direction] = []] = exchangesIn(makeEvidence(flows, [makePair('1', '2')]));
  t.equal(direction?.conservation, 0.4);
});

t.test('a pool: what one connection lacks does not make up for what another has too much', async (t) => {
  const flows = [
    makeFlow('1', { received: 50_000 }),
    makeFlow('2'),
    makeFlow('3', { received: 150_000 }),
    makeFlow('4'),
  ];
  const parts = exchangesIn(makeEvidence(flows, [makePair('1', '2'), makePair('3', '4')])).flat();
  const pooled = pool(parts);
  t.equal(pooled.received, pooled.sent);
  t.ok(pooled.conservation < 0.7);
});

t.test('a pool: connections that are over in a burst have the pace at which they come', async (t) => {
  const short = { received: 600, sent: 600, receives: 2, sends: 1, gaps: histogram({ 2: 1 }) };
  const poolOf = (lags: readonly number[], firstMs: (index: number) => number): number => {
    const flows = Array.from({ length: 40 }, (_, i) => makeFlow(`${i}`, { ...short, firstMs: firstMs(i) }));
    const pairs = flows.flatMap(({ id }, i) =>
      i % 2 ? [] : [makePair(id, `${i + 1}`, { moved: 600, moves: 1, lags })],
    );
    return pool(exchangesIn(makeEvidence(flows, pairs)).flat()).auc;
  };
  const soon = histogram({ 3: 1 });
  t.ok(poolOf(soon, (i) => 10 * i) > 0.99, 'sent within microseconds, where one comes every 10 ms');
  t.ok(poolOf(histogram({ 13: 1 }), (i) => 10 * i) < 0.6, 'sent when any other may have come');
  t.ok(poolOf(soon, () => 0) < 0.6, 'all at once: no pace');
});

t.test('sizes that follow', async (t) => {
  const sums = { count: 0, x: 0, y: 0, xx: 0, yy: 0, xy: 0 };
  for (let x = 10; x < 200; x += 10) {
    const y = x + 36;
    sums.count++;
    sums.x += x;
    sums.y += y;
    sums.xx += x * x;
    sums.yy += y * y;
    sums.xy += x * y;
  }
  const flows = [makeFlow('1'), makeFlow('2')];
  const sizesOf = (sizes: typeof sums): unknown =>
    exchangesIn(makeEvidence(flows, [makePair('1', '2', { sizes })]))[0]?.[0]?.sizes;
  t.match(sizesOf(sums), { slope: 1, correlation: 1 });
  t.equal(sizesOf({ count: 19, x: 1900, y: 1900, xx: 190_000, yy: 190_000, xy: 190_000 }), null, 'one size');
  t.equal(sizesOf({ count: 7, x: 1, y: 1, xx: 700, yy: 700, xy: 700 }), null, 'too few');
});

t.test('constant pace is that of all sources together', async (t) => {
  const gaps = histogram({ [SOON + 8]: 4 });
  const flows = [makeFlow('1', { gaps }), makeFlow('2', { gaps }), makeFlow('3')];
  const [[direction] = []] = exchangesIn(makeEvidence(flows, [makePair('1', '3'), makePair('2', '3')]));
  t.equal(direction?.periodic, true);
});
