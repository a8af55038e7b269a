import t from 'tap';
import {
  formatBytes,
  formatCount,
  formatEndpoint,
  formatPercent,
  formatRate,
  formatShare,
  formatStarted,
} from '../../../api/cli/format.ts';

t.test('sizes are in units of 1000 with three digits', async (t) => {
  const cases: [number, string][] = [
    [0, '0 B'],
    [1, '1 B'],
    [999, '999 B'],
    [1000, '1.00 kB'],
    [1234, '1.23 kB'],
    [9994, '9.99 kB'],
    [9995, '10.0 kB'],
    [9996, '10.0 kB'],
    [12_345, '12.3 kB'],
    [99_949, '99.9 kB'],
    [99_951, '100 kB'],
    [123_456, '123 kB'],
    [999_499, '999 kB'],
    [999_500, '1.00 MB'],
    [1_000_000, '1.00 MB'],
    [1_500_000_000, '1.50 GB'],
    [2 ** 53 - 1, '9.01 PB'],
    [-1234, '-1.23 kB'],
  ];
  for (const [bytes, expected] of cases) t.equal(formatBytes(bytes), expected, String(bytes));
  for (let bytes = 1; bytes < 2 ** 53; bytes *= 1.37) {
    t.ok(formatBytes(Math.round(bytes)).length <= 7, `${bytes} takes at most seven columns`);
  }
});

t.test('rates, counts and shares', async (t) => {
  t.equal(formatRate(0.4), '0 B/s');
  t.equal(formatRate(1234.5), '1.24 kB/s');
  t.equal(formatCount(0), '0');
  t.equal(formatCount(999), '999');
  t.equal(formatCount(1234567), '1,234,567');
  t.equal(formatShare(0, 0), '0 %');
  t.equal(formatShare(0, 5), '0 %');
  t.equal(formatShare(1, 8), '13 %');
  t.equal(formatShare(1, 100_000), '0.001 %');
  t.equal(formatShare(5, 5), '100 %');
});

t.test('a percentage never says all where it is not all', async (t) => {
  const cases: [number, string][] = [
    [0, '0 %'],
    [0.29, '29 %'],
    [0.57, '57 %'],
    [0.98, '98 %'],
    [0.999, '99.9 %'],
    [0.99999, '99.9 %'],
    [1, '100 %'],
  ];
  for (const [share, expected] of cases) t.equal(formatPercent(share), expected, String(share));
});

t.test('a start is a time of day today and a date before', async (t) => {
  const now = new Date(2026, 10, 22, 12, 0, 0);
  t.equal(formatStarted(new Date(2026, 10, 22, 5, 4, 3).toISOString(), now), '05:04:03');
  t.equal(formatStarted(new Date(2026, 10, 21, 23, 59, 59).toISOString(), now), '2026-11-21');
  t.equal(formatStarted('nonsense', now), '-');
});

t.test('endpoints are written as ss writes them', async (t) => {
  t.equal(formatEndpoint('10.0.0.1', 80), '10.0.0.1:80');
  t.equal(formatEndpoint('0.0.0.0', 0), '0.0.0.0:*');
  t.equal(formatEndpoint('::1', 80), '[::1]:80');
  t.equal(formatEndpoint('::', null), '[::]:*');
  t.equal(formatEndpoint('', null), '*:*');
});
