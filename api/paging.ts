import { ProblemError } from './problems.ts';

type Value = number | string;

export interface OrderColumn<Row> {
  value: (row: Row) => Value;
  descending?: boolean;
}

/** A total order over rows: its columns together must tell any two rows apart. */
export interface Order<Row> {
  /** Ties a cursor to the order it was made in. */
  name: string;
  columns: OrderColumn<Row>[];
}

export interface Page<Row> {
  rows: Row[];
  nextCursor: string | null;
}

function compareValues(a: Value, b: Value): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function encodeCursor(name: string, key: Value[]): string {
  return Buffer.from(JSON.stringify([name, ...key])).toString('base64url');
}

function decodeCursor<Row>(cursor: string, order: Order<Row>, sample: Value[] | undefined): Value[] {
  const refuse = (why: string, cause?: unknown): ProblemError =>
    new ProblemError('invalid-cursor', why, {
      cause,
      errors: [{ in: 'query', name: 'cursor', detail: why }],
    });
  let decoded: unknown;
  try {
    decoded = JSON.parse(Buffer.from(cursor, 'base64url').toString());
  } catch (error) {
    throw refuse('This cursor was not made by this API.', error);
  }
  if (!Array.isArray(decoded)) throw refuse('This cursor was not made by this API.');
  const [name, ...key] = decoded as unknown[];
  if (name !== order.name) throw refuse('This cursor was made for another sort, order or list.');
  const valid =
    key.length === order.columns.length &&
    key.every((value) => typeof value === 'number' || typeof value === 'string') &&
    (sample === undefined || sample.every((value, column) => typeof value === typeof key[column]));
  if (!valid) throw refuse('This cursor was not made by this API.');
  return key as Value[];
}

/**
 * One page of rows in an order. The cursor holds the last row's key, not a position, so rows that come or go between
 * two pages neither repeat nor hide others. Without a limit: all the rest.
 */
export function pageOf<Row>(
  rows: readonly Row[],
  order: Order<Row>,
  options: { limit?: number | undefined; cursor?: string | undefined },
): Page<Row> {
  const compareKeys = (a: Value[], b: Value[]): number => {
    for (const [index, column] of order.columns.entries()) {
      const result = compareValues(a[index] as Value, b[index] as Value);
      if (result !== 0) return column.descending === true ? -result : result;
    }
    return 0;
  };
  let keyed = rows.map((row) => ({ row, key: order.columns.map((column) => column.value(row)) }));
  if (options.cursor !== undefined) {
    const after = decodeCursor(options.cursor, order, keyed[0]?.key);
    keyed = keyed.filter(({ key }) => compareKeys(key, after) > 0);
  }
  keyed.sort((a, b) => compareKeys(a.key, b.key));
  const shown = options.limit === undefined ? keyed : keyed.slice(0, options.limit);
  const last = shown.at(-1);
  return {
    rows: shown.map(({ row }) => row),
    nextCursor: last !== undefined && shown.length < keyed.length ? encodeCursor(order.name, last.key) : null,
  };
}
