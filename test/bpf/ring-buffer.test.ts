import t from 'tap';
import { findCgroupRoot } from '../../agent/mounts.ts';
import { BpfObject } from '../../bpf/object.ts';
import { RingBuffer, type RingMemory } from '../../bpf/ring-buffer.ts';
import { compile } from './compile.ts';
import { connectTo, FREE_PORT } from './connect.ts';

const BUSY = 0x8000_0000;
const DISCARDED = 0x4000_0000;

/** A ring in plain memory, written as the kernel writes it: both halves of the double mapping. */
class HandMadeRing implements RingMemory {
  readonly consumer: ArrayBuffer = new ArrayBuffer(8);
  readonly producer: ArrayBuffer = new ArrayBuffer(8);
  readonly data: ArrayBuffer;
  readonly dataOffset = 16;
  readonly size: number;

  constructor(size: number, start = 0n) {
    this.size = size;
    this.data = new ArrayBuffer(this.dataOffset + 2 * size);
    new BigUint64Array(this.consumer)[0] = start;
    new BigUint64Array(this.producer)[0] = start;
  }

  get consumed(): bigint {
    return new BigUint64Array(this.consumer)[0] as bigint;
  }

  write(content: Uint8Array, flags = 0): number {
    const producer = new BigUint64Array(this.producer);
    const position = Number((producer[0] as bigint) % BigInt(this.size));
    const record = new Uint8Array((8 + content.length + 7) & ~7);
    new DataView(record.buffer).setUint32(0, content.length | flags, true);
    record.set(content, 8);
    for (const [index, byte] of record.entries()) {
      const at = (position + index) % this.size;
      new Uint8Array(this.data)[this.dataOffset + at] = byte;
      new Uint8Array(this.data)[this.dataOffset + this.size + at] = byte;
    }
    producer[0] = (producer[0] as bigint) + BigInt(record.length);
    return position;
  }

  setFlags(position: number, length: number, flags: number): void {
    new DataView(this.data).setUint32(this.dataOffset + position, length | flags, true);
  }
}

function drain(ring: RingBuffer): string[] {
  const texts: string[] = [];
  ring.consume((view, offset, length) => {
    texts.push(Buffer.from(view.buffer, view.byteOffset + offset, length).toString());
  });
  return texts;
}

t.test('records come in order, whatever their length, and their room is given back', async (t) => {
  const memory = new HandMadeRing(128);
  const ring = new RingBuffer(memory);
  for (const text of ['', 'a', '12345678', '123456789']) memory.write(Buffer.from(text));
  t.equal(ring.pendingBytes, 8 + 16 + 16 + 24);
  t.same(drain(ring), ['', 'a', '12345678', '123456789']);
  t.equal(memory.consumed, 64n);
  t.equal(ring.pendingBytes, 0);
  t.same(drain(ring), [], 'nothing comes twice');
});

t.test('discarded records are passed over', async (t) => {
  const memory = new HandMadeRing(128);
  memory.write(Buffer.from('a'));
  memory.write(Buffer.from('gone'), DISCARDED);
  memory.write(Buffer.from('b'));
  t.same(drain(new RingBuffer(memory)), ['a', 'b']);
  t.equal(memory.consumed, 48n);
});

t.test('reading stops at a record that is being written and goes on when it is done', async (t) => {
  const memory = new HandMadeRing(128);
  const ring = new RingBuffer(memory);
  memory.write(Buffer.from('a'));
  const position = memory.write(Buffer.from('slow'), BUSY);
  memory.write(Buffer.from('b'));
  t.same(drain(ring), ['a']);
  t.equal(memory.consumed, 16n);
  t.same(drain(ring), []);
  memory.setFlags(position, 4, 0);
  t.same(drain(ring), ['slow', 'b']);
});

t.test('a record that wraps around is in one piece', async (t) => {
  for (const start of [0n, 120n, 2n ** 40n + 104n, 2n ** 53n + 112n, 2n ** 63n + 96n]) {
    const memory = new HandMadeRing(128, start);
    const ring = new RingBuffer(memory);
    const text = 'a text of some length that wraps';
    for (let round = 0; round < 20; round++) {
      memory.write(Buffer.from(`${text} ${round}`));
      t.same(drain(ring), [`${text} ${round}`], `at ${start}, round ${round}`);
    }
  }
});

t.test('a callback that throws loses its own record only', async (t) => {
  const memory = new HandMadeRing(128);
  const ring = new RingBuffer(memory);
  for (const text of ['a', 'b', 'c']) memory.write(Buffer.from(text));
  let calls = 0;
  const failing = (): void => {
    if (++calls === 2) throw new Error('mine');
  };
  t.throws(() => ring.consume(failing), /mine/);
  t.same(drain(ring), ['c']);
});

t.test('room is given back on the way, not only at the end', async (t) => {
  const memory = new HandMadeRing(1024);
  const ring = new RingBuffer(memory);
  for (let record = 0; record < 32; record++) memory.write(Buffer.alloc(24));
  const seen: bigint[] = [];
  t.equal(
    ring.consume(() => seen.push(memory.consumed)),
    32,
  );
  t.equal(seen[0], 0n);
  t.ok((seen[31] as bigint) >= 900n, `${seen[31]} of 1024 bytes before the last record`);
});

t.test('what a BPF program submits arrives, what it discards does not', async (t) => {
  using object = BpfObject.open(compile('connects'), {
    only: ['connect4'],
    globals: { watched_port: FREE_PORT },
  }).load();
  using _link = object.program('connect4').attachCgroup(findCgroupRoot());
  using ring = RingBuffer.open(object.map('events'));
  const ports: number[] = [];
  const connects: bigint[] = [];
  // 4096 bytes hold 170 records of 24: three rounds go around the ring once and more.
  for (let round = 0; round < 3; round++) {
    connectTo(FREE_PORT, 90);
    const records = ring.consume((view, offset, length) => {
      t.equal(length, 16);
      connects.push(view.getBigUint64(offset, true));
      ports.push(view.getUint32(offset + 8, true));
    });
    t.equal(records, 60, 'every third is discarded');
  }
  t.ok(ports.every((port) => port === FREE_PORT));
  t.ok(connects.every((count) => count === 1n));
});

t.test('a full ring keeps what it has; the program counts what it lost', async (t) => {
  using object = BpfObject.open(compile('connects'), {
    only: ['connect4'],
    globals: { watched_port: FREE_PORT },
  }).load();
  using _link = object.program('connect4').attachCgroup(findCgroupRoot());
  using ring = RingBuffer.open(object.map('events'));
  using globals = object.map('.bss').mmap();
  using data = object.map('.data').mmap();
  connectTo(FREE_PORT, 300);
  t.equal(new BigUint64Array(globals.buffer)[0], 300n);
  t.ok(ring.pendingBytes <= ring.size);
  const held = Math.floor(4095 / 24);
  t.equal(new Uint32Array(data.buffer)[0], 7 + 300 - held);
  t.equal(
    ring.consume(() => {}),
    held - Math.floor(held / 3),
  );
});

t.test('only ring buffers can be read as one', async (t) => {
  using object = BpfObject.open(compile('connects'), { only: [] }).load();
  t.throws(() => RingBuffer.open(object.map('by_port')), { code: 'BPF_RING', message: /by_port is a hash/ });
});
