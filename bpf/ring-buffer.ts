import { BpfError } from './errors.ts';
import type { BpfMap } from './map.ts';
import { Mapping, pageSize } from './mapping.ts';

/** Before each record: u32 length with the two flags, u32 page offset (the kernel's own). (kernel/bpf/ringbuf.c) */
const HEADER_SIZE = 8;
const BUSY = 0x8000_0000 | 0;
const DISCARDED = 0x4000_0000;
const LENGTH_MASK = 0x3fff_ffff;

/** Room is given back to the kernel each time this part of the ring was read, not after each record. */
const PARTS = 16;

/** `offset` and `length` in bytes; the view is the same for every record and valid during the call only. */
export type RecordCallback = (view: DataView, offset: number, length: number) => void;

/** The memory of a ring buffer map: how the kernel lays it out, and how a test makes one by hand. */
export interface RingMemory {
  /** u64 at byte 0: how far the reader has come, in bytes since the start. Written by the reader only. */
  readonly consumer: ArrayBuffer;
  /** u64 at byte 0: how far the writers have come. Read-only. */
  readonly producer: ArrayBuffer;
  /** The ring, mapped twice in a row so that a record that wraps around is in one piece. Read-only. */
  readonly data: ArrayBuffer;
  /** Where the ring starts in `data`. */
  readonly dataOffset: number;
  /** Bytes of the ring once, a power of two. */
  readonly size: number;
}

/**
 * The reading end of a BPF_MAP_TYPE_RINGBUF, in plain JavaScript over shared memory: no call per record.
 *
 * One reader only. Memory order: the kernel publishes a record by clearing its busy bit (xchg) after writing it, and
 * a reservation by a release-store of the producer position; both are read here with Atomics, which on x86-64 and
 * arm64 order the plain reads of the record after them. The consumer position is stored with Atomics after the last
 * read of what it gives back. Positions are u64 that never wrap in practice and are computed as bigint once a call.
 */
export class RingBuffer implements Disposable {
  readonly #consumer: BigUint64Array;
  readonly #producer: BigUint64Array;
  readonly #view: DataView;
  readonly #words: Int32Array;
  readonly #dataOffset: number;
  readonly #size: number;
  readonly #mappings: readonly Mapping[];

  constructor(memory: RingMemory, mappings: readonly Mapping[] = []) {
    this.#consumer = new BigUint64Array(memory.consumer, 0, 1);
    this.#producer = new BigUint64Array(memory.producer, 0, 1);
    this.#view = new DataView(memory.data);
    this.#words = new Int32Array(memory.data);
    this.#dataOffset = memory.dataOffset;
    this.#size = memory.size;
    this.#mappings = mappings;
  }

  /** @throws BPF_RING for another kind of map, BPF_MMAP */
  static open(map: BpfMap): RingBuffer {
    const { name, type, maxEntries: size } = map.info;
    if (type !== 'ringbuf') throw new BpfError('BPF_RING', `map ${name} is a ${type}, not a ringbuf`);
    const page = pageSize();
    const { fd } = map;
    // Page 0 is the consumer's, page 1 the producer's; the kernel lets the reader write to page 0 only.
    const consumer = Mapping.open({ fd, length: page, writable: true, what: `ring buffer ${name}` });
    try {
      const length = page + 2 * size;
      const rest = Mapping.open({ fd, offset: page, length, writable: false, what: `ring buffer ${name}` });
      const memory = {
        consumer: consumer.buffer,
        producer: rest.buffer,
        data: rest.buffer,
        dataOffset: page,
        size,
      };
      return new RingBuffer(memory, [consumer, rest]);
    } catch (error) {
      consumer[Symbol.dispose]();
      throw error;
    }
  }

  /** Bytes that wait to be read, headers and discarded records included; at `size` the writers start to lose. */
  get pendingBytes(): number {
    return Number(Atomics.load(this.#producer, 0) - Atomics.load(this.#consumer, 0));
  }

  /** Bytes the ring holds. */
  get size(): number {
    return this.#size;
  }

  /**
   * Hands over every record there is, oldest first, up to one that is still being written. A record whose callback
   * throws counts as read.
   * @returns how many records
   */
  consume(callback: RecordCallback): number {
    const size = this.#size;
    const view = this.#view;
    const words = this.#words;
    const start = Atomics.load(this.#consumer, 0);
    const available = Number(Atomics.load(this.#producer, 0) - start);
    const first = Number(start % BigInt(size));
    const part = size / PARTS;
    let read = 0;
    let published = 0;
    let records = 0;
    try {
      while (read < available) {
        const at = this.#dataOffset + ((first + read) % size);
        const header = Atomics.load(words, at >>> 2);
        if ((header & BUSY) !== 0) break;
        const length = header & LENGTH_MASK;
        read += roundUp8(HEADER_SIZE + length);
        if ((header & DISCARDED) === 0) {
          records++;
          callback(view, at + HEADER_SIZE, length);
        }
        if (read - published >= part) {
          published = read;
          Atomics.store(this.#consumer, 0, start + BigInt(read));
        }
      }
    } finally {
      if (read > published) Atomics.store(this.#consumer, 0, start + BigInt(read));
    }
    return records;
  }

  [Symbol.dispose](): void {
    for (const mapping of this.#mappings.toReversed()) mapping[Symbol.dispose]();
  }
}

function roundUp8(bytes: number): number {
  return (bytes + 7) & ~7;
}
