import { closeSync, constants, openSync } from 'node:fs';
import { BpfError } from './errors.ts';
import { type ProgramInfo, programInfo } from './info.ts';
import { addressOf, lastErrno, libbpf, type Pointer, withLog } from './libbpf.ts';
import { BpfIterator, BpfLink } from './link.ts';
import { pin } from './pin.ts';

/** What an iterator walks, where its section alone does not say. */
export type IteratorTarget =
  /** The entries of a map, also of socket and task storage. */
  | { readonly map: { readonly fd: number } }
  /** The threads of one process, or their files (kernel 6.1; older ones say E2BIG). */
  | { readonly pid: number };

/** A program of an object. All but `name`, `section` and `autoload` need the object to be loaded. */
export class BpfProgram {
  /** The C function's name. */
  readonly name: string;
  /** Where it attaches, such as `cgroup_skb/egress` or `tp_btf/sock_send_length`. */
  readonly section: string;
  readonly #address: Pointer;
  readonly #isOpen: () => boolean;

  /** @param isOpen whether the object that the address belongs to is still open */
  constructor(pointer: Pointer, isOpen: () => boolean) {
    this.#address = pointer;
    this.#isOpen = isOpen;
    this.name = libbpf().bpf_program__name(pointer);
    this.section = libbpf().bpf_program__section_name(pointer);
  }

  /** Whether loading the object loads this program. */
  get autoload(): boolean {
    return libbpf().bpf_program__autoload(this.#pointer);
  }

  set autoload(autoload: boolean) {
    const errno = libbpf().bpf_program__set_autoload(this.#pointer, autoload);
    if (errno < 0) throw new BpfError('BPF_OBJECT_LOAD', `${this.name} is loaded already`, { errno });
  }

  /** @throws BPF_NOT_FOUND where it was left out or its object is not loaded yet. */
  get fd(): number {
    const fd = libbpf().bpf_program__fd(this.#pointer);
    if (fd < 0) throw new BpfError('BPF_NOT_FOUND', `program ${this.name} is not loaded`, { program: this.name });
    return fd;
  }

  /** Attaches where the section says: tp_btf, tp, raw_tp, fentry, fexit, kprobe. @throws BPF_ATTACH */
  attach(): BpfLink {
    return this.#attach(this.section, () => libbpf().bpf_program__attach(this.#pointer));
  }

  /**
   * Attaches to a cgroup and all below it, beside the programs that others have there.
   * @param cgroup a directory of a cgroup2 mount, or its open fd
   * @throws BPF_ATTACH
   */
  attachCgroup(cgroup: string | number): BpfLink {
    const fd = typeof cgroup === 'number' ? cgroup : openCgroup(cgroup);
    try {
      return this.#attach(`cgroup ${cgroup}`, () => libbpf().bpf_program__attach_cgroup(this.#pointer, fd));
    } finally {
      if (fd !== cgroup) closeSync(fd);
    }
  }

  /** Makes an `iter/…` program readable. @throws BPF_ATTACH */
  attachIterator(target?: IteratorTarget): BpfIterator {
    const linkInfo = target && encodeLinkInfo(target);
    const options = linkInfo ? encodeIteratorOptions(linkInfo) : null;
    const link = this.#attach(this.section, () => libbpf().bpf_program__attach_iter(this.#pointer, options));
    return new BpfIterator(link);
  }

  /** @throws BPF_PIN */
  pin(path: string): void {
    pin(this.fd, path);
  }

  info(): ProgramInfo {
    return programInfo(this.fd);
  }

  /** libbpf would use freed memory after the object is closed. */
  get #pointer(): Pointer {
    if (!this.#isOpen()) throw new BpfError('BPF_NOT_FOUND', `the object of program ${this.name} was closed`);
    return this.#address;
  }

  #attach(where: string, attach: () => Pointer | null): BpfLink {
    const { fd } = this;
    const { result, log } = withLog(() => {
      const pointer = attach();
      return { pointer, errno: pointer === null ? lastErrno() : 0 };
    });
    if (result.pointer !== null) return BpfLink.fromPointer(result.pointer);
    const what = `cannot attach program ${this.name} (fd ${fd}) to ${where}`;
    throw new BpfError('BPF_ATTACH', what, { errno: result.errno, log, program: this.name });
  }
}

function openCgroup(path: string): number {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  } catch (cause) {
    const { errno } = cause as NodeJS.ErrnoException;
    throw new BpfError('BPF_ATTACH', `cannot open the cgroup ${path}`, { errno, cause });
  }
}

/** `union bpf_iter_link_info`: 16 bytes since kernel 5.19; older kernels take the zeros at its end. */
const LINK_INFO_SIZE = 16;
/** `struct bpf_iter_attach_opts`: its own size, the address and the length of the union. */
const ITERATOR_OPTIONS_SIZE = 24;

function encodeLinkInfo(target: IteratorTarget): Buffer {
  const info = Buffer.alloc(LINK_INFO_SIZE);
  if ('map' in target) info.writeUInt32LE(target.map.fd, 0);
  else info.writeUInt32LE(target.pid, 4);
  return info;
}

function encodeIteratorOptions(linkInfo: Buffer): Buffer {
  const options = Buffer.alloc(ITERATOR_OPTIONS_SIZE);
  options.writeBigUInt64LE(BigInt(ITERATOR_OPTIONS_SIZE), 0);
  options.writeBigUInt64LE(addressOf(linkInfo), 8);
  options.writeUInt32LE(LINK_INFO_SIZE, 16);
  return options;
}
