import type { SharedArray } from '../bpf/array-window.ts';
import { readText } from '../bpf/decode.ts';
import {
  RL_PROCESS_KEY_OFFSET,
  RL_PROCESS_KEY_SIZE,
  RL_PROCESS_OFFSET,
  RL_PROCESS_SIZE,
  RlProcessEventType,
  readRlProcessDetails,
  readRlProcessEvent,
} from '../bpf/layouts.ts';
import type { BpfMap } from '../bpf/map.ts';
import type { RingBuffer } from '../bpf/ring-buffer.ts';
import { Words } from '../bpf/words.ts';
import { type Counters, KERNEL_COUNTERS, makeCounters, PAYLOAD, WIRE_TX_BYTES, WIRE_TX_PACKETS } from './counters.ts';
import { completeDetails, decodeDetails, type ProcessDetails, UNKNOWN_DETAILS } from './details.ts';
import { appOf, placementOf } from './identity.ts';
import { readProcStat, startTicksOf } from './proc-stat.ts';
import { SharedStrings } from './shared-strings.ts';
import { toWallMs } from './wall-time.ts';

/** A process that touched the network. Its counters are the kernel's, as of the last poll. */
export interface ProcessRecord {
  slot: number;
  generation: number;
  tgid: number;
  /** CLOCK_BOOTTIME. */
  startNs: bigint;
  startedAtMs: number;
  exitedAtMs: number | null;
  name: string;
  uid: number;
  details: ProcessDetails;
  unit: string | null;
  container: string | null;
  /** Of the catalogue of known programs; says what it is, never whether it relays. */
  profile: string | null;
  app: string;
  counters: Counters;
  /** Changed since the last checkpoint. */
  dirty: boolean;
  phase: 'live' | 'ended' | 'retiring' | 'freed';
}

/** The kernel's maps that make up the process table. */
export interface ProcessMaps {
  processes: SharedArray;
  slots: BpfMap;
  freeSlots: BpfMap;
  details: BpfMap;
  events: RingBuffer;
}

/** What the table tells its owner, and asks it. */
export interface TableListener {
  /** The program's profile, by its details. */
  recognise(details: ProcessDetails): string | null;
  /** A process is seen for the first time: `freed` where its slot was about to be given back when the agent died. */
  restore(record: ProcessRecord): 'keep' | 'freed';
  /** What a process's counters rose by since the last poll; the vector is used again. */
  changed(record: ProcessRecord, delta: Counters): void;
  started(record: ProcessRecord): void;
  /** What a policy may match it by is new: its names, its user, what it executes. */
  described(record: ProcessRecord): void;
  ended(record: ProcessRecord): void;
}

export interface Clock {
  nowMs(): number;
  /** CLOCK_BOOTTIME ns. */
  bootNs(): bigint;
}

/** An ended process keeps its slot this long: its connections may still send what they had buffered. */
const GRACE_NS = 60_000_000_000n;
/** The grace that is left when the table runs short of slots. */
const SHORT_GRACE_NS = 3_000_000_000n;
const CROWDED = 0.75;

/** Where each counter of the vector lies in `struct rl_process`. */
const COUNTER_OFFSETS: readonly number[] = [
  RL_PROCESS_OFFSET.wireRx,
  RL_PROCESS_OFFSET.wireRx + 8,
  RL_PROCESS_OFFSET.wireTx,
  RL_PROCESS_OFFSET.wireTx + 8,
  ...Array.from({ length: KERNEL_COUNTERS - PAYLOAD }, (_, i) => RL_PROCESS_OFFSET.payload + 8 * i),
];
/** Packets dropped before they reached a device were charged and are taken off again. */
const UNSENT_OFFSETS: ReadonlyMap<number, number> = new Map([
  [WIRE_TX_BYTES, RL_PROCESS_OFFSET.unsent],
  [WIRE_TX_PACKETS, RL_PROCESS_OFFSET.unsent + 8],
]);
const NAME_LENGTH = 16;

/**
 * Follows the kernel's process table: finds new processes, reads counters, notices ends, and gives slots back when
 * they are no longer needed. The event ring only saves looking; after a loss the whole table is scanned.
 */
export class ProcessTable {
  readonly #maps: ProcessMaps;
  readonly #clock: Clock;
  #words: Words;
  #view: DataView;
  readonly #bySlot = new Map<number, ProcessRecord>();
  /** Records whose counters still move. */
  readonly #active = new Set<ProcessRecord>();
  readonly #retiring: ProcessRecord[] = [];
  /** Retired and read since: no packet can be charged to them any more. */
  #settled: ProcessRecord[] = [];
  readonly #listener: TableListener;
  readonly #delta: Counters = makeCounters();
  readonly #strings = new SharedStrings();

