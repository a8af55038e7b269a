import type { BpfMap, MapBatch } from '../../bpf/map.ts';

export interface FakeMapShape {
  name: string;
  keySize: number;
  valueSize: number;
  maxEntries: number;
}

/** A hash map in memory, with as much of BpfMap as the agent uses. Sizes are checked as the kernel's side checks them. */
export class FakeMap {
  readonly info: { name: string; type: string; keySize: number; valueSize: number; maxEntries: number };
  readonly valueStride: number;
  readonly #entries = new Map<string, Buffer>();

  constructor({ name, keySize, valueSize, maxEntries }: FakeMapShape) {
    this.info = { name, type: 'hash', keySize, valueSize, maxEntries };
    this.valueStride = valueSize;
  }

  asMap(): BpfMap {
    return this as unknown as BpfMap;
  }

  get size(): number {
    return this.#entries.size;
  }

  lookup(key: Buffer): Buffer | undefined {
    this.#check(key, this.info.keySize);
    const value = this.#entries.get(key.toString('hex'));
    return value && Buffer.from(value);
  }

  update(key: Buffer, value: Buffer): boolean {
    this.#check(key, this.info.keySize);
    this.#check(value, this.valueStride);
    this.#entries.set(key.toString('hex'), Buffer.from(value));
    return true;
  }

  delete(key: Buffer): boolean {
    this.#check(key, this.info.keySize);
    return this.#entries.delete(key.toString('hex'));
  }

  *entries(): Generator<readonly [Buffer, Buffer]> {
    for (const [key, value] of [...this.#entries]) yield [Buffer.from(key, 'hex'), Buffer.from(value)];
  }

  /** Two entries a batch in buffers that are used again, so that who keeps a slice of them is found out. */
  *batches(): Generator<MapBatch> {
    const all = [...this.entries()];
    const keys = Buffer.alloc(2 * this.info.keySize);
    const values = Buffer.alloc(2 * this.valueStride);
    for (let first = 0; first < all.length; first += 2) {
      const part = all.slice(first, first + 2);
      for (const [index, [key, value]] of part.entries()) {
        key.copy(keys, index * this.info.keySize);
        value.copy(values, index * this.valueStride);
      }
      yield { count: part.length, keys, values };
      keys.fill(0xee);
      values.fill(0xee);
    }
  }

  #check(bytes: Buffer, size: number): void {
    if (bytes.length !== size) throw new Error(`map ${this.info.name}: ${bytes.length} bytes instead of ${size}`);
  }
}

/** A queue in memory. */
export class FakeQueue {
  readonly info: { name: string; type: string; keySize: number; valueSize: number; maxEntries: number };
  readonly valueStride = 4;
  readonly values: number[] = [];

  constructor(name: string, maxEntries: number) {
    this.info = { name, type: 'queue', keySize: 0, valueSize: 4, maxEntries };
  }

  asMap(): BpfMap {
    return this as unknown as BpfMap;
  }

  push(value: Buffer): void {
    this.values.push(value.readUInt32LE());
  }
}
