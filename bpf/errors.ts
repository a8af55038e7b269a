import { constants } from 'node:os';
import { getSystemErrorMessage } from 'node:util';

/** What went wrong, stable across releases. */
export type BpfErrorCode =
  | 'BPF_LIBRARY_MISSING'
  | 'BPF_OBJECT_OPEN'
  | 'BPF_OBJECT_LOAD'
  | 'BPF_NOT_FOUND'
  | 'BPF_MAP_INCOMPATIBLE'
  | 'BPF_MAP_ACCESS'
  | 'BPF_MMAP'
  | 'BPF_ATTACH'
  | 'BPF_LINK'
  | 'BPF_ITERATE'
  | 'BPF_PIN'
  | 'BPF_INFO'
  | 'BPF_RING'
  | 'BPF_ELF_INVALID'
  | 'BPF_BTF_INVALID'
  | 'BPF_LAYOUT_UNSUPPORTED'
  | 'BPF_LAYOUT_MISMATCH'
  | 'BPF_NUMBER_TOO_BIG'
  | 'BPF_MOUNT'
  | 'BPF_NAMESPACE'
  | 'BPF_NAMESPACE_LOST'
  | 'BPF_SOCKET_DIAG'
  | 'PROCESS_GONE'
  | 'PROCESS_SIGNAL';

export interface BpfErrorDetails {
  /** errno as libbpf or libc gave it; its sign does not matter. */
  readonly errno?: number | undefined;
  /** What to do about it; replaces the general advice for that errno. */
  readonly hint?: string | undefined;
  /** What libbpf printed during the call, the kernel's verifier log in it. */
  readonly log?: string | undefined;
  /** The program that the kernel refused. */
  readonly program?: string | undefined;
  readonly cause?: unknown;
}

/** Every failure of the binding: the message says what failed, why, and what to do. */
export class BpfError extends Error {
  override readonly name = 'BpfError';
  readonly code: BpfErrorCode;
  /** The kernel's name for the reason, such as `EPERM`; undefined where no call failed. */
  readonly errno: string | undefined;
  /** All that libbpf and the verifier said; the message has its last lines. Empty where they said nothing. */
  readonly log: string;
  /** The program that the kernel refused, where libbpf named one. */
  readonly program: string | undefined;

  constructor(code: BpfErrorCode, what: string, details: BpfErrorDetails = {}) {
    const errno = details.errno === undefined ? undefined : Math.abs(details.errno);
    const reason = errno === undefined ? '' : `: ${describeErrno(errno)} (${errnoName(errno)})`;
    const hint = details.hint ?? (errno === undefined ? undefined : HINTS[errnoName(errno)]);
    const lines = details.log ? `\n${lastLines(details.log)}` : '';
    const cause = details.cause === undefined ? undefined : { cause: details.cause };
    super(`${what}${reason}${hint ? `; ${hint}` : ''}${lines}`, cause);
    this.code = code;
    this.errno = errno === undefined ? undefined : errnoName(errno);
    this.log = details.log ?? '';
    this.program = details.program;
  }
}

const LOG_LINES = 15;

const HINTS: Readonly<Record<string, string>> = {
  EPERM: 'run as root, or with CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN',
  EACCES: 'run as root, or with CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN',
  EMFILE: 'raise the limit of open files (ulimit -n)',
  ENOMEM: 'free memory or make the maps smaller',
};

/** libbpf's own error numbers start here (libbpf.h, enum libbpf_errno). */
const LIBBPF_ERRNO_START = 4000;
const LIBBPF_ERRORS: readonly (readonly [name: string, description: string])[] = [
  ['LIBELF', 'libelf failed'],
  ['FORMAT', 'not a BPF object file'],
  ['KVERSION', 'no kernel version in the object'],
  ['ENDIAN', 'the object has the other byte order'],
  ['INTERNAL', 'internal error in libbpf'],
  ['RELOC', 'a relocation failed'],
  ['LOAD', 'the kernel refused a program'],
  ['VERIFY', 'the verifier refused a program'],
  ['PROG2BIG', 'a program is too big'],
  ['KVER', 'wrong kernel version'],
  ['PROGTYPE', 'this kernel lacks the program type'],
  ['WRNGPID', 'wrong process in a netlink message'],
  ['INVSEQ', 'wrong sequence in a netlink message'],
  ['NLPARSE', 'netlink message not understood'],
];

/** Kernel-internal; leaks to user space from BPF calls that a map type does not implement. */
const ENOTSUPP = 524;

const ERRNO_NAMES: ReadonlyMap<number, string> = new Map([
  ...Object.entries(constants.errno).map(([name, number]) => [number, name] as const),
  [constants.errno.EAGAIN, 'EAGAIN'],
  [constants.errno.EOPNOTSUPP, 'EOPNOTSUPP'],
  [ENOTSUPP, 'ENOTSUPP'],
]);

/** The kernel's name of an errno (positive), such as `ENOENT`; libbpf's own are named `LIBBPF_…`. */
export function errnoName(errno: number): string {
  const own = LIBBPF_ERRORS[errno - LIBBPF_ERRNO_START];
  return own ? `LIBBPF_${own[0]}` : (ERRNO_NAMES.get(errno) ?? `errno ${errno}`);
}

function describeErrno(errno: number): string {
  const own = LIBBPF_ERRORS[errno - LIBBPF_ERRNO_START];
  if (own) return own[1];
  return errno === ENOTSUPP ? 'operation not supported' : getSystemErrorMessage(-errno).toLowerCase();
}

function lastLines(log: string): string {
  const lines = log.trimEnd().split('\n');
  const cut = lines.length > LOG_LINES ? ['…'] : [];
  return [...cut, ...lines.slice(-LOG_LINES)].join('\n');
}
