import t from 'tap';
import { median, medianInterval } from './statistics.ts';

t.test('the interval of a median lies around it, and narrows with the values', async (t) => {
  const around = (count: number): number[] => Array.from({ length: count }, (_, i) => 1 + ((i * 7) % 11) / 100 - 0.05);
  const few = medianInterval(around(11));
  const many = medianInterval(around(1100));
  for (const [values, { low, high }] of [[around(11), few] as const, [around(1100), many] as const]) {
    t.ok(low <= median(values) && median(values) <= high);
    t.ok(low >= Math.min(...values) && high <= Math.max(...values));
  }
  t.ok(many.high - many.low < few.high - few.low);
  t.same(medianInterval([0.97, 0.97, 0.97]), { low: 0.97, high: 0.97 });
  t.same(medianInterval(around(11)), few, 'the same values give the same interval');
});
