import {
  RL_INTERFACE_BASELINE_OFFSET,
  RL_INTERFACE_BASELINE_SIZE,
  RL_INTERFACE_KEY_OFFSET,
  RL_INTERFACE_KEY_SIZE,
  RL_INTERFACE_SIZE,
  type RlInterfaceName,
  readRlInterface,
  readRlInterfaceBaseline,
  readRlInterfaceKey,
  readRlInterfaceName,
} from '../bpf/layouts.ts';
import type { BpfMap } from '../bpf/map.ts';
import {
  addAll,
  addSeen,
  asCountedBy,
  clamp,
  hasPassed,
  nothingSeen,
  type Passed,
  type SeenSpan,
} from './device-figures.ts';
import type { InterfaceCounters, NetworkNamespace, NetworkNamespaces } from './network-namespaces.ts';
import type { Direction, InterfaceReconciliation } from './readings.ts';

export interface InterfaceMaps {
  interfaces: BpfMap;
  names: BpfMap;
  baselines: BpfMap;
}

/** One interface's account with both its sides. */
export interface InterfaceAccount {
  netns: number;
  netnsName: string | null;
  interface: string;
  rx: SeenSpan;
  tx: SeenSpan;
  /** Empty where the interface is gone. */
  lines: InterfaceReconciliation[];
}

/** What passed an interface that is gone. */
interface ClosedInterface extends Passed {
  /** As much of it as its lines in the kernel hold, too; null once they are empty. */
  inKernel: Passed | null;
}

interface Snapshot extends Passed {
  key: Buffer;
  device: RlInterfaceName;
}

const NO_BASELINE = { rxBytes: 0, rxPackets: 0, txBytes: 0, txPackets: 0 };
/** RL_INTERFACE_SETS and RL_INTERFACE_WAYS in relayledger.h. */
const WAYS = 8;

/** Sums of interfaces that are gone, kept on disk by the agent; the key names the interface for good. */
export interface ClosedInterfaces {
  closedInterfaces(): Map<string, string>;
  closeInterface(key: string, seen: string): void;
}

/**
 * The second entry of the double entry. Reads what passed each interface from the device hooks and from the kernel's
 * own interface counters, and says where they differ.
 */
export class InterfaceBooks {
  readonly #maps: InterfaceMaps;
  readonly #namespaces: NetworkNamespaces;
  readonly #store: ClosedInterfaces;
  /** Interfaces that are gone, by key: what passed them stays in the sums. */
  readonly #closed: Map<string, ClosedInterface>;

  constructor(maps: InterfaceMaps, namespaces: NetworkNamespaces, store: ClosedInterfaces) {
    this.#maps = maps;
    this.#namespaces = namespaces;
    this.#store = store;
    this.#closed = new Map([...store.closedInterfaces()].map(([key, seen]) => [key, JSON.parse(seen)]));
  }

  /**
   * Notes where each interface's own counters stand now that the device hooks count too. Reads until the hooks' side
   * stands still around the reading; on a busy interface the last try is taken, and its skew shows as error.
   */
  begin(): void {
    this.#namespaces.discover();
    for (const inode of this.#namespaces.inodes()) {
      const namespace = this.#namespaces.read(inode);
      for (const each of namespace?.interfaces ?? []) {
        const key = encodeKey(namespace?.cookie ?? 0n, each.ifindex);
        this.#maps.baselines.update(key, this.#settle(inode, key, each));
      }
    }
  }