  constructor(maps: ProcessMaps, clock: Clock, listener: TableListener) {
    this.#maps = maps;
    this.#clock = clock;
    this.#listener = listener;
    this.#words = new Words(maps.processes.buffer);
    this.#view = new DataView(maps.processes.buffer);
  }

  get capacity(): number {
    return this.#maps.slots.info.maxEntries;
  }

  /** Processes in the kernel's table, ended ones included. */
  get size(): number {
    return this.#bySlot.size;
  }

  /** Whether slots should be given back sooner than usual. */
  isCrowded(): boolean {
    return this.#bySlot.size > this.capacity * CROWDED;
  }

  records(): IteratorObject<ProcessRecord> {
    return this.#bySlot.values();
  }

  bySlot(slot: number, generation: number): ProcessRecord | undefined {
    const record = this.#bySlot.get(slot);
    return record?.generation === generation ? record : undefined;
  }

  /** Reads the whole table: at start, and where events were lost. */
  scan(): void {
    for (const { count, keys, values } of this.#maps.slots.batches()) {
      for (let i = 0; i < count; i++) {
        const startNs = keys.readBigUInt64LE(i * RL_PROCESS_KEY_SIZE + RL_PROCESS_KEY_OFFSET.startNs);
        this.#discover(values.readUInt32LE(i * 4), startNs);
      }
    }
  }

  /** Takes in the events since the last poll, then every active counter. */
  poll(): void {
    this.#maps.events.consume((view, offset) => {
      const event = readRlProcessEvent(view, offset);
      this.#reach(event.slot);
      const generationAt = event.slot * RL_PROCESS_SIZE + RL_PROCESS_OFFSET.generation;
      if (this.#view.getUint32(generationAt, true) !== event.generation) return; // the slot is another's by now
      const record = this.#discover(event.slot);
      if (record && event.type === RlProcessEventType.processExec) this.#describe(record);
    });
    const now = this.#clock.bootNs();
    for (const record of this.#active) this.#read(record, now);
    this.#settled.push(...this.#retiring.splice(0));
  }

  /**
   * Begins to free the slots of processes that ended long enough ago: from now on the kernel charges nothing to them.
   * The next `freeable` gives them with their final counters.
   */
  retire(): void {
    const now = this.#clock.bootNs();
    const grace = this.isCrowded() ? SHORT_GRACE_NS : GRACE_NS;
    for (const record of this.#bySlot.values()) {
      if (record.phase !== 'ended' || now - this.#exitNs(record) < grace) continue;
      const at = record.slot * RL_PROCESS_SIZE + RL_PROCESS_OFFSET.generation;
      this.#view.setUint32(at, record.generation + 1, true);
      record.phase = 'retiring';
      this.#active.add(record);
      this.#retiring.push(record);
    }
  }

  /** Those retired before the last poll, whose counters are final. Free them once they are safe on disk. */
  freeable(): readonly ProcessRecord[] {
    return this.#settled;
  }

  /** Gives slots back to the kernel. */
  free(records: readonly ProcessRecord[]): void {
    const key = Buffer.alloc(RL_PROCESS_KEY_SIZE);
    const slot = Buffer.alloc(4);
    for (const record of records) {
      key.writeBigUInt64LE(record.startNs, RL_PROCESS_KEY_OFFSET.startNs);
      key.writeUInt32LE(record.tgid, RL_PROCESS_KEY_OFFSET.tgid);
      slot.writeUInt32LE(record.slot);
      this.#maps.details.delete(slot);
      // Between these two calls a crash would lose the slot, until the table is made anew; never a byte.
      if (this.#maps.slots.delete(key)) this.#maps.freeSlots.push(slot);
      record.phase = 'freed';
      this.#bySlot.delete(record.slot);
      this.#active.delete(record);
    }
    this.#settled = this.#settled.filter(({ phase }) => phase !== 'freed');
  }

  #reach(slot: number): void {
    const { processes } = this.#maps;
    if (!processes.reach(slot + 1)) return;
    this.#words = new Words(processes.buffer);
    this.#view = new DataView(processes.buffer);
  }

  #discover(slot: number, startNs?: bigint): ProcessRecord | undefined {
    this.#reach(slot);
    const base = slot * RL_PROCESS_SIZE;
    const start = this.#view.getBigUint64(base + RL_PROCESS_OFFSET.startNs, true);
    if (start === 0n || (startNs !== undefined && start !== startNs)) return undefined;
    const generation = this.#view.getUint32(base + RL_PROCESS_OFFSET.generation, true);
    const known = this.#bySlot.get(slot);
    if (known?.startNs === start) return known;
    const record: ProcessRecord = {
      slot,
      generation,
      tgid: this.#view.getUint32(base + RL_PROCESS_OFFSET.tgid, true),
      startNs: start,
      startedAtMs: this.#toWallMs(start),
      exitedAtMs: null,
      name: readText(this.#view, base + RL_PROCESS_OFFSET.name, NAME_LENGTH),
      uid: this.#view.getUint32(base + RL_PROCESS_OFFSET.uid, true),
      details: UNKNOWN_DETAILS,
      unit: null,
      container: null,
      profile: null,
      app: '',
      counters: makeCounters(),
      dirty: true,
      phase: 'live',
    };
    if (this.#listener.restore(record) === 'freed') {
      this.free([record]);
      return undefined;
    }
    this.#bySlot.set(slot, record);
    this.#active.add(record);
    this.#describe(record);
    this.#listener.started(record);
    return record;
  }

  #describe(record: ProcessRecord): void {
    const key = Buffer.alloc(4);
    key.writeUInt32LE(record.slot);
    const value = this.#maps.details.lookup(key);
    const kernel = value ? decodeDetails(readRlProcessDetails(new DataView(value.buffer, value.byteOffset), 0)) : null;
    const details = completeDetails(kernel ?? UNKNOWN_DETAILS, record.tgid, () => this.#isShown(record));
    const { executable, command, cgroup } = details;
    record.details = {
      ...details,
      executable: executable === null ? null : this.#strings.of(executable),
      command: this.#strings.of(command),
      cgroup: this.#strings.of(cgroup),
    };
    record.profile = this.#listener.recognise(record.details);
    this.#place(record);
  }

  #place(record: ProcessRecord): void {
    Object.assign(record, placementOf(record.details.cgroup));
    const { profile, unit, container, name } = record;
    record.app = appOf({ profile, unit, container, executable: record.details.executable, name });
    record.dirty = true;
    this.#listener.described(record);
  }

