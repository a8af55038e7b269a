import { execFileSync } from 'node:child_process';
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { Btf } from '../../bpf/btf.ts';
import { BpfError } from '../../bpf/errors.ts';
import { BpfMap } from '../../bpf/map.ts';
import { BpfObject } from '../../bpf/object.ts';
import { openPin, unpin } from '../../bpf/pin.ts';
import { compile, folder } from './compile.ts';

const path = compile('connects');
const LOADABLE = { skip: ['missing_hook'] } as const;

function errorOf(call: () => unknown): BpfError {
  try {
    call();
  } catch (error) {
    if (error instanceof BpfError) return error;
    throw error;
  }
  throw new Error('it did not throw');
}

t.test('an object lists its programs before and its maps after it is loaded', async (t) => {
  using object = BpfObject.open(path, LOADABLE);
  t.equal(object.program('on_exec').section, 'tp_btf/sched_process_exec');
  t.equal(object.program('refused').autoload, false, 'its section begins with a question mark');
  t.throws(() => object.map('by_port'), { code: 'BPF_NOT_FOUND' });
  object.load();
  t.same([...object.maps.keys()].sort(), [
    '.bss',
    '.data',
    '.rodata',
    'by_cpu',
    'by_port',
    'by_slot',
    'by_socket',
    'events',
    'queue',
  ]);
  t.match(object.program('on_exec').info(), { name: 'on_exec', type: 'tracing', runCount: 0 });
});

t.test('a file that is not there or is not an object is refused with the reason', async (t) => {
  for (const [file, errno, log] of [
    ['/nonexistent.o', 'ENOENT', /failed to open/],
    ['/etc/passwd', 'LIBBPF_FORMAT', /not a proper ELF object/],
  ] as const) {
    const error = errorOf(() => BpfObject.open(file));
    t.match(error, { code: 'BPF_OBJECT_OPEN', errno, log });
    t.match(error.message, log, 'the message has what libbpf said');
  }
});

t.test('names that the object lacks are refused with those it has', async (t) => {
  for (const [options, message] of [
    [{ only: ['nope'] }, /no program nope; it has: connect4, connect4_ignoring, on_exec/],
    [{ skip: ['nope'] }, /no program nope/],
    [{ globals: { nope: 1 } }, /no global nope; it has: .*watched_port/],
    [{ maxEntries: { nope: 1 } }, /no map nope; it has: .*by_port/],
    [{ reuse: { nope: 3 } }, /no map nope/],
  ] as const) {
    t.throws(() => BpfObject.open(path, options), { code: 'BPF_NOT_FOUND', message });
  }
  using object = BpfObject.open(path);
  t.throws(() => object.program('nope'), { code: 'BPF_NOT_FOUND' });
  t.throws(() => object.program('on_exec').fd, { code: 'BPF_NOT_FOUND', message: /program on_exec is not loaded/ });
});

t.test('globals get their values before the programs are verified', async (t) => {
  const globals = {
    watched_port: 443,
    negative: -5n,
    label: Buffer.from('some\0\0\0\0'),
    total: 2n ** 64n - 1n,
    lost: true,
  };
  using object = BpfObject.open(path, { ...LOADABLE, globals }).load();
  const value = (name: string): Buffer => {
    const { map, offset, size } = object.global(name);
    return object
      .map(map)
      .lookup(Buffer.alloc(4))
      ?.subarray(offset, offset + size) as Buffer;
  };
  t.equal(value('watched_port').readUInt16LE(), 443);
  t.equal(value('negative').readBigInt64LE(), -5n);
  t.equal(value('label').toString(), 'some\0\0\0\0');
  t.equal(value('total').readBigUInt64LE(), 2n ** 64n - 1n);
  t.equal(value('lost').readUInt32LE(), 1);
});

t.test('an object that was compiled without types has no globals to set', async (t) => {
  const untyped = join(folder, 'untyped.o');
  execFileSync('llvm-objcopy-19', [
    '--remove-section=.BTF',
    '--remove-section=.BTF.ext',
    compile('layout-bad', '-DFIELD=int x'),
    untyped,
  ]);
  t.throws(() => BpfObject.open(untyped, { globals: { bad: 1 } }), { code: 'BPF_BTF_INVALID', message: /has no BTF/ });
  t.throws(() => Btf.ofObject(untyped), { code: 'BPF_BTF_INVALID', message: /compile it with clang -g/ });
});

t.test('a value that does not fit its global is refused', async (t) => {
  for (const [globals, message] of [
    [{ watched_port: 65536 }, /65536 does not fit in the 2 bytes of global watched_port/],
    [{ watched_port: -32769 }, /-32769 does not fit/],
    [{ label: Buffer.from('abc') }, /global label takes 8 bytes, not 3/],
  ] as const) {
    t.throws(() => BpfObject.open(path, { globals }), { code: 'BPF_OBJECT_OPEN', message });
  }
});

