import t from 'tap';
import { EarlyFlows } from '../../agent/early-flows.ts';
import type { FlowReading, PairReading } from '../../agent/flow-reading.ts';
import { makeFlowTable } from './fake-flows.ts';

/** Two flows, the first one of which has paid for what the second one sent. */
function readTwo(): { flows: FlowReading[]; pairs: PairReading[]; again: () => FlowReading[] } {
  const { kernel, table } = makeFlowTable();
  const source = kernel.make();
  const destination = kernel.make();
  kernel.receive(source, 10);
  kernel.send(destination, 10);
  const { flows } = table.poll();
  const pair = { source: flows[0]?.id, destination: flows[1]?.id, moved: 10 } as PairReading;
  const again = (): FlowReading[] => {
    kernel.receive(source, 5);
    return table.poll().flows;
  };
  return { flows, pairs: [pair], again };
}

t.test('what was read before its process was known comes again, once', async (t) => {
  const early = new EarlyFlows();
  const { flows, pairs } = readTwo();
  const first = early.join(flows, pairs);
  t.match(first, { flows: flows.map((flow) => ({ flow, sinceNs: null })), pairs });
  early.keep(first.flows, first.pairs, 1e9);
  t.match(early.join([], []), { flows: flows.map((flow) => ({ flow, sinceNs: 1e9 })), pairs });
  t.same(early.join([], []), { flows: [], pairs: [] });
});

t.test('a newer reading takes its place', async (t) => {
  const early = new EarlyFlows();
  const { flows, pairs, again } = readTwo();
  early.keep(early.join(flows, pairs).flows, pairs, 1e9);
  const joined = early.join(again(), []);
  t.same(
    joined.flows.map(({ flow, sinceNs }) => [flow.received, sinceNs]),
    [
      [0, 1e9],
      [15, 1e9],
    ],
  );
});

t.test('only pairs of flows that wait do so too, and neither for ever', async (t) => {
  const early = new EarlyFlows();
  const { flows, pairs } = readTwo();
  early.keep([], pairs, 1e9);
  t.same(early.join([], []), { flows: [], pairs: [] });
  early.keep(early.join(flows, pairs).flows, pairs, 1e9);
  const { flows: waiting } = early.join([], []);
  early.keep(waiting, pairs, 40e9);
  t.same(early.join([], []), { flows: [], pairs: [] });
});

t.test('what the kernel has begun anew is not what waited', async (t) => {
  const early = new EarlyFlows();
  const { flows, pairs } = readTwo();
  early.keep(early.join(flows, pairs).flows, pairs, 1e9);
  early.forget(flows[0]?.id ?? 0);
  t.same(
    early.join([], []).flows.map(({ flow }) => flow.id),
    [flows[1]?.id],
  );
});
