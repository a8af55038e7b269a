import { closeSync } from 'node:fs';
import { constants } from 'node:os';
import { BpfError } from './errors.ts';
import { type MapInfo, mapInfo, possibleCpus } from './info.ts';
import { libbpf } from './libbpf.ts';
import { Mapping } from './mapping.ts';
import { openPin, pin } from './pin.ts';

const { ENOENT, ENOSPC, EEXIST } = constants.errno;

/** Whether `update` makes an entry, changes one, or does either. */
export const UPDATE = { any: 0, onlyNew: 1, onlyExisting: 2 } as const;
export type UpdateMode = (typeof UPDATE)[keyof typeof UPDATE];

/** Entries as the kernel copied them: key i is at i * keySize, value i at i * valueStride. */
export interface MapBatch {
  readonly count: number;
  readonly keys: Buffer;
  readonly values: Buffer;
}

export interface BatchOptions {
  /** Entries a call; grows by itself where a hash bucket holds more. */
  readonly size?: number;
  /** Take the entries out of the map while reading them (hash kinds only): nothing written in between is lost. */
  readonly remove?: boolean;
}

/** 1,024 values of 64 bytes make 64 KB: large enough to hide the call, small enough for the cache. */
const BATCH_SIZE = 1024;

/** Values of an mmapped array start at multiples of this; per-CPU values too. (kernel/bpf/arraymap.c, hashtab.c) */
const VALUE_ALIGNMENT = 8;

/**
 * A map in the kernel. Keys and values are the bytes of the C structs; the decoders in `layouts.ts` read them.
 * Values of per-CPU kinds are one after the other per possible CPU, each rounded up to 8 bytes.
 */
export class BpfMap implements Disposable {
  readonly info: MapInfo;
  /** Bytes from one value to the next: the value's size, for per-CPU kinds that of all CPUs together. */
  readonly valueStride: number;
  /** Bytes from one value to the next where an array is mapped. */
  readonly valueDistance: number;
  readonly #fd: number;
  readonly #owned: boolean;
  #closed = false;

  /** @param owned whether disposing closes the fd */
  constructor(fd: number, owned: boolean) {
    this.#fd = fd;
    this.#owned = owned;
    this.info = mapInfo(fd);
    const { valueSize, type } = this.info;
    this.valueStride = type.includes('percpu') ? roundUp(valueSize, VALUE_ALIGNMENT) * possibleCpus() : valueSize;
    this.valueDistance = roundUp(valueSize, VALUE_ALIGNMENT);
  }

  /** @throws BPF_PIN where there is none. */
  static openPinned(path: string): BpfMap {
    return new BpfMap(openPin('map', path), true);
  }

  /** @throws BPF_PIN */
  pin(path: string): void {
    pin(this.fd, path);
  }

  /** A copy of the value, or undefined where there is no such key. `into` saves the allocation. */
  lookup(key: Uint8Array, into: Buffer = Buffer.allocUnsafeSlow(this.valueStride)): Buffer | undefined {
    this.#checkSize('key', key, this.info.keySize);
    this.#checkSize('value', into, this.valueStride);
    const errno = libbpf().bpf_map_lookup_elem(this.fd, key, into);
    return this.#found('look up in', errno) ? into : undefined;
  }

  /** False where `mode` forbids it: the key is there (`onlyNew`) or is not (`onlyExisting`). E2BIG: the map is full. */
  update(key: Uint8Array, value: Uint8Array, mode: UpdateMode = UPDATE.any): boolean {
    this.#checkSize('key', key, this.info.keySize);
    this.#checkSize('value', value, this.valueStride);
    const errno = libbpf().bpf_map_update_elem(this.fd, key, value, mode);
    if (errno === -EEXIST && mode === UPDATE.onlyNew) return false;
    return this.#found('write to', errno);
  }

  /** True where the key was there. */
  delete(key: Uint8Array): boolean {
    this.#checkSize('key', key, this.info.keySize);
    return this.#found('delete from', libbpf().bpf_map_delete_elem(this.fd, key));
  }

  /** Takes the entry out: nothing is written to it between reading and deleting. Hash kinds, kernel 5.14. */
  take(key: Uint8Array): Buffer | undefined {
    this.#checkSize('key', key, this.info.keySize);
    const value = Buffer.allocUnsafeSlow(this.valueStride);
    const errno = libbpf().bpf_map_lookup_and_delete_elem(this.fd, key, value);
    return this.#found('take from', errno) ? value : undefined;
  }

  /** Adds to a queue or stack. E2BIG: it is full. */
  push(value: Uint8Array): void {
    this.#checkSize('value', value, this.info.valueSize);
    this.#found('push to', libbpf().bpf_map_update_elem(this.fd, null, value, UPDATE.any));
  }

