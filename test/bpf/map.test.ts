import { rmSync } from 'node:fs';
import t from 'tap';
import { ArrayWindow } from '../../bpf/array-window.ts';
import { possibleCpus } from '../../bpf/info.ts';
import { BpfMap, UPDATE } from '../../bpf/map.ts';
import { BpfObject } from '../../bpf/object.ts';
import { Words } from '../../bpf/words.ts';
import { compile } from './compile.ts';

const path = compile('connects');
const open = (): BpfObject => BpfObject.open(path, { only: [] }).load();

function u32(...numbers: readonly number[]): Buffer {
  return Buffer.from(Uint32Array.from(numbers).buffer);
}

/** A `struct rl_count`. */
function count(connects: number, port: number): Buffer {
  return u32(connects, 0, port, 0);
}

t.test('a map tells what it is', async (t) => {
  using object = open();
  t.match(object.map('by_port').info, { name: 'by_port', type: 'hash', keySize: 4, valueSize: 16, maxEntries: 5000 });
  t.match(object.map('by_cpu').valueStride, 8 * possibleCpus());
});

t.test('an entry is written, read, changed, taken and deleted', async (t) => {
  using object = open();
  const map = object.map('by_port');
  t.equal(map.lookup(u32(80)), undefined);
  t.equal(map.update(u32(80), count(1, 80), UPDATE.onlyExisting), false);
  t.equal(map.update(u32(80), count(1, 80)), true);
  t.same(map.lookup(u32(80)), count(1, 80));
  t.equal(map.update(u32(80), count(2, 80), UPDATE.onlyNew), false);
  t.equal(map.update(u32(80), count(3, 80), UPDATE.onlyExisting), true);
  const into = Buffer.alloc(16);
  t.equal(map.lookup(u32(80), into), into);
  t.same(map.take(u32(80)), count(3, 80));
  t.equal(map.take(u32(80)), undefined);
  t.equal(map.delete(u32(80)), false);
  map.update(u32(81), count(1, 81));
  t.equal(map.delete(u32(81)), true);
});

t.test('a full map says so', async (t) => {
  using object = BpfObject.open(path, { only: [], maxEntries: { by_port: 2 } }).load();
  const map = object.map('by_port');
  map.update(u32(1), count(1, 1));
  map.update(u32(2), count(1, 2));
  t.throws(() => map.update(u32(3), count(1, 3)), {
    code: 'BPF_MAP_ACCESS',
    errno: 'E2BIG',
    message: /cannot write to map by_port.*it holds its 2 entries already/,
  });
});

t.test('keys and values of the wrong size never reach the kernel', async (t) => {
  using object = open();
  const map = object.map('by_port');
  for (const [what, call, message] of [
    ['lookup', () => map.lookup(Buffer.alloc(8)), /a key of map by_port has 4 bytes, not 8/],
    ['lookup into', () => map.lookup(u32(1), Buffer.alloc(8)), /a value of map by_port has 16 bytes, not 8/],
    ['update', () => map.update(u32(1), Buffer.alloc(4)), /a value of map by_port has 16 bytes, not 4/],
    ['delete', () => map.delete(Buffer.alloc(0)), /a key of map by_port has 4 bytes, not 0/],
    ['take', () => map.take(Buffer.alloc(5)), /a key of map by_port has 4 bytes, not 5/],
    ['push', () => object.map('queue').push(Buffer.alloc(5)), /a value of map queue has 4 bytes, not 5/],
  ] as const) {
    t.throws(call, { code: 'BPF_MAP_ACCESS', message }, what);
  }
});

t.test('every entry comes once, in batches of any size', async (t) => {
  using object = open();
  const map = object.map('by_port');
  t.same([...map.entries()], []);
  t.equal(map.count(), 0);
  for (let port = 0; port < 3000; port++) map.update(u32(port), count(port, port));
  t.equal(map.count(), 3000);
  // Batches of 1 meet buckets that hold more: the kernel says ENOSPC and the batch grows.
  for (const size of [1, 7, 1024, 100_000]) {
    const ports = new Set<number>();
    let entries = 0;
    let mismatches = 0;
    for (const [key, value] of map.entries({ size })) {
      if (value.readUInt32LE(8) !== key.readUInt32LE()) mismatches++;
      ports.add(key.readUInt32LE());
      entries++;
    }
    t.equal(entries, 3000, `batches of ${size}`);
    t.equal(ports.size, 3000);
    t.equal(mismatches, 0, 'each value is that of its key');
  }
});

t.test('entries can be taken out while they are read', async (t) => {
  using object = open();
  const map = object.map('by_port');
  for (let port = 0; port < 3000; port++) map.update(u32(port), count(port, port));
  let total = 0;
  for (const batch of map.batches({ remove: true })) total += batch.count;
  t.equal(total, 3000);
  t.equal(map.count(), 0);
});

