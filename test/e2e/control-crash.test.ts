import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { nameOf, RL_MAX_POLICIES, recordAt, unpackNumbers } from '../../agent/enforcement/policy-record.ts';
import type { PolicyReading } from '../../agent/policies/policy.ts';
import { RL_POLICY_OFFSET, RL_PROCESS_OFFSET, RL_PROCESS_SIZE } from '../../bpf/layouts.ts';
import { BpfMap } from '../../bpf/map.ts';
import { Agent } from './agent.ts';
import { askUnix } from './unix-request.ts';

/* An agent that is killed while policies are put and removed: the next one makes right what it left half done. */

const KILLS = process.env['RELAYLEDGER_E2E_FULL'] === '1' ? 50 : 5;
const NAMES = ['a', 'b', 'c', 'd', 'e', 'f'];

/** What the kernel holds to: the rate of each installed policy, and the policies that any process has. */
function readKernel(bpffs: string): { rates: Map<string, number>; heldBy: Set<string> } {
  using policies = BpfMap.openPinned(join(bpffs, 'maps', 'policies'));
  using processes = BpfMap.openPinned(join(bpffs, 'maps', 'processes'));
  using policyMapping = policies.mmap();
  using processMapping = processes.mmap();
  const rates = new Map<string, number>();
  const names = new Map<number, string>();
  for (let index = 1; index < RL_MAX_POLICIES; index++) {
    const record = recordAt(policyMapping.buffer, index);
    if (record.readUInt32LE(RL_POLICY_OFFSET.flags) === 0) continue;
    names.set(index, nameOf(record));
    rates.set(nameOf(record), Number(record.readBigUInt64LE(RL_POLICY_OFFSET.limits)));
  }
  const heldBy = new Set<string>();
  const view = new DataView(processMapping.buffer);
  for (let at = RL_PROCESS_SIZE; at < view.byteLength; at += RL_PROCESS_SIZE) {
    const numbers = view.getBigUint64(at + RL_PROCESS_OFFSET.policies, true);
    for (const number of unpackNumbers(numbers)) heldBy.add(names.get(number) ?? `none (${number})`);
  }
  return { rates, heldBy };
}

/** PUT and DELETE until the agent is gone. What each name had, as far as was answered, and what was asked last. */
async function storm(agent: Agent, last: Map<string, (number | null)[]>, isOver: () => boolean): Promise<void> {
  const each = async (name: string): Promise<void> => {
    while (!isOver()) {
      const rate = Math.random() < 0.4 ? null : 1000 + Math.floor(Math.random() * 1e6);
      const known = last.get(name) ?? [null];
      last.set(name, [...known, rate]);
      // This process itself moves bytes: it is the one that is held.
      const policy = { match: { pid: process.pid }, scope: 'relay', rate: { bytesPerSecond: rate } };
      const [method, body] = rate === null ? (['DELETE', undefined] as const) : (['PUT', policy] as const);
      try {
        const { status } = await askUnix(agent.socket, method, `/v1/policies/${name}`, body);
        if (status >= 500) throw new Error(`${method} ${name}: ${status}`);
        last.set(name, [rate]);
      } catch (error) {
        if (isOver()) return;
        throw error;
      }
    }
  };
  await Promise.all(NAMES.map(each));
}

t.test('an agent that is killed at any moment leaves a state that the next one makes right', async (t) => {
  await using agent = await Agent.start();
  const last = new Map<string, (number | null)[]>();
  let found = 0;
  for (let round = 0; round < KILLS; round++) {
    let isOver = false;
    const storming = storm(agent, last, () => isOver);
    await sleep(50 + Math.random() * 250);
    isOver = true;
    await agent.kill9();
    await storming;
    await agent.start();
    const { policies } = await agent.api<{ policies: PolicyReading[] }>('/v1/policies');
    for (const name of NAMES) {
      const rate = policies.find((policy) => policy.name === name)?.rate?.bytesPerSecond ?? null;
      const possible = last.get(name) ?? [null];
      t.ok(possible.includes(rate), `round ${round}, ${name}: ${rate} of ${possible}`);
      last.set(name, [rate]);
    }
    t.same(
      policies.filter(({ state }) => state !== 'active'),
      [],
    );
    const { rates, heldBy } = readKernel(agent.bpffs);
    found += heldBy.size;
    const listed = new Map(policies.map(({ name, rate }) => [name, rate?.bytesPerSecond]));
    t.same(new Map([...rates].sort()), new Map([...listed].sort()), `round ${round}: the kernel has what is listed`);
    const held = new Set(policies.filter(({ matches }) => matches.length > 0).map(({ name }) => name));
    t.same([...heldBy].sort(), [...held].sort(), `round ${round}: and holds whom it says`);
  }
  t.ok(found > 0, 'this process was held by what outlived a kill');
});
