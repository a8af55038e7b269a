import { existsSync } from 'node:fs';
import { BpfError } from '../../bpf/errors.ts';
import { RL_DESTROY_OFFSET } from '../../bpf/layouts.ts';
import { BpfIterator, BpfLink } from '../../bpf/link.ts';
import type { Mapping } from '../../bpf/mapping.ts';
import { type DiagnosedSocket, SocketDiag } from '../../bpf/socket-diag.ts';
import { type Accounting, pinPath } from '../accounting.ts';
import { AgentError } from '../errors.ts';
import { DESTROY_TCP, DESTROY_UDP } from '../hooks.ts';
import type { NetworkNamespaces } from '../network-namespaces.ts';
import type { Destroyed, ProcessSlot } from '../policies/enforcer.ts';
import { socketRecords } from '../socket-table.ts';

export interface DisconnectionOptions {
  accounting: Accounting;
  namespaces: NetworkNamespaces;
  /** Whether the ledger has ruled that a flow carries relayed traffic. */
  isRuled: (flow: number) => boolean;
}

const PROTOCOLS = [
  { counter: 'tcp', program: DESTROY_TCP, numbers: [6] },
  { counter: 'udp', program: DESTROY_UDP, numbers: [17, 136] },
] as const;
type ProtocolOf = (typeof PROTOCOLS)[number];
/** include/net/tcp_states.h */
const TCP_LISTEN = 10;

/** Ends a process's connections: by iterators with bpf_sock_destroy (kernel 6.5), else by SOCK_DIAG. */
export class Disconnection implements Disposable {
  readonly #options: DisconnectionOptions;
  readonly #request: Mapping;

  constructor(options: DisconnectionOptions) {
    this.#options = options;
    this.#request = options.accounting.map('destroy_requests').mmap();
  }

  /** @throws ENFORCEMENT_UNSUPPORTED where this kernel has neither */
  disconnect(process: ProcessSlot, scope: 'relay' | 'all'): Destroyed {
    const { accounting, namespaces } = this.#options;
    namespaces.discover();
    const destroyed: Destroyed = { tcp: 0, udp: 0 };
    for (const protocol of PROTOCOLS) {
      const link = pinPath(accounting.bpffs, 'links', protocol.program);
      destroyed[protocol.counter] = existsSync(link)
        ? this.#iterate(link, process, scope)
        : this.#diagnose(protocol, process, scope);
    }
    return destroyed;
  }

  [Symbol.dispose](): void {
    this.#request[Symbol.dispose]();
  }

  #iterate(link: string, { slot, generation }: ProcessSlot, scope: 'relay' | 'all'): number {
    const view = new DataView(this.#request.buffer);
    view.setUint32(RL_DESTROY_OFFSET.slot, slot, true);
    view.setUint32(RL_DESTROY_OFFSET.generation, generation, true);
    view.setUint32(RL_DESTROY_OFFSET.ruledOnly, scope === 'relay' ? 1 : 0, true);
    view.setUint32(RL_DESTROY_OFFSET.destroyed, 0, true);
    using iterator = new BpfIterator(BpfLink.openPinned(link));
    this.#options.namespaces.visit(() => iterator.read());
    view.setUint32(RL_DESTROY_OFFSET.slot, 0, true);
    return view.getUint32(RL_DESTROY_OFFSET.destroyed, true);
  }

  /** The same choice of sockets as disconnect.bpf.c makes. */
  #diagnose({ numbers }: ProtocolOf, { slot, generation }: ProcessSlot, scope: 'relay' | 'all'): number {
    const { accounting, namespaces, isRuled } = this.#options;
    const records = [...socketRecords(accounting.dumpSockets())].filter((record) => {
      const { owner, ownerGeneration, protocol, state, flow, remotePort } = record;
      if (owner !== slot || ownerGeneration !== generation) return false;
      if (!numbers.some((number) => number === protocol)) return false;
      if (protocol === 6 && state === TCP_LISTEN) return false;
      return scope === 'all' || (isRuled(flow) && remotePort !== 0);
    });
    if (records.length === 0) return 0;
    const byNamespace = Map.groupBy(records, ({ netns }) => netns);
    let destroyed = 0;
    namespaces.visit((inode) => {
      const here = byNamespace.get(inode);
      if (here) destroyed += destroyHere(here);
    });
    return destroyed;
  }
}

function destroyHere(sockets: readonly DiagnosedSocket[]): number {
  try {
    using diag = SocketDiag.open();
    return sockets.filter((socket) => diag.destroy(socket)).length;
  } catch (cause) {
    if (!(cause instanceof BpfError) || cause.code !== 'BPF_SOCKET_DIAG') throw cause;
    throw new AgentError('ENFORCEMENT_UNSUPPORTED', `this host cannot end connections: ${cause.message}`, { cause });
  }
}
