import { AgentError } from '../errors.ts';
import { type ProcStat, startTicksOf } from '../proc-stat.ts';
import type { ProcessRecord } from '../process-table.ts';
import type { Protection } from '../protection.ts';
import type { Bound } from './match.ts';
import type { StoredPolicy } from './policy-records.ts';
import { PolicyInvalidError } from './validate.ts';

export interface BindingOptions {
  protection: Protection;
  /** Changes with each boot. */
  bootId: string;
  readProcess: (pid: number) => ProcStat | undefined;
  /** The live process with this pid that has touched the network. */
  live: (pid: number) => ProcessRecord | undefined;
}

/** Which process `match.pid` means: the one that has the pid when the policy is put, never its next owner. */
export class Binding {
  readonly #options: BindingOptions;

  constructor(options: BindingOptions) {
    this.#options = options;
  }

  /** @throws POLICY_INVALID where nothing has this pid; PROCESS_PROTECTED */
  bind(pid: number, forced: boolean): Bound {
    const { bootId, live, protection, readProcess } = this.#options;
    const record = live(pid);
    const stat = readProcess(pid);
    const startTicks = stat?.startTicks ?? (record && startTicksOf(record.startNs));
    if (startTicks === undefined) {
      throw new PolicyInvalidError([
        { name: 'match.pid', detail: `is ${pid}, and no process has this pid now: look again with ps` },
      ]);
    }
    // It has no sockets that could be held: no reason is good enough.
    if (stat?.isKernelThread) {
      throw new AgentError('PROCESS_PROTECTED', `process ${pid} (${stat.name}) is protected: it is a kernel thread`);
    }
    const executable = record?.details.executable ?? null;
    const name = record?.name ?? stat?.name ?? '';
    const reason = protection.reasonFor({ pid, name, executable, app: record?.app ?? null });
    if (reason && !forced) {
      throw new AgentError('PROCESS_PROTECTED', `process ${pid} is protected: ${reason}; use force and give a reason`);
    }
    return { bootId, startTicks };
  }

  /** Whether the process that it means has ended. */
  isOver({ policy, bound }: Pick<StoredPolicy, 'policy' | 'bound'>): boolean {
    if (policy.match.pid === undefined) return false;
    const { bootId, readProcess } = this.#options;
    return bound?.bootId !== bootId || readProcess(policy.match.pid)?.startTicks !== bound.startTicks;
  }
}
