import { AgentError } from '../errors.ts';
import type { Clock } from '../process-table.ts';
import type { Enforcer } from './enforcer.ts';
import type { Held } from './held.ts';
import { toKernelPolicy } from './kernel-policy.ts';
import { toEarlyMatch } from './match.ts';

export interface InstallationOptions {
  /** null where this host can't enforce. */
  enforcer: Enforcer | null;
  clock: Clock;
  /** Has the kernel told anew whom the policies hold. */
  apply: () => void;
}

const UNAVAILABLE = 'this agent cannot enforce policies on this host; GET /v1/status says what is missing';

/** Puts policies into the kernel, in the place of others, and takes them out again. */
export class Installation {
  readonly #options: InstallationOptions;

  constructor(options: InstallationOptions) {
    this.#options = options;
  }

  /** @param before what it replaces; goes on where the new one can't be installed @throws ENFORCEMENT_* */
  install(held: Held, before?: Held): void {
    const { enforcer } = this.#options;
    if (!enforcer) throw new AgentError('ENFORCEMENT_UNAVAILABLE', UNAVAILABLE);
    const { name, policy, quota } = held;
    // What another kind of period has used says nothing about this one's.
    const isOtherPeriod =
      quota !== null && before?.quota != null && before.policy.quota?.period !== policy.quota?.period;
    const restarts = before?.state === 'active' && isOtherPeriod;
    if (restarts) {
      before.settle();
      enforcer.remove(name);
    }
    const kernelPolicy = toKernelPolicy(name, policy, quota?.usedBytes ?? 0, this.#nowMs());
    try {
      enforcer.install(kernelPolicy, toEarlyMatch(policy.match));
    } catch (error) {
      if (restarts) {
        this.install(before);
        this.#options.apply();
      }
      throw error;
    }
    held.state = 'active';
  }

  uninstall(held: Held | undefined): void {
    if (held?.state !== 'active') return;
    held.settle();
    this.#options.enforcer?.remove(held.name);
  }

  /** What was installed could not be kept. */
  undo(held: Held, before: Held | undefined): void {
    if (before?.state === 'active') this.install(before, held);
    else this.uninstall(held);
  }

  /** The kernel's counters as they are now. */
  refresh(held: Held): void {
    const { clock, enforcer } = this.#options;
    if (held.state === 'active' && enforcer) held.watch(enforcer.counters(held.name), this.#nowMs(), clock.bootNs());
  }

  #nowMs(): number {
    return Math.round(this.#options.clock.nowMs());
  }
}
