import { closeSync, mkdirSync, openSync } from 'node:fs';
import { BpfError } from './errors.ts';
import { lastErrno, libc } from './libbpf.ts';

const CLONE_NEWNET = 0x4000_0000;

/**
 * Runs `fn` with this thread in another network namespace, and comes back. `fn` must be synchronous: until it
 * returns, everything that this thread does happens in there, and what it puts off (a promise, a callback, work of
 * Node's thread pool) would happen outside.
 * @param path such as `/proc/PID/ns/net` or `/run/netns/NAME`
 * @throws BPF_NAMESPACE where it cannot be entered (needs CAP_SYS_ADMIN), or where `fn` gave a promise
 * @throws BPF_NAMESPACE_LOST where the thread could not come back. The process is then in the wrong place: don't
 * catch this, end the process.
 */
export function withNetworkNamespace<T>(path: string, fn: () => T): T {
  const home = openNamespace('/proc/thread-self/ns/net');
  try {
    const target = openNamespace(path);
    try {
      if (libc().setns(target, CLONE_NEWNET) !== 0) {
        throw new BpfError('BPF_NAMESPACE', `cannot enter the network namespace ${path}`, { errno: lastErrno() });
      }
    } finally {
      closeSync(target);
    }
    let result: T;
    try {
      result = fn();
    } catch (error) {
      comeBack(home, path, error);
      throw error;
    }
    comeBack(home, path);
    if (result instanceof Promise) {
      throw new BpfError('BPF_NAMESPACE', 'a function that runs in a network namespace must not be asynchronous');
    }
    return result;
  } finally {
    closeSync(home);
  }
}

function openNamespace(path: string): number {
  try {
    return openSync(path, 'r');
  } catch (cause) {
    const { errno } = cause as NodeJS.ErrnoException;
    throw new BpfError('BPF_NAMESPACE', `cannot open the network namespace ${path}`, { errno, cause });
  }
}

function comeBack(home: number, from: string, cause?: unknown): void {
  if (libc().setns(home, CLONE_NEWNET) === 0) return;
  const hint = 'this process must end: it is in the wrong network namespace';
  throw new BpfError('BPF_NAMESPACE_LOST', `cannot leave the network namespace ${from}`, {
    errno: lastErrno(),
    hint,
    cause,
  });
}

/** Mounts a kernel file system (nothing behind it on disk) on a directory, which is made where it is missing. */
export function mountFilesystem(type: 'bpf' | 'cgroup2' | 'tracefs', target: string): void {
  mkdirSync(target, { recursive: true });
  if (libc().mount(type, target, type, 0, null) === 0) return;
  throw new BpfError('BPF_MOUNT', `cannot mount ${type} on ${target}`, { errno: lastErrno() });
}

/** Undoes `mountFilesystem`; the directory stays. */
export function unmountFilesystem(target: string): void {
  if (libc().umount2(target, 0) === 0) return;
  throw new BpfError('BPF_MOUNT', `cannot unmount ${target}`, { errno: lastErrno() });
}

const AF_INET = 2;
const SOCK_DGRAM_CLOEXEC = 0o2000002;
const SOL_SOCKET = 1;
const SO_NETNS_COOKIE = 71;

/**
 * The calling thread's network namespace as BPF programs number it, unique until the next boot.
 * @throws BPF_NAMESPACE on kernels before 5.14, which have no SO_NETNS_COOKIE
 */
export function networkNamespaceCookie(): bigint {
  const { socket, getsockopt } = libc();
  const fd = socket(AF_INET, SOCK_DGRAM_CLOEXEC, 0);
  if (fd < 0) throw new BpfError('BPF_NAMESPACE', 'cannot open a socket', { errno: lastErrno() });
  try {
    const cookie = new BigUint64Array(1);
    if (getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, cookie, Uint32Array.of(8)) !== 0) {
      throw new BpfError('BPF_NAMESPACE', 'cannot read the cookie of a network namespace', { errno: lastErrno() });
    }
    return cookie[0] as bigint;
  } finally {
    closeSync(fd);
  }
}

/** The index of an interface in the calling thread's network namespace; 0 where there is none of that name. */
export function interfaceIndex(name: string): number {
  return libc().if_nametoindex(name);
}