  /**
   * Every interface that is there and has carried a packet since accounting began.
   * @param between reads whatever is to be compared with the interfaces, at the same moment
   */
  read(between: () => void): InterfaceAccount[] {
    const first = this.#snapshot();
    between();
    const namespaces = new Map<number, NetworkNamespace | undefined>();
    for (const { device } of first.values()) {
      if (!namespaces.has(device.netns)) namespaces.set(device.netns, this.#namespaces.read(device.netns));
    }
    return [...this.#snapshot()].map(([id, last]) => {
      const { key, device } = last;
      const { netCookie, ifindex } = readRlInterfaceKey(viewOf(key), 0);
      const namespace = namespaces.get(device.netns);
      // The inode of a namespace that is gone is given out again; its cookie is not.
      const same = namespace?.cookie === netCookie ? namespace.interfaces : [];
      const own = same.find((each) => each.ifindex === ifindex);
      const rx = { before: first.get(id)?.rx ?? nothingSeen(), after: last.rx };
      const tx = { before: first.get(id)?.tx ?? nothingSeen(), after: last.tx };
      const netnsName = this.#namespaces.nameOf(device.netns);
      const place = { netns: device.netns, netnsName, interface: own?.name ?? device.name };
      return { ...place, rx, tx, lines: own ? this.#reconcile(key, device, { rx, tx }, own, place) : [] };
    });
  }

  /** The sum over all interfaces, gone ones included. */
  sum(accounts: Iterable<InterfaceAccount>, direction: Direction): SeenSpan {
    const sum = { before: nothingSeen(), after: nothingSeen() };
    for (const account of accounts) {
      addAll(sum.before, account[direction].before);
      addAll(sum.after, account[direction].after);
    }
    for (const closed of this.#closed.values()) {
      addAll(sum.before, closed[direction]);
      addAll(sum.after, closed[direction]);
    }
    return sum;
  }

  /**
   * Makes room in the kernel's table: what passed interfaces that are gone is written to disk first, then taken out of the
   * kernel; a crash at any point is made good at the next call. An interface that comes back under the same key is added
   * when it goes again.
   */
  forgetGone(): void {
    const gone = this.#gone();
    for (const [id, key] of gone) this.#close(id, key);
    for (const [id, key] of gone) {
      this.#maps.baselines.delete(key); // one that comes back counts from the beginning
      if (!this.#clear(key, gone)) continue; // shares a place with a busy line of another CPU: tried again next time
      this.#remember(id, { ...(this.#closed.get(id) as ClosedInterface), inKernel: null });
      this.#maps.names.delete(key); // last: what has no name is not looked at again
    }
  }

  /** Keys of interfaces that have lines in the kernel and are no longer there. */
  #gone(): Map<string, Buffer> {
    this.#namespaces.discover();
    const gone = new Map<string, Buffer>();
    for (const [key, value] of this.#maps.names.entries()) {
      const { netCookie, ifindex } = readRlInterfaceKey(viewOf(key), 0);
      const { netns } = readRlInterfaceName(viewOf(value), 0);
      const namespace = this.#namespaces.has(netns) ? this.#namespaces.read(netns) : 'gone';
      if (namespace === undefined) continue; // it is there and cannot be read now
      const same = namespace !== 'gone' && namespace.cookie === netCookie;
      if (same && namespace.interfaces.some((each) => each.ifindex === ifindex)) continue;
      gone.set(key.toString('hex'), key);
    }
    return gone;
  }

  /** Writes to disk what is not there yet. */
  #close(id: string, key: Buffer): void {
    const lines = this.#seen(key);
    const known = this.#closed.get(id);
    const more = lessWhatIsKept(lines, known);
    if (known?.inKernel && !hasPassed(more)) return;
    if (known) for (const direction of ['rx', 'tx'] as const) addAll(more[direction], known[direction]);
    this.#remember(id, { ...more, inKernel: lines });
  }

