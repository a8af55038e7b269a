import t from 'tap';
import type { FlowState } from '../../agent/flow-reading.ts';
import { FlowTable } from '../../agent/flow-table.ts';
import { RL_FLOW_OFFSET, RL_FLOW_SIZE, RL_INCOME_OFFSET, RL_INCOME_SIZE } from '../../bpf/layouts.ts';
import { AF_UNIX, type FakeFlow, makeFlowTable, mapped, pair, UDP } from './fake-flows.ts';

const all = (): boolean => true;
const closed = (flow: FlowState): boolean => flow.closed;

t.test('a flow that is given back leaves nothing behind', async (t) => {
  const { kernel, table, changed } = makeFlowTable();
  const [a, b, c] = [kernel.make(), kernel.make(), kernel.make()];
  for (const flow of [a, b]) kernel.receive(flow, 10);
  kernel.relay(a, c, 10);
  kernel.relay(b, c, 10);
  changed();
  const asked: number[] = [];
  table.recycle(({ id }) => asked.push(id) === 0);
  t.equal(table.size, 3);
  t.same(asked, [a.id, b.id, c.id], 'every flow is asked for');
  kernel.close(b);
  t.same(table.recycle(closed), [b.id]);
  t.equal(table.size, 2);
  t.same(kernel.free.values, [b.index]);
  t.notOk(kernel.holds(b), 'its id names nothing any more');
  t.ok(kernel.holds(a) && kernel.holds(c));
  t.equal(kernel.pairs.size, 0);
  t.same(changed(), []);
  t.same(table.recycle(closed), [], 'and not twice');
  t.same(kernel.free.values, [b.index]);
  t.same(
    new FlowTable(kernel.maps()).poll().flows.map(({ id }) => id),
    [a.id, c.id],
    'nor for the next agent',
  );
});

t.test('an index that is handed out again is another flow, even where as much has moved', async (t) => {
  const { kernel, table, changed } = makeFlowTable();
  const first = kernel.make();
  kernel.receive(first, 10);
  t.same(changed(), [first.id]);
  const seen = new Set([first.id]);
  for (let round = 0; round < 5; round++) {
    table.recycle(all);
    const next = kernel.make();
    t.equal(next.index, first.index);
    t.notOk(seen.has(next.id), 'an id is never given out twice');
    seen.add(next.id);
    kernel.receive(next, 10);
    t.match(table.poll(), { flows: [{ id: next.id, received: 10 }], pairs: [] });
    t.same(changed(), []);
  }
});

t.test('an index that came and went between two polls is not missed', async (t) => {
  const { kernel, changed, table } = makeFlowTable();
  const first = kernel.make();
  kernel.receive(first, 10);
  changed();
  // Another agent gave it back and the kernel handed it out: as many events, another generation.
  kernel.putGeneration(first, 2);
  t.match(table.poll().flows, [{ id: 2 * 2 ** 32 + first.index }]);
});

t.test('what the kernel holds of a flow goes before its index does', async (t) => {
  const { kernel, table } = makeFlowTable();
  const [source, other] = [kernel.make({ cookie: 7n }), kernel.make({ cookie: 8n })];
  const goes = kernel.make({ cookie: 9n, protocol: UDP }, true);
  kernel.relay(source, goes, 1);
  kernel.relay(other, goes, 1);
  kernel.close(goes);
  table.poll();
  const steps: string[] = [];
  const note = (what: string, target: object, method: string): void => {
    const original = (target as Record<string, (...values: unknown[]) => unknown>)[method];
    const replacement = (...values: unknown[]): unknown => {
      const received = kernel.incomes.getBigUint64(goes.index * RL_INCOME_SIZE + RL_INCOME_OFFSET.received, true);
      const sends = kernel.view.getUint32(goes.index * RL_FLOW_SIZE + RL_FLOW_OFFSET.sends, true);
      steps.push(`${what}: ${kernel.holds(goes) ? 'named' : 'nameless'}, ${received} bytes, ${sends} sends`);
      return original?.apply(target, values);
    };
    Object.assign(target, { [method]: replacement });
  };
  note('pair', kernel.pairs, 'delete');
  note('peer', kernel.peers, 'delete');
  note('index', kernel.free, 'push');
  t.same(table.recycle(closed), [goes.id]);
  t.same(
    [...steps].sort().map((step) => step.split(':')[0]),
    ['index', 'pair', 'peer'],
  );
  t.equal(steps.at(-1), 'index: nameless, 0 bytes, 0 sends', 'from here on the kernel writes there');
});

