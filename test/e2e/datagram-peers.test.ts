import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { Accounting } from '../../agent/accounting.ts';
import { findCgroupRoot } from '../../agent/mounts.ts';
import {
  RL_FLOW_SIZE,
  RL_INCOME_SIZE,
  RL_PROCESS_SIZE,
  readRlFlow,
  readRlIncome,
  readRlProcess,
} from '../../bpf/layouts.ts';
import { pinsFor } from './agent.ts';
import { buildPrograms } from './build.ts';

const UDP = 17;

const execute = promisify(execFile);

interface Flow {
  to: string;
  received: number;
  sent: number;
}

/** The UDP flows of one process. */
function flowsOf(accounting: Accounting, pid: number): Flow[] {
  using processes = accounting.map('processes').mmap();
  using flows = accounting.map('flows').mmap();
  using incomes = accounting.map('incomes').mmap();
  const views = [processes, flows, incomes].map(({ buffer }) => new DataView(buffer)) as [DataView, DataView, DataView];
  const found: Flow[] = [];
  for (let index = 1; index < views[1].byteLength / RL_FLOW_SIZE; index++) {
    const flow = readRlFlow(views[1], index * RL_FLOW_SIZE);
    if (flow.protocol !== UDP) continue;
    if (readRlProcess(views[0], flow.slot * RL_PROCESS_SIZE).tgid !== pid) continue;
    const { received } = readRlIncome(views[2], index * RL_INCOME_SIZE);
    found.push({ to: flow.remoteAddress.slice(12).join('.'), received, sent: flow.sent });
  }
  return found;
}

t.test('whom a call named that moved nothing is not whom the next one receives from', async (t) => {
  const bpffs = pinsFor('datagram-peers');
  t.teardown(() => Accounting.remove(bpffs));
  using accounting = Accounting.start({ bpffs, cgroup: findCgroupRoot() });
  const corners = join(await buildPrograms(), 'corners');
  const running = execute(corners, ['alone', '127.0.0.1', '0', '--mode', 'in-vain']);
  await running;
  t.same(flowsOf(accounting, running.child.pid ?? 0), [{ to: '127.0.0.1', received: 0, sent: 1000 }]);
});
