import t from 'tap';
import { sparing } from '../../agent/sparing.ts';

t.test('work is left out until it has taken no more than its share', async (t) => {
  let [now, used, runs] = [1000, 0, 0];
  const settle = sparing(
    () => {
      runs++;
      used += 30;
    },
    { share: 0.01, nowMs: () => now, cpuMs: () => used },
  );
  const runsBy = (ms: number): number => {
    now = ms;
    settle();
    return runs;
  };
  t.equal(runsBy(1000), 1);
  t.equal(runsBy(2000), 1);
  t.equal(runsBy(3999), 1);
  t.equal(runsBy(4000), 2, '30 ms are a hundredth of 3 s');
});

t.test('work that costs next to nothing is never left out', async (t) => {
  let runs = 0;
  const settle = sparing(() => runs++, { share: 0.01, nowMs: () => 0, cpuMs: () => 0 });
  for (let i = 0; i < 3; i++) settle();
  t.equal(runs, 3);
});
