import t from 'tap';
import { agreementByChance, chiSquareBelow, variety } from '../../../agent/relay/sizes.ts';

const CLASSES = 16;

/** Counts of `n` sizes from a generator of our own: a test that draws anew each time fails one day. */
function draw(n: number, seed: number): number[] {
  const counts = new Array<number>(CLASSES).fill(0);
  let state = seed;
  for (let i = 0; i < n; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const index = state >>> 28;
    counts[index] = (counts[index] ?? 0) + 1;
  }
  return counts;
}

t.test('the chi-square distribution', async (t) => {
  for (const [x, degrees, below] of [
    [0.0158, 1, 0.1],
    [3.841, 1, 0.95],
    [1.386, 2, 0.5],
    [3.483, 15, 0.001],
    [14.339, 15, 0.5],
    [37.697, 15, 0.999],
  ] as const) {
    t.ok(Math.abs(chiSquareBelow(x, degrees) - below) < 1e-3, `${x} of ${degrees} degrees of freedom`);
  }
  t.equal(chiSquareBelow(1e6, 15), 1);
  t.equal(chiSquareBelow(0, 15), 0);
  t.equal(chiSquareBelow(0, 0), 1, 'one size says nothing');
});

t.test('two calls of one codec agree as two calls of one codec do, however long they last', async (t) => {
  for (const n of [200, 2_000, 20_000]) {
    for (let seed = 1; seed <= 50; seed++) {
      const chance = agreementByChance(draw(n, seed), draw(n, seed + 1_000));
      t.ok(chance > 1e-3, `${n} packets, ${chance}`);
    }
  }
});

t.test('what is passed on agrees better, though some is still held', async (t) => {
  t.ok(agreementByChance(draw(150, 7), draw(135, 7)) < 1e-3);
  t.ok(agreementByChance(draw(2_000, 7), draw(1_970, 7)) < 1e-9);
  t.ok(agreementByChance(draw(2_000, 7), draw(1_600, 7)) < 1e-3);
});

t.test('nothing known agrees with anything', async (t) => {
  t.equal(agreementByChance([], []), 1);
  t.equal(agreementByChance([5, 0], [0, 0]), 1);
});

t.test('variety is how many equally frequent sizes there might be', async (t) => {
  t.equal(variety([10, 10, 10, 10]), 4);
  t.equal(variety([40, 0, 0, 0]), 1);
  t.equal(variety([]), 0);
});
