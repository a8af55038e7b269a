import { BpfError } from './errors.ts';
import { lastErrno, libc, type Pointer, viewMemory } from './libbpf.ts';

const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 1;
const MAP_FAILED = 0xffff_ffff_ffff_ffffn;
const SC_PAGESIZE = 30;

/** Bytes of a memory page: 4096 on x86-64, up to 65536 on arm64. */
export function pageSize(): number {
  return libc().sysconf(SC_PAGESIZE);
}

export interface MappingOptions {
  readonly fd: number;
  /** Bytes to map; the kernel rounds up to whole pages, the view does not. */
  readonly length: number;
  /** Where to start in the file, a multiple of the page size. */
  readonly offset?: number;
  /** A write through a mapping that is not writable kills the process with SIGSEGV; JavaScript can't catch it. */
  readonly writable: boolean;
  /** What is mapped, for the error. */
  readonly what: string;
}

/**
 * Kernel memory shared with this process: `buffer` shows what BPF programs write, without a call. Disposing detaches
 * the buffer first (its length becomes 0 and reads give undefined), so no view of it can touch unmapped memory.
 */
export class Mapping implements Disposable {
  readonly buffer: ArrayBuffer;
  readonly #address: Pointer;
  readonly #length: number;

  private constructor(address: Pointer, length: number) {
    this.#address = address;
    this.#length = length;
    this.buffer = viewMemory(address, length);
  }

  /** @throws BPF_MMAP */
  static open(options: MappingOptions): Mapping {
    const protection = options.writable ? PROT_READ | PROT_WRITE : PROT_READ;
    const address = libc().mmap(null, options.length, protection, MAP_SHARED, options.fd, options.offset ?? 0);
    if (address === MAP_FAILED) {
      throw new BpfError('BPF_MMAP', `cannot map ${options.length} bytes of ${options.what}`, { errno: lastErrno() });
    }
    return new Mapping(address, options.length);
  }

  [Symbol.dispose](): void {
    if (this.buffer.detached) return;
    this.buffer.transfer(0);
    libc().munmap(this.#address, this.#length);
  }
}