t.test('arrays give all their entries, set or not', async (t) => {
  using object = open();
  const map = object.map('by_slot');
  map.update(u32(299), count(5, 6));
  const entries = [...map.entries()];
  t.equal(entries.length, 300);
  t.same(entries[299], [u32(299), count(5, 6)]);
});

t.test('per-CPU values come for every possible CPU, 8 bytes apart', async (t) => {
  using object = open();
  const map = object.map('by_cpu');
  const value = Buffer.alloc(8 * possibleCpus());
  for (let cpu = 0; cpu < possibleCpus(); cpu++) value.writeUInt32LE(100 + cpu, 8 * cpu);
  map.update(u32(1), value);
  t.same(map.lookup(u32(1)), value);
  t.same([...map.entries()], [[u32(1), value]]);
});

t.test('a queue gives the oldest first and says when it is full or empty', async (t) => {
  using object = open();
  const queue = object.map('queue');
  t.equal(queue.pop(), undefined);
  for (const value of [1, 2, 3]) queue.push(u32(value));
  t.throws(() => queue.push(u32(4)), { code: 'BPF_MAP_ACCESS', errno: 'E2BIG' });
  t.same([queue.pop(), queue.pop(), queue.pop(), queue.pop()], [u32(1), u32(2), u32(3), undefined]);
});

t.test('what a map cannot do is refused by name', async (t) => {
  using object = open();
  t.throws(() => object.map('queue').count(), { code: 'BPF_MAP_ACCESS', message: /cannot read map queue \(queue\)/ });
});

t.test('an mmapped array is the map itself, and is safe to keep after it was let go', async (t) => {
  using object = open();
  const map = object.map('by_slot');
  const mapping = map.mmap();
  const words = new Uint32Array(mapping.buffer);
  t.equal(mapping.buffer.byteLength, 300 * 16);
  map.update(u32(2), count(7, 8));
  t.same([...words.subarray(8, 12)], [7, 0, 8, 0]);
  words[8] = 9;
  t.same(map.lookup(u32(2)), count(9, 8));
  mapping[Symbol.dispose]();
  mapping[Symbol.dispose]();
  t.equal(words.length, 0);
  t.equal(words[8], undefined);
});

t.test('an array is mapped as far as it is reached, and what was written stays in sight', async (t) => {
  using object = BpfObject.open(path, { only: [], maxEntries: { by_slot: 50_000 } }).load();
  const map = object.map('by_slot');
  using window = new ArrayWindow(map);
  const first = window.buffer;
  t.ok(first.byteLength < map.info.maxEntries * 16, 'not all of it');
  t.equal(window.reach(1), false);
  new Uint32Array(first)[4] = 5;
  t.equal(window.reach(20_000), true);
  t.equal(first.byteLength, 0, 'views of the old window are empty');
  t.equal(new Uint32Array(window.buffer)[4], 5);
  map.update(u32(19_999), count(7, 8));
  const words = new Words(window.buffer);
  t.same([words.u64(19_999 * 16), words.u64(19_999 * 16 + 8)], [7, 8]);
  t.equal(window.reach(20_000), false);
  t.equal(window.reach(1_000_000), true, 'to its end, however many are asked for');
  t.equal(window.reach(1_000_000), false);
  t.ok(window.buffer.byteLength >= map.info.maxEntries * 16);
});

t.test('64-bit counters are read whole', async (t) => {
  const numbers = new BigUint64Array([0n, 1n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 62n]);
  const words = new Words(numbers.buffer);
  t.same(
    [...numbers.keys()].map((index) => words.u64(index * 8)),
    [...numbers].map(Number),
  );
  words.setU32(4, 1);
  t.equal(words.u64(0), 2 ** 32);
  t.equal(words.u32(4), 1);
});

t.test('maps that cannot be mapped, or not for writing, are refused', async (t) => {
  using object = open();
  t.throws(() => object.map('by_port').mmap(), { code: 'BPF_MMAP', message: /of map by_port/ });
  t.throws(() => object.map('.rodata').mmap(), { code: 'BPF_MMAP', errno: 'EPERM' });
  using constants = object.map('.rodata').mmap({ writable: false });
  const { offset } = object.global('label');
  t.equal(Buffer.from(constants.buffer, offset, 5).toString(), 'none\0');
});

t.test('a pinned map is found again with what it holds', async (t) => {
  const pins = `/sys/fs/bpf/relayledger-test-${process.pid}-map`;
  const pinned = `${pins}/by_port`;
  t.teardown(() => rmSync(pins, { recursive: true }));
  {
    using object = open();
    object.map('by_port').update(u32(1), count(2, 3));
    object.map('by_port').pin(pinned);
    t.throws(() => object.map('by_slot').pin(pinned), { code: 'BPF_PIN', errno: 'EEXIST' });
  }
  using map = BpfMap.openPinned(pinned);
  t.same(map.lookup(u32(1)), count(2, 3));
  t.throws(() => BpfMap.openPinned(`${pinned}-not`), { code: 'BPF_PIN', errno: 'ENOENT' });
});
