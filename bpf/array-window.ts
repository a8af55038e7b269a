import type { BpfMap } from './map.ts';
import { Mapping, pageSize } from './mapping.ts';

/** Values that BPF programs write, from the first on, as far as was asked for. */
export interface SharedArray {
  /** Another one after `reach` returned true: views of the old one have become empty. */
  readonly buffer: ArrayBuffer;
  /** Sees to it that the first `count` values are in `buffer`. True where it had to be made anew. */
  reach(count: number): boolean;
}

/** Mapped at a time. Each new window costs a call and an entry in the page table for each of its pages. */
const STEP_BYTES = 256 * 1024;

/**
 * The beginning of an array with BPF_F_MMAPABLE. The kernel enters every page of such a mapping at once
 * (remap_vmalloc_range, kernel/bpf/arraymap.c), so that all that is mapped counts as this process's resident memory,
 * used or not: a table that fills from the start is mapped as far as it is filled.
 */
export class ArrayWindow implements SharedArray, Disposable {
  readonly #map: BpfMap;
  #mapping: Mapping;

  /** @throws BPF_MMAP */
  constructor(map: BpfMap) {
    this.#map = map;
    this.#mapping = this.#open(STEP_BYTES);
  }

  get buffer(): ArrayBuffer {
    return this.#mapping.buffer;
  }

  /** Never beyond the array's end, however many are asked for. @throws BPF_MMAP */
  reach(count: number): boolean {
    const mapped = this.buffer.byteLength;
    const wanted = Math.min(count, this.#map.info.maxEntries) * this.#map.valueDistance;
    if (wanted <= mapped) return false;
    // By an eighth at least: a table that fills slowly is not mapped again and again.
    const next = this.#open(Math.max(wanted, mapped + mapped / 8));
    this.#mapping[Symbol.dispose]();
    this.#mapping = next;
    return true;
  }

  [Symbol.dispose](): void {
    this.#mapping[Symbol.dispose]();
  }

  #open(bytes: number): Mapping {
    const { fd, info, valueDistance } = this.#map;
    const all = roundUp(info.maxEntries * valueDistance, pageSize());
    const length = Math.min(roundUp(bytes, STEP_BYTES), all);
    return Mapping.open({ fd, length, writable: true, what: `map ${info.name}` });
  }
}

function roundUp(bytes: number, multiple: number): number {
  return Math.ceil(bytes / multiple) * multiple;
}
