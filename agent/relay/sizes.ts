/*
 * Are the datagrams that were sent those that were received? Counts by size of two independent streams differ by chance
 * at least, however alike the streams are: two calls of one codec agree ever better in shares, never in numbers. Those
 * of a relay differ only by what it still holds.
 */

/** How likely counts of two independent streams of like sizes agree as well as these, 0 to 1; 1 where nothing is known. */
export function agreementByChance(received: readonly number[], sent: readonly number[]): number {
  const receives = sum(received);
  const sends = sum(sent);
  if (receives === 0 || sends === 0) return 1;
  const more = Math.sqrt(receives / sends);
  let distance = 0;
  let classes = 0;
  for (const [index, count] of received.entries()) {
    const other = sent[index] ?? 0;
    if (count + other === 0) continue;
    classes++;
    distance += (count / more - other * more) ** 2 / (count + other);
  }
  return chiSquareBelow(distance, classes - 1);
}

/** Of how many sizes equally frequent ones would have as much variety: few may repeat in a pattern, not by chance. */
export function variety(counts: readonly number[]): number {
  const squares = counts.reduce((total, count) => total + count * count, 0);
  return squares === 0 ? 0 : sum(counts) ** 2 / squares;
}

/** P(X <= x) of a chi-square distribution: the series of the lower incomplete gamma function. */
export function chiSquareBelow(x: number, degrees: number): number {
  if (degrees <= 0) return 1;
  if (x <= 0) return 0;
  const a = degrees / 2;
  const half = x / 2;
  // Far above the mean the series is long, and the answer is known.
  if (half > a + 20 * Math.sqrt(a) + 20) return 1;
  let term = 1 / a;
  let series = term;
  for (let n = 1; term > series * 1e-12; n++) {
    term *= half / (a + n);
    series += term;
  }
  return Math.min(1, series * Math.exp(a * Math.log(half) - half - logGamma(a)));
}

/** ln Gamma of a multiple of one half. */
function logGamma(a: number): number {
  let result = Number.isInteger(a) ? 0 : Math.log(Math.PI) / 2;
  for (let x = Number.isInteger(a) ? 1 : 0.5; x < a; x++) result += Math.log(x);
  return result;
}

function sum(counts: readonly number[]): number {
  return counts.reduce((total, count) => total + count, 0);
}