t.test("what the verifier refuses comes with the program and the verifier's log", async (t) => {
  const error = errorOf(() => BpfObject.open(path, { only: ['refused'] }).load());
  t.match(error, { code: 'BPF_OBJECT_LOAD', program: 'refused', errno: 'EACCES' });
  t.match(error.log, /R0 invalid mem access 'map_value_or_null'/);
  t.match(error.message, /cannot load program refused of .*connects.*R0 invalid mem access/s);
});

t.test('an object that could not be loaded is closed: nothing is left open', async (t) => {
  const openFiles = (): number => readdirSync('/proc/self/fd').length;
  const before = openFiles();
  for (let round = 0; round < 3; round++) errorOf(() => BpfObject.open(path, { only: ['refused'] }).load());
  t.equal(openFiles(), before);
});

t.test('one program can be probed, with the reason in words where the kernel refuses it', async (t) => {
  for (const [program, reason] of [
    ['connect4', undefined],
    ['missing_hook', 'this kernel has no hook named no_such_tracepoint'],
    ['refused', "the kernel's verifier refused it: R0 invalid mem access 'map_value_or_null'"],
  ] as const) {
    t.equal(BpfObject.probe(path, program), reason, program);
  }
});

t.test('optional programs that the kernel refuses are left out and reported, others are an error', async (t) => {
  const { object, unsupported } = BpfObject.loadSupported(path, ['missing_hook', 'on_exec']);
  using _object = object;
  t.same([...unsupported.keys()], ['missing_hook']);
  t.equal(unsupported.get('missing_hook')?.reason, 'this kernel has no hook named no_such_tracepoint');
  t.ok(object.program('on_exec').fd > 0);
  t.throws(() => BpfObject.loadSupported(path, ['on_exec']), { code: 'BPF_OBJECT_LOAD', program: 'missing_hook' });
});

t.test('a pinned map is reused, C globals too, and the rest is new', async (t) => {
  const pins = `/sys/fs/bpf/relayledger-test-${process.pid}-object`;
  t.teardown(() => rmSync(pins, { recursive: true, force: true }));
  const key = Buffer.alloc(4);
  {
    using first = BpfObject.open(path, LOADABLE).load();
    first.map('by_port').update(key, Buffer.alloc(16, 7));
    first.map('by_slot').update(key, Buffer.alloc(16, 8));
    using globals = first.map('.bss').mmap();
    new BigUint64Array(globals.buffer)[0] = 42n;
    first.map('by_port').pin(`${pins}/by_port`);
    first.map('.bss').pin(`${pins}/bss`);
  }
  using pinned = BpfMap.openPinned(`${pins}/bss`);
  const reuse = { by_port: `${pins}/by_port`, '.bss': pinned.fd };
  using second = BpfObject.open(path, { ...LOADABLE, reuse }).load();
  t.same(second.map('by_port').lookup(key), Buffer.alloc(16, 7));
  t.same(second.map('by_slot').lookup(key), Buffer.alloc(16, 0));
  using globals = second.map('.bss').mmap();
  t.equal(new BigUint64Array(globals.buffer)[0], 42n);

  t.throws(() => BpfObject.open(path, { reuse: { by_slot: `${pins}/by_port` } }), {
    code: 'BPF_MAP_INCOMPATIBLE',
    message: /by_slot cannot be reused: type is hash and should be array, maxEntries is 5000 and should be 300, flags/,
  });
  t.throws(() => BpfObject.open(path, { reuse: { by_slot: `${pins}/nothing` } }), { code: 'BPF_PIN', errno: 'ENOENT' });
});

t.test('what belonged to an object that was closed is refused, not used', async (t) => {
  const object = BpfObject.open(path, LOADABLE).load();
  const [program, map] = [object.program('on_exec'), object.map('by_port')];
  object[Symbol.dispose]();
  object[Symbol.dispose]();
  for (const [what, call] of [
    ['a program', () => program.attach()],
    ['a map', () => map.delete(Buffer.alloc(4))],
    ['the object', () => object.load()],
  ] as const) {
    t.throws(call, { code: 'BPF_NOT_FOUND', message: /was closed/ }, what);
  }
});

t.test('a pin is opened only as what it is', async (t) => {
  const pinned = `/sys/fs/bpf/relayledger-test-${process.pid}-kind`;
  using object = BpfObject.open(path, LOADABLE).load();
  object.program('on_exec').pin(pinned);
  t.throws(() => openPin('map', pinned), { code: 'BPF_PIN', message: /is not a map but anon_inode:bpf-prog/ });
  t.equal(unpin(pinned), true);
  t.equal(unpin(pinned), false);
  t.throws(() => object.program('on_exec').pin('/tmp/relayledger-not-bpffs'), { code: 'BPF_PIN', errno: 'EPERM' });
});
