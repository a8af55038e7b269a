/**
 * The door to C: the only file that knows koffi. Everything here is the C function under its own name, with
 * libbpf's conventions untouched: calls that return `int` give -errno, calls that return a pointer give NULL and
 * leave errno in `lastErrno()`. The files around it turn both into a BpfError.
 */
import koffi from 'koffi';
import { BpfError } from './errors.ts';

/** An address in this process; NULL is null. */
export type Pointer = bigint;

/** Memory for C to read or write: a Buffer or typed array, passed without a copy. */
type Memory = NodeJS.TypedArray | Pointer | null;

interface Libbpf {
  libbpf_major_version(): number;
  libbpf_minor_version(): number;
  libbpf_num_possible_cpus(): number;
  libbpf_set_print(callback: Pointer | null): Pointer | null;
  libbpf_bpf_attach_type_str(type: number): string | null;
  libbpf_bpf_link_type_str(type: number): string | null;
  libbpf_bpf_map_type_str(type: number): string | null;
  libbpf_bpf_prog_type_str(type: number): string | null;

  bpf_object__open_file(path: string, options: null): Pointer | null;
  bpf_object__load(object: Pointer): number;
  bpf_object__close(object: Pointer): void;
  bpf_object__next_program(object: Pointer, previous: Pointer | null): Pointer | null;
  bpf_object__next_map(object: Pointer, previous: Pointer | null): Pointer | null;
  bpf_object__btf(object: Pointer): Pointer | null;
  btf__raw_data(btf: Pointer, size: Memory): Pointer | null;

  bpf_program__name(program: Pointer): string;
  bpf_program__section_name(program: Pointer): string;
  bpf_program__autoload(program: Pointer): boolean;
  bpf_program__set_autoload(program: Pointer, autoload: boolean): number;
  bpf_program__fd(program: Pointer): number;
  bpf_program__attach(program: Pointer): Pointer | null;
  bpf_program__attach_cgroup(program: Pointer, cgroupFd: number): Pointer | null;
  bpf_program__attach_iter(program: Pointer, options: Memory): Pointer | null;

  bpf_map__name(map: Pointer): string;
  bpf_map__type(map: Pointer): number;
  bpf_map__key_size(map: Pointer): number;
  bpf_map__value_size(map: Pointer): number;
  bpf_map__max_entries(map: Pointer): number;
  bpf_map__set_max_entries(map: Pointer, entries: number): number;
  bpf_map__map_flags(map: Pointer): number;
  bpf_map__is_internal(map: Pointer): boolean;
  bpf_map__initial_value(map: Pointer, size: Memory): Pointer | null;
  bpf_map__reuse_fd(map: Pointer, fd: number): number;
  bpf_map__fd(map: Pointer): number;

  bpf_link__fd(link: Pointer): number;
  bpf_link__destroy(link: Pointer): number;
  bpf_link_create(programFd: number, targetFd: number, attachType: number, options: null): number;
  bpf_link_detach(fd: number): number;
  bpf_link_update(fd: number, programFd: number, options: null): number;
  bpf_iter_create(linkFd: number): number;

  bpf_map_lookup_elem(fd: number, key: Memory, value: Memory): number;
  bpf_map_update_elem(fd: number, key: Memory, value: Memory, flags: number): number;
  bpf_map_delete_elem(fd: number, key: Memory): number;
  bpf_map_lookup_and_delete_elem(fd: number, key: Memory, value: Memory): number;
  bpf_map_lookup_batch(
    fd: number,
    from: Memory,
    to: Memory,
    keys: Memory,
    values: Memory,
    count: Memory,
    options: null,
  ): number;
  bpf_map_lookup_and_delete_batch(
    fd: number,
    from: Memory,
    to: Memory,
    keys: Memory,
    values: Memory,
    count: Memory,
    options: null,
  ): number;

  bpf_obj_pin(fd: number, path: string): number;
  bpf_obj_get(path: string): number;
  bpf_obj_get_info_by_fd(fd: number, info: Memory, length: Memory): number;
  bpf_enable_stats(type: number): number;
  bpf_prog_get_next_id(start: number, next: Memory): number;
  bpf_map_get_next_id(start: number, next: Memory): number;
  bpf_link_get_next_id(start: number, next: Memory): number;
  bpf_prog_get_fd_by_id(id: number): number;
  bpf_map_get_fd_by_id(id: number): number;
  bpf_link_get_fd_by_id(id: number): number;
}

/** C types: the result, then the arguments. */
type Signature = readonly [result: string, ...args: string[]];
const ptr = 'void *';
const str = 'const char *';

