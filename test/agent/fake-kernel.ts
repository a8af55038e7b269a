import type { ProcessMaps } from '../../agent/process-table.ts';
import {
  RL_FIFO_OFFSET,
  RL_FIFO_SIZE,
  RL_PROCESS_DETAILS_OFFSET,
  RL_PROCESS_DETAILS_SIZE,
  RL_PROCESS_EVENT_OFFSET,
  RL_PROCESS_EVENT_SIZE,
  RL_PROCESS_KEY_OFFSET,
  RL_PROCESS_KEY_SIZE,
  RL_PROCESS_OFFSET,
  RL_PROCESS_SIZE,
  RL_TOTALS_OFFSET,
  RL_TOTALS_SIZE,
  RlLost,
  RlProcessEventType,
  RlUnattributed,
} from '../../bpf/layouts.ts';
import { RingBuffer } from '../../bpf/ring-buffer.ts';
import type { FakeClock } from './fake-clock.ts';
import { FakeMap, FakeQueue } from './fake-map.ts';

/** No kernel gives out a pid as high as this, so that nothing is found under /proc. */
export const FIRST_PID = 5_000_000;

/** RL_EXECUTABLE_LENGTH and RL_CGROUP_LENGTH, RL_COMPONENT_LENGTH, RL_COMMAND_LENGTH. */
const PATH_LENGTH: number = RL_PROCESS_DETAILS_OFFSET.command - RL_PROCESS_DETAILS_OFFSET.executable;
const COMPONENT_LENGTH = 256;
const COMMAND_LENGTH: number = RL_PROCESS_DETAILS_OFFSET.cgroup - RL_PROCESS_DETAILS_OFFSET.command;
const RING_SIZE = 1 << 14;
const RING_HEADER = 8;

export interface ProcessShape {
  pid: number;
  startNs: bigint;
  name: string | Buffer;
  uid: number;
  executable: string;
  argv: readonly string[];
  cgroup: string;
  parentPid: number;
  netns: number;
  /** Modes: 1 reads, 2 writes. */
  fifos?: readonly { inode: number; modes: number }[];
}

/** What a test holds of a process; a socket holds the same of its owner. */
export interface FakeProcess extends ProcessShape {
  slot: number;
  generation: number;
}

export interface Charge {
  rxBytes?: number;
  rxPackets?: number;
  txBytes?: number;
  txPackets?: number;
}

/** `struct rl_process_details` as bpf/processes.bpf.c fills it. */
export function encodeDetails(process: Omit<ProcessShape, 'name'>): Buffer {
  const at = RL_PROCESS_DETAILS_OFFSET;
  const bytes = Buffer.alloc(RL_PROCESS_DETAILS_SIZE);
  bytes.writeBigUInt64LE(process.startNs, at.startNs);
  bytes.writeUInt32LE(process.pid, at.tgid);
  bytes.writeUInt32LE(process.parentPid, at.parentTgid);
  bytes.writeUInt32LE(process.netns, at.netns);
  bytes.writeUInt32LE(process.uid, at.uid);
  const executable = leafFirst(process.executable);
  const cgroup = leafFirst(process.cgroup);
  const command = Buffer.from(process.argv.map((arg) => `${arg}\0`).join('')).subarray(0, COMMAND_LENGTH);
  bytes.writeUInt16LE(executable.path.copy(bytes, at.executable), at.executableLength);
  bytes.writeUInt16LE(command.copy(bytes, at.command), at.commandLength);
  bytes.writeUInt16LE(cgroup.path.copy(bytes, at.cgroup), at.cgroupLength);
  bytes.writeUInt16LE((executable.cut ? 1 : 0) | (cgroup.cut ? 2 : 0), at.cut);
  const { fifos = [] } = process;
  bytes.writeUInt16LE(fifos.length, at.fifoCount);
  for (const [index, { inode, modes }] of fifos.entries()) {
    bytes.writeBigUInt64LE(BigInt(inode), at.fifos + index * RL_FIFO_SIZE + RL_FIFO_OFFSET.inode);
    bytes.writeUInt32LE(modes, at.fifos + index * RL_FIFO_SIZE + RL_FIFO_OFFSET.modes);
  }
  return bytes;
}

