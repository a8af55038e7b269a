import { BpfError } from './errors.ts';

/*
 * What the generated decoders in layouts.ts are made of. All numbers in BPF maps have the byte order of the host;
 * the binding supports little-endian ones only. Big-endian fields (__be16, __be32) are network addresses and ports.
 */

/** Numbers above this high half are beyond 2^53, where not every integer has a number of its own. */
const MAX_HIGH = 0x1f_ffff;
const HIGH = 0x1_0000_0000;

/** A u64 as a number: the one place where they are converted. @throws BPF_NUMBER_TOO_BIG beyond 2^53 */
export function readU64(view: DataView, offset: number): number {
  const high = view.getUint32(offset + 4, true);
  if (high > MAX_HIGH) throw tooBig(view.getBigUint64(offset, true), offset);
  return high * HIGH + view.getUint32(offset, true);
}

/** An s64 as a number. @throws BPF_NUMBER_TOO_BIG beyond 2^53 either way */
export function readS64(view: DataView, offset: number): number {
  const high = view.getInt32(offset + 4, true);
  if (high > MAX_HIGH || high < -MAX_HIGH - 1) throw tooBig(view.getBigInt64(offset, true), offset);
  return high * HIGH + view.getUint32(offset, true);
}

/** A big-endian u64 as a number. @throws BPF_NUMBER_TOO_BIG beyond 2^53 */
export function readU64BigEndian(view: DataView, offset: number): number {
  const high = view.getUint32(offset);
  if (high > MAX_HIGH) throw tooBig(view.getBigUint64(offset), offset);
  return high * HIGH + view.getUint32(offset + 4);
}

function tooBig(value: bigint, offset: number): BpfError {
  return new BpfError('BPF_NUMBER_TOO_BIG', `the 64-bit value ${value} at byte ${offset} is beyond 2^53`);
}

/** A `char[length]`: UTF-8 up to the first NUL; bytes that are not UTF-8 become U+FFFD. */
export function readText(view: DataView, offset: number, length: number): string {
  let text = '';
  for (let index = 0; index < length; index++) {
    const byte = view.getUint8(offset + index);
    if (byte === 0) return text;
    if (byte > 0x7f) return readUtf8(view, offset, length);
    text += String.fromCharCode(byte);
  }
  return text;
}

function readUtf8(view: DataView, offset: number, length: number): string {
  const bytes = Buffer.from(view.buffer, view.byteOffset + offset, length);
  const end = bytes.indexOf(0);
  return bytes.toString('utf8', 0, end < 0 ? length : end);
}

/** A copy of a `u8[length]`, such as an IP address in network byte order. */
export function readBytes(view: DataView, offset: number, length: number): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset + offset, length).slice();
}

/** A fixed array of anything else. */
export function readArray<T>(length: number, read: (index: number) => T): T[] {
  const items: T[] = [];
  for (let index = 0; index < length; index++) items.push(read(index));
  return items;
}
