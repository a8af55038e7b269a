import { closeSync, constants, openSync } from 'node:fs';
import { findCgroupRoot } from '../../agent/mounts.ts';
import { BpfLink } from '../../bpf/link.ts';

/** `enum bpf_attach_type`, by section. */
const ATTACH_TYPES: Readonly<Record<string, number>> = {
  'cgroup_skb/ingress': 0,
  'cgroup_skb/egress': 1,
  'cgroup/sock_create': 2,
  'cgroup/connect4': 10,
  'cgroup/connect6': 11,
  'cgroup/post_bind4': 12,
  'cgroup/post_bind6': 13,
  'cgroup/sendmsg4': 14,
  'cgroup/sendmsg6': 15,
  'cgroup/recvmsg4': 19,
  'cgroup/recvmsg6': 20,
  'cgroup/sock_release': 34,
};
/** Kernel 5.19: a link to a `tp_btf` program by its number. The program itself knows its tracepoint. */
const BPF_TRACE_RAW_TP = 23;

/** A loaded program; its section says where it is attached. */
export interface SwitchedProgram {
  readonly fd: number;
  readonly section: string;
}

/** Loaded programs that are attached and detached, all at once, within milliseconds. They begin detached. */
export class SwitchedPrograms implements Disposable {
  readonly #programs: readonly SwitchedProgram[];
  readonly #cgroup = openSync(findCgroupRoot(), constants.O_RDONLY | constants.O_DIRECTORY);
  #links: BpfLink[] = [];

  /** @param programs stay the caller's, to be closed after this is disposed of */
  constructor(programs: readonly SwitchedProgram[]) {
    this.#programs = programs;
  }

  get count(): number {
    return this.#programs.length;
  }

  on(): void {
    for (const { fd, section } of this.#programs) {
      const type = ATTACH_TYPES[section];
      this.#links.push(BpfLink.create(fd, type === undefined ? 0 : this.#cgroup, type ?? BPF_TRACE_RAW_TP));
    }
  }

  off(): void {
    for (const link of this.#links.toReversed()) link[Symbol.dispose]();
    this.#links = [];
  }

  [Symbol.dispose](): void {
    this.off();
    closeSync(this.#cgroup);
  }
}
