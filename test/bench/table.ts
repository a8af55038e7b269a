import type { Spread } from './statistics.ts';

/** The text of a table and of the numbers in it. Pure. */

/** One figure of the issue with its own table. */
export interface Section {
  title: string;
  /** How it was measured; printed above the table. */
  notes: readonly string[];
  columns: readonly string[];
  rows: readonly (readonly string[])[];
  verdicts: readonly Verdict[];
}

/** What the issue wants of a figure, beside what was measured. */
export interface Verdict {
  what: string;
  wanted: string;
  measured: string;
  /** null where the measurement can't tell. */
  holds: boolean | null;
}

/** The first column to the left, the others to the right. */
export function renderTable(columns: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [columns, ...rows];
  const widths = columns.map((_, column) => Math.max(...lines.map((line) => (line[column] ?? '').length)));
  const render = (line: readonly string[]): string =>
    widths
      .map((width, column) => {
        const cell = line[column] ?? '';
        return column === 0 ? cell.padEnd(width) : cell.padStart(width);
      })
      .join('  ')
      .trimEnd();
  const rule = widths.map((width) => '-'.repeat(width)).join('  ');
  return [render(columns), rule, ...rows.map(render)].join('\n');
}

export function renderSection({ title, notes, columns, rows }: Section): string {
  return [`## ${title}`, ...notes, '', renderTable(columns, rows)].join('\n');
}

export function renderVerdicts(verdicts: readonly Verdict[]): string {
  const words = (holds: boolean | null): string => (holds === null ? 'undecided' : holds ? 'yes' : 'NO');
  const rows = verdicts.map(({ what, wanted, measured, holds }) => [what, wanted, measured, words(holds)]);
  return renderTable(['wanted of this run', 'at least', 'measured', 'holds'], rows);
}

/** Three significant digits, never an exponent. */
export function formatNumber(value: number): string {
  const size = Math.abs(value);
  if (size >= 100) return Math.round(value).toLocaleString('en-US');
  if (size >= 10) return value.toFixed(1);
  if (size >= 1 || size === 0) return value.toFixed(2);
  return value.toFixed(3);
}

export function formatRange({ min, max }: Spread): string {
  return `${formatNumber(min)} to ${formatNumber(max)}`;
}

export function formatMegabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

export function formatPercent(share: number): string {
  return `${(100 * share).toFixed(2)} %`;
}
