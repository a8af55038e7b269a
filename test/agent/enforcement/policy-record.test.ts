import t from 'tap';
import {
  encodePolicy,
  hashProgram,
  nameOf,
  packNumbers,
  readCounters,
  unpackNumbers,
} from '../../../agent/enforcement/policy-record.ts';
import type { KernelPolicy } from '../../../agent/policies/enforcer.ts';
import {
  RL_ALLOWANCE_OFFSET,
  RL_ALLOWANCE_SIZE,
  RL_POLICY_OFFSET,
  RL_POLICY_SIZE,
  RlDirection,
  RlPolicyFlag,
} from '../../../bpf/layouts.ts';

const rate = { bytesPerSecond: 4096, sent: false, received: true };
const empty: KernelPolicy = { name: 'a', scope: 'all', rate: null, quota: null, deny: null, expiresAtMs: null };
const flagsOf = (policy: Partial<KernelPolicy>): number =>
  encodePolicy({ ...empty, ...policy }, null).readUInt32LE(RL_POLICY_OFFSET.flags);

t.test('numbers of policies pack with the first lowest, and come back', async (t) => {
  for (const numbers of [[], [1], [127, 1], [1, 2, 3, 4]]) t.same(unpackNumbers(packNumbers(numbers)), numbers);
  t.equal(packNumbers([1, 2]), 0x20001n);
  t.same(unpackNumbers(packNumbers([1, 2, 3, 4, 5])), [1, 2, 3, 4], 'the fifth has no room');
});

t.test('a relay is held by what it sends, whichever direction was asked for', async (t) => {
  const { policySent, policyReceived, policyRelay } = RlPolicyFlag;
  t.equal(flagsOf({ rate }) & (policySent | policyReceived), policyReceived);
  t.equal(flagsOf({ rate, scope: 'relay' }) & (policySent | policyReceived | policyRelay), policySent | policyRelay);
});

t.test('a throttle is never above the cap', async (t) => {
  const quota = { bytes: 1, usedBytes: 0, endsAtMs: null, periodMs: null };
  for (const [throttleBytesPerSecond, wanted] of [
    [100, 100],
    [9000, 4096],
  ] as const) {
    const record = encodePolicy(
      { ...empty, rate, quota: { ...quota, then: 'throttle', throttleBytesPerSecond } },
      null,
    );
    t.equal(Number(record.readBigUInt64LE(RL_POLICY_OFFSET.limits + 16)), wanted);
  }
});

t.test('a cost times its rate is a second', async (t) => {
  for (const bytesPerSecond of [1, 4096, 125_000_000, 12_500_000_000]) {
    const record = encodePolicy({ ...empty, rate: { ...rate, bytesPerSecond } }, null);
    const cost = Number(record.readBigUInt64LE(RL_POLICY_OFFSET.limits + 8)) / 65536;
    t.ok(Math.abs((cost * bytesPerSecond) / 1e9 - 1) < 0.001);
  }
});

t.test('long names are cut between characters, paths are hashed from the file up', async (t) => {
  t.equal(nameOf(encodePolicy({ ...empty, name: 'ü'.repeat(100) }, null)), 'ü'.repeat(63));
  t.equal(hashProgram(''), 0xcbf29ce484222325n, 'the offset of FNV-1a');
  t.not(hashProgram('/usr/bin/socat'), hashProgram('/socat/bin/usr'));
});

t.test('a period that has ended while nothing passed has used nothing', async (t) => {
  const record = Buffer.alloc(RL_POLICY_SIZE);
  record.writeBigUInt64LE(500n, RL_POLICY_OFFSET.quotaUsedBytes);
  record.writeBigUInt64LE(1000n, RL_POLICY_OFFSET.quotaEndsNs);
  record.writeUInt32LE(1, RL_POLICY_OFFSET.exhausted);
  const view = new DataView(record.buffer, record.byteOffset, record.length);
  const before = readCounters(view, 0, 999n, 0, 0n);
  t.match(before, { quotaUsedBytes: 500, quotaExhausted: true, lastHeldBackNs: 0, droppedPackets: [] });
  t.match(readCounters(view, 0, 1000n, 0, 0n), { quotaUsedBytes: 0, quotaExhausted: false });
});

t.test('what has passed is told by the rate where there is one, else by the quota', async (t) => {
  const { policyQuota, policyQuotaThrottle, policySent } = RlPolicyFlag;
  for (const [flags, wanted] of [
    [policySent, { rx: 0, tx: 50 }],
    [policySent | policyQuota, { rx: 0, tx: 50 }],
    [policyQuota, { rx: 300, tx: 200 }],
    [policyQuota | policyQuotaThrottle, { rx: 300, tx: 200 }],
  ] as const) {
    const record = Buffer.alloc(RL_POLICY_SIZE);
    record.writeUInt32LE(flags, RL_POLICY_OFFSET.flags);
    const sent = RL_POLICY_OFFSET.allowances + RL_ALLOWANCE_SIZE * RlDirection.tx;
    record.writeBigUInt64LE(50n, sent + RL_ALLOWANCE_OFFSET.passedBytes);
    record.writeBigUInt64LE(300n, RL_POLICY_OFFSET.quotaPassedBytes);
    record.writeBigUInt64LE(200n, RL_POLICY_OFFSET.quotaPassedBytes + 8);
    const view = new DataView(record.buffer, record.byteOffset, record.length);
    t.same(readCounters(view, 0, 0n, 0, 0n).passedBytes, wanted);
  }
});
