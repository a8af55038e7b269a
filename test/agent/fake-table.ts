import { type Counters, makeCounters, WIRE_RX_BYTES } from '../../agent/counters.ts';
import { type ProcessRecord, ProcessTable, type TableListener } from '../../agent/process-table.ts';
import { FakeClock } from './fake-clock.ts';
import { FakeKernel } from './fake-kernel.ts';

export interface TableHarness {
  clock: FakeClock;
  kernel: FakeKernel;
  table: ProcessTable;
  /** Received wire bytes by app, as the deltas add up. */
  received: Map<string, number>;
  /** Every delta that was reported. */
  deltas: Counters[];
  started: string[];
  ended: string[];
  /** Name and uid, each time they were told. */
  described: string[];
  names(): string[];
}

export function makeTable(
  override: { capacity?: number; clock?: FakeClock; restore?: TableListener['restore'] } = {},
): TableHarness {
  const clock = override.clock ?? new FakeClock();
  const kernel = new FakeKernel(clock, override.capacity ?? 16);
  const received = new Map<string, number>();
  const deltas: Counters[] = [];
  const started: string[] = [];
  const ended: string[] = [];
  const described: string[] = [];
  const table = new ProcessTable(kernel.maps(), clock, {
    recognise: () => null,
    restore: override.restore ?? (() => 'keep'),
    changed: ({ app }, delta) => {
      received.set(app, (received.get(app) ?? 0) + (delta[WIRE_RX_BYTES] as number));
      deltas.push(makeCounters(delta));
    },
    started: ({ name }) => started.push(name),
    described: ({ name, uid }) => described.push(`${name} ${uid}`),
    ended: ({ name }) => ended.push(name),
  });
  const names = (): string[] => [...table.records()].map(({ name }) => name);
  return { clock, kernel, table, received, deltas, started, ended, described, names };
}

export function only(table: ProcessTable): ProcessRecord {
  const records = [...table.records()];
  if (records.length !== 1) throw new Error(`${records.length} records instead of one`);
  return records[0] as ProcessRecord;
}
