import { readFileSync } from 'node:fs';
import { libc, type Pointer } from './libbpf.ts';

/* What this process gives back of its own memory, so that an agent that runs for months is as small as its work. */

const MADV_DONTNEED = 4;

/** A piece of this process's address space. */
interface Range {
  readonly address: Pointer;
  /** Bytes. */
  readonly length: number;
}

/**
 * Gives the pages of freed C memory back to the system: V8 compiles in such memory, and glibc keeps the holes that
 * this leaves. Takes about 1 ms.
 */
export function returnFreedMemory(): void {
  libc().malloc_trim(0);
}

/**
 * Lets go of the pages of the program that runs (Node's code and constants): those that are needed come back from the
 * page cache as they are used, 16 at a time; those that only the start needed, some 25 MB, no longer count as this
 * process's, and the kernel can have them when it is short. Takes some milliseconds. Where the kernel refuses, they stay.
 */
export function returnProgramPages(): void {
  for (const { address, length } of unwritten(readFileSync('/proc/self/smaps', 'utf8'), process.execPath)) {
    libc().madvise(address, length, MADV_DONTNEED);
  }
}

/**
 * Where a file is mapped and can't have been written to: letting go of a page that was, by the loader's relocations,
 * would lose what was written.
 * @param smaps as of /proc/PID/smaps
 */
export function unwritten(smaps: string, path: string): Range[] {
  const ranges: Range[] = [];
  for (const mapping of smaps.split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)) {
    const [, first, end, access, file] = /^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \d+ +(.*)$/m.exec(mapping) ?? [];
    if (file !== path || access?.[1] !== '-' || !/^Anonymous: +0 kB$/m.test(mapping)) continue;
    const address = BigInt(`0x${first}`);
    ranges.push({ address, length: Number(BigInt(`0x${end}`) - address) });
  }
  return ranges;
}
