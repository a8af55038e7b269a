import t from 'tap';
import { ProcessPolicies } from '../../../agent/enforcement/process-policies.ts';
import type { SharedArray } from '../../../bpf/array-window.ts';
import { RL_PROCESS_OFFSET, RL_PROCESS_SIZE } from '../../../bpf/layouts.ts';

/** The kernel's table, of which no more is mapped than was asked for. */
class FakeTable implements SharedArray {
  buffer = new ArrayBuffer(0);

  reach(count: number): boolean {
    if (count * RL_PROCESS_SIZE <= this.buffer.byteLength) return false;
    this.buffer = this.buffer.transfer(count * RL_PROCESS_SIZE);
    return true;
  }
}

t.test('each process has up to four policies; who asks for the ones that it has changes nothing', async (t) => {
  const policies = new ProcessPolicies(new FakeTable(), () => 7);
  t.same(policies.of(5), []);
  t.equal(policies.set(5, [3, 127]), true);
  t.same(policies.of(5), [3, 127]);
  t.equal(policies.set(5, [3, 127]), false);
  t.equal(policies.set(5, [127, 3]), true, 'in another order');
  t.same(policies.of(4), []);
  t.equal(policies.set(5, []), true);
  t.same(policies.of(5), []);
});

t.test('a policy that goes is taken off everybody, and the others stay', async (t) => {
  const policies = new ProcessPolicies(new FakeTable(), () => 6);
  policies.set(1, [9]);
  policies.set(3, [1, 9, 2]);
  policies.set(6, [1, 2]);
  policies.retain((number) => number !== 9);
  t.same(
    [1, 2, 3, 6].map((slot) => policies.of(slot)),
    [[], [], [1, 2], [1, 2]],
  );
});

t.test('a slot that has another owner by now is not the process’s, nor is the kernel’s', async (t) => {
  const table = new FakeTable();
  const policies = new ProcessPolicies(table, () => 7);
  policies.of(7);
  new DataView(table.buffer).setUint32(2 * RL_PROCESS_SIZE + RL_PROCESS_OFFSET.generation, 4, true);
  t.equal(policies.isStill({ slot: 2, generation: 4 }), true);
  t.equal(policies.isStill({ slot: 2, generation: 3 }), false);
  t.equal(policies.isStill({ slot: 0, generation: 0 }), false);
});
