import { Btf, type BtfType } from './btf.ts';
import { BpfError } from './errors.ts';

/** What a field's bytes are. Sizes are bytes. */
export type FieldType =
  | { readonly kind: 'integer'; readonly size: number; readonly signed: boolean; readonly bigEndian: boolean }
  | { readonly kind: 'boolean' }
  | { readonly kind: 'enum'; readonly name: string; readonly size: number; readonly signed: boolean }
  | { readonly kind: 'text'; readonly length: number }
  | { readonly kind: 'array'; readonly length: number; readonly element: FieldType }
  | { readonly kind: 'struct'; readonly name: string; readonly size: number }
  /** A spin lock, timer and the like, which only the kernel may read. */
  | { readonly kind: 'opaque'; readonly size: number };

export interface Field {
  readonly name: string;
  readonly offset: number;
  readonly type: FieldType;
}

/** A C struct or union, the members of anonymous structs and unions in it counted as its own. */
export interface Struct {
  readonly name: string;
  readonly size: number;
  readonly fields: readonly Field[];
}

export interface Enum {
  readonly name: string;
  readonly values: readonly (readonly [name: string, value: number])[];
}

/** All that crosses between an object's programs and user space. */
export interface Boundary {
  readonly structs: readonly Struct[];
  readonly enums: readonly Enum[];
  /** From anonymous enums: what would be a #define, which leaves no trace in an object. */
  readonly constants: readonly (readonly [name: string, value: number])[];
}

/** A struct or enum as compiled into `layouts.ts`: enough to see that an object was built from another header. */
export type Layout =
  | { readonly struct: string; readonly size: number; readonly fields: LayoutFields }
  | { readonly enum: string; readonly values: Readonly<Record<string, number>> };
export type LayoutFields = Readonly<Record<string, readonly [offset: number, type: string]>>;

/** Structs and enums of ours begin with this; in values and constants in capitals. */
const PREFIX = 'rl_';
/** The kernel's own parts of a map value: bpf_spin_lock, bpf_timer, bpf_list_head. */
const KERNEL_PREFIX = 'bpf_';

/**
 * Finds what crosses to user space: the structs that are keys or values of maps, every struct, union and enum named
 * `rl_…` that the programs use, and all structs inside those. By name.
 * @throws BPF_LAYOUT_UNSUPPORTED for a pointer, bitfield or float in one of them
 */
export function describeBoundary(btf: Btf): Boundary {
  const structs = new Map<string, Struct>();
  const enums = new Map<string, Enum>();
  const constants = new Map<string, number>();

  const addStruct = (type: BtfType): void => {
    if ((type.kind !== 'struct' && type.kind !== 'union') || type.name === '' || structs.has(type.name)) return;
    if (type.name.startsWith(KERNEL_PREFIX)) return;
    const fields = describeFields(btf, type.name, type, 0);
    structs.set(type.name, { name: type.name, size: type.size, fields });
    for (const id of referencedTypes(btf, type)) add(btf.resolve(id));
  };
  const add = (type: BtfType): void => {
    if (type.kind === 'enum' && type.name !== '') enums.set(type.name, describeEnum(type));
    else addStruct(type);
  };

  for (const kind of ['struct', 'union', 'enum'] as const) {
    for (const id of btf.ids(kind)) if (btf.nameOf(id).startsWith(PREFIX)) add(btf.type(id));
  }
  const maps = btf.find('section', '.maps');
  if (maps !== undefined) mapTypes(btf, maps).forEach(addStruct);
  for (const id of btf.ids('enum')) {
    const type = btf.type(id);
    if (type.kind !== 'enum' || type.name !== '') continue;
    const { values } = describeEnum(type);
    if (!values.every(([name]) => name.startsWith(PREFIX.toUpperCase()))) continue;
    for (const [name, value] of values) constants.set(name, value);
  }
  return {
    structs: [...structs.values()].sort(byName),
    enums: [...enums.values()].sort(byName),
    constants: [...constants].sort(([a], [b]) => (a < b ? -1 : 1)),
  };
}

