import { Agent } from '../e2e/agent.ts';
import type { Bench } from './bench.ts';
import { ratioSpread, spreadOf } from './statistics.ts';
import { formatNumber, formatRange, type Section } from './table.ts';

const WANTED_SECONDS = 1.5;

async function secondsOf<T>(work: () => Promise<T>): Promise<{ result: T; seconds: number }> {
  const begin = performance.now();
  const result = await work();
  return { result, seconds: (performance.now() - begin) / 1000 };
}

export async function measureStart(bench: Bench): Promise<Section> {
  const rounds = bench.quick ? 3 : 5;
  const fresh: number[] = [];
  const adopting: number[] = [];
  for (let round = 0; round < rounds; round++) {
    bench.progress(`start: round ${round + 1} of ${rounds}`);
    const { result, seconds } = await secondsOf(() => Agent.start({ interval: 1 }));
    await using agent = result;
    fresh.push(seconds);
    await agent.stop();
    adopting.push((await secondsOf(() => agent.start())).seconds);
    const { adopted } = await agent.status();
    if (!adopted) throw new Error('the second start did not adopt what the first one left in the kernel');
  }
  const spreads = { fresh: spreadOf(fresh), adopting: spreadOf(adopting) };
  const ratio = ratioSpread(adopting, fresh);
  const row = (name: string, spread: typeof ratio): string[] => [
    name,
    formatNumber(spread.median),
    formatRange(spread),
  ];
  return {
    title: 'Start to ready',
    notes: [`From spawn to the first 200 of /readyz, asked every 20 ms; ${rounds} rounds, each fresh, then adopting.`],
    columns: ['', 'median', 'min to max'],
    rows: [
      row('nothing in the kernel yet, s', spreads.fresh),
      row('adopting what an agent left there, s', spreads.adopting),
      row('adopting / fresh', ratio),
    ],
    verdicts: (['fresh', 'adopting'] as const).map((how) => ({
      what: `start to ready, ${how}`,
      wanted: `${WANTED_SECONDS} s or less`,
      measured: `${formatNumber(spreads[how].median)} s`,
      holds: spreads[how].median <= WANTED_SECONDS,
    })),
  };
}
