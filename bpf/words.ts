const TWO_32 = 2 ** 32;
const cell: Float64Array<ArrayBuffer> = new Float64Array(1);
const halves: Uint32Array<ArrayBuffer> = new Uint32Array(cell.buffer);

/**
 * Counters in memory that BPF programs write, read as numbers without making a BigInt of each. Offsets are in bytes.
 *
 * A u64 is read in one piece (two 32-bit reads could be of different moments), by way of the bits of a double: they
 * pass unchanged as long as the value is no NaN's, which begin at 2^63 - 2^52. Beyond 2^53 the result is rounded.
 */
export class Words {
  readonly #words: Uint32Array;
  readonly #cells: Float64Array;

  /** @param buffer as long as a multiple of 8 bytes */
  constructor(buffer: ArrayBufferLike) {
    this.#words = new Uint32Array(buffer);
    this.#cells = new Float64Array(buffer);
  }

  u32(offset: number): number {
    return this.#words[offset >>> 2] as number;
  }

  u64(offset: number): number {
    cell[0] = this.#cells[offset >>> 3] as number;
    return (halves[0] as number) + (halves[1] as number) * TWO_32;
  }

  setU32(offset: number, value: number): void {
    this.#words[offset >>> 2] = value;
  }
}
