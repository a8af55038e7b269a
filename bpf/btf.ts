import { readFileSync } from 'node:fs';
import { readCString, readElfSections } from './elf.ts';
import { BpfError } from './errors.ts';
import { lastErrno, libbpf, viewMemory } from './libbpf.ts';

/** A type of the BPF Type Format; type ids point into the same Btf, 0 is void. Sizes are bytes. */
export type BtfType =
  | { readonly kind: 'void' }
  | { readonly kind: 'int'; readonly name: string; readonly size: number; readonly signed: boolean }
  | { readonly kind: 'pointer'; readonly type: number }
  | { readonly kind: 'array'; readonly type: number; readonly length: number }
  | {
      readonly kind: 'struct' | 'union';
      readonly name: string;
      readonly size: number;
      readonly members: readonly BtfMember[];
    }
  | {
      readonly kind: 'enum';
      readonly name: string;
      readonly size: number;
      readonly signed: boolean;
      readonly values: readonly BtfEnumValue[];
    }
  | { readonly kind: 'typedef' | 'modifier'; readonly name: string; readonly type: number }
  | { readonly kind: 'variable' | 'function'; readonly name: string; readonly type: number }
  | { readonly kind: 'section'; readonly name: string; readonly variables: readonly BtfSectionVariable[] }
  | { readonly kind: 'other'; readonly name: string };

export interface BtfMember {
  /** Empty for anonymous structs and unions. */
  readonly name: string;
  readonly type: number;
  readonly bitOffset: number;
  /** 0 unless it is a bitfield. */
  readonly bitSize: number;
}

export interface BtfEnumValue {
  readonly name: string;
  readonly value: bigint;
}

export interface BtfSectionVariable {
  readonly type: number;
  /** Within the section; clang leaves 0 here, libbpf fills it in when it opens the object. */
  readonly offset: number;
  readonly size: number;
}

const MAGIC = 0xeb9f;
const KIND = {
  int: 1,
  pointer: 2,
  array: 3,
  struct: 4,
  union: 5,
  enum: 6,
  typedef: 8,
  volatile: 9,
  const: 10,
  restrict: 11,
  function: 12,
  functionPrototype: 13,
  variable: 14,
  section: 15,
  declarationTag: 17,
  typeTag: 18,
  enum64: 19,
} as const;

/** The kinds that can be searched for by name. */
export type NamedKind = 'int' | 'struct' | 'union' | 'enum' | 'typedef' | 'function' | 'variable' | 'section';

const KIND_OF: Readonly<Record<NamedKind, readonly number[]>> = {
  int: [KIND.int],
  struct: [KIND.struct],
  union: [KIND.union],
  enum: [KIND.enum, KIND.enum64],
  typedef: [KIND.typedef],
  function: [KIND.function],
  variable: [KIND.variable],
  section: [KIND.section],
};

/** Bytes after the 12-byte head of a type: fixed ones, then per member. (include/uapi/linux/btf.h) */
const FIXED: Readonly<Record<number, number>> = {
  [KIND.int]: 4,
  [KIND.array]: 12,
  [KIND.variable]: 4,
  [KIND.declarationTag]: 4,
};
const PER_MEMBER: Readonly<Record<number, number>> = {
  [KIND.struct]: 12,
  [KIND.union]: 12,
  [KIND.enum]: 8,
  [KIND.functionPrototype]: 8,
  [KIND.section]: 12,
  [KIND.enum64]: 12,
};

/**
 * Types as the compiler recorded them. Parsing makes an index only and types are decoded when asked for, so that the
 * kernel's own BTF (some 5 MB, 100,000 types) is cheap enough to look up a name in.
 */
export class Btf {
  readonly #view: DataView;
  readonly #strings: Uint8Array;
  /** Where each type starts in the view, by id. */
  readonly #offsets: readonly number[];

  private constructor(view: DataView, strings: Uint8Array, offsets: readonly number[]) {
    this.#view = view;
    this.#strings = strings;
    this.#offsets = offsets;
  }

