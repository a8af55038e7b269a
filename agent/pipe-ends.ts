import { readdirSync, readFileSync, statSync } from 'node:fs';
import { payloadOf } from './counters.ts';
import type { ProcessRecord } from './process-table.ts';

/*
 * Which processes may be half of a relay, by a pipe that another process with traffic holds the other end of? The kernel's
 * side reads the pipes at a process's first touch of the network; one that starts its other half later (socat's EXEC, a
 * shell's coprocess) has none then. So they are looked at again when it has moved some bytes, and each time when it
 * has moved four times as much.
 */

type Fifo = ProcessRecord['details']['fifos'][number];

/** Modes of a pipe's end, as in struct rl_fifo. */
const READS = 1;
const WRITES = 2;

const FIRST_LOOK_BYTES = 16_384;
const NEXT_LOOK = 4;
/** File descriptors that are looked at, as in the kernel. */
const MAX_FILES = 16;
const O_ACCMODE = 3;

export class PipeEnds {
  readonly #read: (pid: number) => Fifo[];
  /** The payload at which a process is looked at next. */
  readonly #nextLook = new WeakMap<ProcessRecord, number>();

  constructor(read: (pid: number) => Fifo[] = readFifos) {
    this.#read = read;
  }

  /** Slots of processes that share a pipe, one writing and another reading. */
  find(records: Iterable<ProcessRecord>): Set<number> {
    const ends = new Map<number, { slot: number; modes: number }[]>();
    for (const record of records) {
      this.#lookAgain(record);
      if (record.details.fifos.length === 0) continue;
      const modesByInode = new Map<number, number>();
      for (const { inode, modes } of record.details.fifos) {
        modesByInode.set(inode, (modesByInode.get(inode) ?? 0) | modes);
      }
      for (const [inode, modes] of modesByInode) {
        ends.set(inode, [...(ends.get(inode) ?? []), { slot: record.slot, modes }]);
      }
    }
    const piped = new Set<number>();
    for (const sharers of ends.values()) {
      // Both ends in one process: it wakes itself up, or a family has inherited it; or it kept what is its child's.
      const hasOneEnd = sharers.some(({ modes }) => modes !== (READS | WRITES));
      const modes = sharers.reduce((all, each) => all | each.modes, 0);
      if (sharers.length > 1 && hasOneEnd && modes === (READS | WRITES))
        for (const { slot } of sharers) piped.add(slot);
    }
    return piped;
  }

  #lookAgain(record: ProcessRecord): void {
    if (record.exitedAtMs !== null) return;
    const { receivedBytes, sentBytes } = payloadOf(record.counters);
    const payload = receivedBytes + sentBytes;
    if (payload < (this.#nextLook.get(record) ?? FIRST_LOOK_BYTES)) return;
    this.#nextLook.set(record, NEXT_LOOK * payload);
    const { fifos } = record.details;
    const isKnown = (fifo: Fifo): boolean =>
      fifos.some(({ inode, modes }) => inode === fifo.inode && modes === fifo.modes);
    const more = this.#read(record.tgid).filter((fifo) => !isKnown(fifo));
    if (more.length > 0) record.details = { ...record.details, fifos: [...fifos, ...more] };
  }
}

/** Of a process that ends meanwhile, those that were seen. */
export function readFifos(pid: number): Fifo[] {
  const folder = `/proc/${pid}/fd`;
  const fifos: Fifo[] = [];
  try {
    const files = readdirSync(folder).map(Number);
    for (const fd of files.sort((one, other) => one - other).slice(0, MAX_FILES)) {
      const { ino: inode, isFIFO } = describe(`${folder}/${fd}`);
      if (!isFIFO) continue;
      const flags = /^flags:\s*(\d+)$/m.exec(readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8'))?.[1];
      // O_RDONLY, O_WRONLY, O_RDWR are 0, 1, 2.
      fifos.push({ inode, modes: (Number.parseInt(flags ?? '0', 8) & O_ACCMODE) + 1 });
    }
  } catch {
    // It has ended, or closed a file.
  }
  return fifos;
}

function describe(path: string): { ino: number; isFIFO: boolean } {
  const stat = statSync(path, { throwIfNoEntry: false });
  return { ino: stat?.ino ?? 0, isFIFO: stat?.isFIFO() ?? false };
}
