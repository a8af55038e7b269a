import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readlinkSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { mountFilesystem, unmountFilesystem, withNetworkNamespace } from '../../bpf/namespace.ts';
import { BpfObject } from '../../bpf/object.ts';
import { pin, unpin } from '../../bpf/pin.ts';
import { compile, folder } from './compile.ts';

const name = `relayledger-${process.pid}`;
const path = `/run/netns/${name}`;
const here = (): string => readlinkSync('/proc/thread-self/ns/net');

t.before(() => {
  execFileSync('ip', ['netns', 'add', name]);
  execFileSync('ip', ['-n', name, 'link', 'set', 'lo', 'up']);
});
t.after(() => execFileSync('ip', ['netns', 'delete', name]));

t.test('a function runs in the other namespace and the thread comes back', async (t) => {
  const home = here();
  const there = withNetworkNamespace(path, here);
  t.not(there, home);
  t.equal(here(), home);
});

t.test('the thread comes back when the function throws', async (t) => {
  const home = here();
  const failing = (): never => {
    throw new Error('mine');
  };
  t.throws(() => withNetworkNamespace(path, failing), { message: 'mine' });
  t.equal(here(), home);
});

t.test('an asynchronous function is refused', async (t) => {
  const home = here();
  t.throws(() => withNetworkNamespace(path, async () => {}), { code: 'BPF_NAMESPACE', message: /asynchronous/ });
  t.equal(here(), home);
});

t.test('what is not a network namespace is refused', async (t) => {
  t.throws(() => withNetworkNamespace('/run/netns/none', here), { code: 'BPF_NAMESPACE', errno: 'ENOENT' });
  t.throws(() => withNetworkNamespace('/proc/self/ns/uts', here), { code: 'BPF_NAMESPACE', errno: 'EINVAL' });
});

t.test('an iterator over sockets walks those of the namespace that the thread is in', async (t) => {
  using object = BpfObject.open(compile('iterators')).load();
  using iterator = object.program('dump_tcp').attachIterator();
  const count = (): number => iterator.read().length / 4;
  t.equal(withNetworkNamespace(path, count), 0, 'a new namespace has no sockets');

  const listen = "require('node:net').createServer().listen(0, '::1', () => console.log('ready'))";
  const listener = spawn('ip', ['netns', 'exec', name, process.execPath, '--eval', listen]);
  t.teardown(() => listener.kill());
  await once(listener.stdout, 'data');
  t.equal(withNetworkNamespace(path, count), 1);
});

t.test('a bpffs can be mounted where there is none', async (t) => {
  const target = join(folder, 'bpf');
  mountFilesystem('bpf', target);
  using object = BpfObject.open(compile('connects'), { only: [] }).load();
  pin(object.map('by_port').fd, join(target, 'by_port'));
  t.equal(unpin(join(target, 'by_port')), true);
  unmountFilesystem(target);
  t.throws(() => unmountFilesystem(target), { code: 'BPF_MOUNT', errno: 'EINVAL' });
});
