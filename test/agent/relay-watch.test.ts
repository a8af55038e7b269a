import t, { type Test } from 'tap';
import { makeCounters } from '../../agent/counters.ts';
import type { FlowTable } from '../../agent/flow-table.ts';
import type { ProcessRecord, ProcessTable } from '../../agent/process-table.ts';
import { RelayLedger } from '../../agent/relay/ledger.ts';
import { RelayWatch } from '../../agent/relay-watch.ts';
import { makeFlowTable } from './fake-flows.ts';
import { makeHost, start } from './fake-host.ts';

/** Polls as the test says, at a time that stands still. */
function watchOver(
  flows: FlowTable,
  processes: { records: () => unknown; bySlot: (slot: number) => unknown },
): RelayWatch {
  return new RelayWatch({
    flows,
    processes: processes as unknown as ProcessTable,
    ledger: new RelayLedger(),
    fingerprints: null,
    clock: () => ({ nowMs: 1_000, monotonicNs: 1e9 }),
    onWall: (iso) => iso,
    billed: () => undefined,
  });
}

/** Collects the ids of the flows that the ledger would be told of. */
function toldFlows(t: Test): string[] {
  const told: string[] = [];
  t.intercept(RelayLedger.prototype, 'update', {
    value: (_: unknown, flows: { id: string }[]) => told.push(...flows.map(({ id }) => id)),
  });
  return told;
}

t.test('a process that begins before a second look: its connections that are over by the next one count', async (t) => {
  const { kernel, table } = makeFlowTable();
  const records: ProcessRecord[] = [];
  const watch = watchOver(table, { records: () => [], bySlot: () => records[0] });
  const told: (readonly string[])[] = [];
  t.intercept(RelayLedger.prototype, 'update', {
    value: (_: unknown, flows: { id: string }[], pairs: { source: string }[]) => {
      told.push([...flows.map(({ id }) => id), ...pairs.map(({ source }) => `from ${source}`)]);
    },
  });
  const server = kernel.make();
  const client = kernel.make();
  kernel.receive(server, 1_000);
  kernel.relay(server, client, 1_000);
  watch.poll(true);
  t.same(told, [], 'nobody knows whose they are');
  records.push({ tgid: 7, startNs: 1n, name: 'proxy', exitedAtMs: null, details: { fifos: [] } } as never);
  watch.poll();
  t.same(told, [[String(server.id), String(client.id), `from ${server.id}`]]);
  watch.poll();
  t.equal(told.length, 1, 'once');
});

t.test(
  'where the wall clock is set, the ledger’s goes on, and what it has found is told as the wall clock has it',
  async (t) => {
    const host = makeHost(t);
    const { clock } = host;
    const begun = clock.nowMs();
    const judged: number[] = [];
    t.intercept(RelayLedger.prototype, 'judge', {
      value: (nowMs: number) => {
        judged.push(nowMs - begun);
        return [];
      },
    });
    t.intercept(RelayLedger.prototype, 'relays', {
      value: () => [{ pid: 7, processKey: '7:1', since: new Date(begun).toISOString() }],
    });
    const { agent, tick } = start(t, host, { flows: makeFlowTable().table });
    t.match(agent.relays(), [{ since: new Date(begun).toISOString() }]);
    for (const setMs of [-3_600_000, 0, 86_400_000]) {
      clock.advance(1000);
      clock.setWall(clock.nowMs() + setMs);
      tick();
    }
    t.same(judged, [0, 1000, 2000, 3000]);
    t.match(agent.relays(), [{ since: new Date(begun + 82_800_000).toISOString() }]);
  },
);

t.test('two that share a pipe, known only after their traffic: it counts', async (t) => {
  const { kernel, table } = makeFlowTable();
  const records: ProcessRecord[] = [];
  const bySlot = (slot: number): unknown => records.find((record) => record.slot === slot);
  const watch = watchOver(table, { records: () => records.values(), bySlot });
  const told = toldFlows(t);
  const received = kernel.make({ slot: 4 });
  const sent = kernel.make({ slot: 5 });
  kernel.receive(received, 100_000);
  kernel.send(sent, 100_000);
  watch.poll(true);
  t.same(told, [], 'nothing says yet that they matter');
  for (const [slot, modes] of [
    [4, 2],
    [5, 1],
  ]) {
    const details = { fifos: [{ inode: 77, modes }] };
    const identity = { slot, tgid: slot, startNs: 1n, name: 'nc', exitedAtMs: 2_000 };
    records.push({ ...identity, details, counters: makeCounters() } as never);
  }
  watch.poll();
  t.same(told, [String(received.id), String(sent.id)]);
  watch.poll();
  t.equal(told.length, 2, 'once');
});

t.test('flows that no pair leads to are told of once the ledger matches them by volumes', async (t) => {
  const { kernel, table } = makeFlowTable();
  const record = { slot: 4, tgid: 7, startNs: 1n, name: 'mta', exitedAtMs: null, details: { fifos: [] } };
  const records = (): unknown => [{ ...record, counters: makeCounters() }].values();
  const watch = watchOver(table, { records, bySlot: () => record });
  const told = toldFlows(t);
  let wantsAll = false;
  t.intercept(RelayLedger.prototype, 'wantsAllOf', { value: () => wantsAll });
  const [left, sentOn, alone] = [kernel.make({ slot: 4 }), kernel.make({ slot: 4 }), kernel.make({ slot: 4 })];
  kernel.receive(left, 1_000);
  kernel.relay(left, sentOn, 1_000);
  kernel.send(alone, 1_000);
  watch.poll();
  t.same(told, [String(left.id), String(sentOn.id)]);
  wantsAll = true;
  watch.poll();
  t.ok(told.includes(String(alone.id)));
});