/** As C would say it; used in `layouts.ts` and in errors. */
export function typeText(type: FieldType): string {
  switch (type.kind) {
    case 'integer':
      return `${type.bigEndian ? 'be' : type.signed ? 's' : 'u'}${type.size * 8}`;
    case 'boolean':
      return 'bool';
    case 'enum':
      return `enum ${type.name}`;
    case 'text':
      return `char[${type.length}]`;
    case 'array':
      // C names the outer dimension first.
      return typeText(type.element).replace(/(?=\[|$)/, `[${type.length}]`);
    case 'struct':
      return `struct ${type.name}`;
    case 'opaque':
      return `opaque[${type.size}]`;
  }
}

export function sizeOfField(type: FieldType): number {
  switch (type.kind) {
    case 'boolean':
      return 1;
    case 'text':
      return type.length;
    case 'array':
      return type.length * sizeOfField(type.element);
    default:
      return type.size;
  }
}

/**
 * Compares an object with the layouts that the decoders were generated for; some 1 ms.
 * @throws BPF_LAYOUT_MISMATCH that names the struct and the field
 */
export function checkLayouts(objectPath: string, layouts: readonly Layout[]): void {
  const hint = 'object and layouts.ts are from different versions: run npm run build:bpf';
  compareLayouts(Btf.ofObject(objectPath), layouts, { source: objectPath, hint });
}

/**
 * The same for BTF from anywhere.
 * @param only the structs and enums to be compared; all, if left out
 * @throws BPF_LAYOUT_MISMATCH that names the struct and the field
 */
export function compareLayouts(
  btf: Btf,
  layouts: readonly Layout[],
  { source, hint, only }: { source: string; hint: string; only?: readonly string[] },
): void {
  const all = describeBoundary(btf);
  const isMeant = ({ name }: { name: string }): boolean => only?.includes(name) ?? true;
  const boundary = { structs: all.structs.filter(isMeant), enums: all.enums.filter(isMeant) };
  const mismatch = (what: string): BpfError => new BpfError('BPF_LAYOUT_MISMATCH', `${source}: ${what}`, { hint });
  const found = [...boundary.structs, ...boundary.enums].map(({ name }) => name);
  const missing = only?.find((name) => !found.includes(name));
  if (missing) throw mismatch(`there is no ${missing}`);

  const known = new Map(layouts.map((layout) => ['struct' in layout ? layout.struct : layout.enum, layout]));
  for (const struct of boundary.structs) {
    const layout = known.get(struct.name);
    if (!layout || !('struct' in layout)) throw mismatch(`struct ${struct.name} has no layout`);
    if (layout.size !== struct.size) {
      throw mismatch(`struct ${struct.name} has ${struct.size} bytes, not ${layout.size}`);
    }
    const found = struct.fields.map(({ name, offset, type }) => `${name} (${typeText(type)} at byte ${offset})`);
    const wanted = Object.entries(layout.fields).map(([name, [offset, type]]) => `${name} (${type} at byte ${offset})`);
    for (let index = 0; index < Math.max(found.length, wanted.length); index++) {
      if (found[index] === wanted[index]) continue;
      throw mismatch(`struct ${struct.name} has ${found[index] ?? 'no more fields'}, not ${wanted[index] ?? 'that'}`);
    }
  }
  for (const { name, values } of boundary.enums) {
    const layout = known.get(name);
    if (!layout || !('enum' in layout)) throw mismatch(`enum ${name} has no layout`);
    const different = values.find(([value, number]) => layout.values[value] !== number);
    if (different)
      throw mismatch(`enum ${name} has ${different[0]} = ${different[1]}, not ${layout.values[different[0]]}`);
  }
}

type Composite = Extract<BtfType, { kind: 'struct' | 'union' }>;

function describeFields(btf: Btf, owner: string, struct: Composite, base: number): Field[] {
  return struct.members.flatMap((member) => {
    const name = `${owner}.${member.name}`;
    if (member.bitSize !== 0 || member.bitOffset % 8 !== 0) throw unsupported(name, 'a bitfield');
    const offset = base + member.bitOffset / 8;
    const type = btf.resolve(member.type);
    if (member.name === '' && isComposite(type)) return describeFields(btf, owner, type, offset);
    return [{ name: member.name, offset, type: describeType(btf, name, member.type) }];
  });
}

function describeType(btf: Btf, owner: string, id: number): FieldType {
  const type = btf.resolve(id);
  switch (type.kind) {
    case 'int':
      if (type.name === '_Bool') return { kind: 'boolean' };
      if (type.size > 8) throw unsupported(owner, 'a 128-bit integer');
      return { kind: 'integer', size: type.size, signed: type.signed, bigEndian: isBigEndian(btf, id) };
    case 'enum':
      if (type.name === '') return { kind: 'integer', size: type.size, signed: type.signed, bigEndian: false };
      return { kind: 'enum', name: type.name, size: type.size, signed: type.signed };
    case 'array': {
      const element = btf.resolve(type.type);
      if (element.kind === 'int' && element.name === 'char') return { kind: 'text', length: type.length };
      return { kind: 'array', length: type.length, element: describeType(btf, owner, type.type) };
    }
    case 'struct':
    case 'union':
      if (type.name === '') throw unsupported(owner, `a ${type.kind} without a name`);
      if (type.name.startsWith(KERNEL_PREFIX)) return { kind: 'opaque', size: type.size };
      return { kind: 'struct', name: type.name, size: type.size };
    default:
      throw unsupported(owner, `a ${type.kind}`);
  }
}

/** Types of a struct's members, through arrays and anonymous members. */
function referencedTypes(btf: Btf, struct: Composite): number[] {
  return struct.members.flatMap((member) => {
    let id = member.type;
    for (let type = btf.resolve(id); type.kind === 'array'; type = btf.resolve(id)) id = type.type;
    const type = btf.resolve(id);
    return isComposite(type) && type.name === '' ? referencedTypes(btf, type) : [id];
  });
}

/** The structs behind the `key` and `value` of the maps that `SEC(".maps")` declares. */
function mapTypes(btf: Btf, sectionId: number): BtfType[] {
  const section = btf.type(sectionId);
  if (section.kind !== 'section') return [];
  return section.variables.flatMap((variable) => {
    const declared = btf.type(variable.type);
    const map = declared.kind === 'variable' ? btf.resolve(declared.type) : declared;
    if (!isComposite(map)) return [];
    return map.members
      .filter(({ name }) => name === 'key' || name === 'value')
      .map(({ type }) => btf.resolve(type))
      .flatMap((pointer) => (pointer.kind === 'pointer' ? [btf.resolve(pointer.type)] : []));
  });
}

function describeEnum(type: Extract<BtfType, { kind: 'enum' }>): Enum {
  return { name: type.name, values: type.values.map(({ name, value }) => [name, Number(value)] as const) };
}

/** True for __be16, __be32 and __be64, which differ from __u16 and so on by name only. */
function isBigEndian(btf: Btf, id: number): boolean {
  const type = btf.type(id);
  if (type.kind === 'typedef') return /^__be(16|32|64)$/.test(type.name) || isBigEndian(btf, type.type);
  return type.kind === 'modifier' && isBigEndian(btf, type.type);
}

function isComposite(type: BtfType): type is Composite {
  return type.kind === 'struct' || type.kind === 'union';
}

function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return a.name < b.name ? -1 : 1;
}

function unsupported(field: string, what: string): BpfError {
  const hint = 'use fixed-width types, arrays of them and named structs';
  return new BpfError('BPF_LAYOUT_UNSUPPORTED', `${field} is ${what}, which cannot cross to user space`, { hint });
}
