/**
 * Runs programs that relay and programs that don't, with known truth, before a live agent, and says what it found: `npm
 * run bench:relays`. Never fails for a bad figure, only where it can't measure.
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { loadavg, release, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { Agent } from '../../e2e/agent.ts';
import { atEnd } from '../../e2e/at-end.ts';
import { renderTable, renderVerdicts } from '../table.ts';
import { runCorpus } from './corpus.ts';
import { generatedRelays } from './generated-relays.ts';
import { nonRelays } from './non-relays.ts';
import { packagedRelays } from './packaged-relays.ts';
import { RESULT_COLUMNS, renderEvidence, renderResult, renderScores } from './report.ts';
import { type Result, runScenario } from './run-scenario.ts';
import type { Scenario } from './scenario.ts';
import { judge } from './score.ts';
import { Watcher } from './watch.ts';

const SCENARIOS: readonly Scenario[] = [...packagedRelays, ...generatedRelays, ...nonRelays];
const DEFAULT_CORPUS = join(import.meta.dirname, '../../../../shared/corpus');
/** Scenarios that have not begun by then are left out, and it is said. */
const LATEST_START_MS = 335_000;

const USAGE = `Usage: npm run bench:relays -- [options]

  --only NAME      this scenario; may be given several times
  --list           the names
  --at-once N      so many scenarios at the same time (default 2)
  --corpus DIR     scores this corpus too (default ${DEFAULT_CORPUS} where it is there)
  --no-corpus      only our own scenarios`;

interface Options {
  scenarios: Scenario[];
  atOnce: number;
  corpus: string | undefined;
}

/** undefined where help or the list was asked for and given. */
function readOptions(): Options | undefined {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', multiple: true },
      list: { type: 'boolean', default: false },
      'at-once': { type: 'string', default: '2' },
      corpus: { type: 'string' },
      'no-corpus': { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return undefined;
  }
  if (values.list) {
    for (const { name, relays } of SCENARIOS) console.log(`${name.padEnd(24)} ${relays ? 'relays' : 'does not'}`);
    return undefined;
  }
  const { only } = values;
  const unknown = only?.find((name) => !SCENARIOS.some((scenario) => scenario.name === name));
  if (unknown !== undefined) throw new Error(`there is no scenario ${unknown}; --list names them`);
  const atOnce = Number(values['at-once']);
  if (!Number.isInteger(atOnce) || atOnce < 1) throw new Error('--at-once takes a number');
  const corpus = values.corpus ?? (only === undefined && existsSync(DEFAULT_CORPUS) ? DEFAULT_CORPUS : undefined);
  if (values.corpus !== undefined && !existsSync(values.corpus)) throw new Error(`there is no ${values.corpus}`);
  return {
    scenarios: SCENARIOS.filter(({ name }) => only === undefined || only.includes(name)),
    atOnce,
    corpus: values['no-corpus'] || corpus === undefined ? undefined : resolve(corpus),
  };
}

async function run({ scenarios, atOnce, corpus }: Options): Promise<void> {
  if (process.getuid?.() !== 0) throw new Error('this needs root: it loads programs and makes network namespaces');
  const begin = performance.now();
  const progress = (text: string): void =>
    console.error(`bench: ${Math.round((performance.now() - begin) / 1000)} s`.padEnd(15) + text);
  const folder = mkdtempSync(join(tmpdir(), 'relayledger-bench-relays-'));
  atEnd(() => rmSync(folder, { recursive: true, force: true }));
  const load = (): string =>
    `load average ${loadavg()
      .map((one) => one.toFixed(2))
      .join(' ')}`;
  console.log(`${new Date().toISOString()}, kernel ${release()}, Node ${process.version}, ${load()}`);

  await using agent = await Agent.start({ interval: 1 });
  await using watcher = new Watcher(agent);
  const results: Result[] = [];
  const notRun: string[] = [];
  const waiting = [...scenarios];
  const lane = async (): Promise<void> => {
    for (let scenario = waiting.shift(); scenario !== undefined; scenario = waiting.shift()) {
      if (performance.now() - begin > LATEST_START_MS) {
        notRun.push(`${scenario.name}: no time was left`);
        continue;
      }
      try {
        const result = await runScenario(scenario, agent, watcher, folder);
        results.push(result);
        progress(`${scenario.name}: ${result.agent.verdict}`);
      } catch (error) {
        notRun.push(`${scenario.name}: ${(error as Error).message}`);
        progress(`${scenario.name} could not be run: ${(error as Error).message}`);
      }
    }
  };
  await Promise.all(Array.from({ length: atOnce }, lane));

  const order = (result: Result): number => SCENARIOS.indexOf(result.scenario);
  results.sort((a, b) => order(a) - order(b));
  console.log(`\n${renderTable(RESULT_COLUMNS, results.map(renderResult))}`);
  for (const line of notRun) console.log(`not run: ${line}`);
  for (const { scenario, strays } of results) {
    if (strays.length > 0) console.log(`${scenario.name}: flagged beside what is under test: ${strays.join(', ')}`);
  }
  const evidence = results.flatMap(renderEvidence);
  if (evidence.length > 0) console.log(`\nWhat the agent says for verdicts that are wrong:\n${evidence.join('\n')}`);
  console.log(`\n${renderScores(results)}`);
  console.log(`\n${renderVerdicts(judge(results))}`);
  if (watcher.failures > 0) console.log(`${watcher.failures} questions to the agent were not answered`);
  console.log(`\nown scenarios ended after ${Math.round((performance.now() - begin) / 1000)} s, ${load()}`);
  if (results.length === 0) throw new Error('no scenario could be run');
  if (corpus !== undefined) console.log(`\ncorpus: ${await runCorpus(corpus, agent, progress)}`);
}

try {
  const options = readOptions();
  if (options !== undefined) await run(options);
} catch (error) {
  console.error(`bench: ${(error as Error).message}`);
  process.exitCode = 1;
}
