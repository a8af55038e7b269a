import type { ProcessRecord } from './process-table.ts';
import { readSkypeSettings, type SkypeSettings } from './profiles/skype.ts';

/** The profile whose program keeps its listening port in a file that is read here. */
const SKYPE = 'skype';
/** A changed setting shows after this time. */
const READ_AGAIN_MS = 30_000;

interface Known {
  atMs: number;
  ports: number[] | undefined;
}

/**
 * The ports that programs are configured to listen on, beside those that they have opened. Readings don't wait for the
 * file: they have what was read last. A container's files are its own; they are not looked at.
 */
export class ConfiguredPorts {
  readonly #nowMs: () => number;
  readonly #read: (home: string) => Promise<SkypeSettings>;
  readonly #known = new Map<string, Known>();

  constructor(nowMs: () => number, read: (home: string) => Promise<SkypeSettings> = readSkypeSettings) {
    this.#nowMs = nowMs;
    this.#read = read;
  }

  /** undefined where nothing is known; empty where none is configured. Calling it has the file read once in a while. */
  of(record: ProcessRecord, home: string | null): readonly number[] | undefined {
    if (record.profile !== SKYPE || record.exitedAtMs !== null || record.container !== null || !home) return undefined;
    const now = this.#nowMs();
    const known = this.#known.get(home) ?? { atMs: Number.NEGATIVE_INFINITY, ports: undefined };
    if (now - known.atMs >= READ_AGAIN_MS) {
      this.#known.set(home, { ...known, atMs: now });
      this.#read(home).then(({ problem, listeningPorts }) => {
        this.#known.set(home, { atMs: now, ports: problem === null ? listeningPorts : undefined });
      });
    }
    return known.ports;
  }
}
