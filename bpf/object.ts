import { closeSync } from 'node:fs';
import { Btf } from './btf.ts';
import { BpfError } from './errors.ts';
import { type MapInfo, mapInfo } from './info.ts';
import { lastErrno, libbpf, type Pointer, viewMemory, withLog } from './libbpf.ts';
import { BpfMap } from './map.ts';
import { openPin } from './pin.ts';
import { BpfProgram } from './program.ts';
import { explainRefusal, hasVerifierLog, refusedProgram } from './refusal.ts';

/** A value for a C global; bytes are taken as they are and must have the variable's size. */
export type GlobalValue = number | bigint | boolean | Uint8Array;

export interface OpenOptions {
  /** Load these programs and no others, by name. Default: all whose section does not begin with `?`. */
  readonly only?: readonly string[];
  /** Leave these programs out, by name. */
  readonly skip?: readonly string[];
  /** Initial values of C globals (`const volatile` or not), by name. */
  readonly globals?: Readonly<Record<string, GlobalValue>>;
  /** Other sizes of maps than in the source, by name. */
  readonly maxEntries?: Readonly<Record<string, number>>;
  /** Maps that exist and are to be used instead of new ones, by name: an fd (stays the caller's) or the path of a pin. */
  readonly reuse?: Readonly<Record<string, number | string>>;
}

/** Where a C global lies: in which map, at which byte, of how many. */
export interface Global {
  readonly map: string;
  readonly offset: number;
  readonly size: number;
}

/** Programs that the kernel did not take, by name, each with the reason in words. */
export type Unsupported = ReadonlyMap<string, { readonly reason: string; readonly error: BpfError }>;

/**
 * A compiled object file: its programs and maps. Open it, load it, attach its programs. Disposing closes programs and
 * maps; links and everything pinned live on.
 *
 *     using object = BpfObject.open('flows.bpf.o', { globals: { sample_every: 10 } }).load();
 *     using link = object.program('on_packet').attachCgroup('/sys/fs/cgroup');
 *     for (const { count, keys, values } of object.map('flows').batches()) …
 */
export class BpfObject implements Disposable {
  readonly path: string;
  readonly programs: ReadonlyMap<string, BpfProgram>;
  readonly #pointer: Pointer;
  readonly #mapPointers: ReadonlyMap<string, Pointer>;
  readonly #maps = new Map<string, BpfMap>();
  #knownGlobals: ReadonlyMap<string, Global> | undefined;
  #closed = false;

