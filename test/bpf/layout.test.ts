import { copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { Btf } from '../../bpf/btf.ts';
import { generateLayouts } from '../../bpf/generate-layouts.ts';
import { checkLayouts, describeBoundary, type Layout } from '../../bpf/layout.ts';
import { compile, folder } from './compile.ts';

const object = compile('layouts');
const boundary = describeBoundary(Btf.ofObject(object));
const source = generateLayouts([boundary]);

/** Imports the generated text as the project would. */
// biome-ignore lint/suspicious/noExplicitAny: what it exports is what is under test
async function importLayouts(): Promise<any> {
  for (const file of ['decode.ts', 'errors.ts']) {
    copyFileSync(join(import.meta.dirname, '../../bpf', file), join(folder, file));
  }
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  writeFileSync(join(folder, 'layouts.ts'), source);
  return import(join(folder, 'layouts.ts'));
}

t.test('keys and values of maps, rl_ types and all they contain cross', async (t) => {
  const names = boundary.structs.map(({ name }) => name);
  t.same(names, ['plain_key', 'rl_event', 'rl_everything', 'rl_point']);
  t.same(
    boundary.enums.map(({ name }) => name),
    ['rl_color', 'rl_sign'],
  );
  t.same(boundary.constants, [
    ['RL_LIMIT', 12],
    ['RL_OTHER_LIMIT', 13],
  ]);
});

t.test('every kind of field is decoded', async (t) => {
  const layouts = await importLayouts();
  const at = layouts.RL_EVERYTHING_OFFSET;
  const start = 16;
  const view = new DataView(new ArrayBuffer(start + layouts.RL_EVERYTHING_SIZE));
  view.setBigUint64(start + at.unsigned64, 2n ** 53n - 1n, true);
  view.setBigInt64(start + at.signed64, -(2n ** 53n), true);
  view.setUint32(start + at.unsigned32, 0xffff_ffff, true);
  view.setInt32(start + at.signed32, -2, true);
  view.setUint16(start + at.unsigned16, 0xffff, true);
  view.setInt16(start + at.signed16, -3, true);
  view.setUint8(start + at.unsigned8, 0xff);
  view.setInt8(start + at.signed8, -4);
  view.setUint8(start + at.yesOrNo, 1);
  view.setUint32(start + at.color, 5, true);
  view.setInt32(start + at.sign, -1, true);
  view.setUint16(start + at.port, 443);
  view.setUint32(start + at.address, 0x7f000001);
  view.setBigUint64(start + at.big, 1n);
  new Uint8Array(view.buffer, start + at.name).set(Buffer.from('né\0junk'));
  new Uint8Array(view.buffer, start + at.bytes).set([1, 2, 3, 4]);
  for (let i = 0; i < 3; i++) view.setUint16(start + at.shorts + 2 * i, 10 + i, true);
  for (let i = 0; i < 6; i++) view.setBigUint64(start + at.table + 8 * i, BigInt(i), true);
  view.setInt32(start + at.point, 7, true);
  view.setInt32(start + at.points + 8 + 4, -8, true);
  view.setUint32(start + at.v4, 9, true);

  t.same(layouts.readRlEverything(view, start), {
    unsigned64: Number.MAX_SAFE_INTEGER,
    signed64: -(2 ** 53),
    unsigned32: 0xffff_ffff,
    signed32: -2,
    unsigned16: 0xffff,
    signed16: -3,
    unsigned8: 0xff,
    signed8: -4,
    yesOrNo: true,
    color: layouts.RlColor.darkBlue,
    sign: layouts.RlSign.minus,
    port: 443,
    address: 0x7f000001,
    big: 1,
    name: 'né',
    bytes: Uint8Array.of(1, 2, 3, 4),
    shorts: [10, 11, 12],
    table: [
      [0, 1, 2],
      [3, 4, 5],
    ],
    point: { x: 7, y: 0 },
    points: [
      { x: 0, y: 0 },
      { x: 0, y: -8 },
    ],
    v4: 9,
    v6: [9, 0],
  });
  t.equal(layouts.RL_LIMIT, 12);
  t.equal(layouts.RlColor.transparent, 6);
});

t.test('the text does not depend on the order of objects and says where it is from', async (t) => {
  const other = describeBoundary(Btf.ofObject(compile('connects')));
  t.equal(generateLayouts([boundary, other]), generateLayouts([other, boundary]));
  t.match(source, /^\/\/ generated from BTF by bpf\/generate-layouts.ts; don't edit\n/);
});

t.test('two objects that disagree about a struct are refused', async (t) => {
  const changed = describeBoundary(Btf.ofObject(compile('layouts', '-DCHANGED')));
  t.throws(() => generateLayouts([boundary, changed]), {
    code: 'BPF_LAYOUT_MISMATCH',
    message: /rl_everything differs between two objects/,
  });
});

t.test('an object that was built from another header is refused, with the field that differs', async (t) => {
  const { layouts }: { layouts: readonly Layout[] } = await importLayouts();
  checkLayouts(object, layouts);
  t.throws(() => checkLayouts(compile('layouts', '-DCHANGED'), layouts), {
    code: 'BPF_LAYOUT_MISMATCH',
    message: /struct rl_everything has added \(u32 at byte 172\), not reserved \(u32 at byte 172\)/,
  });

  const change = (name: string, layout: Partial<Layout>): readonly Layout[] =>
    layouts.map((each) => ('struct' in each && each.struct === name ? ({ ...each, ...layout } as Layout) : each));
  for (const [what, changed, message] of [
    ['another size', change('rl_point', { size: 12 }), /struct rl_point has 8 bytes, not 12/],
    [
      'another offset',
      change('rl_point', { fields: { x: [0, 's32'], y: [8, 's32'] } }),
      /rl_point has y \(s32 at byte 4\), not y \(s32 at byte 8\)/,
    ],
    [
      'another type',
      change('rl_point', { fields: { x: [0, 'u32'], y: [4, 's32'] } }),
      /rl_point has x \(s32 at byte 0\), not x \(u32 at byte 0\)/,
    ],
    ['a missing field', change('rl_event', { fields: {} }), /rl_event has type \(u32 at byte 0\), not that/],
    ['a missing struct', layouts.filter((each) => !('struct' in each)), /struct plain_key has no layout/],
    [
      'another value',
      [...layouts, { enum: 'rl_sign', values: { RL_SIGN_MINUS: -1, RL_SIGN_PLUS: 2 } }] as const,
      /enum rl_sign has RL_SIGN_PLUS = 1, not 2/,
    ],
  ] as const) {
    t.throws(() => checkLayouts(object, changed), { code: 'BPF_LAYOUT_MISMATCH', message }, what);
  }
});

t.test('fields that cannot cross are refused by name', async (t) => {
  for (const [flag, message] of [
    ['-DFIELD=void *bad', /rl_bad.bad is a pointer/],
    ['-DFIELD=int bad : 3', /rl_bad.bad is a bitfield/],
    ['-DFIELD=struct { int x; } bad', /rl_bad.bad is a struct without a name/],
    ['-DFIELD=__int128 bad', /rl_bad.bad is a 128-bit integer/],
  ] as const) {
    const bad = Btf.ofObject(compile('layout-bad', flag));
    t.throws(() => describeBoundary(bad), { code: 'BPF_LAYOUT_UNSUPPORTED', message });
  }
});
