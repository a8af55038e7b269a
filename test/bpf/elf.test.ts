import { readFileSync } from 'node:fs';
import t from 'tap';
import { readElfSections } from '../../bpf/elf.ts';
import { compile } from './compile.ts';

const object = readFileSync(compile('layouts'));

t.test('sections come by name, without those that take no space in the file', async (t) => {
  const sections = readElfSections(object);
  t.equal(Buffer.from(sections.get('license') as Uint8Array).toString(), 'GPL\0');
  t.equal(sections.get('.BTF')?.[0], 0x9f);
  t.notOk(sections.has('.bss'));
});

t.test('what is not a whole BPF object is refused', async (t) => {
  const changed = (at: number, byte: number): Buffer => {
    const copy = Buffer.from(object);
    copy[at] = byte;
    return copy;
  };
  for (const [what, bytes, message] of [
    ['an empty file', Buffer.alloc(0), /x\.o is not an ELF file/],
    ['text', Buffer.from('#!/bin/sh\n'.repeat(20)), /x\.o is not an ELF file/],
    ['a 32-bit file', changed(4, 1), /not a little-endian BPF object/],
    ['a big-endian file', changed(5, 2), /not a little-endian BPF object/],
    ['a program for x86-64', changed(18, 62), /not a little-endian BPF object/],
    ['the first half', object.subarray(0, object.length / 2), /cut short/],
  ] as const) {
    t.throws(() => readElfSections(bytes, 'x.o'), { code: 'BPF_ELF_INVALID', message }, what);
  }
});