  private constructor(path: string, pointer: Pointer) {
    const { bpf_object__next_program, bpf_object__next_map } = libbpf();
    this.path = path;
    this.#pointer = pointer;
    const programs = [...walk(pointer, bpf_object__next_program)].map(
      (program) => new BpfProgram(program, () => !this.#closed),
    );
    this.programs = new Map(programs.map((program) => [program.name, program]));
    this.#mapPointers = new Map([...walk(pointer, bpf_object__next_map)].map((map) => [mapName(map), map]));
  }

  /**
   * Reads an object file and applies the options; nothing enters the kernel before `load`.
   * @throws BPF_OBJECT_OPEN, BPF_NOT_FOUND for a name in the options that the object lacks, BPF_MAP_INCOMPATIBLE
   */
  static open(path: string, options: OpenOptions = {}): BpfObject {
    const { result, log } = withLog(() => {
      const pointer = libbpf().bpf_object__open_file(path, null);
      return { pointer, errno: pointer === null ? lastErrno() : 0 };
    });
    if (result.pointer === null) {
      throw new BpfError('BPF_OBJECT_OPEN', `cannot open ${path}`, { errno: result.errno, log });
    }
    const object = new BpfObject(path, result.pointer);
    try {
      object.#apply(options);
      return object;
    } catch (error) {
      object[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Opens and loads without those of the `optional` programs that this kernel refuses.
   * @throws as `open` and `load`, also where a program that is not optional is refused
   */
  static loadSupported(
    path: string,
    optional: readonly string[],
    options: OpenOptions = {},
  ): { readonly object: BpfObject; readonly unsupported: Unsupported } {
    const unsupported = new Map<string, { reason: string; error: BpfError }>();
    while (true) {
      const object = BpfObject.open(path, { ...options, skip: [...(options.skip ?? []), ...unsupported.keys()] });
      try {
        return { object: object.load(), unsupported };
      } catch (error) {
        const program = error instanceof BpfError ? error.program : undefined;
        if (program === undefined || !optional.includes(program) || unsupported.has(program)) throw error;
        unsupported.set(program, { reason: explainRefusal(error as BpfError), error: error as BpfError });
      }
    }
  }

  /**
   * Asks the kernel whether it takes one program of an object, and lets go of it again.
   * @returns undefined where it does, else the reason in words
   */
  static probe(path: string, program: string, options: OpenOptions = {}): string | undefined {
    try {
      using _object = BpfObject.open(path, { ...options, only: [program] }).load();
      return undefined;
    } catch (error) {
      if (error instanceof BpfError && error.code === 'BPF_OBJECT_LOAD') return explainRefusal(error);
      throw error;
    }
  }

  /**
   * Makes the maps and has the kernel verify the programs. Where that fails the object is closed: libbpf can't try again.
   * @throws BPF_OBJECT_LOAD with `program` and `log`
   */
  load(): this {
    const { result: errno, log } = withLog(() => libbpf().bpf_object__load(this.#handle));
    if (errno < 0) {
      this[Symbol.dispose]();
      const program = refusedProgram(log);
      const what = `cannot load ${program === undefined ? this.path : `program ${program} of ${this.path}`}`;
      // The verifier says EACCES for what it does not allow anybody: no advice to become root then.
      const hint = hasVerifierLog(log) ? '' : undefined;
      throw new BpfError('BPF_OBJECT_LOAD', what, { errno, log, program, hint });
    }
    for (const [name, pointer] of this.#mapPointers) {
      this.#maps.set(name, new BpfMap(libbpf().bpf_map__fd(pointer), false));
    }
    return this;
  }

  /** The maps of a loaded object by name; C globals are in `.rodata`, `.data` and `.bss`. Empty before `load`. */
  get maps(): ReadonlyMap<string, BpfMap> {
    return this.#maps;
  }

  /** @throws BPF_NOT_FOUND */
  program(name: string): BpfProgram {
    return this.programs.get(name) ?? this.#missing('program', name, this.programs.keys());
  }

  /** @throws BPF_NOT_FOUND, also before `load` */
  map(name: string): BpfMap {
    return this.#maps.get(name) ?? this.#missing('loaded map', name, this.#maps.keys());
  }

  /** Where a C global lies: in which map (`.rodata`, `.data`, `.bss`), at which byte. @throws BPF_NOT_FOUND */
  global(name: string): Global {
    const globals = this.#globals();
    return globals.get(name) ?? this.#missing('global', name, globals.keys());
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const map of this.#maps.values()) map[Symbol.dispose]();
    libbpf().bpf_object__close(this.#pointer);
  }

  #apply(options: OpenOptions): void {
    const { only, skip = [], globals = {}, maxEntries = {}, reuse = {} } = options;
    for (const name of [...(only ?? []), ...skip]) this.program(name);
    for (const program of this.programs.values()) {
      if (only) program.autoload = only.includes(program.name);
      if (skip.includes(program.name)) program.autoload = false;
    }
    for (const [name, value] of Object.entries(globals)) this.#setGlobal(name, value);
    for (const [name, entries] of Object.entries(maxEntries)) {
      const errno = libbpf().bpf_map__set_max_entries(this.#mapPointer(name), entries);
      if (errno < 0) throw new BpfError('BPF_OBJECT_OPEN', `cannot give map ${name} ${entries} entries`, { errno });
    }
    for (const [name, source] of Object.entries(reuse)) this.#reuse(name, source);
  }

  #reuse(name: string, source: number | string): void {
    const pointer = this.#mapPointer(name);
    const fd = typeof source === 'number' ? source : openPin('map', source);
    try {
      checkReusable(name, pointer, mapInfo(fd));
      const errno = libbpf().bpf_map__reuse_fd(pointer, fd);
      if (errno < 0) throw new BpfError('BPF_MAP_INCOMPATIBLE', `cannot reuse map ${name}`, { errno });
    } finally {
      if (fd !== source) closeSync(fd);
    }
  }

  #setGlobal(name: string, value: GlobalValue): void {
    const { map, offset, size } = this.global(name);
    const mapSize = new BigUint64Array(1);
    const address = libbpf().bpf_map__initial_value(this.#mapPointer(map), mapSize);
    if (address === null) throw new BpfError('BPF_NOT_FOUND', `global ${name} has no initial value in ${map}`);
    const bytes = typeof value === 'object' ? value : encodeInteger(name, BigInt(value), size);
    if (bytes.length !== size) {
      throw new BpfError('BPF_OBJECT_OPEN', `global ${name} takes ${size} bytes, not ${bytes.length}`);
    }
    new Uint8Array(viewMemory(address, Number(mapSize[0]))).set(bytes, offset);
  }

  #globals(): ReadonlyMap<string, Global> {
    this.#knownGlobals ??= readGlobals(this.#btf());
    return this.#knownGlobals;
  }

  /** libbpf's copy, in which it has put the offsets of globals that the compiler leaves to the linker. */
  #btf(): Btf {
    const pointer = libbpf().bpf_object__btf(this.#handle);
    const size = new Uint32Array(1);
    const address = pointer === null ? null : libbpf().btf__raw_data(pointer, size);
    const hint = 'compile it with clang -g';
    if (address === null) throw new BpfError('BPF_BTF_INVALID', `${this.path} has no BTF`, { hint });
    return Btf.parse(new Uint8Array(viewMemory(address, size[0] as number)), this.path);
  }

  /** libbpf would use freed memory after the object is closed. */
  get #handle(): Pointer {
    if (this.#closed) throw new BpfError('BPF_NOT_FOUND', `${this.path} was closed`);
    return this.#pointer;
  }

  #mapPointer(name: string): Pointer {
    return this.#mapPointers.get(name) ?? this.#missing('map', name, this.#mapPointers.keys());
  }

  #missing(what: string, name: string, available: Iterable<string>): never {
    const hint = `it has: ${[...available].join(', ') || 'none'}`;
    throw new BpfError('BPF_NOT_FOUND', `${this.path} has no ${what} ${name}`, { hint });
  }
}

/** `bpf_object__next_program` and `bpf_object__next_map` as a list. */
function* walk(
  object: Pointer,
  next: (object: Pointer, previous: Pointer | null) => Pointer | null,
): Generator<Pointer> {
  for (let item = next(object, null); item !== null; item = next(object, item)) yield item;
}

/** libbpf puts the object's name in front of those of the maps that hold globals: `flows.bss` is `.bss` here. */
function mapName(map: Pointer): string {
  const name = libbpf().bpf_map__name(map);
  return libbpf().bpf_map__is_internal(map) ? name.slice(name.indexOf('.')) : name;
}

/** @throws BPF_MAP_INCOMPATIBLE that names what differs: libbpf itself would take any map. */
function checkReusable(name: string, pointer: Pointer, existing: MapInfo): void {
  const wanted = {
    type: libbpf().libbpf_bpf_map_type_str(libbpf().bpf_map__type(pointer)) ?? '',
    keySize: libbpf().bpf_map__key_size(pointer),
    valueSize: libbpf().bpf_map__value_size(pointer),
    maxEntries: libbpf().bpf_map__max_entries(pointer),
    flags: libbpf().bpf_map__map_flags(pointer),
  };
  const differences = Object.entries(wanted)
    .filter(([field, value]) => existing[field as keyof typeof wanted] !== value)
    .map(([field, value]) => `${field} is ${existing[field as keyof typeof wanted]} and should be ${value}`);
  if (differences.length === 0) return;
  const hint = 'it is from another version: copy what it holds into a new map and unpin it';
  throw new BpfError('BPF_MAP_INCOMPATIBLE', `map ${name} cannot be reused: ${differences.join(', ')}`, { hint });
}

/** Two's complement, little-endian. */
function encodeInteger(name: string, value: bigint, size: number): Uint8Array {
  const kept = value < 0n ? BigInt.asIntN(size * 8, value) : BigInt.asUintN(size * 8, value);
  if (size > 8 || kept !== value) {
    throw new BpfError('BPF_OBJECT_OPEN', `${value} does not fit in the ${size} bytes of global ${name}`);
  }
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt.asUintN(64, value));
  return bytes.subarray(0, size);
}

function readGlobals(btf: Btf): ReadonlyMap<string, Global> {
  const globals = new Map<string, Global>();
  for (const id of btf.ids('section')) {
    const section = btf.type(id);
    if (section.kind !== 'section' || !/^\.(rodata|data|bss)/.test(section.name)) continue;
    for (const { type, offset, size } of section.variables) {
      const variable = btf.type(type);
      if (variable.kind === 'variable') globals.set(variable.name, { map: section.name, offset, size });
    }
  }
  return globals;
}
