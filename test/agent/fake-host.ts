import { pino } from 'pino';
import type { Test } from 'tap';
import type { Accounting } from '../../agent/accounting.ts';
import { Agent } from '../../agent/agent.ts';
import { Audit } from '../../agent/audit.ts';
import { nothingSeen, type Seen } from '../../agent/device-figures.ts';
import type { FlowTable } from '../../agent/flow-table.ts';
import type { InterfaceBooks } from '../../agent/interface-books.ts';
import { Policies } from '../../agent/policies/policies.ts';
import { Protection } from '../../agent/protection.ts';
import { Store } from '../../agent/store.ts';
import { Users } from '../../agent/users.ts';
import { FakeClock } from './fake-clock.ts';
import { FakeKernel } from './fake-kernel.ts';
import { makeFolder } from './folder.ts';

export const MINUTE = 60_000;

/** The kernel's side as it outlives the agent, and the folder that does. */
export interface Host {
  clock: FakeClock;
  kernel: FakeKernel;
  folder: string;
  epoch: string;
  /** The kernel’s side is that of an earlier agent. */
  adopted: boolean;
  /** What the device hooks saw. */
  seen: { rx: Seen; tx: Seen };
  /** The socket dump. */
  sockets: Buffer;
}

export interface Running {
  agent: Agent;
  store: Store;
  /** What the interval timer does. */
  tick(): void;
  /** Waits, then ticks: polls and writes a checkpoint. */
  checkpoint(): void;
  app(name: string): number | undefined;
}

export function makeHost(t: Test, override: Partial<Host> & { capacity?: number } = {}): Host {
  const clock = override.clock ?? new FakeClock();
  return {
    clock,
    kernel: new FakeKernel(clock, override.capacity ?? 16),
    folder: makeFolder(t),
    epoch: 'boot:1',
    adopted: false,
    seen: { rx: nothingSeen(), tx: nothingSeen() },
    sockets: Buffer.alloc(0),
    ...override,
  };
}

function fakeAccounting({ kernel, adopted }: Host, dump: () => Buffer): Accounting {
  const { processes, events, ...maps } = kernel.maps();
  const byName: Record<string, unknown> = {
    process_slots: maps.slots,
    free_slots: maps.freeSlots,
    process_details: maps.details,
  };
  return {
    maps: new Map(Object.entries(byName)),
    map: (name: string) => byName[name],
    processes,
    events,
    totals: kernel.totals,
    adopted,
    missing: [],
    programs: [],
    sinceNs: 900_000_000_000n,
    sinceWallMs: Date.UTC(2026, 10, 22, 4),
    dumpSockets: dump,
    programInfo: () => undefined,
  } as unknown as Accounting;
}

interface Overrides {
  maxApps?: number;
  metricsPerProcess?: boolean;
  flows?: FlowTable;
}

/** Starts an agent whose timer only runs when the test says so. */
export function start(t: Test, host: Host, override: Overrides = {}): Running {
  const { clock, folder, epoch } = host;
  const store = Store.open(folder);
  t.teardown(() => store[Symbol.dispose]());
  store.beginEpoch(epoch, clock.nowMs());
  const agent = new Agent({
    accounting: fakeAccounting(host, () => host.sockets),
    store,
    books: {
      read: (between: () => void) => {
        between();
        return [];
      },
      sum: (_: unknown, direction: 'rx' | 'tx') => ({ before: host.seen[direction], after: host.seen[direction] }),
      forgetGone: () => undefined,
    } as unknown as InterfaceBooks,
    flows: override.flows ?? null,
    fingerprints: null,
    policies: noPolicies(store, clock),
    users: new Users('/nonexistent/passwd'),
    clock,
    logger: pino({ level: 'silent' }),
    version: '0.0.0-test',
    kernel: '6.18.0',
    intervalSeconds: 1,
    maxApps: override.maxApps ?? 1000,
    services: new Set<string>(),
    recognise: () => null,
    metricsPerProcess: override.metricsPerProcess ?? false,
  });
  const { setInterval } = globalThis;
  let tick = (): void => undefined;
  globalThis.setInterval = ((work: () => void) => {
    tick = work;
  }) as unknown as typeof setInterval;
  try {
    agent.start();
  } finally {
    globalThis.setInterval = setInterval;
  }
  const app = (name: string): number | undefined =>
    agent.apps().find((each) => each.app === name)?.traffic.wire.receivedBytes;
  const checkpoint = (): void => {
    clock.advance(10_001);
    tick();
  };
  return { agent, store, tick: () => tick(), checkpoint, app };
}

/** An agent without an enforcer, and without policies. */
function noPolicies(store: Store, clock: FakeClock): Policies {
  const logger = pino({ level: 'silent' });
  return new Policies({
    enforcer: null,
    records: store.policies,
    configured: new Map(),
    protection: new Protection({ agentPid: process.pid, names: [] }),
    audit: new Audit({ db: store.database, logger, nowMs: () => clock.nowMs(), userName: () => null }),
    clock,
    bootId: 'boot',
    readProcess: () => undefined,
    killer: {
      kill: () => {
        throw new Error('nobody is to be killed');
      },
    },
    logger,
  });
}

export function listed(agent: Agent): string[] {
  return agent
    .processes({ includeExited: true })
    .filter(({ pid }) => pid !== 0)
    .map(({ name, exitedAt, traffic }) => `${name}${exitedAt ? ' (ended)' : ''} ${traffic.wire.receivedBytes}`);
}
