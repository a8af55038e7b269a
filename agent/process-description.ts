import { ConfiguredPorts } from './configured-ports.ts';
import { payloadOf, sharesOf, wireOf } from './counters.ts';
import { type LazyRow, lazyRows } from './lazy-rows.ts';
import type { ProcessRecord } from './process-table.ts';
import type { Process, Relay } from './readings.ts';
import { NO_RELAY } from './relay/reading.ts';
import type { Users } from './users.ts';
import { toIso } from './wall-time.ts';

export interface ProcessDescriptionOptions {
  users: Users;
  elapsedMs: () => number;
  /** undefined where the ledger has nothing to say of it. */
  relayOf: (record: ProcessRecord) => Relay | undefined;
}

/** Of any process but the kernel's row. */
export type ProcessRow = Omit<Process, 'unattributed'>;

/** A process as `GET /v1/processes` shows it. */
export class ProcessDescription {
  readonly #options: ProcessDescriptionOptions;
  readonly #configuredPorts: ConfiguredPorts;
  readonly #rowOf: (record: ProcessRecord) => LazyRow<ProcessRow>;

  constructor(options: ProcessDescriptionOptions) {
    const { users, relayOf, elapsedMs } = options;
    this.#options = options;
    this.#configuredPorts = new ConfiguredPorts(elapsedMs);
    this.#rowOf = lazyRows<ProcessRow, ProcessRecord>({
      pid: ({ tgid }) => tgid,
      startedAt: ({ startedAtMs }) => toIso(startedAtMs),
      exitedAt: ({ exitedAtMs }) => (exitedAtMs === null ? null : toIso(exitedAtMs)),
      name: ({ name }) => name,
      executable: ({ details }) => details.executable,
      command: ({ details }) => details.command,
      user: ({ uid }) => users.nameOf(uid),
      uid: ({ uid }) => uid,
      parentPid: ({ details }) => details.parentPid,
      app: ({ app }) => app,
      unit: ({ unit }) => unit,
      container: ({ container }) => container,
      profile: ({ profile }) => profile,
      configuredPorts: (record) => this.configuredPortsOf(record)?.slice(),
      netns: ({ details }) => details.netns,
      traffic: ({ counters }) => ({ wire: wireOf(counters), payload: payloadOf(counters) }),
      payloadShares: ({ counters }) => sharesOf(counters),
      relay: (record) => relayOf(record) ?? NO_RELAY,
    });
  }

  /** Ports of the program's own configuration; read once, then from memory for some time. */
  configuredPortsOf(record: ProcessRecord): readonly number[] | undefined {
    return this.#configuredPorts.of(record, this.#options.users.homeOf(record.uid));
  }

  /** As it is now. */
  of(record: ProcessRecord): Process {
    return this.#rowOf(record).toJSON();
  }

  /** The same for lists of many processes of which few are shown, as of those that have ended. */
  viewOf(record: ProcessRecord): Process {
    return this.#rowOf(record);
  }
}

/** A process across the reuse of its pid. */
export function identityOf({ tgid, startNs }: { tgid: number; startNs: bigint }): string {
  return `${tgid}:${startNs}`;
}
