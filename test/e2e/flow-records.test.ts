import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { Accounting } from '../../agent/accounting.ts';
import { findCgroupRoot } from '../../agent/mounts.ts';
import {
  RL_FLOW_SIZE,
  RL_INCOME_SIZE,
  type RlFlow,
  type RlIncome,
  readRlFlow,
  readRlIncome,
} from '../../bpf/layouts.ts';
import { pinsFor } from './agent.ts';

const SIZE = 200;

const sum = (values: Iterable<number>): number => [...values].reduce((total, value) => total + value, 0);

t.test('what a connection has sent is in its record once it is settled, or closed', async (t) => {
  const bpffs = pinsFor('flow-records');
  t.teardown(() => Accounting.remove(bpffs));
  using accounting = Accounting.start({ bpffs, cgroup: findCgroupRoot() });
  const [source, sink] = [await listen(), await listen()];
  t.teardown(() => [source, sink].map((server) => server.close()));
  const ends = Promise.all([source, sink].map((server) => once(server, 'connection') as Promise<[Socket]>));
  const program = join(import.meta.dirname, 'programs', 'pass-on.ts');
  const ports = [portOf(source), portOf(sink)];
  const relay = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', program, ...ports.map(String)]);
  t.teardown(() => relay.kill('SIGKILL'));
  const [[into], [outOf]] = (await ends) as [[Socket], [Socket]];
  into.setNoDelay();

  /** Each message is one receive and one send of the relay. */
  const pass = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i++) {
      const passed = once(outOf, 'data');
      into.write(Buffer.alloc(SIZE));
      await passed;
    }
  };
  const [from, to] = ports.map((port) => () => flowTo(accounting, port)) as [() => Reading, () => Reading];

  await pass(300);
  t.equal(from().income.received, 300 * SIZE, 'what is received is there at once');
  accounting.settleFlows();
  const { flow, income } = to();
  t.match(flow, { sent: 300 * SIZE, sends: 300, unmatched: 0, selfMatched: 0, closed: 0 });
  t.match(flow.first, { moved: 300 * SIZE, moves: 300, copied: 0 });
  t.equal(sum(flow.first.lags), 300, 'every move has its lag');
  t.equal(flow.first.sizeCount, flow.first.direct);
  t.equal(flow.first.sumXy, flow.first.sizeCount * SIZE * SIZE);
  t.equal(income.received, 0);
  const gaps = from();
  t.equal(sum(gaps.flow.gaps) + sum(gaps.income.gaps), 299);
  t.equal(gaps.income.credit, 0, 'all that came was passed on');

  accounting.settleFlows();
  t.same(to().flow, flow, 'settling twice adds nothing');

  await pass(3);
  relay.kill('SIGKILL');
  await once(outOf, 'close');
  for (const end = Date.now() + 5000; Date.now() < end && to().flow.closed === 0; ) await sleep(10);
  t.match(to().flow, { sent: 303 * SIZE, sends: 303, closed: 1 }, 'the end settles');
  t.match(to().flow.first, { moved: 303 * SIZE, moves: 303 });
});

interface Reading {
  flow: RlFlow;
  income: RlIncome;
}

/** The only flow that leads to this port. */
function flowTo(accounting: Accounting, port: number): Reading {
  using flows = accounting.map('flows').mmap();
  using incomes = accounting.map('incomes').mmap();
  const view = new DataView(flows.buffer);
  for (let index = 1; index < view.byteLength / RL_FLOW_SIZE; index++) {
    const flow = readRlFlow(view, index * RL_FLOW_SIZE);
    if (flow.remotePort !== port) continue;
    return { flow, income: readRlIncome(new DataView(incomes.buffer), index * RL_INCOME_SIZE) };
  }
  throw new Error(`no flow leads to port ${port}`);
}

async function listen(): Promise<Server> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}
