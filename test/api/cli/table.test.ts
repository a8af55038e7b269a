import t from 'tap';
import type { Column } from '../../../api/cli/table.ts';
import { tableLines } from '../../../api/cli/table.ts';
import { displayWidth } from '../../../api/cli/text.ts';

interface Row {
  pid: number;
  name: string;
  size: string;
  command: string;
}

const columns: Column<Row>[] = [
  { header: 'PID', align: 'right', value: ({ pid }) => String(pid) },
  { header: 'NAME', value: ({ name }) => name, maxWidth: 8 },
  { header: 'SIZE', align: 'right', value: ({ size }) => size, dropRank: 1 },
  { header: 'COMMAND', value: ({ command }) => command },
];

const rows: Row[] = [
  { pid: 7, name: 'nc', size: '1 B', command: 'nc -l 80' },
  { pid: 4711, name: 'a-name-that-is-long', size: '123 kB', command: 'x'.repeat(100) },
  { pid: 12, name: '日本語', size: '0 B', command: '' },
];

t.test('without a width everything is there, numbers to the right, nothing after the last word', async (t) => {
  t.strictSame(tableLines(rows, columns, undefined), [
    ' PID  NAME                   SIZE  COMMAND',
    '   7  nc                      1 B  nc -l 80',
    `4711  a-name-that-is-long  123 kB  ${'x'.repeat(100)}`,
    '  12  日本語                  0 B',
  ]);
});

t.test('with a width long cells are cut and the last column takes what is left', async (t) => {
  t.strictSame(tableLines(rows, columns, 40), [
    ' PID  NAME        SIZE  COMMAND',
    '   7  nc           1 B  nc -l 80',
    `4711  a-name-t  123 kB  ${'x'.repeat(16)}`,
    '  12  日本語       0 B',
  ]);
});

t.test('columns that can go are dropped before the last one gets too narrow', async (t) => {
  t.strictSame(tableLines(rows, columns, 30), [
    ' PID  NAME      COMMAND',
    '   7  nc        nc -l 80',
    `4711  a-name-t  ${'x'.repeat(14)}`,
    '  12  日本語',
  ]);
});

t.test('no line is ever wider than the terminal', async (t) => {
  for (let width = 1; width < 60; width += 1) {
    for (const line of tableLines(rows, columns, width)) t.ok(displayWidth(line) <= width, `${width}: ${line}`);
  }
});

t.test('an empty table is its headers', async (t) => {
  t.strictSame(tableLines([], columns, undefined), ['PID  NAME  SIZE  COMMAND']);
});

t.test('a hostile name stays on its line and commands nothing', async (t) => {
  const hostile = { pid: 1, name: 'a\x1b[2J\nb', size: '\r', command: '\x1b]0;t\x07' };
  const lines = tableLines([hostile], columns, undefined);
  t.equal(lines.length, 2);
  t.equal(lines[1], '  1  a\\x1b[2J\\nb    \\r  \\x1b]0;t\\x07');
});