t.test('what the kernel writes once it has the index again is not taken from it', async (t) => {
  const { kernel, table } = makeFlowTable();
  const goes = kernel.make();
  kernel.receive(goes, 10);
  table.poll();
  const { push } = kernel.free;
  let next: FakeFlow | undefined;
  Object.assign(kernel.free, {
    push: (value: Buffer) => {
      push.call(kernel.free, value);
      next = kernel.make(); // another CPU takes it at once
      kernel.send(next, 33);
    },
  });
  t.same(table.recycle(all), [goes.id]);
  t.match(table.poll().flows, [{ id: next?.id, received: 0, sent: 33, sends: 1 }]);
});

t.test(
  'an agent that dies while it gives a flow back does not have it told again, nor its index used twice',
  async (t) => {
    for (const [title, target, method] of [
      ['at its pairs', 'pairs', 'delete'],
      ['at its peer', 'peers', 'delete'],
      ['at its index', 'free', 'push'],
    ] as const) {
      const { kernel, table } = makeFlowTable();
      const [source, other, goes] = [kernel.make(), kernel.make(), kernel.make({ protocol: UDP }, true)];
      kernel.relay(source, goes, 1);
      kernel.relay(other, goes, 1);
      kernel.close(goes);
      table.poll();
      Object.assign(kernel[target], {
        [method]: () => {
          throw new Error('killed');
        },
      });
      t.throws(() => table.recycle(closed), { message: 'killed' }, title);
      Reflect.deleteProperty(kernel[target], method);
      const next = new FlowTable(kernel.maps());
      const told = next.poll().flows;
      t.same(
        told.filter(({ id }) => id !== goes.id),
        [],
        `${title}: never under another id`,
      );
      for (let round = 0; round < 2; round++) next.recycle(closed);
      t.ok(kernel.free.values.length <= 1, title);
    }
  },
);

t.test('peers are forgotten with the flows of sockets that are not connected, and of no others', async (t) => {
  for (const [title, shape, forgotten] of [
    ['UDP over IPv4', { protocol: UDP }, true],
    ['UDP over IPv6', { protocol: UDP, family: 10, remoteAddress: Uint8Array.from({ length: 16 }, (_, i) => i) }, true],
    ['a cookie that is no number', { protocol: UDP, cookie: 2n ** 63n + 1n }, true],
    ['the last port', { protocol: UDP, remotePort: 65_535, slot: 32_767 }, true],
    ['TCP', {}, false],
    ['AF_UNIX, whatever its protocol', { protocol: UDP, family: AF_UNIX }, false],
  ] as const) {
    const { kernel, table } = makeFlowTable();
    const goes = kernel.make(shape, true);
    const others = [
      kernel.make({ ...shape, cookie: 77n }, true),
      kernel.make({ ...shape, slot: 9 }, true),
      kernel.make({ ...shape, remotePort: 9 }, true),
      kernel.make({ ...shape, remoteAddress: mapped(192, 0, 2, 200) }, true),
    ];
    for (const flow of [goes, ...others]) kernel.receive(flow, 1);
    table.poll();
    t.same(
      table.recycle(({ id }) => id === goes.id),
      [goes.id],
      title,
    );
    t.equal(kernel.peers.lookup(kernel.peerKey(goes)) === undefined, forgotten, title);
    for (const other of others) t.ok(kernel.peers.lookup(kernel.peerKey(other)), `${title}: the others stay`);
  }
});

t.test('of a hub’s pairs only those of the flow that is over go, whichever end it was', async (t) => {
  const { kernel, table, pairs } = makeFlowTable(64);
  const hub = kernel.make();
  const keeper = kernel.make();
  kernel.relay(keeper, hub, 1);
  pairs();
  let deletes = 0;
  const original = kernel.pairs.delete;
  Object.assign(kernel.pairs, {
    delete: (key: Buffer) => {
      deletes++;
      return original.call(kernel.pairs, key);
    },
  });
  for (let round = 0; round < 20; round++) {
    const [client, target] = [kernel.make(), kernel.make()];
    kernel.receive(client, 1);
    kernel.relay(client, hub, 10);
    kernel.relay(keeper, target, 1);
    kernel.relay(hub, target, 5);
    t.same(
      pairs(),
      [pair(keeper, hub, 1), pair(client, hub, 10), pair(keeper, target, 1), pair(hub, target, 5)].sort(),
    );
    t.equal(kernel.pairs.size, 2);
    table.recycle(({ id }) => id === client.id || id === target.id);
    t.equal(kernel.pairs.size, 0);
  }
  t.equal(deletes, 40);
  table.recycle(all);
  t.equal(deletes, 40, 'what is gone is not kept in mind for the hub’s whole life');
});
