import { closeSync, existsSync, mkdirSync, readlinkSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { BpfError } from './errors.ts';
import { libbpf } from './libbpf.ts';

export type PinKind = 'map' | 'program' | 'link';

/** How the kernel names a BPF file descriptor in /proc/self/fd. */
const INODE: Readonly<Record<PinKind, RegExp>> = { map: /bpf-map/, program: /bpf-prog/, link: /bpf[-_]link/ };

/**
 * Gives a map, program or link a name in bpffs, which keeps it (a link: attached) after this process has ended.
 * Missing directories are made.
 * @throws BPF_PIN: EEXIST where the name is taken, EPERM where the path is not on a bpffs.
 */
export function pin(fd: number, path: string): void {
  try {
    mkdirSync(dirname(path), { recursive: true });
  } catch (cause) {
    throw new BpfError('BPF_PIN', `cannot make the directory of ${path}`, { cause, hint: String(cause) });
  }
  const errno = libbpf().bpf_obj_pin(fd, path);
  if (errno < 0) throw new BpfError('BPF_PIN', `cannot pin at ${path}`, { errno });
}

/** Takes the name away; what it named goes when nobody else holds it. True where there was one. */
export function unpin(path: string): boolean {
  const existed = existsSync(path);
  rmSync(path, { force: true });
  return existed;
}

/**
 * A new file descriptor (close-on-exec) for what is pinned at the path.
 * @throws BPF_PIN: ENOENT where nothing is, or where it is of another kind: the kernel would read one as the other.
 */
export function openPin(kind: PinKind, path: string): number {
  const fd = libbpf().bpf_obj_get(path);
  if (fd < 0) throw new BpfError('BPF_PIN', `cannot open the pinned ${kind} ${path}`, { errno: fd });
  const inode = readlinkSync(`/proc/self/fd/${fd}`);
  if (INODE[kind].test(inode)) return fd;
  closeSync(fd);
  throw new BpfError('BPF_PIN', `${path} is not a ${kind} but ${inode}`);
}
