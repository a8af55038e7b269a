import t from 'tap';
import { ageDistribution, auc, isPeriodic, percentileMs } from '../../../agent/relay/lag.ts';
import { BURST, histogram, LATE, PACED, SOON } from './make-evidence.ts';

t.test('the age at a random time follows from the gaps: short of a gap in proportion to its length', async (t) => {
  const ages = ageDistribution(histogram({ [PACED]: 10 }));
  t.equal(ages?.[PACED], 1, 'never older than the only gap');
  t.equal(ages?.[PACED - 1], 0.5, 'half the time younger than half of it');
  t.ok((ages?.[SOON] ?? 1) < 0.01);
  t.equal(ageDistribution(histogram()), null, 'nothing to compare with');
});

t.test('the area under the curve tells sends that follow from those that come at random', async (t) => {
  const ages = ageDistribution(histogram({ [PACED]: 100 }));
  const cases: [string, number[], number, number][] = [
    ['right after the receive', histogram({ [SOON]: 50 }), 0.98, 1],
    ['in the middle of the gap', histogram({ [PACED - 1]: 50 }), 0.49, 0.51],
    ['at its end', histogram({ [PACED]: 50 }), 0, 0.01],
    ['never', histogram(), 0.5, 0.5],
  ];
  for (const [what, lags, low, high] of cases) {
    const value = auc(ages, lags);
    t.ok(value >= low && value <= high, `${what}: ${value}`);
  }
  t.equal(auc(null, histogram({ [SOON]: 1 })), 0.75, 'one receive only');
});

t.test('a percentile is the bucket that holds it', async (t) => {
  const lags = histogram({ [SOON]: 70, [PACED]: 30 });
  t.ok(percentileMs(lags, 0.5) < 0.2);
  t.ok(percentileMs(lags, 0.75) > 20);
});

t.test('constant pace', async (t) => {
  const cases: [string, Record<number, number>, boolean][] = [
    ['one bucket', { [PACED]: 20 }, true],
    ['two neighbours', { [PACED]: 10, [PACED + 1]: 10 }, true],
    ['packets of one burst do not count', { [SOON]: 500, [PACED]: 20 }, true],
    ['two paces', { [PACED]: 10, [LATE]: 10 }, false],
    ['spread out', { [BURST]: 5, [PACED]: 5, [LATE]: 5 }, false],
    ['too few to tell', { [PACED]: 5 }, false],
    ['none', {}, false],
  ];
  for (const [what, gaps, expected] of cases) t.equal(isPeriodic(histogram(gaps)), expected, what);
});