  /** Takes the next value from a queue or stack; undefined where it is empty. */
  pop(): Buffer | undefined {
    const value = Buffer.allocUnsafeSlow(this.info.valueSize);
    return this.#found('pop from', libbpf().bpf_map_lookup_and_delete_elem(this.fd, null, value)) ? value : undefined;
  }

  /**
   * All entries, many per call. The buffers are the same in every batch: copy what is to be kept. An entry that is
   * there from start to end comes exactly once; one that comes or goes meanwhile may be missed.
   */
  *batches(options: BatchOptions = {}): Generator<MapBatch, void, void> {
    const { bpf_map_lookup_batch, bpf_map_lookup_and_delete_batch } = libbpf();
    const read = options.remove ? bpf_map_lookup_and_delete_batch : bpf_map_lookup_batch;
    const { keySize, maxEntries } = this.info;
    // The position is a bucket number (4 bytes) or a key, by kind of map.
    const position = Buffer.alloc(Math.max(keySize, 8));
    const count = new Uint32Array(1);
    let size = Math.min(options.size ?? BATCH_SIZE, maxEntries);
    let keys = Buffer.allocUnsafeSlow(size * keySize);
    let values = Buffer.allocUnsafeSlow(size * this.valueStride);
    let started = false;
    while (true) {
      count[0] = size;
      const errno = read(this.fd, started ? position : null, position, keys, values, count, null);
      if (errno === -ENOSPC) {
        size *= 2;
        keys = Buffer.allocUnsafeSlow(size * keySize);
        values = Buffer.allocUnsafeSlow(size * this.valueStride);
        continue;
      }
      const more = this.#found('read', errno);
      started = true;
      if (count[0] > 0) yield { count: count[0], keys, values };
      if (!more) return;
    }
  }

  /** All entries one by one, as copies that may be kept. For large maps that are read often, use `batches`. */
  *entries(options: BatchOptions = {}): Generator<readonly [key: Buffer, value: Buffer], void, void> {
    const { keySize } = this.info;
    for (const { count, keys, values } of this.batches(options)) {
      for (let index = 0; index < count; index++) {
        const key = keys.subarray(index * keySize, (index + 1) * keySize);
        const value = values.subarray(index * this.valueStride, (index + 1) * this.valueStride);
        yield [Buffer.from(key), Buffer.from(value)];
      }
    }
  }

  /** Entries at the moment, by reading them all: the kernel keeps no count that it tells. */
  count(): number {
    let total = 0;
    for (const { count } of this.batches({ size: 4 * BATCH_SIZE })) total += count;
    return total;
  }

  /**
   * An array with BPF_F_MMAPABLE, or the globals of an object (`.bss`, `.data`), as memory. Value i starts at
   * i * roundUp(valueSize, 8). Reading and writing take no call; 32-bit and aligned 64-bit accesses are not torn.
   * @throws BPF_MMAP: EINVAL or ENOTSUPP for other maps, EPERM for writing to one that is frozen (.rodata)
   */
  mmap(options: { readonly writable?: boolean } = {}): Mapping {
    const { name, maxEntries } = this.info;
    const length = this.valueDistance * maxEntries;
    return Mapping.open({ fd: this.fd, length, writable: options.writable ?? true, what: `map ${name}` });
  }

  /** @throws BPF_NOT_FOUND once it, or the object it is from, was closed: the number may be another file's by then. */
  get fd(): number {
    if (this.#closed) throw new BpfError('BPF_NOT_FOUND', `map ${this.info.name} was closed`);
    return this.#fd;
  }

  [Symbol.dispose](): void {
    if (this.#owned && !this.#closed) closeSync(this.#fd);
    this.#closed = true;
  }

  #found(action: string, errno: number): boolean {
    if (errno >= 0) return true;
    if (errno === -ENOENT) return false;
    const { name, type, maxEntries } = this.info;
    const hint = errno === -constants.errno.E2BIG ? `it holds its ${maxEntries} entries already` : undefined;
    throw new BpfError('BPF_MAP_ACCESS', `cannot ${action} map ${name} (${type})`, { errno, hint });
  }

  /** The kernel trusts the sizes: a short buffer would be read or written past its end. */
  #checkSize(what: 'key' | 'value', bytes: Uint8Array, size: number): void {
    if (bytes.length === size) return;
    const { name } = this.info;
    throw new BpfError('BPF_MAP_ACCESS', `a ${what} of map ${name} has ${size} bytes, not ${bytes.length}`);
  }
}

function roundUp(bytes: number, multiple: number): number {
  return Math.ceil(bytes / multiple) * multiple;
}
