import { Accounting } from '../../agent/accounting.ts';
import { findCgroupRoot } from '../../agent/mounts.ts';
import type { ProgramInfo } from '../../bpf/info.ts';
import { BpfObject } from '../../bpf/object.ts';
import { pinsFor } from '../e2e/agent.ts';
import { atEnd } from '../e2e/at-end.ts';

/** The kernel's record of each program that is attached, by the program's full name. */
export type Infos = () => Map<string, ProgramInfo>;

/** What a program did between two readings, by its name. Time is counted only while somebody holds `enableStats()`. */
export function runsBetween(
  before: ReadonlyMap<string, ProgramInfo>,
  after: ReadonlyMap<string, ProgramInfo>,
): Map<string, { ns: number; runs: number }> {
  const between = new Map<string, { ns: number; runs: number }>();
  for (const [program, { runTimeNs, runCount }] of after) {
    const runs = runCount - (before.get(program)?.runCount ?? 0);
    if (runs === 0) continue;
    between.set(program, { ns: (runTimeNs - (before.get(program)?.runTimeNs ?? 0)) / runs, runs });
  }
  return between;
}

/** Attaches by turns our programs and programs that only return, under a pin of its own. */
export class Sides {
  readonly #bpffs = pinsFor('bench');
  readonly #cgroup = findCgroupRoot();
  readonly #noop: string;
  readonly #programs: readonly string[];

  /**
   * @param noop path of the object whose programs only return
   * @param programs which of them are to be attached, where the kernel has their hooks
   */
  constructor(noop: string, programs: readonly string[]) {
    this.#noop = noop;
    this.#programs = programs;
    atEnd(() => Accounting.remove(this.#bpffs));
  }

  async withOurs<T>(work: (infos: Infos) => Promise<T>): Promise<T> {
    try {
      using accounting = Accounting.start({ bpffs: this.#bpffs, cgroup: this.#cgroup });
      return await work(() => {
        const infos = new Map<string, ProgramInfo>();
        for (const program of accounting.programs) {
          const info = accounting.programInfo(program);
          if (info) infos.set(program.hook.program, info);
        }
        return infos;
      });
    } finally {
      Accounting.remove(this.#bpffs);
    }
  }

  async withNoop<T>(work: (infos: Infos) => Promise<T>): Promise<T> {
    using stack = new DisposableStack();
    const { object } = BpfObject.loadSupported(this.#noop, this.#programs);
    stack.use(object);
    const programs = [...object.programs.values()].filter(({ autoload }) => autoload);
    for (const program of programs) {
      stack.use(program.section.startsWith('cgroup') ? program.attachCgroup(this.#cgroup) : program.attach());
    }
    return await work(() => new Map(programs.map((program) => [program.name, program.info()])));
  }
}
