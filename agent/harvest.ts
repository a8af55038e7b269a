import { ArrayWindow } from '../bpf/array-window.ts';
import { Btf } from '../bpf/btf.ts';
import { BpfError } from '../bpf/errors.ts';
import { compareLayouts, describeBoundary } from '../bpf/layout.ts';
import { layouts } from '../bpf/layouts.ts';
import { BpfMap } from '../bpf/map.ts';
import { RingBuffer } from '../bpf/ring-buffer.ts';
import { pinPath } from './accounting.ts';
import { relayedOf } from './counters.ts';
import { epochOf } from './epoch.ts';
import { AgentError } from './errors.ts';
import { ProcessDescription } from './process-description.ts';
import { type Clock, type ProcessRecord, ProcessTable } from './process-table.ts';
import type { Store } from './store.ts';
import { type RestoredRelay, Totals } from './totals.ts';
import type { Users } from './users.ts';

export interface HarvestOptions {
  bpffs: string;
  store: Store;
  clock: Clock;
  users: Users;
  recognise: (executable: string | null, command: string) => string | null;
  /** Into no other totals than those that hold what was counted before. */
  onlyWhereItBelongs?: true;
}

/** What is read here; whatever else another version changes is no obstacle. */
const READ = [
  'rl_process',
  'rl_process_details',
  'rl_process_event',
  'rl_process_event_type',
  'rl_process_key',
  'rl_wire',
];

/**
 * Takes what the programs have counted since the last checkpoint of their agent into the totals on disk, before their
 * maps go. Processes begin anew with other programs; their apps do not.
 * @returns how many processes the maps held
 * @throws BpfError where they are of another version that keeps processes differently, AGENT_STATE_UNUSABLE
 */
export function harvest(options: HarvestOptions): number {
  const { bpffs, store, clock, users, recognise } = options;
  using stack = new DisposableStack();
  const open = (name: string): BpfMap => stack.use(BpfMap.openPinned(pinPath(bpffs, 'maps', name)));
  const counters = open('processes');
  const btf = Btf.ofId(counters.info.btfId);
  compareLayouts(btf, layouts, { source: bpffs, hint: 'another version keeps processes differently', only: READ });
  const epoch = epochOf(sinceNs(btf, open('totals')));
  if (options.onlyWhereItBelongs && store.epoch !== epoch) {
    throw new AgentError('AGENT_STATE_UNUSABLE', 'its totals are not those of what was counted there');
  }
  store.beginEpoch(epoch, clock.nowMs());

  const relays = new Map<ProcessRecord, RestoredRelay>();
  const description = new ProcessDescription({
    users,
    elapsedMs: () => Number(clock.bootNs() / 1_000_000n),
    relayOf: (record) => {
      const relay = relays.get(record)?.relay;
      return relay && { ...relay, ...relayedOf(record.counters) };
    },
  });
  const totals = new Totals({
    store,
    nowMs: () => clock.nowMs(),
    describe: (record) => description.of(record),
    settledOf: (record) => relays.get(record)?.settled,
  });
  const maps = {
    processes: stack.use(new ArrayWindow(counters)),
    slots: open('process_slots'),
    freeSlots: open('free_slots'),
    details: open('process_details'),
    events: stack.use(RingBuffer.open(open('process_events'))),
  };
  const nothing = (): void => undefined;
  const table = new ProcessTable(maps, clock, {
    recognise: ({ executable, command }) => recognise(executable, command),
    restore: (record) => totals.restore(record, (restored) => relays.set(record, restored)),
    changed: (record, delta) => totals.charge(record, delta),
    started: nothing,
    described: nothing,
    ended: nothing,
  });
  totals.withStored(() => table.scan());
  table.poll();
  totals.write(table.records(), []);
  return table.size;
}

/** When the counters began; other versions may keep it elsewhere in the same struct. */
function sinceNs(btf: Btf, totals: BpfMap): bigint {
  const struct = describeBoundary(btf).structs.find(({ name }) => name === 'rl_totals');
  const offset = struct?.fields.find(({ name }) => name === 'since_ns')?.offset;
  const bytes = totals.lookup(Buffer.alloc(4));
  if (offset === undefined || !bytes) throw new BpfError('BPF_LAYOUT_MISMATCH', 'it is not known when it began');
  return bytes.readBigUInt64LE(offset);
}
