import { execFileSync, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import t from 'tap';
import { hasLibbpfFunction, libbpf, withLog } from '../../bpf/libbpf.ts';

t.test('functions of the installed libbpf are told apart from those of newer ones', async (t) => {
  t.ok(libbpf().libbpf_major_version() >= 1);
  t.equal(hasLibbpfFunction('bpf_object__load'), true);
  t.equal(hasLibbpfFunction('bpf_program__attach_no_such_thing'), false);
});

t.test('what libbpf prints goes to the caller that asked, and never to stderr', async (t) => {
  const script = `
    import { libbpf, withLog } from '${join(import.meta.dirname, '../../bpf/libbpf.ts')}';
    libbpf().bpf_object__open_file('/nonexistent', null);
    console.log(JSON.stringify(withLog(() => libbpf().bpf_object__open_file('/nonexistent', null))));
    libbpf().bpf_object__open_file('/nonexistent', null);`;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', script], {
    encoding: 'utf8',
  });
  const log = 'libbpf: elf: failed to open /nonexistent: No such file or directory\n';
  t.same(JSON.parse(stdout), { result: null, log });
  t.equal(stderr, '');
});

t.test('the log is let go of when the calls throw', async (t) => {
  t.throws(() => withLog(() => JSON.parse('{')), SyntaxError);
  t.equal(withLog(() => 1).result, 1);
});

t.test('where libbpf is missing the error says how to install it', async (t) => {
  const library = execFileSync('sh', ['-c', 'ls /usr/lib/*/libbpf.so.1'], { encoding: 'utf8' }).trim();
  const script = `
    const { libbpf } = await import('${join(import.meta.dirname, '../../bpf/libbpf.ts')}');
    try { libbpf(); } catch (error) { console.log(error.code, error.message); }`;
  // An empty file in its place, in a mount namespace of our own.
  const hide = `mount --bind /dev/null ${library} && exec "$0" --input-type=module --eval "$1"`;
  const { stdout } = spawnSync('unshare', ['--mount', 'sh', '-c', hide, process.execPath, script], {
    encoding: 'utf8',
  });
  t.match(stdout, /^BPF_LIBRARY_MISSING cannot use libbpf\.so\.1 .*install it with: apt-get install libbpf1/);
});