/** Components from the leaf up as long as there is room for another that is as long as one can be. */
function leafFirst(path: string): { path: Buffer; cut: boolean } {
  let written = Buffer.alloc(0);
  for (const component of path.split('/').reverse()) {
    if (component === '') continue;
    if (written.length > PATH_LENGTH - COMPONENT_LENGTH) return { path: written, cut: true };
    written = Buffer.concat([written, Buffer.from(component).subarray(0, COMPONENT_LENGTH - 1), Buffer.alloc(1)]);
  }
  return { path: written, cut: false };
}

/** The kernel's process table in plain memory, written in the order in which bpf/processes.bpf.c writes it. */
export class FakeKernel {
  readonly buffer: ArrayBuffer;
  readonly totals: DataView<ArrayBuffer> = new DataView(new ArrayBuffer(RL_TOTALS_SIZE));
  readonly slots: FakeMap;
  readonly freeSlots: FakeQueue;
  readonly details: FakeMap;
  readonly events: RingBuffer;
  /** While set, the event ring is full. */
  ringIsFull = false;
  readonly #clock: FakeClock;
  readonly #view: DataView;
  readonly #ring: { consumer: ArrayBuffer; producer: ArrayBuffer; data: ArrayBuffer };
  #slotsUsed = 0;
  #nextPid = FIRST_PID;

