import { readFileSync } from 'node:fs';
import t from 'tap';
import { Btf, type BtfType, type NamedKind } from '../../bpf/btf.ts';
import { readElfSections } from '../../bpf/elf.ts';
import { compile } from './compile.ts';

const path = compile('layouts');
const btf = Btf.ofObject(path);

function find(kind: NamedKind, name: string): BtfType {
  const id = btf.find(kind, name);
  if (id === undefined) throw new Error(`no ${kind} ${name}`);
  return btf.type(id);
}

t.test('types are found by kind and name', async (t) => {
  t.match(find('struct', 'rl_point'), {
    size: 8,
    members: [
      { name: 'x', bitOffset: 0, bitSize: 0 },
      { name: 'y', bitOffset: 32, bitSize: 0 },
    ],
  });
  t.match(find('enum', 'rl_sign'), {
    signed: true,
    values: [
      { name: 'RL_SIGN_MINUS', value: -1n },
      { name: 'RL_SIGN_PLUS', value: 1n },
    ],
  });
  t.match(find('int', 'char'), { size: 1 });
  t.equal(btf.find('struct', 'rl_poin'), undefined);
  t.equal(btf.find('union', 'rl_point'), undefined, 'of another kind');
});

t.test('typedefs and qualifiers are seen through', async (t) => {
  const id = btf.find('typedef', '__be16') as number;
  t.match(btf.resolve(id), { kind: 'int', size: 2, signed: false });
  t.equal(btf.sizeOf(id), 2);
});

t.test('sizes of arrays are those of all elements', async (t) => {
  const struct = find('struct', 'rl_everything');
  const table = struct.kind === 'struct' && struct.members.find((member) => member.name === 'table');
  t.equal(table && btf.sizeOf(table.type), 2 * 3 * 8);
});

t.test('type 0 is void and ids past the end are an error', async (t) => {
  t.same(btf.type(0), { kind: 'void' });
  t.throws(() => btf.type(btf.count + 1), { code: 'BPF_BTF_INVALID' });
});

t.test("the kernel's own types are found", async (t) => {
  const kernel = Btf.ofKernel();
  t.ok(kernel.find('typedef', 'btf_trace_sched_process_exec'));
  t.ok(kernel.find('struct', 'task_struct'));
  t.equal(kernel.find('function', 'no_such_function'), undefined);
});

t.test('what is not whole BTF is refused', async (t) => {
  const bytes = readElfSections(readFileSync(path)).get('.BTF') as Uint8Array;
  const unknownKind = Buffer.from(bytes);
  unknownKind[24 + 7] = 31;
  for (const [what, input, message] of [
    ['nothing', Buffer.alloc(0), /x: not little-endian BTF/],
    ['other bytes', Buffer.alloc(100), /x: not little-endian BTF/],
    ['the first half', bytes.subarray(0, bytes.length / 2), /x: cut short/],
    ['a kind from the future', unknownKind, /x: unknown kind 31 of type 1/],
  ] as const) {
    t.throws(() => Btf.parse(input, 'x'), { code: 'BPF_BTF_INVALID', message }, what);
  }
});

t.test('a kernel without BTF says what to do', async (t) => {
  t.throws(() => Btf.ofKernel('/nonexistent'), { code: 'BPF_BTF_INVALID', message: /CONFIG_DEBUG_INFO_BTF/ });
});