  /** @throws BPF_BTF_INVALID where the bytes are not little-endian BTF. */
  static parse(bytes: Uint8Array, source = 'BTF'): Btf {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const invalid = (what: string): BpfError => new BpfError('BPF_BTF_INVALID', `${source}: ${what}`);
    if (bytes.byteLength < 24 || view.getUint16(0, true) !== MAGIC) throw invalid('not little-endian BTF');
    const headerSize = view.getUint32(4, true);
    const typesStart = headerSize + view.getUint32(8, true);
    const typesEnd = typesStart + view.getUint32(12, true);
    const stringsStart = headerSize + view.getUint32(16, true);
    const stringsEnd = stringsStart + view.getUint32(20, true);
    if (typesEnd > bytes.byteLength || stringsEnd > bytes.byteLength) throw invalid('cut short');

    const offsets = [0];
    let offset = typesStart;
    while (offset < typesEnd) {
      offsets.push(offset);
      const info = view.getUint32(offset + 4, true);
      const kind = kindOf(info);
      if (kind < KIND.int || kind > KIND.enum64) throw invalid(`unknown kind ${kind} of type ${offsets.length - 1}`);
      offset += 12 + (FIXED[kind] ?? 0) + (PER_MEMBER[kind] ?? 0) * membersOf(info);
    }
    if (offset !== typesEnd) throw invalid('the last type is cut short');
    return new Btf(view, bytes.subarray(stringsStart, stringsEnd), offsets);
  }

  /**
   * What the kernel keeps with the programs and maps of an object.
   * @throws BPF_BTF_INVALID where it has none with this id
   */
  static ofId(id: number): Btf {
    const { btf__free, btf__load_from_kernel_by_id, btf__raw_data } = libbpf();
    const source = `BTF ${id} of the kernel`;
    const pointer = btf__load_from_kernel_by_id(id);
    if (pointer === null) throw new BpfError('BPF_BTF_INVALID', `${source} cannot be read`, { errno: lastErrno() });
    try {
      const size = new Uint32Array(1);
      const address = btf__raw_data(pointer, size);
      if (address === null) throw new BpfError('BPF_BTF_INVALID', `${source} has no bytes`);
      return Btf.parse(new Uint8Array(viewMemory(address, size[0] as number)).slice(), source);
    } finally {
      btf__free(pointer);
    }
  }

  /** The .BTF section of a compiled object. */
  static ofObject(path: string): Btf {
    const section = readElfSections(readFileSync(path), path).get('.BTF');
    if (!section) throw new BpfError('BPF_BTF_INVALID', `${path} has no BTF`, { hint: 'compile it with clang -g' });
    return Btf.parse(section, path);
  }

  /** The running kernel's. @throws BPF_BTF_INVALID where the kernel was built without. */
  static ofKernel(path = '/sys/kernel/btf/vmlinux'): Btf {
    try {
      return Btf.parse(readFileSync(path), path);
    } catch (cause) {
      if (cause instanceof BpfError) throw cause;
      const hint = 'the kernel needs CONFIG_DEBUG_INFO_BTF=y';
      throw new BpfError('BPF_BTF_INVALID', `cannot read the kernel's types from ${path}`, { hint, cause });
    }
  }

  /** Ids run from 1 to this, inclusive. */
  get count(): number {
    return this.#offsets.length - 1;
  }

