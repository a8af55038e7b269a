/**
 * Writes TypeScript for what crosses between BPF programs and user space, from the BTF of the compiled objects:
 * node bpf/generate-layouts.ts OBJECT... --out bpf/layouts.ts
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { Btf } from './btf.ts';
import { BpfError } from './errors.ts';
import {
  type Boundary,
  describeBoundary,
  type Enum,
  type Field,
  type FieldType,
  type Struct,
  sizeOfField,
  typeText,
} from './layout.ts';

/** Fields with these names are there for the compiler; they are checked but not decoded. */
const PADDING = /^_*(pad|padding|reserved)(\d|_|$)/;

/**
 * The text of a layouts file, the same for the same objects in any order.
 * @throws BPF_LAYOUT_MISMATCH where two objects disagree about a struct or enum
 */
export function generateLayouts(boundaries: readonly Boundary[]): string {
  const structs = merge(boundaries.flatMap((boundary) => boundary.structs));
  const enums = merge(boundaries.flatMap((boundary) => boundary.enums));
  const constants = new Map(boundaries.flatMap((boundary) => boundary.constants));
  const body = [
    ...[...constants].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, value]) => `export const ${name} = ${value};\n`),
    ...enums.map(enumSource),
    ...structs.map(structSource),
    summarySource(structs, enums),
  ].join('\n');
  return `${HEADER}${imports(body)}\n${body}`;
}

const HEADER = `// generated from BTF by bpf/generate-layouts.ts; don't edit
// biome-ignore-all format: as it is generated
`;

/** Struct and enum names, and what a decoder needs from decode.ts. */
const DECODERS = ['readArray', 'readBytes', 'readS64', 'readText', 'readU64', 'readU64BigEndian'];

function imports(body: string): string {
  const used = DECODERS.filter((name) => body.includes(`${name}(`));
  const decoders = used.length > 0 ? `import { ${used.join(', ')} } from './decode.ts';\n` : '';
  return `${decoders}import type { Layout } from './layout.ts';\n`;
}

function enumSource({ name, values }: Enum): string {
  const entries = values.map(
    ([value, number]) => `  ${camelCase(withoutPrefix(name, value).toLowerCase())}: ${number},`,
  );
  const type = pascalCase(name);
  return [
    `/** \`enum ${name}\` */`,
    `export const ${type} = {`,
    ...entries,
    '} as const;',
    `export type ${type} = (typeof ${type})[keyof typeof ${type}];`,
    '',
  ].join('\n');
}

/** In `enum rl_claim`, `RL_CLAIM_NONE` is NONE and `RL_OTHER` is OTHER; a name cannot begin with a digit. */
function withoutPrefix(enumName: string, value: string): string {
  const [, name] = new RegExp(`^(?:${enumName}_|rl_)([a-z].*)$`, 'i').exec(value) ?? [];
  return name ?? value;
}

function structSource({ name, size, fields }: Struct): string {
  const type = pascalCase(name);
  const constant = name.toUpperCase();
  const decoded = fields.filter((field) => !PADDING.test(field.name) && field.type.kind !== 'opaque');
  return [
    `/** \`struct ${name}\`, ${size} bytes. */`,
    `export interface ${type} {`,
    ...decoded.map(
      (field) => `  readonly ${camelCase(field.name)}: ${isBig(field) ? 'bigint' : typeSource(field.type)};`,
    ),
    '}',
    `export const ${constant}_SIZE = ${size};`,
    `export const ${constant}_OFFSET = {`,
    ...decoded.map((field) => `  ${camelCase(field.name)}: ${field.offset},`),
    '} as const;',
    `export function read${type}(view: DataView, offset: number): ${type} {`,
    '  return {',
    ...decoded.map((field) => `    ${camelCase(field.name)}: ${fieldSource(field)},`),
    '  };',
    '}',
    '',
  ].join('\n');
}

/** Nanoseconds since boot pass 2^53 after 104 days of uptime; cookies, hashes and addresses use all 64 bits. */
const BIG = /(?:_ns|cookie|_hash|_socket)$/;

function isBig({ name, type }: Field): boolean {
  return BIG.test(name) && type.kind === 'integer' && type.size === 8;
}

function fieldSource(field: Field): string {
  return isBig(field) ? `view.getBigUint64(${at(field)}, true)` : readSource(field.type, at(field));
}

function at({ offset }: Field): string {
  return offset === 0 ? 'offset' : `offset + ${offset}`;
}

