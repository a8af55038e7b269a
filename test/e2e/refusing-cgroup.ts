import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findCgroupRoot } from '../../agent/mounts.ts';
import type { BpfLink } from '../../bpf/link.ts';
import type { BpfMap } from '../../bpf/map.ts';
import { BpfObject } from '../../bpf/object.ts';
import { compileBpf, folder } from '../bpf/compile.ts';

const SOURCE = join(import.meta.dirname, 'programs', 'refuse.bpf.c');

/**
 * A cgroup below our own whose firewall refuses each third packet with payload that is sent there. This process is in
 * it, and so is what it starts, until the end.
 */
export class RefusingCgroup implements Disposable {
  readonly #folder: string;
  readonly #home: string;
  readonly #link: BpfLink;
  readonly #refused: BpfMap;

  constructor() {
    const own = /^0::(.*)$/m.exec(readFileSync('/proc/self/cgroup', 'utf8'))?.[1] ?? '/';
    this.#home = join(findCgroupRoot(), own);
    this.#folder = join(this.#home, `relayledger-test-${process.pid}`);
    mkdirSync(this.#folder);
    const object = BpfObject.open(compileBpf(SOURCE, join(folder, 'refuse.bpf.o'))).load();
    this.#refused = object.map('refused');
    this.#link = object.program('refuse').attachCgroup(this.#folder);
    writeFileSync(join(this.#folder, 'cgroup.procs'), String(process.pid));
  }

  /** How many packets it has refused. */
  get refused(): number {
    return Number(this.#refused.lookup(Buffer.alloc(4))?.readBigUInt64LE());
  }

  [Symbol.dispose](): void {
    writeFileSync(join(this.#home, 'cgroup.procs'), String(process.pid));
    this.#link[Symbol.dispose]();
    rmdirSync(this.#folder);
  }
}
