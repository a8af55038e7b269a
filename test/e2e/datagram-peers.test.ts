import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { hooksHere, OBJECT } from '../../agent/load-programs.ts';
import { findCgroupRoot } from '../../agent/mounts.ts';
import {
  RL_FLOW_SIZE,
  RL_INCOME_SIZE,
  RL_PROCESS_SIZE,
  RlLost,
  readRlFlow,
  readRlIncome,
  readRlProcess,
  readRlTotals,
} from '../../bpf/layouts.ts';
import { BpfObject } from '../../bpf/object.ts';
import { buildPrograms } from './build.ts';

const UDP = 17;
const MAX_FLOWS = 32_768;
/** Beyond any thread's id (PID_MAX_LIMIT is 2^22). */
const NO_THREAD = 2 ** 22 + 1;
/** Calls of the program that name a peer. */
const NAMED_IN_VAIN = 16;

const execute = promisify(execFile);
const features = join(import.meta.dirname, '../../bpf/objects/features.bpf.o');
const newKernel = BpfObject.probe(features, 'reach_thread') === undefined;

/** All programs of the accounting, attached until the test ends, with the peer of a message kept in one place or the other. */
function attach(t: Test, cgroupHasThreads: boolean): BpfObject {
  const only = hooksHere().map(({ program }) => program);
  const object = BpfObject.open(OBJECT, { only, globals: { cgroup_has_threads: cgroupHasThreads } }).load();
  const stack = new DisposableStack();
  t.teardown(() => stack[Symbol.dispose]());
  stack.use(object);
  for (const program of only.map((name) => object.program(name))) {
    stack.use(program.section.startsWith('cgroup') ? program.attachCgroup(findCgroupRoot()) : program.attach());
  }
  return object;
}

interface Flow {
  to: string;
  received: number;
  sent: number;
}

/** The UDP flows of one process that moved anything. */
function flowsOf(object: BpfObject, pid: number): Flow[] {
  using processes = object.map('processes').mmap();
  using flows = object.map('flows').mmap();
  using incomes = object.map('incomes').mmap();
  const views = [processes, flows, incomes].map(({ buffer }) => new DataView(buffer)) as [DataView, DataView, DataView];
  const found: Flow[] = [];
  for (let index = 1; index < MAX_FLOWS; index++) {
    const flow = readRlFlow(views[1], index * RL_FLOW_SIZE);
    if (flow.protocol !== UDP) continue;
    if (readRlProcess(views[0], flow.slot * RL_PROCESS_SIZE).tgid !== pid) continue;
    const { received } = readRlIncome(views[2], index * RL_INCOME_SIZE);
    found.push({ to: flow.remoteAddress.slice(12).join('.'), received, sent: flow.sent });
  }
  return found;
}

/** Whether the program, which ran and ended, is still named by the table of old kernels. */
function isLeft(object: BpfObject, pid: number): boolean {
  return object.map('datagram_peers').lookup(keyOf(pid)) !== undefined;
}

function keyOf(tid: number): Buffer {
  const key = Buffer.alloc(4);
  key.writeUInt32LE(tid);
  return key;
}

function lostPeers(object: BpfObject): number {
  using totals = object.map('totals').mmap();
  return readRlTotals(new DataView(totals.buffer), 0).lost[RlLost.peer] ?? 0;
}

async function nameInVain(): Promise<number> {
  const corners = join(await buildPrograms(), 'corners');
  const running = execute(corners, ['alone', '127.0.0.1', '0', '--mode', 'in-vain']);
  await running;
  return running.child.pid ?? 0;
}

for (const cgroupHasThreads of [true, false].filter((it) => !it || newKernel)) {
  const kernel = cgroupHasThreads ? 'kernels from 6.16 on' : 'older kernels';
  t.test(`${kernel}: whom a call named that moved nothing is not whom the next one receives from`, async (t) => {
    const object = attach(t, cgroupHasThreads);
    const pid = await nameInVain();
    t.same(flowsOf(object, pid), [{ to: '127.0.0.1', received: 0, sent: 1000 }]);
    t.notOk(isLeft(object, pid), 'nor does a thread that has ended take up room');
    t.equal(lostPeers(object), 0);
  });
}

t.test('older kernels: datagrams whose peer finds no room are counted', async (t) => {
  const object = attach(t, false);
  const peers = object.map('datagram_peers');
  for (let i = 0; i < peers.info.maxEntries; i++)
    peers.update(keyOf(NO_THREAD + i), Buffer.alloc(peers.info.valueSize));
  await nameInVain();
  t.ok(lostPeers(object) >= NAMED_IN_VAIN, `${lostPeers(object)}`);
});