  /** Whether /proc has it under its pid: it lives, and the agent is in the pid namespace of the host. */
  #isShown(record: ProcessRecord): boolean {
    const stat = readProcStat(record.tgid);
    return this.#exitNs(record) === 0n && stat?.startTicks === startTicksOf(record.startNs);
  }

  #exitNs({ slot }: ProcessRecord): bigint {
    return this.#view.getBigUint64(slot * RL_PROCESS_SIZE + RL_PROCESS_OFFSET.exitNs, true);
  }

  #read(record: ProcessRecord, nowNs: bigint): void {
    this.#readCounters(record);
    if (record.phase === 'retiring') return;
    const base = record.slot * RL_PROCESS_SIZE;
    this.#readName(record, base);
    const exitNs = this.#exitNs(record);
    if (exitNs === 0n) return;
    if (record.exitedAtMs === null) {
      record.exitedAtMs = this.#toWallMs(exitNs);
      record.dirty = true;
      record.phase = 'ended';
      this.#listener.ended(record);
    } else if (nowNs - exitNs > GRACE_NS) {
      this.#active.delete(record);
    }
  }

  #readCounters(record: ProcessRecord): void {
    const words = this.#words;
    const base = record.slot * RL_PROCESS_SIZE;
    const { counters } = record;
    const delta = this.#delta;
    let moved = false;
    for (let i = 0; i < KERNEL_COUNTERS; i++) {
      let value = words.u64(base + (COUNTER_OFFSETS[i] as number));
      const unsent = UNSENT_OFFSETS.get(i);
      if (unsent !== undefined) value -= words.u64(base + unsent);
      // A drop may take off what the last poll has reported: the counter then waits until it has caught up.
      const rise = Math.max(0, value - (counters[i] as number));
      delta[i] = rise;
      if (rise === 0) continue;
      moved = true;
      counters[i] = value;
    }
    if (!moved) return;
    record.dirty = true;
    this.#listener.changed(record, delta);
  }

  #readName(record: ProcessRecord, base: number): void {
    const at = base + RL_PROCESS_OFFSET.name;
    const uid = this.#view.getUint32(base + RL_PROCESS_OFFSET.uid, true);
    if (uid !== record.uid) {
      record.uid = uid;
      record.dirty = true;
      this.#listener.described(record);
    }
    if (this.#sameName(record.name, at)) return;
    record.name = readText(this.#view, at, NAME_LENGTH);
    this.#place(record);
  }

  /** Compares without making a string; a name that is not ASCII is always taken as changed. */
  #sameName(name: string, at: number): boolean {
    for (let i = 0; i < name.length; i++) if (name.charCodeAt(i) !== this.#view.getUint8(at + i)) return false;
    return name.length >= NAME_LENGTH || this.#view.getUint8(at + name.length) === 0;
  }

  /** The wall clock may be set meanwhile: a process keeps the time it was first given. */
  #toWallMs(bootNs: bigint): number {
    return Math.round(toWallMs(this.#clock, bootNs));
  }
}
