import { closeSync, copyFileSync, openSync, readSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Host, type Running, start } from '../../e2e/hosts.ts';

/** programs/flows.c: MAX_FLOWS and `struct counters`. */
const MAX_FLOWS = 4096;
const RECORD = 32;

export interface FlowReading {
  bytes: number;
  segments: number;
  retransmitted: number;
  srttUs: number;
}

/** One running `flows` program, and the counters that it maps. */
export class Flows {
  readonly running: Running;
  readonly #path: string;
  readonly #buffer = Buffer.alloc((MAX_FLOWS + 1) * RECORD);

  private constructor(running: Running, path: string) {
    this.running = running;
    this.#path = path;
  }

  /** @param name what the program is called; policies tell senders and sinks of one host apart by it */
  static start(
    host: Host,
    program: string,
    folder: string,
    name: string,
    mode: string,
    rest: readonly string[],
  ): Flows {
    const copy = join(folder, name);
    copyFileSync(program, copy);
    const counters = join(folder, `${name}.counters`);
    rmSync(counters, { force: true });
    closeSync(openSync(counters, 'w+'));
    const running = start(host, [copy, mode, counters, ...rest], {
      output: join(folder, `${name}.output`),
      errors: join(folder, `${name}.errors`),
    });
    return new Flows(running, counters);
  }

  /** Of the first `count` flows. */
  read(count: number): FlowReading[] {
    const buffer = this.#read();
    return Array.from({ length: count }, (_, index) => {
      const at = (field: number): number => Number(buffer.readBigUInt64LE(index * RECORD + field * 8));
      return { bytes: at(0), segments: at(1), retransmitted: at(2), srttUs: at(3) };
    });
  }

  /** Connections that ended with an error. */
  get aborted(): number {
    return Number(this.#read().readBigUInt64LE(MAX_FLOWS * RECORD));
  }

  stop(): void {
    this.running.child.kill('SIGKILL');
  }

  #read(): Buffer {
    const fd = openSync(this.#path, 'r');
    try {
      readSync(fd, this.#buffer, 0, this.#buffer.length, 0);
      return this.#buffer;
    } finally {
      closeSync(fd);
    }
  }
}