  #remember(id: string, closed: ClosedInterface): void {
    this.#store.closeInterface(id, JSON.stringify(closed));
    this.#closed.set(id, closed);
  }

  #snapshot(): Map<string, Snapshot> {
    const snapshots = new Map<string, Snapshot>();
    for (const [key, value] of this.#maps.names.entries()) {
      const id = key.toString('hex');
      const closed = this.#closed.get(id);
      const passed = lessWhatIsKept(this.#seen(key), closed);
      if (closed?.inKernel && !hasPassed(passed)) continue; // on disk already
      snapshots.set(id, { key, device: readRlInterfaceName(viewOf(value), 0), ...passed });
    }
    return snapshots;
  }

  /** The interface's own counters were read between `before` and `after`: they are right if they lie between them. */
  #reconcile(
    key: Buffer,
    device: RlInterfaceName,
    seen: { rx: SeenSpan; tx: SeenSpan },
    own: InterfaceCounters,
    place: Pick<InterfaceReconciliation, 'netns' | 'netnsName' | 'interface'>,
  ): InterfaceReconciliation[] {
    const bytes = this.#maps.baselines.lookup(key);
    const base = bytes ? readRlInterfaceBaseline(viewOf(bytes), 0) : NO_BASELINE;
    const line = (direction: Direction, ownBytes: number, ownPackets: number): InterfaceReconciliation => {
      const [leastBytes, leastPackets] = asCountedBy(device, seen[direction].before, direction, 'least');
      const [mostBytes, mostPackets] = asCountedBy(device, seen[direction].after, direction, 'most');
      const seenBytes = clamp(ownBytes, leastBytes, mostBytes);
      const counters = { interfaceBytes: ownBytes, interfacePackets: ownPackets };
      const ours = { seenBytes, seenPackets: clamp(ownPackets, leastPackets, mostPackets) };
      return { ...place, direction, ...counters, ...ours, errorBytes: ownBytes - seenBytes };
    };
    return [
      line('rx', own.rxBytes - base.rxBytes, own.rxPackets - base.rxPackets),
      line('tx', own.txBytes - base.txBytes, own.txPackets - base.txPackets),
    ];
  }

  #settle(inode: number, key: Buffer, first: InterfaceCounters): Buffer {
    const value = Buffer.alloc(RL_INTERFACE_BASELINE_SIZE);
    let own = first;
    for (let attempt = 0; attempt < 5; attempt++) {
      const before = this.#seen(key);
      own = this.#namespaces.read(inode)?.interfaces.find(({ ifindex }) => ifindex === first.ifindex) ?? own;
      const after = this.#seen(key);
      const put = (offset: number, counter: number, seen: number): void => {
        value.writeBigUInt64LE(BigInt(Math.max(0, counter - seen)), offset);
      };
      const name = this.#maps.names.lookup(key); // none: nothing has passed yet
      const device = name ? readRlInterfaceName(viewOf(name), 0) : undefined;
      const [rxBytes, rxPackets] = device ? asCountedBy(device, after.rx, 'rx', 'most') : [0, 0];
      const [txBytes, txPackets] = device ? asCountedBy(device, after.tx, 'tx', 'most') : [0, 0];
      put(RL_INTERFACE_BASELINE_OFFSET.rxBytes, own.rxBytes, rxBytes);
      put(RL_INTERFACE_BASELINE_OFFSET.rxPackets, own.rxPackets, rxPackets);
      put(RL_INTERFACE_BASELINE_OFFSET.txBytes, own.txBytes, txBytes);
      put(RL_INTERFACE_BASELINE_OFFSET.txPackets, own.txPackets, txPackets);
      if (before.rx.devicePackets === after.rx.devicePackets && before.tx.devicePackets === after.tx.devicePackets)
        break;
    }
    return value;
  }

  #seen(key: Buffer): Passed {
    const rx = nothingSeen();
    const tx = nothingSeen();
    for (const { values, at } of this.#lines(key)) {
      const [received, sent] = readRlInterface(viewOf(values), at).direction;
      if (received) addSeen(rx, received);
      if (sent) addSeen(tx, sent);
    }
    return { rx, tx };
  }

  /**
   * Only for an interface that is gone: its lines are no longer written to. False where some had to stay.
   * @param gone all that are, with what passed them on disk
   */
  #clear(key: Buffer, gone: ReadonlyMap<string, Buffer>): boolean {
    const changed = new Map<number, Buffer>();
    for (const { index, values, at } of this.#lines(key)) {
      const kept = changed.get(index) ?? values;
      kept.fill(0, at, at + RL_INTERFACE_SIZE);
      changed.set(index, kept);
    }
    let complete = true;
    for (const [index, values] of changed) {
      // Others that are gone go along: two would wait for each other for ever.
      for (let at = 0; at < values.length; at += RL_INTERFACE_SIZE) {
        const id = values.toString('hex', at, at + RL_INTERFACE_KEY_SIZE);
        if (gone.has(id)) values.fill(0, at, at + RL_INTERFACE_SIZE);
      }
      // The other CPUs' lines at this place may belong to interfaces that are busy: leave those alone.
      if (values.every((byte) => byte === 0)) this.#maps.interfaces.update(encodeIndex(index), values);
      else complete = false;
    }
    return complete;
  }

  /** The interface's lines on all CPUs; on each they may lie at another place of its set. */
  *#lines(key: Buffer): Generator<{ index: number; values: Buffer; at: number }> {
    const { interfaces } = this.#maps;
    const sets = interfaces.info.maxEntries / WAYS;
    const cookie = key.readBigUInt64LE(RL_INTERFACE_KEY_OFFSET.netCookie);
    const ifindex = key.readUInt32LE(RL_INTERFACE_KEY_OFFSET.ifindex);
    const first = Number(BigInt.asUintN(64, cookie * 31n + BigInt(ifindex)) % BigInt(sets)) * WAYS;
    for (let index = first; index < first + WAYS; index++) {
      const values = interfaces.lookup(encodeIndex(index));
      if (!values) continue;
      for (let at = 0; at < values.length; at += RL_INTERFACE_SIZE) {
        if (values.compare(key, 0, RL_INTERFACE_KEY_SIZE, at, at + RL_INTERFACE_KEY_SIZE) === 0)
          yield { index, values, at };
      }
    }
  }
}

/** Of what an interface's lines in the kernel hold, the part that is not on disk. */
function lessWhatIsKept({ rx, tx }: Passed, closed: ClosedInterface | undefined): Passed {
  if (!closed?.inKernel) return { rx, tx };
  const rest = { rx: { ...rx }, tx: { ...tx } };
  addAll(rest.rx, closed.inKernel.rx, -1);
  addAll(rest.tx, closed.inKernel.tx, -1);
  // An agent was killed while it cleared them: what is left is on disk.
  if (rest.rx.devicePackets < 0 || rest.tx.devicePackets < 0) return { rx: nothingSeen(), tx: nothingSeen() };
  return rest;
}

function encodeKey(cookie: bigint, ifindex: number): Buffer {
  const key = Buffer.alloc(RL_INTERFACE_KEY_SIZE);
  key.writeBigUInt64LE(cookie, RL_INTERFACE_KEY_OFFSET.netCookie);
  key.writeUInt32LE(ifindex, RL_INTERFACE_KEY_OFFSET.ifindex);
  return key;
}

function encodeIndex(index: number): Buffer {
  const key = Buffer.alloc(4);
  key.writeUInt32LE(index);
  return key;
}

function viewOf(bytes: Buffer): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
