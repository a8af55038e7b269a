import { ConfiguredPorts } from './configured-ports.ts';
import { payloadOf, sharesOf, wireOf } from './counters.ts';
import { plainProcess } from './plain-process.ts';
import type { ProcessRecord } from './process-table.ts';
import type { PayloadShare, Process, Relay } from './readings.ts';
import { NO_RELAY } from './relay/reading.ts';
import type { Users } from './users.ts';
import { toIso } from './wall-time.ts';

export interface ProcessDescriptionOptions {
  users: Users;
  elapsedMs: () => number;
  /** undefined where the ledger has nothing to say of it. */
  relayOf: (record: ProcessRecord) => Relay | undefined;
}

/** A process as `GET /v1/processes` shows it. */
export class ProcessDescription {
  readonly #options: ProcessDescriptionOptions;
  readonly #configuredPorts: ConfiguredPorts;

  constructor(options: ProcessDescriptionOptions) {
    this.#options = options;
    this.#configuredPorts = new ConfiguredPorts(options.elapsedMs);
  }

  /** Ports of the program's own configuration; read once, then from memory for some time. */
  configuredPortsOf(record: ProcessRecord): readonly number[] | undefined {
    return this.#configuredPorts.of(record, this.#options.users.homeOf(record.uid));
  }

  /** As it is now. */
  of(record: ProcessRecord): Process {
    return plainProcess(this.viewOf(record));
  }

  /**
   * The same for lists of many processes of which few are shown, as of those that have ended: each part is made when it is
   * read, and is as it is then.
   */
  viewOf(record: ProcessRecord): Process {
    return new ProcessView(record, this);
  }

  userOf({ uid }: ProcessRecord): string | null {
    return this.#options.users.nameOf(uid);
  }

  relayOf(record: ProcessRecord): Relay {
    return this.#options.relayOf(record) ?? NO_RELAY;
  }
}

class ProcessView implements Process {
  readonly #record: ProcessRecord;
  readonly #description: ProcessDescription;

  constructor(record: ProcessRecord, description: ProcessDescription) {
    this.#record = record;
    this.#description = description;
  }

  toJSON(): Process {
    return plainProcess(this);
  }

  get pid(): number {
    return this.#record.tgid;
  }

  get startedAt(): string {
    return toIso(this.#record.startedAtMs);
  }

  get exitedAt(): string | null {
    return this.#record.exitedAtMs === null ? null : toIso(this.#record.exitedAtMs);
  }

  get name(): string {
    return this.#record.name;
  }

  get executable(): string | null {
    return this.#record.details.executable;
  }

  get command(): string {
    return this.#record.details.command;
  }

  get user(): string | null {
    return this.#description.userOf(this.#record);
  }

  get uid(): number {
    return this.#record.uid;
  }

  get parentPid(): number | null {
    return this.#record.details.parentPid;
  }

  get app(): string {
    return this.#record.app;
  }

  get unit(): string | null {
    return this.#record.unit;
  }

  get container(): string | null {
    return this.#record.container;
  }

  get profile(): string | null {
    return this.#record.profile;
  }

  get configuredPorts(): number[] {
    return this.#description.configuredPortsOf(this.#record) as number[]; // absent there is absent here
  }

  get netns(): number | null {
    return this.#record.details.netns;
  }

  get traffic(): Process['traffic'] {
    return { wire: wireOf(this.#record.counters), payload: payloadOf(this.#record.counters) };
  }

  get payloadShares(): PayloadShare[] {
    return sharesOf(this.#record.counters);
  }

  get relay(): Relay {
    return this.#description.relayOf(this.#record);
  }
}

/** A process across the reuse of its pid. */
export function identityOf({ tgid, startNs }: { tgid: number; startNs: bigint }): string {
  return `${tgid}:${startNs}`;
}