const LIBBPF: Record<keyof Libbpf, Signature> = {
  libbpf_major_version: ['uint32_t'],
  libbpf_minor_version: ['uint32_t'],
  libbpf_num_possible_cpus: ['int'],
  libbpf_set_print: [ptr, ptr],
  libbpf_bpf_attach_type_str: [str, 'int'],
  libbpf_bpf_link_type_str: [str, 'int'],
  libbpf_bpf_map_type_str: [str, 'int'],
  libbpf_bpf_prog_type_str: [str, 'int'],

  bpf_object__open_file: [ptr, str, ptr],
  bpf_object__load: ['int', ptr],
  bpf_object__close: ['void', ptr],
  bpf_object__next_program: [ptr, ptr, ptr],
  bpf_object__next_map: [ptr, ptr, ptr],
  bpf_object__btf: [ptr, ptr],
  btf__raw_data: [ptr, ptr, ptr],

  bpf_program__name: [str, ptr],
  bpf_program__section_name: [str, ptr],
  bpf_program__autoload: ['bool', ptr],
  bpf_program__set_autoload: ['int', ptr, 'bool'],
  bpf_program__fd: ['int', ptr],
  bpf_program__attach: [ptr, ptr],
  bpf_program__attach_cgroup: [ptr, ptr, 'int'],
  bpf_program__attach_iter: [ptr, ptr, ptr],

  bpf_map__name: [str, ptr],
  bpf_map__type: ['int', ptr],
  bpf_map__key_size: ['uint32_t', ptr],
  bpf_map__value_size: ['uint32_t', ptr],
  bpf_map__max_entries: ['uint32_t', ptr],
  bpf_map__set_max_entries: ['int', ptr, 'uint32_t'],
  bpf_map__map_flags: ['uint32_t', ptr],
  bpf_map__is_internal: ['bool', ptr],
  bpf_map__initial_value: [ptr, ptr, ptr],
  bpf_map__reuse_fd: ['int', ptr, 'int'],
  bpf_map__fd: ['int', ptr],

  bpf_link__fd: ['int', ptr],
  bpf_link__destroy: ['int', ptr],
  bpf_link_create: ['int', 'int', 'int', 'int', ptr],
  bpf_link_detach: ['int', 'int'],
  bpf_link_update: ['int', 'int', 'int', ptr],
  bpf_iter_create: ['int', 'int'],

  bpf_map_lookup_elem: ['int', 'int', ptr, ptr],
  bpf_map_update_elem: ['int', 'int', ptr, ptr, 'uint64_t'],
  bpf_map_delete_elem: ['int', 'int', ptr],
  bpf_map_lookup_and_delete_elem: ['int', 'int', ptr, ptr],
  bpf_map_lookup_batch: ['int', 'int', ptr, ptr, ptr, ptr, ptr, ptr],
  bpf_map_lookup_and_delete_batch: ['int', 'int', ptr, ptr, ptr, ptr, ptr, ptr],

  bpf_obj_pin: ['int', 'int', str],
  bpf_obj_get: ['int', str],
  bpf_obj_get_info_by_fd: ['int', 'int', ptr, ptr],
  bpf_enable_stats: ['int', 'int'],
  bpf_prog_get_next_id: ['int', 'uint32_t', ptr],
  bpf_map_get_next_id: ['int', 'uint32_t', ptr],
  bpf_link_get_next_id: ['int', 'uint32_t', ptr],
  bpf_prog_get_fd_by_id: ['int', 'uint32_t'],
  bpf_map_get_fd_by_id: ['int', 'uint32_t'],
  bpf_link_get_fd_by_id: ['int', 'uint32_t'],
};

interface Libc {
  mmap(address: null, length: number, protection: number, flags: number, fd: number, offset: number): Pointer;
  munmap(address: Pointer, length: number): number;
  madvise(address: Pointer, length: number, advice: number): number;
  sysconf(name: number): number;
  setns(fd: number, type: number): number;
  mount(source: string, target: string, type: string, flags: number, data: null): number;
  umount2(target: string, flags: number): number;
  clock_gettime(clock: number, time: Memory): number;
  if_nametoindex(name: string): number;
  socket(domain: number, type: number, protocol: number): number;
  getsockopt(fd: number, level: number, option: number, value: Memory, length: Memory): number;
  send(fd: number, data: Memory, length: number, flags: number): number;
  recv(fd: number, data: Memory, length: number, flags: number): number;
  vasprintf(result: Memory, format: Pointer, args: Pointer): number;
  /** Variadic in C; the calls made here take at most four arguments, which travel in registers either way. */
  syscall(number: number, first: number, second: number, third: Pointer | null, fourth: number): number;
  free(address: Pointer): void;
  malloc_trim(pad: number): number;
}

