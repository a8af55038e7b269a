import t from 'tap';
import type { Order } from '../../api/paging.ts';
import { pageOf } from '../../api/paging.ts';

interface Row {
  id: number;
  bytes: number;
}

const byBytes: Order<Row> = {
  name: 'rows',
  columns: [{ value: ({ bytes }) => bytes, descending: true }, { value: ({ id }) => id }],
};

function walk(rows: Row[], limit: number, afterPage?: (page: number) => void): number[] {
  const seen: number[] = [];
  let cursor: string | undefined;
  for (let page = 0; page < 100; page += 1) {
    const { rows: shown, nextCursor } = pageOf(rows, byBytes, { limit, cursor });
    seen.push(...shown.map(({ id }) => id));
    if (nextCursor === null) return seen;
    cursor = nextCursor;
    afterPage?.(page);
  }
  throw new Error('paging does not end');
}

t.test('without a limit all rows come in order and nothing follows', async (t) => {
  const rows = [
    { id: 3, bytes: 5 },
    { id: 1, bytes: 5 },
    { id: 2, bytes: 9 },
  ];
  const { rows: shown, nextCursor } = pageOf(rows, byBytes, {});
  t.strictSame(
    shown.map(({ id }) => id),
    [2, 1, 3],
  );
  t.equal(nextCursor, null);
});

t.test('pages of any size together are the whole list, each row once', async (t) => {
  const rows = Array.from({ length: 23 }, (_, id) => ({ id, bytes: (id * 7) % 5 }));
  const whole = pageOf(rows, byBytes, {}).rows.map(({ id }) => id);
  for (const limit of [1, 2, 5, 22, 23, 24]) t.strictSame(walk(rows, limit), whole, `limit ${limit}`);
});

t.test('the last page has no cursor even when it is full', async (t) => {
  const rows = [
    { id: 1, bytes: 1 },
    { id: 2, bytes: 1 },
  ];
  t.equal(pageOf(rows, byBytes, { limit: 2 }).nextCursor, null);
  t.type(pageOf(rows, byBytes, { limit: 1 }).nextCursor, 'string');
  t.strictSame(pageOf([], byBytes, { limit: 1 }), { rows: [], nextCursor: null });
});

t.test('rows that come, go and grow between pages neither repeat nor hide others', async (t) => {
  const rows = Array.from({ length: 10 }, (_, id) => ({ id, bytes: 100 - id }));
  const seen = walk(rows, 3, (page) => {
    if (page === 0) {
      rows.unshift({ id: 100, bytes: 1000 });
      rows.splice(
        rows.findIndex(({ id }) => id === 2),
        1,
      );
      const shownAlready = rows.find(({ id }) => id === 1);
      if (shownAlready !== undefined) shownAlready.bytes += 500;
    }
  });
  t.strictSame(seen, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
});

t.test('a cursor of another order is refused', async (t) => {
  const rows = [
    { id: 1, bytes: 1 },
    { id: 2, bytes: 1 },
  ];
  const cursor = pageOf(rows, { ...byBytes, name: 'others' }, { limit: 1 }).nextCursor ?? '';
  t.throws(() => pageOf(rows, byBytes, { cursor }), { code: 'invalid-cursor' });
  t.throws(() => pageOf([], byBytes, { cursor: 'nonsense' }), { code: 'invalid-cursor' });
});
