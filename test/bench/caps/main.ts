/**
 * Caps of every kind, each beside what the issue wants of it: `npm run bench:caps`. Never fails for a bad figure, only
 * where it can't measure.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { loadavg, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { atEnd } from '../../e2e/at-end.ts';
import { renderTable, renderVerdicts, type Verdict } from '../table.ts';
import { type Cell, measureCell, type Outcome, type Tools } from './cell.ts';
import { describeCell, GROUPS, type Wanted } from './cells.ts';
import { measureCost } from './cost.ts';
import { measureOwnFlows } from './own-flows.ts';

const USAGE = `Usage: npm run bench:caps -- [options]

  --only GROUP      ${[...Object.keys(GROUPS), 'own', 'cost'].join(', ')}; may be given several times
  --window SECONDS  how long each cell is measured after the first 3 s (default 10)
  --cell TEXT       only cells whose description has this in it`;

const COLUMNS = ['cell', 'ratio', 'first s', 'Jain', 'retransmitted', 'aborted', 'srtt ms', 'holds'];
const SETTLE_MS = 3000;

function buildTools(folder: string): Tools {
  const compile = (name: string, ...flags: string[]): string => {
    const program = join(folder, name);
    const source = join(import.meta.dirname, 'programs', `${name}.c`);
    execFileSync('gcc', ['-O2', '-Wall', '-Wextra', '-Werror', '-pthread', ...flags, '-o', program, source]);
    return program;
  };
  return { flows: compile('flows'), delay: compile('delay') };
}

function holds(outcome: Outcome, wanted: Wanted): boolean {
  const [least, most] = wanted.ratio;
  return (
    outcome.ratio >= least &&
    outcome.ratio <= most &&
    outcome.aborted === 0 &&
    outcome.firstSecond <= (wanted.firstSecond ?? Number.POSITIVE_INFINITY) &&
    outcome.jain >= (wanted.jain ?? 0) &&
    outcome.retransmitted <= (wanted.retransmitted ?? 1)
  );
}

function renderOutcome(cell: Cell, outcome: Outcome, wanted: Wanted): string[] {
  return [
    describeCell(cell),
    outcome.ratio.toFixed(3),
    outcome.firstSecond.toFixed(2),
    cell.kind === 'tcp' ? outcome.jain.toFixed(3) : '',
    cell.kind === 'udp' ? '' : `${(100 * outcome.retransmitted).toFixed(2)} %`,
    String(outcome.aborted),
    cell.kind === 'udp' ? '' : (outcome.srttUs / 1000).toFixed(2),
    cell.by ? '' : holds(outcome, wanted) ? 'yes' : 'NO',
  ];
}

async function run(): Promise<void> {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', multiple: true, default: [...Object.keys(GROUPS), 'own', 'cost'] },
      window: { type: 'string', default: '10' },
      cell: { type: 'string', default: '' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return;
  }
  const folder = mkdtempSync(join(tmpdir(), 'rl-bench-caps-'));
  atEnd(() => rmSync(folder, { recursive: true, force: true }));
  const tools = buildTools(folder);
  const timing = { settleMs: SETTLE_MS, windowMs: Number(values.window) * 1000 };
  console.log(
    `kernel ${release()}, load ${loadavg()[0]?.toFixed(1)}; ${values.window} s a cell after ${SETTLE_MS / 1000} s`,
  );
  const verdicts: Verdict[] = [];
  for (const name of values.only) {
    const planned = GROUPS[name]?.filter(({ cell }) => describeCell(cell).includes(values.cell)) ?? [];
    const rows: string[][] = [];
    for (const { cell, wanted } of planned) {
      const outcome = await measureCell(cell, tools, timing);
      const row = renderOutcome(cell, outcome, wanted);
      console.error(row.join('  '));
      rows.push(row);
    }
    if (rows.length > 0) {
      console.log(`\n## ${name}\n\n${renderTable(COLUMNS, rows)}`);
      const judged = rows.filter((row) => row.at(-1) !== '');
      const good = judged.filter((row) => row.at(-1) === 'yes').length;
      const measured = `${good} of ${judged.length}`;
      if (judged.length > 0)
        verdicts.push({ what: name, wanted: 'every cell', measured, holds: good === judged.length });
    }
    if (name === 'own') verdicts.push(...(await measureOwnFlows(tools, timing.windowMs)));
    if (name === 'cost') verdicts.push(...(await costVerdicts(folder)));
  }
  console.log(`\n${renderVerdicts(verdicts)}`);
}

async function costVerdicts(folder: string): Promise<Verdict[]> {
  const programs = { noop: '', busy: '', apps: '', relay: '' };
  const bench = { quick: true, windowSeconds: undefined, programs, folder, progress: () => undefined };
  const costs = await measureCost(bench, 6, 400);
  return costs.flatMap(({ traffic, program, free, uncapped, capped, addedUncapped, added }) => [
    {
      what: `${traffic}, ${program}, uncapped beside a policy for others`,
      wanted: '5 ns',
      measured: `${addedUncapped.toFixed(1)} ns (${free.toFixed(0)} to ${uncapped.toFixed(0)})`,
      holds: addedUncapped <= 5,
    },
    {
      what: `${traffic}, ${program}, capped over uncapped`,
      wanted: '60 ns',
      measured: `${added.toFixed(0)} ns (${uncapped.toFixed(0)} to ${capped.toFixed(0)})`,
      holds: added <= 60,
    },
  ]);
}

await run();
process.exit(0);
