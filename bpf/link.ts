import { closeSync, readSync } from 'node:fs';
import { BpfError } from './errors.ts';
import { type LinkInfo, linkInfo } from './info.ts';
import { libbpf, type Pointer } from './libbpf.ts';
import { openPin, pin } from './pin.ts';

/**
 * A program attached to a hook. Disposing lets go of it: the kernel detaches the program unless the link is pinned.
 */
export class BpfLink implements Disposable {
  readonly #fd: number;
  readonly #release: () => void;
  #released = false;

  constructor(fd: number, release: () => void = () => closeSync(fd)) {
    this.#fd = fd;
    this.#release = release;
  }

  /** Takes over a `struct bpf_link *`. */
  static fromPointer(pointer: Pointer): BpfLink {
    return new BpfLink(libbpf().bpf_link__fd(pointer), () => libbpf().bpf_link__destroy(pointer));
  }

  /**
   * Attaches a loaded program, of which only the file descriptor is known, to a cgroup or a network namespace.
   * @param attachType of `enum bpf_attach_type`
   * @throws BPF_ATTACH
   */
  static create(programFd: number, targetFd: number, attachType: number): BpfLink {
    const fd = libbpf().bpf_link_create(programFd, targetFd, attachType, null);
    if (fd < 0) throw new BpfError('BPF_ATTACH', 'cannot attach a pinned program', { errno: fd });
    return new BpfLink(fd);
  }

  /** @throws BPF_PIN where there is none. */
  static openPinned(path: string): BpfLink {
    return new BpfLink(openPin('link', path));
  }

  /** @throws BPF_NOT_FOUND once it was let go of: the number may be another file's by then. */
  get fd(): number {
    if (this.#released) throw new BpfError('BPF_NOT_FOUND', 'a link was let go of');
    return this.#fd;
  }

  /** Keeps the program attached after this process, until `unpin(path)`. @throws BPF_PIN */
  pin(path: string): void {
    pin(this.fd, path);
  }

  info(): LinkInfo {
    return linkInfo(this.fd);
  }

  /**
   * Puts another loaded program of the same type in the place of the attached one, without a gap in between.
   * @throws BPF_LINK: EINVAL for tracing links, whose program is fixed.
   */
  replaceProgram(programFd: number): void {
    const errno = libbpf().bpf_link_update(this.fd, programFd, null);
    if (errno < 0) throw new BpfError('BPF_LINK', 'cannot replace the program of a link', { errno });
  }

  /** Detaches for everybody, whoever holds or pins the link. @throws BPF_LINK: EOPNOTSUPP for tracing links. */
  detach(): void {
    const errno = libbpf().bpf_link_detach(this.fd);
    if (errno < 0) throw new BpfError('BPF_LINK', 'cannot detach a link', { errno });
  }

  [Symbol.dispose](): void {
    if (this.#released) return;
    this.#released = true;
    this.#release();
  }
}

const FIRST_READ = 64 * 1024;

/** A program that the kernel runs once per object (socket, task, map entry) each time it is read. */
export class BpfIterator implements Disposable {
  readonly link: BpfLink;
  #buffer: Buffer = Buffer.alloc(0);

  constructor(link: BpfLink) {
    this.link = link;
  }

  /**
   * Runs the iterator from start to end, in the network namespace of the calling thread where it walks sockets, and
   * gives all that the program wrote with `bpf_seq_write`. The bytes are overwritten by the next `read`.
   * @throws BPF_ITERATE: E2BIG where the program writes more than 32 KB for one object.
   */
  read(): Buffer {
    const fd = libbpf().bpf_iter_create(this.link.fd);
    if (fd < 0) throw new BpfError('BPF_ITERATE', 'cannot start an iterator', { errno: fd });
    try {
      return this.#readAll(fd);
    } catch (cause) {
      const errno = (cause as NodeJS.ErrnoException).errno;
      throw new BpfError('BPF_ITERATE', 'cannot read from an iterator', { errno, cause });
    } finally {
      closeSync(fd);
    }
  }

  #readAll(fd: number): Buffer {
    let length = 0;
    while (true) {
      if (this.#buffer.length - length < FIRST_READ) this.#grow(length);
      const count = readSome(fd, this.#buffer, length);
      if (count === 0) return this.#buffer.subarray(0, length);
      length += count;
    }
  }

  #grow(used: number): void {
    const larger = Buffer.allocUnsafeSlow(Math.max(FIRST_READ, this.#buffer.length * 2));
    this.#buffer.copy(larger, 0, 0, used);
    this.#buffer = larger;
  }

  [Symbol.dispose](): void {
    this.link[Symbol.dispose]();
  }
}

/** One read(2). EAGAIN only says that the kernel has passed a million objects without output: it goes on from there. */
function readSome(fd: number, buffer: Buffer, offset: number): number {
  while (true) {
    try {
      return readSync(fd, buffer, offset, buffer.length - offset, null);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
    }
  }
}