  type(id: number): BtfType {
    if (id === 0) return { kind: 'void' };
    const at = this.#offsets[id];
    if (at === undefined) throw new BpfError('BPF_BTF_INVALID', `there is no BTF type ${id}`);
    const view = this.#view;
    const name = this.#string(view.getUint32(at, true));
    const info = view.getUint32(at + 4, true);
    const flag = info >>> 31 === 1;
    const sizeOrType = view.getUint32(at + 8, true);
    const kind = kindOf(info);
    switch (kind) {
      case KIND.int:
        return { kind: 'int', name, size: sizeOrType, signed: (view.getUint32(at + 12, true) & 0x01000000) !== 0 };
      case KIND.pointer:
        return { kind: 'pointer', type: sizeOrType };
      case KIND.array:
        return { kind: 'array', type: view.getUint32(at + 12, true), length: view.getUint32(at + 20, true) };
      case KIND.struct:
      case KIND.union:
        return {
          kind: kind === KIND.struct ? 'struct' : 'union',
          name,
          size: sizeOrType,
          members: this.#list(at, 12, (member) => this.#member(member, flag)),
        };
      case KIND.enum:
      case KIND.enum64:
        return {
          kind: 'enum',
          name,
          size: sizeOrType,
          signed: flag,
          values: this.#list(at, PER_MEMBER[kind] ?? 0, (value) => this.#enumValue(value, kind === KIND.enum64, flag)),
        };
      case KIND.typedef:
        return { kind: 'typedef', name, type: sizeOrType };
      case KIND.volatile:
      case KIND.const:
      case KIND.restrict:
      case KIND.typeTag:
        return { kind: 'modifier', name, type: sizeOrType };
      case KIND.variable:
        return { kind: 'variable', name, type: sizeOrType };
      case KIND.function:
        return { kind: 'function', name, type: sizeOrType };
      case KIND.section: {
        const variables = this.#list(at, 12, (variable) => ({
          type: view.getUint32(variable, true),
          offset: view.getUint32(variable + 4, true),
          size: view.getUint32(variable + 8, true),
        }));
        return { kind: 'section', name, variables };
      }
      default:
        return { kind: 'other', name };
    }
  }

  /** The ids of all types of a kind, in the order in which they were compiled. */
  ids(kind: NamedKind): number[] {
    const kinds = KIND_OF[kind];
    const ids: number[] = [];
    for (let id = 1; id < this.#offsets.length; id++) {
      const at = this.#offsets[id] as number;
      if (kinds.includes(kindOf(this.#view.getUint32(at + 4, true)))) ids.push(id);
    }
    return ids;
  }

  /** The id of the first type with this kind and name. */
  find(kind: NamedKind, name: string): number | undefined {
    const wanted = Buffer.from(`${name}\0`);
    return this.ids(kind).find((id) => this.#nameEquals(id, wanted));
  }

  /** Empty for types that have none. */
  nameOf(id: number): string {
    return this.#string(this.#view.getUint32(this.#offsets[id] as number, true));
  }

  /** Behind typedefs, const, volatile and tags: the type that says what the bytes are. */
  resolve(id: number): BtfType {
    const type = this.type(id);
    return type.kind === 'typedef' || type.kind === 'modifier' ? this.resolve(type.type) : type;
  }

  /** Bytes that a value of the type takes. */
  sizeOf(id: number): number {
    const type = this.resolve(id);
    switch (type.kind) {
      case 'int':
      case 'struct':
      case 'union':
      case 'enum':
        return type.size;
      case 'pointer':
        return 8;
      case 'array':
        return type.length * this.sizeOf(type.type);
      case 'variable':
        return this.sizeOf(type.type);
      default:
        throw new BpfError('BPF_BTF_INVALID', `a ${type.kind} (BTF type ${id}) has no size`);
    }
  }

  #list<T>(at: number, size: number, read: (offset: number) => T): T[] {
    const view = this.#view;
    const length = membersOf(view.getUint32(at + 4, true));
    return Array.from({ length }, (_, index) => read(at + 12 + index * size));
  }

  #member(at: number, bitfields: boolean): BtfMember {
    const name = this.#string(this.#view.getUint32(at, true));
    const position = this.#view.getUint32(at + 8, true);
    return {
      name,
      type: this.#view.getUint32(at + 4, true),
      bitOffset: bitfields ? position & 0xffffff : position,
      bitSize: bitfields ? position >>> 24 : 0,
    };
  }

  #enumValue(at: number, wide: boolean, signed: boolean): BtfEnumValue {
    const low = this.#view.getUint32(at + 4, true);
    const high = wide ? this.#view.getUint32(at + 8, true) : 0;
    const bits = wide ? 64 : 32;
    const raw = (BigInt(high) << 32n) | BigInt(low);
    return { name: this.#string(this.#view.getUint32(at, true)), value: signed ? BigInt.asIntN(bits, raw) : raw };
  }

  #string(offset: number): string {
    return offset === 0 ? '' : readCString(this.#strings, offset);
  }

  #nameEquals(id: number, wanted: Uint8Array): boolean {
    const offset = this.#view.getUint32(this.#offsets[id] as number, true);
    for (let index = 0; index < wanted.length; index++) {
      if (this.#strings[offset + index] !== wanted[index]) return false;
    }
    return true;
  }
}

function kindOf(info: number): number {
  return (info >>> 24) & 0x1f;
}

function membersOf(info: number): number {
  return info & 0xffff;
}
