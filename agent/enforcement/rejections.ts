import { closeSync, existsSync, openSync, readdirSync } from 'node:fs';
import { BpfError } from '../../bpf/errors.ts';
import { RL_LISTENER_OFFSET } from '../../bpf/layouts.ts';
import { BpfLink } from '../../bpf/link.ts';
import { unpin } from '../../bpf/pin.ts';
import { type Accounting, pinPath } from '../accounting.ts';
import { REJECT_LOOKUP } from '../hooks.ts';
import type { NetworkNamespaces } from '../network-namespaces.ts';

/** `enum bpf_attach_type` (include/uapi/linux/bpf.h). */
const BPF_SK_LOOKUP = 36;
const PREFIX = `${REJECT_LOOKUP}-`;

const PORTS = ['rejected_listeners', 'rejected_datagrams'] as const;
/** The keys of both begin with it. */
const NETNS_OFFSET = RL_LISTENER_OFFSET.netns;

/** One copy of the reject program in each network namespace that has a rejected listener, pinned like all links. */
export class Rejections {
  readonly #accounting: Accounting;
  readonly #namespaces: NetworkNamespaces;
  /** The kernel refused it: what is to be rejected is dropped instead. */
  #isUnsupported = false;

  constructor(accounting: Accounting, namespaces: NetworkNamespaces) {
    this.#accounting = accounting;
    this.#namespaces = namespaces;
  }

  /** Attaches where it is missing. @param wanted whether any policy rejects what comes in; else all are taken out */
  update(wanted: boolean): void {
    if (!wanted) {
      this.#removeAll();
      return;
    }
    const inodes = new Set<number>();
    for (const map of PORTS) {
      for (const [key] of this.#accounting.map(map).entries()) inodes.add(key.readUInt32LE(NETNS_OFFSET));
    }
    for (const inode of inodes) if (existsSync(this.#path(inode))) inodes.delete(inode);
    if (inodes.size === 0 || this.#isUnsupported) return;
    this.#namespaces.discover();
    this.#namespaces.visit((inode) => {
      if (inodes.has(inode)) this.#attachHere(inode);
    });
  }

  #attachHere(inode: number): void {
    try {
      this.#attach(inode);
    } catch (error) {
      if (!(error instanceof BpfError)) throw error;
      this.#isUnsupported = true;
    }
  }

  #attach(inode: number): void {
    using object = this.#accounting.loadProgram(REJECT_LOOKUP, { reject_netns: inode });
    const namespace = openSync('/proc/thread-self/ns/net', 'r');
    try {
      using link = BpfLink.create(object.program(REJECT_LOOKUP).fd, namespace, BPF_SK_LOOKUP);
      link.pin(this.#path(inode));
    } finally {
      closeSync(namespace);
    }
  }

  #removeAll(): void {
    const folder = pinPath(this.#accounting.bpffs, 'links', '');
    for (const name of readdirSync(folder)) if (name.startsWith(PREFIX)) unpin(`${folder}/${name}`);
    for (const name of PORTS) {
      const ports = this.#accounting.map(name);
      for (const [key] of [...ports.entries()]) ports.delete(key);
    }
  }

  #path(inode: number): string {
    return pinPath(this.#accounting.bpffs, 'links', `${PREFIX}${inode}`);
  }
}