  constructor(clock: FakeClock, capacity = 16) {
    this.#clock = clock;
    this.buffer = new ArrayBuffer(capacity * RL_PROCESS_SIZE);
    this.#view = new DataView(this.buffer);
    const shape = { maxEntries: capacity };
    this.slots = new FakeMap({ ...shape, name: 'process_slots', keySize: RL_PROCESS_KEY_SIZE, valueSize: 4 });
    this.details = new FakeMap({ ...shape, name: 'process_details', keySize: 4, valueSize: RL_PROCESS_DETAILS_SIZE });
    this.freeSlots = new FakeQueue('free_slots', capacity);
    this.#ring = {
      consumer: new ArrayBuffer(8),
      producer: new ArrayBuffer(8),
      data: new ArrayBuffer(2 * RING_SIZE),
    };
    this.events = new RingBuffer({ ...this.#ring, dataOffset: 0, size: RING_SIZE });
  }

  maps(): ProcessMaps {
    return {
      processes: { buffer: this.buffer, reach: () => false },
      slots: this.slots.asMap(),
      freeSlots: this.freeSlots.asMap(),
      details: this.details.asMap(),
      events: this.events,
    };
  }

  /** A process touches the network for the first time. */
  touch(override: Partial<ProcessShape> = {}): FakeProcess {
    const {
      pid = this.#nextPid++,
      startNs = this.#clock.bootNs(),
      name = 'curl',
      executable = `/usr/bin/${name}`,
    } = override;
    const shape: ProcessShape = {
      pid,
      startNs,
      name,
      uid: 1000,
      executable,
      argv: [executable],
      cgroup: '/user.slice/user-1000.slice/session-3.scope',
      parentPid: 1,
      netns: 4_026_531_840,
      ...override,
    };
    const slot = this.freeSlots.values.shift() ?? ++this.#slotsUsed;
    if ((slot + 1) * RL_PROCESS_SIZE > this.buffer.byteLength) throw new Error('the process table is full');
    const generation = this.generationAt(slot) + 1;
    new Uint8Array(this.buffer, slot * RL_PROCESS_SIZE, RL_PROCESS_SIZE).fill(0);
    const process = { ...shape, slot, generation };
    this.#put32(process, RL_PROCESS_OFFSET.generation, generation);
    this.#put32(process, RL_PROCESS_OFFSET.tgid, pid);
    this.#put32(process, RL_PROCESS_OFFSET.uid, shape.uid);
    this.#put64(process, RL_PROCESS_OFFSET.startNs, startNs);
    this.rename(process, name);
    this.slots.update(this.keyOf(process), encodeU32(slot));
    this.details.update(encodeU32(slot), encodeDetails(shape));
    this.announce(process, RlProcessEventType.processSeen);
    return process;
  }

  exec(process: FakeProcess, change: Partial<Omit<ProcessShape, 'pid' | 'startNs'>>): void {
    Object.assign(process, change);
    this.rename(process, process.name);
    this.details.update(encodeU32(process.slot), encodeDetails(process));
    this.announce(process, RlProcessEventType.processExec);
  }

  rename(process: FakeProcess, name: string | Buffer): void {
    const bytes = new Uint8Array(this.buffer, process.slot * RL_PROCESS_SIZE + RL_PROCESS_OFFSET.name, 16).fill(0);
    bytes.set(Buffer.from(name).subarray(0, 15));
    process.name = name;
  }

  setUser(process: FakeProcess, uid: number): void {
    this.#put32(process, RL_PROCESS_OFFSET.uid, uid);
  }

  exit(process: FakeProcess): void {
    this.#put64(process, RL_PROCESS_OFFSET.exitNs, this.#clock.bootNs());
    this.announce(process, RlProcessEventType.processExit);
  }

  /** A packet of a socket that `process` owns; once its slot has changed hands it is late. */
  charge(process: FakeProcess, charge: Charge): void {
    const { rxBytes = 0, rxPackets = 0, txBytes = 0, txPackets = 0 } = charge;
    const base = process.slot * RL_PROCESS_SIZE;
    const isOwn = this.generationAt(process.slot) === process.generation;
    const late = RL_TOTALS_OFFSET.unattributed + RlUnattributed.late * 32;
    const rx = isOwn ? base + RL_PROCESS_OFFSET.wireRx : late;
    const tx = isOwn ? base + RL_PROCESS_OFFSET.wireTx : late + 16;
    const view = isOwn ? this.#view : this.totals;
    for (const [at, rise] of [
      [rx, rxBytes],
      [rx + 8, rxPackets],
      [tx, txBytes],
      [tx + 8, txPackets],
    ] as const) {
      view.setBigUint64(at, view.getBigUint64(at, true) + BigInt(rise), true);
    }
  }

  /** Any 64-bit field of a process, by its offset in the struct. */
  setCounter(process: FakeProcess, offset: number, value: number): void {
    this.#put64(process, offset, BigInt(value));
  }

  announce({ slot, generation }: { slot: number; generation: number }, type: RlProcessEventType): void {
    if (this.ringIsFull) {
      const at = RL_TOTALS_OFFSET.lost + RlLost.event * 8;
      this.totals.setBigUint64(at, this.totals.getBigUint64(at, true) + 1n, true);
      return;
    }
    const record = Buffer.alloc(RING_HEADER + RL_PROCESS_EVENT_SIZE);
    record.writeUInt32LE(RL_PROCESS_EVENT_SIZE);
    record.writeUInt32LE(slot, RING_HEADER + RL_PROCESS_EVENT_OFFSET.slot);
    record.writeUInt32LE(generation, RING_HEADER + RL_PROCESS_EVENT_OFFSET.generation);
    record.writeUInt32LE(type, RING_HEADER + RL_PROCESS_EVENT_OFFSET.type);
    const producer = new BigUint64Array(this.#ring.producer);
    const position = Number((producer[0] as bigint) % BigInt(RING_SIZE));
    const data = new Uint8Array(this.#ring.data);
    for (const [index, byte] of record.entries()) {
      const at = (position + index) % RING_SIZE;
      data[at] = byte;
      data[RING_SIZE + at] = byte;
    }
    producer[0] = (producer[0] as bigint) + BigInt(record.length);
  }

  generationAt(slot: number): number {
    return this.#view.getUint32(slot * RL_PROCESS_SIZE + RL_PROCESS_OFFSET.generation, true);
  }

  keyOf({ pid, startNs }: { pid: number; startNs: bigint }): Buffer {
    const key = Buffer.alloc(RL_PROCESS_KEY_SIZE);
    key.writeBigUInt64LE(startNs, RL_PROCESS_KEY_OFFSET.startNs);
    key.writeUInt32LE(pid, RL_PROCESS_KEY_OFFSET.tgid);
    return key;
  }

  holds(process: FakeProcess): boolean {
    return this.slots.lookup(this.keyOf(process)) !== undefined;
  }

  #put32({ slot }: { slot: number }, offset: number, value: number): void {
    this.#view.setUint32(slot * RL_PROCESS_SIZE + offset, value, true);
  }

  #put64({ slot }: { slot: number }, offset: number, value: bigint): void {
    this.#view.setBigUint64(slot * RL_PROCESS_SIZE + offset, value, true);
  }
}

export function encodeU32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
