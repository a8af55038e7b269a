import t from 'tap';
import { reportFailure } from '../../../api/cli/failure.ts';
import type { Terminal } from '../../../api/cli/terminal.ts';

t.test('each line of a message is shown as one, and none commands the terminal or begins as ours do', async (t) => {
  const shown: string[] = [];
  const terminal = { writeError: (text: string) => void shown.push(text) } as Pick<Terminal, 'writeError'> as Terminal;
  t.equal(reportFailure(new Error('cannot load\nlibbpf: not permitted\nrelayledger: \u001b[2Jdone'), terminal), 1);
  t.equal(shown.join(''), 'relayledger: cannot load\n  libbpf: not permitted\n  relayledger: \\x1b[2Jdone\n');
});
