import type { SharedArray } from '../../bpf/array-window.ts';
import { RL_PROCESS_OFFSET, RL_PROCESS_SIZE } from '../../bpf/layouts.ts';
import type { ProcessSlot } from '../policies/enforcer.ts';
import { packNumbers, unpackNumbers } from './policy-record.ts';

/** Which policies each process has, by their numbers: `rl_process.policies`. */
export class ProcessPolicies {
  readonly #processes: SharedArray;
  readonly #lastSlot: () => number;
  #view: DataView;

  /** @param lastSlot the last one that was ever handed out */
  constructor(processes: SharedArray, lastSlot: () => number) {
    this.#processes = processes;
    this.#lastSlot = lastSlot;
    this.#view = new DataView(processes.buffer);
  }

  /** Whether the slot is the process's, and not its next owner's. */
  isStill({ slot, generation }: ProcessSlot): boolean {
    if (slot <= 0) return false;
    return this.#reach(slot).getUint32(slot * RL_PROCESS_SIZE + RL_PROCESS_OFFSET.generation, true) === generation;
  }

  of(slot: number): number[] {
    return unpackNumbers(this.#packed(slot));
  }

  /** False where it has had just these. */
  set(slot: number, numbers: readonly number[]): boolean {
    const packed = packNumbers(numbers);
    if (packed === this.#packed(slot)) return false;
    this.#reach(slot).setBigUint64(slot * RL_PROCESS_SIZE + RL_PROCESS_OFFSET.policies, packed, true);
    return true;
  }

  /** Takes all others off every process. */
  retain(isKept: (number: number) => boolean): void {
    const last = this.#lastSlot();
    for (let slot = 1; slot <= last; slot++) {
      if (this.#packed(slot) !== 0n) this.set(slot, this.of(slot).filter(isKept));
    }
  }

  #packed(slot: number): bigint {
    return this.#reach(slot).getBigUint64(slot * RL_PROCESS_SIZE + RL_PROCESS_OFFSET.policies, true);
  }

  /** The process table as far as this slot at least. */
  #reach(slot: number): DataView {
    if (this.#processes.reach(slot + 1)) this.#view = new DataView(this.#processes.buffer);
    return this.#view;
  }
}
