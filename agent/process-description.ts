import { ConfiguredPorts } from './configured-ports.ts';
import { payloadOf, sharesOf, wireOf } from './counters.ts';
import type { ProcessRecord } from './process-table.ts';
import type { Process, Relay } from './readings.ts';
import type { Users } from './users.ts';

export const NO_RELAY: Relay = {
  verdict: 'none',
  role: null,
  receivedBytes: 0,
  sentBytes: 0,
  confidence: 0,
  since: null,
};

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

  of(record: ProcessRecord): Process {
    const ports = this.configuredPortsOf(record);
    const { tgid, name, details, uid, app, unit, container, profile, counters } = record;
    return {
      pid: tgid,
      startedAt: toIso(record.startedAtMs),
      exitedAt: record.exitedAtMs === null ? null : toIso(record.exitedAtMs),
      name,
      executable: details.executable,
      command: details.command,
      user: this.#options.users.nameOf(uid),
      uid,
      parentPid: details.parentPid,
      app,
      unit,
      container,
      profile,
      ...(ports ? { configuredPorts: [...ports] } : {}),
      netns: details.netns,
      traffic: { wire: wireOf(counters), payload: payloadOf(counters) },
      payloadShares: sharesOf(counters),
      relay: this.#options.relayOf(record) ?? NO_RELAY,
    };
  }
}

/** A process across the reuse of its pid. */
export function identityOf({ tgid, startNs }: { tgid: number; startNs: bigint }): string {
  return `${tgid}:${startNs}`;
}

export function toIso(ms: number): string {
  return new Date(ms).toISOString();
}
