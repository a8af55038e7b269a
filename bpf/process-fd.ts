import { closeSync } from 'node:fs';
import { constants } from 'node:os';
import { BpfError } from './errors.ts';
import { lastErrno, libc } from './libbpf.ts';

/** The same on every architecture; the C library has functions for them only since glibc 2.36. */
const SYS_PIDFD_SEND_SIGNAL = 424;
const SYS_PIDFD_OPEN = 434;

/** A process by file descriptor: while it is open, the pid may be reused, and this still means the first owner. */
export class ProcessFd implements Disposable {
  readonly #fd: number;
  readonly #pid: number;

  private constructor(fd: number, pid: number) {
    this.#fd = fd;
    this.#pid = pid;
  }

  /** @throws PROCESS_GONE where no process has this pid; kernels before 5.3 have no pidfd: PROCESS_SIGNAL */
  static open(pid: number): ProcessFd {
    const fd = libc().syscall(SYS_PIDFD_OPEN, pid, 0, null, 0);
    if (fd >= 0) return new ProcessFd(fd, pid);
    const errno = lastErrno();
    // EINVAL and ENOENT: the number of a thread that leads no process.
    const isGone = [constants.errno.ESRCH, constants.errno.EINVAL, constants.errno.ENOENT].includes(errno);
    throw new BpfError(isGone ? 'PROCESS_GONE' : 'PROCESS_SIGNAL', `cannot open process ${pid}`, { errno });
  }

  /** @throws PROCESS_GONE where it has ended, PROCESS_SIGNAL where it may not be signalled */
  signal(signal: NodeJS.Signals): void {
    if (libc().syscall(SYS_PIDFD_SEND_SIGNAL, this.#fd, constants.signals[signal], null, 0) === 0) return;
    const errno = lastErrno();
    const code = errno === constants.errno.ESRCH ? 'PROCESS_GONE' : 'PROCESS_SIGNAL';
    throw new BpfError(code, `cannot send ${signal} to process ${this.#pid}`, { errno });
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}

const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
const CREDENTIALS_SIZE = 12;

/** Who is at the other end of a connected Unix socket, as the kernel noted when it connected; null where it can't tell. */
export function peerCredentials(fd: number): { pid: number; uid: number; gid: number } | null {
  const credentials = Buffer.alloc(CREDENTIALS_SIZE); // struct ucred: pid, uid, gid
  const length = Uint32Array.of(CREDENTIALS_SIZE);
  if (libc().getsockopt(fd, SOL_SOCKET, SO_PEERCRED, credentials, length) !== 0) return null;
  if (length[0] !== CREDENTIALS_SIZE) return null;
  return { pid: credentials.readInt32LE(0), uid: credentials.readUInt32LE(4), gid: credentials.readUInt32LE(8) };
}
