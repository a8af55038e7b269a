import { closeSync } from 'node:fs';
import { constants } from 'node:os';
import { readU64 } from './decode.ts';
import { readCString } from './elf.ts';
import { BpfError } from './errors.ts';
import { libbpf } from './libbpf.ts';

/** The kernel's own record of a program. */
export interface ProgramInfo {
  readonly id: number;
  /** The kernel's name: the first 15 characters. */
  readonly name: string;
  /** libbpf's word for it, such as `cgroup_skb`. */
  readonly type: string;
  /** Time in the program and number of runs, counted only while somebody holds `enableStats()`. */
  readonly runTimeNs: number;
  readonly runCount: number;
  /** Runs the kernel left out because the program was running on that CPU already (kernel 5.12). */
  readonly recursionMisses: number;
  /** Size of the machine code is not told; this is the verifier's work (kernel 5.16, else 0). */
  readonly verifiedInstructions: number;
}

export interface MapInfo {
  readonly id: number;
  readonly name: string;
  /** libbpf's word for it, such as `percpu_hash`. */
  readonly type: string;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags: number;
  /** Of the object that it was made from; 0 for none. */
  readonly btfId: number;
}

export interface LinkInfo {
  readonly id: number;
  /** libbpf's word for it, such as `cgroup`. */
  readonly type: string;
  readonly programId: number;
  /** Such as `cgroup_inet_egress`; undefined for kinds of links that have none. */
  readonly attachType: string | undefined;
  /** Inode of the cgroup; undefined for other kinds of links. */
  readonly cgroupId: number | undefined;
}

/** Bytes of the largest info struct this reads; older kernels fill less and leave zeros. */
const INFO_SIZE = 256;
const NAME_LENGTH = 16;

/** Offset of the attach type in `struct bpf_link_info`, by kind of link. */
const ATTACH_TYPE_AT: Readonly<Record<string, number>> = { tracing: 16, cgroup: 24, netns: 20 };

/** @throws BPF_INFO where the fd is not a program's. */
export function programInfo(fd: number): ProgramInfo {
  const info = readInfo(fd, 'program');
  return {
    id: info.getUint32(4, true),
    name: readName(info, 64),
    type: libbpf().libbpf_bpf_prog_type_str(info.getUint32(0, true)) ?? `type ${info.getUint32(0, true)}`,
    runTimeNs: readU64(info, 192),
    runCount: readU64(info, 200),
    recursionMisses: readU64(info, 208),
    verifiedInstructions: info.getUint32(216, true),
  };
}

/** @throws BPF_INFO where the fd is not a map's. */
export function mapInfo(fd: number): MapInfo {
  const info = readInfo(fd, 'map');
  return {
    id: info.getUint32(4, true),
    name: readName(info, 24),
    type: libbpf().libbpf_bpf_map_type_str(info.getUint32(0, true)) ?? `type ${info.getUint32(0, true)}`,
    keySize: info.getUint32(8, true),
    valueSize: info.getUint32(12, true),
    maxEntries: info.getUint32(16, true),
    flags: info.getUint32(20, true),
    btfId: info.getUint32(64, true),
  };
}

/** @throws BPF_INFO where the fd is not a link's. */
export function linkInfo(fd: number): LinkInfo {
  const info = readInfo(fd, 'link');
  const type = libbpf().libbpf_bpf_link_type_str(info.getUint32(0, true)) ?? `type ${info.getUint32(0, true)}`;
  const attachTypeAt = ATTACH_TYPE_AT[type];
  const attachType = attachTypeAt === undefined ? null : info.getUint32(attachTypeAt, true);
  return {
    id: info.getUint32(4, true),
    type,
    programId: info.getUint32(8, true),
    attachType: attachType === null ? undefined : (libbpf().libbpf_bpf_attach_type_str(attachType) ?? undefined),
    cgroupId: type === 'cgroup' ? readU64(info, 16) : undefined,
  };
}

/** Every program in the kernel, whoever loaded it. Needs CAP_SYS_ADMIN. */
export function listPrograms(): ProgramInfo[] {
  const { bpf_prog_get_next_id, bpf_prog_get_fd_by_id } = libbpf();
  return list(bpf_prog_get_next_id, bpf_prog_get_fd_by_id, programInfo);
}

/** Every map in the kernel. Needs CAP_SYS_ADMIN. */
export function listMaps(): MapInfo[] {
  const { bpf_map_get_next_id, bpf_map_get_fd_by_id } = libbpf();
  return list(bpf_map_get_next_id, bpf_map_get_fd_by_id, mapInfo);
}

/** Every link in the kernel. Needs CAP_SYS_ADMIN. */
export function listLinks(): LinkInfo[] {
  const { bpf_link_get_next_id, bpf_link_get_fd_by_id } = libbpf();
  return list(bpf_link_get_next_id, bpf_link_get_fd_by_id, linkInfo);
}

const BPF_STATS_RUN_TIME = 0;

/** Has the kernel count runs and nanoseconds of every program until it is disposed; costs some 20 ns a run. */
export function enableStats(): Disposable {
  const fd = libbpf().bpf_enable_stats(BPF_STATS_RUN_TIME);
  if (fd < 0) throw new BpfError('BPF_INFO', 'cannot switch run statistics on', { errno: fd });
  return { [Symbol.dispose]: () => closeSync(fd) };
}

/** CPUs that the kernel reserves per-CPU values for; not only those that are online. */
export function possibleCpus(): number {
  const count = libbpf().libbpf_num_possible_cpus();
  if (count < 0) throw new BpfError('BPF_INFO', 'cannot read /sys/devices/system/cpu/possible', { errno: count });
  return count;
}

function readInfo(fd: number, kind: string): DataView {
  const info = new DataView(new ArrayBuffer(INFO_SIZE));
  const errno = libbpf().bpf_obj_get_info_by_fd(fd, new Uint8Array(info.buffer), Uint32Array.of(INFO_SIZE));
  if (errno < 0) throw new BpfError('BPF_INFO', `cannot ask the kernel about the ${kind} with fd ${fd}`, { errno });
  return info;
}

function readName(info: DataView, offset: number): string {
  return readCString(new Uint8Array(info.buffer, offset, NAME_LENGTH), 0);
}

type NextId = (start: number, next: Uint32Array) => number;

function list<Info>(nextId: NextId, open: (id: number) => number, read: (fd: number) => Info): Info[] {
  const infos: Info[] = [];
  const id = new Uint32Array(1);
  let errno = nextId(0, id);
  for (; errno === 0; errno = nextId(id[0] as number, id)) {
    const fd = open(id[0] as number);
    // It may have gone since its id was given.
    if (fd === -constants.errno.ENOENT) continue;
    if (fd < 0) throw new BpfError('BPF_INFO', `cannot open BPF object ${id[0]}`, { errno: fd });
    try {
      infos.push(read(fd));
    } finally {
      closeSync(fd);
    }
  }
  if (errno !== -constants.errno.ENOENT) throw new BpfError('BPF_INFO', 'cannot list BPF objects', { errno });
  return infos;
}