const LIBC: Record<keyof Libc, Signature> = {
  mmap: [ptr, ptr, 'size_t', 'int', 'int', 'int', 'int64_t'],
  munmap: ['int', ptr, 'size_t'],
  madvise: ['int', ptr, 'size_t', 'int'],
  sysconf: ['long', 'int'],
  setns: ['int', 'int', 'int'],
  mount: ['int', str, str, str, 'ulong', ptr],
  umount2: ['int', str, 'int'],
  clock_gettime: ['int', 'int', ptr],
  if_nametoindex: ['uint32_t', str],
  socket: ['int', 'int', 'int', 'int'],
  getsockopt: ['int', 'int', 'int', 'int', ptr, ptr],
  send: ['long', 'int', ptr, 'size_t', 'int'],
  recv: ['long', 'int', ptr, 'size_t', 'int'],
  vasprintf: ['int', ptr, ptr, ptr],
  syscall: ['long', 'long', 'long', 'long', ptr, 'long'],
  free: ['void', ptr],
  malloc_trim: ['int', 'size_t'],
};

let boundLibbpf: Libbpf | undefined;
let boundLibc: Libc | undefined;

/**
 * libbpf, loaded on first use.
 * @throws BPF_LIBRARY_MISSING where libbpf.so.1 is not installed or too old for a function that is needed.
 */
export function libbpf(): Libbpf {
  if (boundLibbpf) return boundLibbpf;
  try {
    boundLibbpf = bind<Libbpf>('libbpf.so.1', LIBBPF);
  } catch (cause) {
    const hint = 'install it with: apt-get install libbpf1';
    throw new BpfError('BPF_LIBRARY_MISSING', `cannot use libbpf.so.1 (${String(cause)})`, { hint, cause });
  }
  // Without a callback libbpf prints to stderr; `withLog` listens where there is something to hear.
  boundLibbpf.libbpf_set_print(null);
  return boundLibbpf;
}

/** The C library. Calls that fail give -1 (mmap: MAP_FAILED) and leave errno in `lastErrno()`. */
export function libc(): Libc {
  boundLibc ??= bind<Libc>('libc.so.6', LIBC);
  return boundLibc;
}

function bind<Functions>(library: string, signatures: Record<keyof Functions & string, Signature>): Functions {
  const handle = koffi.load(library);
  const functions = Object.entries<Signature>(signatures).map(([name, [result, ...args]]) => {
    return [name, handle.func(name, result, args)] as const;
  });
  return Object.fromEntries(functions) as Functions;
}

/** True where the installed libbpf has this function: newer ones offer more than the 1.1 that this is written to. */
export function hasLibbpfFunction(name: string): boolean {
  try {
    return koffi.load('libbpf.so.1').symbol(name) !== null;
  } catch {
    return false;
  }
}

/** errno as the last C call left it; valid only straight after that call. */
export function lastErrno(): number {
  return koffi.errno();
}

/** The address of a Buffer's first byte, for structs that hold pointers. The caller keeps the Buffer alive. */
export function addressOf(memory: NodeJS.TypedArray): Pointer {
  return koffi.address(memory);
}

/** `length` bytes at an address, without a copy. The caller sees to it that they outlive every use. */
export function viewMemory(address: Pointer, length: number): ArrayBuffer {
  return koffi.view(address, length);
}

const LIBBPF_DEBUG = 2;

/**
 * Runs libbpf calls and gives what libbpf printed meanwhile (warnings and information), which is where the reason
 * for a failed load is, with the verifier's log.
 *
 * libbpf prints through a va_list. On x86-64 (an array) and arm64 (a struct over 16 bytes) it arrives as an address,
 * so the C library can format it. The callback belongs to the process: only one thread may be in here.
 */
export function withLog<T>(calls: () => T): { readonly result: T; readonly log: string } {
  const { libbpf_set_print } = libbpf();
  const { vasprintf, free } = libc();
  const messages: string[] = [];
  const print = (level: number, format: Pointer, args: Pointer): number => {
    if (level === LIBBPF_DEBUG) return 0;
    const text = new BigUint64Array(1);
    const length = vasprintf(text, format, args);
    if (length < 0 || !text[0]) return 0;
    messages.push(koffi.decode.string(text[0], length));
    free(text[0]);
    return length;
  };
  const callback = koffi.register(print, koffi.pointer(koffi.proto('int', ['int', ptr, ptr])));
  libbpf_set_print(callback);
  try {
    const result = calls();
    return { result, log: messages.join('') };
  } finally {
    libbpf_set_print(null);
    koffi.unregister(callback);
  }
}
