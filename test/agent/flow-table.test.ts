import t from 'tap';
import type { FlowState } from '../../agent/flow-reading.ts';
import { FlowTable } from '../../agent/flow-table.ts';
import { RL_FLOW_OFFSET, RL_FLOW_SIZE, RL_PAIR_OFFSET, RL_PAIR_SIZE } from '../../bpf/layouts.ts';
import { type FakeFlow, type FlowShape, makeFlowTable, mapped, pair, UDP } from './fake-flows.ts';

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
const closed = (flow: FlowState): boolean => flow.closed;

t.test('every field of a flow finds its place', async (t) => {
  const { kernel, table } = makeFlowTable();
  kernel.make();
  const shape: FlowShape = {
    slot: 32_767,
    processGeneration: 2 ** 32 - 1,
    cookie: 2n ** 64n - 1n,
    family: 10,
    protocol: UDP,
    netns: 2 ** 32 - 2,
    opened: 2,
    scope: 1,
    localAddress: Uint8Array.from({ length: 16 }, (_, i) => i + 1),
    localPort: 65_535,
    remoteAddress: Uint8Array.from({ length: 16 }, (_, i) => 255 - i),
    remotePort: 3478,
    localSocket: 0xffff_8880_1234_5678n,
    remoteSocket: 0xffff_8880_8765_4321n,
    hostHash: 2n ** 63n + 1n,
  };
  const flow = kernel.make(shape);
  kernel.receive(flow, 2 ** 40, 5_000_000_000);
  for (const bytes of [700, 77]) kernel.send(flow, bytes, 6_000_000_000);
  kernel.put64(flow, 'firstNs', 14n);
  kernel.fillCounts(flow, 1);
  for (const bucket of [3, 19, 20]) for (let i = 0; i < 200; i++) kernel.noteGap(flow, bucket);
  const { flows } = table.poll();
  const from = (first: number, length: number): number[] => Array.from({ length }, (_, i) => first + i);
  t.same(flows, [
    {
      id: 2 ** 32 + 2,
      ...shape,
      received: 2 ** 40,
      receives: 1 + sum(from(1, 26)) + 600,
      sent: 777,
      sends: 2,
      firstNs: 14,
      gaps: from(1, 26).map((count, bucket) => count + (bucket === 3 || bucket === 19 || bucket === 20 ? 200 : 0)),
      receivedSizes: from(101, 16),
      sentSizes: from(201, 16),
      tunnelSizes: from(301, 9),
    },
  ]);
});

t.test('short gaps are counted in bytes, and carried', async (t) => {
  const { kernel, table } = makeFlowTable();
  const flow = kernel.make();
  const gaps = new Array<number>(26).fill(0);
  kernel.receive(flow, 1, 1000);
  t.match(table.poll().flows, [{ receives: 1, gaps }]);
  for (let i = 0; i < 1000; i++) kernel.noteGap(flow, 0);
  for (let i = 0; i < 256; i++) kernel.noteGap(flow, 18);
  kernel.noteGap(flow, 25);
  kernel.receive(flow, 1, 1000);
  gaps[0] = 1001;
  gaps[18] = 256;
  gaps[25] = 1;
  t.match(table.poll().flows, [{ receives: 1259, gaps }]);
});

t.test('a reading is a copy: what comes later does not change it', async (t) => {
  const { kernel, table } = makeFlowTable();
  const flow = kernel.make({ remoteAddress: mapped(192, 0, 2, 9) });
  kernel.receive(flow, 10);
  const [reading] = table.poll().flows;
  kernel.close(flow);
  table.recycle(closed);
  kernel.make({ remoteAddress: mapped(203, 0, 113, 1) });
  t.same(reading?.remoteAddress, mapped(192, 0, 2, 9));
  t.equal(reading?.received, 10);
});

t.test('only flows that moved something since the last poll are told', async (t) => {
  const { kernel, table, changed } = makeFlowTable();
  t.same(table.poll(), { flows: [], pairs: [] }, 'an empty table');
  const [a, b, c] = [kernel.make(), kernel.make(), kernel.make()];
  t.same(changed(), [], 'made, and nothing moved yet');
  t.equal(table.size, 0);
  kernel.receive(a, 10);
  kernel.send(c, 20);
  t.same(changed(), [a.id, c.id]);
  t.same(changed(), [], 'and not again');
  kernel.receive(b, 1);
  kernel.send(a, 5);
  t.same(changed(), [a.id, b.id]);
  t.equal(table.size, 3);
  kernel.sendUnsettled(b, 7);
  t.same(changed(), [b.id], 'what its socket has not told the table is asked for');
  kernel.close(c);
  t.same(changed(), [], 'closing moves nothing');
});

