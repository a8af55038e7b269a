import t from 'tap';
import { readS64, readText, readU64, readU64BigEndian } from '../../bpf/decode.ts';

const view = new DataView(new ArrayBuffer(16));

t.test('64-bit numbers are exact up to 2^53 and refused beyond', async (t) => {
  for (const [value, expected] of [
    [0n, 0],
    [1n, 1],
    [0xffff_ffffn, 0xffff_ffff],
    [0x1_0000_0000n, 2 ** 32],
    [2n ** 53n - 1n, Number.MAX_SAFE_INTEGER],
    [2n ** 53n, undefined],
    [2n ** 64n - 1n, undefined],
  ] as const) {
    view.setBigUint64(8, value, true);
    view.setBigUint64(0, value);
    if (expected === undefined) {
      t.throws(() => readU64(view, 8), { code: 'BPF_NUMBER_TOO_BIG', message: new RegExp(`${value} at byte 8`) });
      t.throws(() => readU64BigEndian(view, 0), { code: 'BPF_NUMBER_TOO_BIG' });
    } else {
      t.equal(readU64(view, 8), expected);
      t.equal(readU64BigEndian(view, 0), expected);
    }
  }
});

t.test('signed 64-bit numbers are exact both ways', async (t) => {
  for (const value of [-1n, -0x1_0000_0000n, -(2n ** 53n), 2n ** 53n - 1n]) {
    view.setBigInt64(0, value, true);
    t.equal(readS64(view, 0), Number(value));
  }
  for (const value of [2n ** 53n, -(2n ** 53n) - 1n, 2n ** 63n - 1n, -(2n ** 63n)]) {
    view.setBigInt64(0, value, true);
    t.throws(() => readS64(view, 0), { code: 'BPF_NUMBER_TOO_BIG' });
  }
});

t.test('text ends at the first NUL or with the field', async (t) => {
  for (const [bytes, expected] of [
    [Buffer.from('\0aaaaaaa'), ''],
    [Buffer.from('ssh\0aaaa'), 'ssh'],
    [Buffer.from('12345678'), '12345678'],
    [Buffer.from('né\0aaaa'), 'né'],
    [Buffer.from('1234567é').subarray(0, 8), '1234567\ufffd'],
    [Buffer.from([0xff, 0x41, 0, 0x42]), '\ufffdA'],
  ] as const) {
    new Uint8Array(view.buffer).fill(0);
    new Uint8Array(view.buffer, 4).set(bytes);
    t.equal(readText(view, 4, 8), expected);
  }
});
