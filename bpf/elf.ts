import { BpfError } from './errors.ts';

const HEADER_SIZE = 64;
const SECTION_HEADER_SIZE = 64;
const ELF_MAGIC = 0x7f454c46;
const CLASS_64 = 2;
const LITTLE_ENDIAN = 1;
const EM_BPF = 247;
const SHT_NOBITS = 8;

/**
 * The sections of a 64-bit little-endian BPF object file by name, as views into `file`. Of sections with the same
 * name the first is given; those that take no space in the file (.bss) are left out.
 * @throws BPF_ELF_INVALID where the file is something else or cut short.
 */
export function readElfSections(file: Uint8Array, path = 'object'): ReadonlyMap<string, Uint8Array> {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const invalid = (what: string): BpfError => {
    return new BpfError('BPF_ELF_INVALID', `${path} is ${what}`, { hint: 'compile it again with: npm run build:bpf' });
  };
  if (file.byteLength < HEADER_SIZE || view.getUint32(0) !== ELF_MAGIC) throw invalid('not an ELF file');
  if (view.getUint8(4) !== CLASS_64 || view.getUint8(5) !== LITTLE_ENDIAN || view.getUint16(18, true) !== EM_BPF) {
    throw invalid('not a little-endian BPF object');
  }

  const table = Number(view.getBigUint64(40, true));
  const count = view.getUint16(60, true);
  const namesIndex = view.getUint16(62, true);
  if (namesIndex >= count || table + count * SECTION_HEADER_SIZE > file.byteLength) throw invalid('cut short');

  const content = (index: number): Uint8Array => {
    const header = table + index * SECTION_HEADER_SIZE;
    const start = Number(view.getBigUint64(header + 24, true));
    const end = start + Number(view.getBigUint64(header + 32, true));
    if (end > file.byteLength) throw invalid('cut short');
    return file.subarray(start, end);
  };
  const names = content(namesIndex);
  const sections = new Map<string, Uint8Array>();
  for (let index = 1; index < count; index++) {
    const header = table + index * SECTION_HEADER_SIZE;
    if (view.getUint32(header + 4, true) === SHT_NOBITS) continue;
    const name = readCString(names, view.getUint32(header, true));
    if (!sections.has(name)) sections.set(name, content(index));
  }
  return sections;
}

/** The NUL-terminated UTF-8 string that starts at `offset`. */
export function readCString(bytes: Uint8Array, offset: number): string {
  const end = bytes.indexOf(0, offset);
  return Buffer.from(bytes.buffer, bytes.byteOffset + offset, (end < 0 ? bytes.length : end) - offset).toString();
}
