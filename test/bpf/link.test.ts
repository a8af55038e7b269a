import { closeSync, constants, openSync, rmSync } from 'node:fs';
import t from 'tap';
import { findCgroupRoot } from '../../agent/mounts.ts';
import { enableStats, listLinks, listMaps, listPrograms } from '../../bpf/info.ts';
import { BpfLink } from '../../bpf/link.ts';
import { BpfObject } from '../../bpf/object.ts';
import { compile } from './compile.ts';
import { connectTo, FREE_PORT } from './connect.ts';

const CGROUP = findCgroupRoot();
const connects = compile('connects');
const iterators = compile('iterators');

function openConnects(): BpfObject {
  return BpfObject.open(connects, { skip: ['missing_hook'], globals: { watched_port: FREE_PORT } }).load();
}

function total(object: BpfObject): bigint {
  using globals = object.map('.bss').mmap({ writable: false });
  return new BigUint64Array(globals.buffer)[0] as bigint;
}

t.test('a cgroup program runs while its link is held, beside others', async (t) => {
  using first = openConnects();
  using second = openConnects();
  const link = first.program('connect4').attachCgroup(CGROUP);
  const cgroupFd = openSync(CGROUP, constants.O_RDONLY);
  using _second = second.program('connect4').attachCgroup(cgroupFd);
  closeSync(cgroupFd);
  t.match(link.info(), {
    type: 'cgroup',
    attachType: 'cgroup_inet4_connect',
    programId: first.program('connect4').info().id,
  });
  connectTo(FREE_PORT, 3);
  t.same([total(first), total(second)], [3n, 3n]);
  link[Symbol.dispose]();
  link[Symbol.dispose]();
  connectTo(FREE_PORT, 2);
  t.same([total(first), total(second)], [3n, 5n]);
  t.throws(() => link.info(), { code: 'BPF_NOT_FOUND', message: /let go of/ });
});

t.test('a pinned link keeps its program attached after everything was let go', async (t) => {
  const pins = `/sys/fs/bpf/relayledger-test-${process.pid}-link`;
  t.teardown(() => rmSync(pins, { recursive: true, force: true }));
  {
    using object = openConnects();
    using link = object.program('connect4').attachCgroup(CGROUP);
    link.pin(`${pins}/connect4`);
    object.map('.bss').pin(`${pins}/bss`);
  }
  connectTo(FREE_PORT, 4);
  using adopted = BpfObject.open(connects, { skip: ['missing_hook'], reuse: { '.bss': `${pins}/bss` } }).load();
  t.equal(total(adopted), 4n);

  using link = BpfLink.openPinned(`${pins}/connect4`);
  link.replaceProgram(adopted.program('connect4_ignoring').fd);
  connectTo(FREE_PORT, 1);
  t.equal(total(adopted), 4n, 'the other program has taken over');
  t.equal(link.info().programId, adopted.program('connect4_ignoring').info().id);
  link.detach();
  t.equal(link.info().cgroupId, 0, 'detached while it is still pinned');
  t.throws(() => BpfLink.openPinned(`${pins}/bss`), {
    code: 'BPF_PIN',
    message: /is not a link but anon_inode:bpf-map/,
  });
});

t.test('a tracing program runs while its link is held, and its runs are counted', async (t) => {
  using object = openConnects();
  const program = object.program('on_exec');
  using _stats = enableStats();
  using link = program.attach();
  t.equal(link.info().type, 'raw_tracepoint');
  connectTo(FREE_PORT, 1);
  const { runCount, runTimeNs, recursionMisses } = program.info();
  t.ok(runCount >= 1);
  t.ok(runTimeNs > 0);
  t.equal(recursionMisses, 0);
});

t.test('what cannot be attached says where and why', async (t) => {
  using object = openConnects();
  t.throws(() => object.program('connect4').attachCgroup('/nonexistent'), { code: 'BPF_ATTACH', errno: 'ENOENT' });
  t.throws(() => object.program('connect4').attachCgroup('/tmp'), {
    code: 'BPF_ATTACH',
    errno: 'EBADF',
    message: /cannot attach program connect4 .* to cgroup \/tmp/,
  });
  t.throws(() => object.program('connect4').attach(), { code: 'BPF_ATTACH' });
  t.throws(() => object.program('missing_hook').attach(), { code: 'BPF_NOT_FOUND', message: /not loaded/ });
});

t.test('an iterator over a map gives all entries as the program wrote them, each time it is read', async (t) => {
  using object = BpfObject.open(iterators).load();
  const map = object.map('pairs');
  using iterator = object.program('dump_pairs').attachIterator({ map });
  t.equal(iterator.read().length, 0);
  const key = Buffer.alloc(4);
  for (let number = 0; number < 100_000; number++) {
    key.writeUInt32LE(number);
    map.update(key, key);
  }
  for (let round = 0; round < 2; round++) {
    const bytes = iterator.read();
    t.equal(bytes.length, 100_000 * 8);
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    let sum = 0;
    let equal = true;
    for (let index = 0; index < words.length; index += 2) {
      sum += words[index] as number;
      equal &&= words[index] === words[index + 1];
    }
    t.equal(sum, (100_000 * 99_999) / 2);
    t.ok(equal);
  }
});

t.test('an iterator over tasks can keep to one process', async (t) => {
  using object = BpfObject.open(iterators).load();
  using all = object.program('dump_tasks').attachIterator();
  using own = object.program('dump_tasks').attachIterator({ pid: process.pid });
  const everybody = new Set(all.read().filter((_, index) => index % 8 === 0));
  t.ok(everybody.size > 1);
  const bytes = own.read();
  t.ok(bytes.length >= 8);
  for (let offset = 0; offset < bytes.length; offset += 8) t.equal(bytes.readUInt32LE(offset), process.pid);
});

t.test('a record that the kernel cannot pass on is an error, not a short answer', async (t) => {
  using object = BpfObject.open(iterators).load();
  using iterator = object.program('dump_too_much').attachIterator();
  t.throws(() => iterator.read(), { code: 'BPF_ITERATE', errno: 'E2BIG' });
});

t.test('everything in the kernel can be listed', async (t) => {
  using object = openConnects();
  using link = object.program('connect4').attachCgroup(CGROUP);
  t.ok(listPrograms().some(({ id }) => id === object.program('connect4').info().id));
  t.ok(listMaps().some(({ id }) => id === object.map('by_port').info.id));
  t.ok(listLinks().some(({ id }) => id === link.info().id));
});