function typeSource(type: FieldType): string {
  switch (type.kind) {
    case 'integer':
      return 'number';
    case 'boolean':
      return 'boolean';
    case 'enum':
    case 'struct':
      return pascalCase(type.name);
    case 'text':
      return 'string';
    case 'array':
      if (isBytes(type)) return 'Uint8Array';
      return type.element.kind === 'array' && !isBytes(type.element)
        ? `readonly (${typeSource(type.element)})[]`
        : `readonly ${typeSource(type.element)}[]`;
    case 'opaque':
      throw new BpfError('BPF_LAYOUT_UNSUPPORTED', `${typeText(type)} cannot be in an array`);
  }
}

const INDEX_NAMES = ['i', 'j', 'k', 'l'];

function readSource(type: FieldType, offset: string, depth = 0): string {
  switch (type.kind) {
    case 'integer':
      return integerSource(type, offset);
    case 'boolean':
      return `view.getUint8(${offset}) !== 0`;
    case 'enum':
      return `${integerSource({ ...type, bigEndian: false }, offset)} as ${pascalCase(type.name)}`;
    case 'struct':
      return `read${pascalCase(type.name)}(view, ${offset})`;
    case 'text':
      return `readText(view, ${offset}, ${type.length})`;
    case 'array': {
      if (isBytes(type)) return `readBytes(view, ${offset}, ${type.length})`;
      const index = INDEX_NAMES[depth];
      const element = readSource(type.element, `${offset} + ${index} * ${sizeOfField(type.element)}`, depth + 1);
      return `readArray(${type.length}, (${index}) => ${element})`;
    }
    case 'opaque':
      throw new BpfError('BPF_LAYOUT_UNSUPPORTED', `${typeText(type)} cannot be in an array`);
  }
}

type Integer = { readonly size: number; readonly signed: boolean; readonly bigEndian: boolean };

function integerSource({ size, signed, bigEndian }: Integer, offset: string): string {
  if (size === 8) return `read${bigEndian ? 'U64BigEndian' : signed ? 'S64' : 'U64'}(view, ${offset})`;
  const order = size === 1 || bigEndian ? '' : ', true';
  return `view.get${signed ? 'Int' : 'Uint'}${size * 8}(${offset}${order})`;
}

function isBytes({ element }: Extract<FieldType, { kind: 'array' }>): boolean {
  return element.kind === 'integer' && element.size === 1 && !element.signed;
}

/** What `checkLayouts` compares at start. */
function summarySource(structs: readonly Struct[], enums: readonly Enum[]): string {
  return [
    'export const layouts: readonly Layout[] = [',
    ...enums.flatMap(({ name, values }) => [
      '  {',
      `    enum: '${name}',`,
      '    values: {',
      ...values.map(([value, number]) => `      ${value}: ${number},`),
      '    },',
      '  },',
    ]),
    ...structs.flatMap(({ name, size, fields }) => [
      '  {',
      `    struct: '${name}',`,
      `    size: ${size},`,
      '    fields: {',
      ...fields.map((field) => `      ${field.name}: [${field.offset}, '${typeText(field.type)}'],`),
      '    },',
      '  },',
    ]),
    '];',
    '',
  ].join('\n');
}

function merge<T extends { readonly name: string }>(items: readonly T[]): T[] {
  const merged = new Map<string, T>();
  for (const item of items) {
    const other = merged.get(item.name);
    if (other && JSON.stringify(other) !== JSON.stringify(item)) {
      throw new BpfError('BPF_LAYOUT_MISMATCH', `${item.name} differs between two objects`, {
        hint: 'declare it once, in the header that both include, and compile them again',
      });
    }
    merged.set(item.name, item);
  }
  return [...merged.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** `start_ns` becomes `startNs`; digits stay where they are. */
function camelCase(name: string): string {
  return name.replace(/_+([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

/** `rl_process` becomes `RlProcess`. */
function pascalCase(name: string): string {
  const camel = camelCase(name);
  return camel.charAt(0).toUpperCase() + camel.slice(1);
}

if (import.meta.main) {
  const { values, positionals } = parseArgs({ options: { out: { type: 'string' } }, allowPositionals: true });
  if (positionals.length === 0) throw new Error('usage: node bpf/generate-layouts.ts OBJECT... [--out FILE]');
  const source = generateLayouts(positionals.map((path) => describeBoundary(Btf.ofObject(path))));
  if (values.out === undefined) process.stdout.write(source);
  else writeFileSync(values.out, source);
}
