import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { reportFailure } from '../../../api/cli/failure.ts';
import type { Terminal } from '../../../api/cli/terminal.ts';

t.test('each line of a message is shown as one, and none commands the terminal or begins as ours do', async (t) => {
  const shown: string[] = [];
  const terminal = { writeError: (text: string) => void shown.push(text) } as Pick<Terminal, 'writeError'> as Terminal;
  t.equal(reportFailure(new Error('cannot load\nlibbpf: not permitted\nrelayledger: \u001b[2Jdone'), terminal), 1);
  t.equal(shown.join(''), 'relayledger: cannot load\n  libbpf: not permitted\n  relayledger: \\x1b[2Jdone\n');
});

t.test('output that can’t be written is said in one line', async (t) => {
  const program = fileURLToPath(new URL('../../../relayledger', import.meta.url));
  const run = spawnSync('sh', ['-c', '"$0" --help >/dev/full', program], { encoding: 'utf8' });
  t.equal(run.status, 1);
  t.match(run.stderr, /^relayledger: ENOSPC: [^\n]*\n$/);
});