t.test('a new agent is told everything that is there', async (t) => {
  const { kernel, table } = makeFlowTable();
  const [a, , c] = [kernel.make(), kernel.make(), kernel.make()];
  kernel.receive(a, 10);
  kernel.relay(a, c, 10);
  table.poll();
  const next = new FlowTable(kernel.maps());
  const { flows, pairs } = next.poll();
  t.same(
    flows.map(({ id }) => id),
    [a.id, c.id],
  );
  t.match(pairs, [{ source: a.id, destination: c.id, moved: 10 }]);
  t.equal(next.size, 2);
});

t.test('the table is read as far as the kernel has handed out indices, and to its last one', async (t) => {
  const { kernel, table, changed } = makeFlowTable(4);
  const flows = [kernel.make(), kernel.make(), kernel.make()];
  for (const flow of flows) kernel.receive(flow, 1);
  kernel.used = 2;
  t.same(changed(), [flows[0]?.id, flows[1]?.id]);
  for (const used of [3, 4, 1000]) {
    kernel.used = used; // the kernel counts up once too often where two find the table full
    for (const flow of flows) kernel.receive(flow, 1);
    t.equal(table.poll().flows.length, 3, `${used}`);
  }
  t.equal(table.capacity, 4);
});

t.test('pairs come from the flow itself and from the map, those of changed flows alone', async (t) => {
  const { kernel, pairs } = makeFlowTable();
  const [a, b, c, d, e] = [kernel.make(), kernel.make(), kernel.make(), kernel.make(), kernel.make()];
  kernel.relay(a, d, 10);
  kernel.relay(b, d, 20);
  kernel.relay(c, d, 30);
  kernel.relay(a, e, 40);
  kernel.relay(c, e, 50);
  t.same(pairs(), [pair(a, d, 10), pair(a, e, 40), pair(b, d, 20), pair(c, d, 30), pair(c, e, 50)].sort());
  t.same(pairs(), []);
  kernel.relay(c, e, 1);
  t.same(pairs(), [pair(a, e, 40), pair(c, e, 51)].sort(), 'all that lead to the flow that sent');
  kernel.relay(a, d, 2);
  t.same(pairs(), [pair(a, d, 12), pair(b, d, 20), pair(c, d, 30)].sort());
  kernel.receive(c, 5);
  t.same(pairs(), [pair(c, d, 30), pair(c, e, 51)].sort(), 'those that the map holds come by their source too');
  kernel.receive(d, 5);
  t.equal(pairs().length, 3);
});

t.test('every field of a pair finds its place, in the flow and in the map', async (t) => {
  const { kernel, table } = makeFlowTable();
  const [a, b, c] = [kernel.make(), kernel.make(), kernel.make()];
  kernel.relay(a, c, 1);
  kernel.relay(b, c, 1);
  const expected = (source: FakeFlow, first: number): Record<string, unknown> => ({
    source: source.id,
    destination: c.id,
    moved: first,
    copied: first + 1,
    moves: first + 2,
    copies: first + 3,
    settled: first + 4,
    direct: first + 5,
    sameRun: first + 6,
    sizeCount: first + 7,
    sumX: first + 8,
    sumY: first + 9,
    sumXx: 2 ** 60,
    sumYy: first + 11,
    sumXy: first + 12,
    lags: Array.from({ length: 26 }, (_, i) => first + 20 + i),
  });
  const write = (view: DataView, first: number): void => {
    const o = RL_PAIR_OFFSET;
    const wide = ['moved', 'copied', 'sizeCount', 'sumX', 'sumY', 'sumXx', 'sumYy', 'sumXy'] as const;
    const values = expected(a, first);
    for (const name of wide) view.setBigUint64(o[name], BigInt(values[name] as number), true);
    for (const name of ['moves', 'copies', 'settled', 'direct', 'sameRun'] as const)
      view.setUint32(o[name], values[name] as number, true);
    for (let i = 0; i < 26; i++) view.setUint32(o.lags + 4 * i, first + 20 + i, true);
  };
  const value = Buffer.alloc(RL_PAIR_SIZE);
  write(new DataView(value.buffer, value.byteOffset), 1000);
  kernel.pairs.update(kernel.pairKey(b, c), value);
  write(new DataView(kernel.view.buffer, c.index * RL_FLOW_SIZE + RL_FLOW_OFFSET.first), 500);
  t.same(table.poll().pairs, [expected(a, 500), expected(b, 1000)]);
});

t.test('who a flow is', async (t) => {
  const { kernel, table } = makeFlowTable();
  const flow = kernel.make();
  kernel.receive(flow, 1_000);
  table.poll();
  t.equal(table.identify(flow.id)?.id, flow.id);
  for (const id of [0, flow.id + 2 ** 32, flow.id + 1, 2 ** 31, Number.NaN]) t.equal(table.identify(id), undefined);
});
