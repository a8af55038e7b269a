import t from 'tap';
import { parseSelection, selectRows } from '../../../api/cli/selection.ts';

const rows = [
  { pid: 0, name: 'kernel', app: 'kernel' },
  { pid: 10, name: 'skypeforlinux', app: 'skype' },
  { pid: 11, name: 'ssh', app: 'ssh' },
  { pid: 12, name: 'sshd', app: 'ssh.service' },
  { pid: 4711, name: '4711', app: 'odd' },
];

t.test('an argument is a pid or a name', async (t) => {
  t.strictSame(parseSelection('pid:4711'), { pid: 4711 });
  t.strictSame(parseSelection('4711'), { pid: 4711 });
  t.strictSame(parseSelection('socat'), { name: 'socat' });
  t.strictSame(parseSelection('-1'), { name: '-1' });
  t.throws(() => parseSelection('pid:'), { code: 'usage' });
  t.throws(() => parseSelection('pid:x'), { code: 'usage' });
});

t.test('a name means exactly that app or process, or else those that have it as a part', async (t) => {
  const cases: [string, number[]][] = [
    ['skype', [10]],
    ['skypeforlinux', [10]],
    ['ssh', [11]],
    ['sshd', [12]],
    ['SSHD', [12]],
    ['for', [10]],
    ['ss', [11, 12]],
    ['nothing', []],
    ['pid:11', [11]],
    ['0', [0]],
    ['99', []],
  ];
  for (const [argument, pids] of cases) {
    const selected = selectRows(rows, parseSelection(argument));
    t.strictSame(
      selected.map(({ pid }) => pid),
      pids,
      argument,
    );
  }
  t.equal(selectRows(rows, undefined).length, rows.length);
});
