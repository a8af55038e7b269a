import { cutToWidth, displayWidth, padToWidth, printable } from './text.ts';

export interface Column<Row> {
  header: string;
  align?: 'left' | 'right';
  value: (row: Row) => string;
  /** Cut to so many columns where the table has to fit a width. */
  maxWidth?: number;
  /** Where the table is too wide, columns go by this, the highest first; without it a column stays. */
  dropRank?: number;
}

const gap = '  ';
/** The last column is worth keeping a whole table narrower for, down to this. */
const minLastWidth = 12;

interface Cells<Row> {
  column: Column<Row>;
  cells: string[];
  width: number;
}

function totalWidth(columns: Cells<unknown>[]): number {
  const last = columns.at(-1);
  const fixed = columns.slice(0, -1).reduce((sum, { width }) => sum + width + gap.length, 0);
  return fixed + Math.min(last?.width ?? 0, minLastWidth);
}

/**
 * A table as lines, headers first. Where a width is given, no line is wider: columns that can go are dropped, and the
 * last one is cut. Without one nothing is dropped or cut. Cells are made printable here, whatever they hold.
 */
export function tableLines<Row>(
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  width: number | undefined,
): string[] {
  let laid: Cells<Row>[] = columns.map((column) => {
    const cells = [column.header, ...rows.map((row) => printable(column.value(row)))];
    const natural = cells.reduce((widest, cell) => Math.max(widest, displayWidth(cell)), 0);
    return { column, cells, width: width === undefined ? natural : Math.min(natural, column.maxWidth ?? natural) };
  });
  if (width !== undefined) {
    const droppable = laid
      .filter(({ column }) => column.dropRank !== undefined)
      .sort((a, b) => (b.column.dropRank ?? 0) - (a.column.dropRank ?? 0));
    for (const victim of droppable) {
      if (totalWidth(laid as Cells<unknown>[]) <= width) break;
      laid = laid.filter((cells) => cells !== victim);
    }
  }
  const lines = Array.from({ length: rows.length + 1 }, (_, line) =>
    laid
      .map(({ column, cells, width: columnWidth }, index) => {
        const cell = cells[line] ?? '';
        if (index === laid.length - 1 && column.align !== 'right') return cell;
        return padToWidth(cutToWidth(cell, columnWidth), columnWidth, column.align ?? 'left');
      })
      .join(gap)
      .trimEnd(),
  );
  return width === undefined ? lines : lines.map((line) => cutToWidth(line, width));
}
