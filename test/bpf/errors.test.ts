import t from 'tap';
import { BpfError, errnoName } from '../../bpf/errors.ts';

t.test('an errno becomes its name, words and advice, whatever its sign', async (t) => {
  for (const [errno, name, message] of [
    [
      -1,
      'EPERM',
      'cannot x: operation not permitted (EPERM); run as root, or with CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN',
    ],
    [2, 'ENOENT', 'cannot x: no such file or directory (ENOENT)'],
    [-11, 'EAGAIN', 'cannot x: resource temporarily unavailable (EAGAIN)'],
    [-524, 'ENOTSUPP', 'cannot x: operation not supported (ENOTSUPP)'],
    [-4001, 'LIBBPF_FORMAT', 'cannot x: not a BPF object file (LIBBPF_FORMAT)'],
  ] as const) {
    const error = new BpfError('BPF_LINK', 'cannot x', { errno });
    t.equal(error.message, message);
    t.equal(error.errno, name);
    t.equal(errnoName(Math.abs(errno)), name);
  }
});

t.test('advice of its own takes the place of the general one', async (t) => {
  const error = new BpfError('BPF_LINK', 'cannot x', { errno: 1, hint: 'ask again' });
  t.equal(error.message, 'cannot x: operation not permitted (EPERM); ask again');
});

t.test('the message has the last 15 lines of the log, the property all of it', async (t) => {
  const log = Array.from({ length: 40 }, (_, line) => `line ${line}`).join('\n');
  const error = new BpfError('BPF_OBJECT_LOAD', 'cannot x', { log });
  t.equal(error.log, log);
  t.equal(error.message.split('\n').length, 1 + 1 + 15);
  t.match(error.message, /^cannot x\n…\nline 25\n[\s\S]*line 39$/);
});

t.test('the cause is kept', async (t) => {
  const cause = new Error('below');
  t.equal(new BpfError('BPF_LINK', 'cannot x', { cause }).cause, cause);
});
