import type { RlSocketRecord } from '../bpf/layouts.ts';
import type { ProcessRecord } from './process-table.ts';
import type { Socket } from './readings.ts';
import { countSockets, type SocketOwner, socketRecords, toSocket } from './socket-table.ts';
import { toIso } from './wall-time.ts';

type OwnerRef = Pick<RlSocketRecord, 'owner' | 'ownerGeneration'>;

export interface SocketReadingsOptions {
  /** What the `dump_sockets` iterator writes; the next call overwrites it. */
  dump: () => Buffer;
  elapsedMs: () => number;
  processOf: (owner: OwnerRef) => ProcessRecord | undefined;
}

/** A list asked for again this soon, as the pages of one answer are, is the same list. */
const KEPT_MS = 2_000;
const KERNEL: SocketOwner = { pid: 0, startedAt: null, name: 'kernel', app: 'kernel' };

/** The host's sockets, read when they are asked for: a walk through all of them, in the kernel and here. */
export class SocketReadings {
  readonly #options: SocketReadingsOptions;
  #all: { atMs: number; sockets: Socket[] } | undefined;
  #counts: { atMs: number; byApp: Map<string, Map<string, number>> } | undefined;

  constructor(options: SocketReadingsOptions) {
    this.#options = options;
  }

  /** Those of one process as they are now, or all, as they were at most 2 s ago. */
  read(pid?: number): Socket[] {
    if (pid !== undefined) return this.#read((owner) => owner.pid === pid);
    const atMs = this.#options.elapsedMs();
    if (!this.#isFresh(this.#all)) this.#all = { atMs, sockets: this.#read(() => true) };
    return this.#all?.sockets ?? [];
  }

  /** By app, as `nameOf` has it, and state; as they were at most 2 s ago. */
  count(nameOf: (app: string) => string): Map<string, Map<string, number>> {
    const atMs = this.#options.elapsedMs();
    if (!this.#isFresh(this.#counts)) {
      const byApp = countSockets(this.#options.dump(), (owner) => {
        return nameOf(this.#options.processOf(owner)?.app ?? KERNEL.app);
      });
      this.#counts = { atMs, byApp };
    }
    return this.#counts?.byApp ?? new Map();
  }

  /** To be called now and then: a list of many sockets is not kept for who never asks again. */
  letGo(): void {
    if (!this.#isFresh(this.#all)) this.#all = undefined;
  }

  #isFresh(reading: { atMs: number } | undefined): boolean {
    return reading !== undefined && this.#options.elapsedMs() - reading.atMs <= KEPT_MS;
  }

  #read(isWanted: (owner: SocketOwner) => boolean): Socket[] {
    const owners = new Map<ProcessRecord, SocketOwner>();
    const sockets: Socket[] = [];
    for (const record of socketRecords(this.#options.dump())) {
      const owner = this.#ownerOf(record, owners);
      if (isWanted(owner)) sockets.push(toSocket(record, owner));
    }
    return sockets;
  }

  #ownerOf(socket: OwnerRef, known: Map<ProcessRecord, SocketOwner>): SocketOwner {
    const record = this.#options.processOf(socket);
    if (!record) return KERNEL;
    const owner = known.get(record) ?? {
      pid: record.tgid,
      startedAt: toIso(record.startedAtMs),
      name: record.name,
      app: record.app,
    };
    known.set(record, owner);
    return owner;
  }
}
