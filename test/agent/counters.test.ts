import t from 'tap';
import {
  addCounters,
  COUNTERS,
  KERNEL_COUNTERS,
  makeCounters,
  PAYLOAD,
  PROTOCOLS,
  payloadOf,
  ROLES,
  relayedAt,
  relayedOf,
  SCOPES,
  SHARES,
  sharesOf,
  wireOf,
} from '../../agent/counters.ts';
import { RL_PROCESS_OFFSET, RL_PROCESS_SIZE, RlProtocol, RlScope, readRlProcess } from '../../bpf/layouts.ts';

t.test('a vector is zero where nothing is given, and never longer than its kind', async (t) => {
  t.same(
    [...makeCounters()],
    Array.from({ length: 28 }, () => 0),
  );
  t.same([...makeCounters([1, 2])].slice(0, 3), [1, 2, 0]);
  t.equal(makeCounters(Array.from({ length: 50 }, () => 1)).length, COUNTERS);
});

t.test('a copy is its own', async (t) => {
  const original = makeCounters([1]);
  const copy = makeCounters(original);
  addCounters(copy, makeCounters([5]));
  t.equal(original[0], 1);
  t.equal(copy[0], 6);
});

t.test('sums are exact up to 2^53', async (t) => {
  const sum = makeCounters([2 ** 53 - 2]);
  addCounters(sum, makeCounters([1, 7]));
  t.same([...sum].slice(0, 2), [2 ** 53 - 1, 7]);
});

t.test('the vector reads as the kernel’s struct does', async (t) => {
  const view = new DataView(new ArrayBuffer(RL_PROCESS_SIZE));
  const counters = makeCounters([1, 2, 3, 4]);
  for (let i = 0; i < 2 * SHARES; i++) {
    counters[PAYLOAD + i] = 100 + i;
    view.setBigUint64(RL_PROCESS_OFFSET.payload + 8 * i, BigInt(100 + i), true);
  }
  const { payload } = readRlProcess(view, 0);
  t.same(wireOf(counters), { receivedBytes: 1, receivedPackets: 2, sentBytes: 3, sentPackets: 4 });
  for (const { protocol, scope, receivedBytes, sentBytes } of sharesOf(counters)) {
    t.equal(receivedBytes, payload[0]?.[RlProtocol[protocol]]?.[RlScope[scope]]);
    t.equal(sentBytes, payload[1]?.[RlProtocol[protocol]]?.[RlScope[scope]]);
  }
  t.equal(sharesOf(counters).length, PROTOCOLS.length * SCOPES.length);
  t.same(payloadOf(counters), { receivedBytes: 936, sentBytes: 1017 });
});

t.test('shares that carry nothing are left out, those that carry one way are not', async (t) => {
  const counters = makeCounters();
  counters[PAYLOAD + RlProtocol.udp * 3 + RlScope.private] = 5;
  counters[PAYLOAD + SHARES + RlProtocol.other * 3 + RlScope.loopback] = 6;
  t.same(sharesOf(counters), [
    { protocol: 'udp', scope: 'private', receivedBytes: 5, sentBytes: 0 },
    { protocol: 'other', scope: 'loopback', receivedBytes: 0, sentBytes: 6 },
  ]);
  t.same(sharesOf(makeCounters([9, 9, 9, 9])), [], 'wire bytes are no payload');
});

t.test('relayed bytes have their places by role behind the kernel’s counters', async (t) => {
  const counters = makeCounters(Array.from({ length: KERNEL_COUNTERS }, () => 1_000_000));
  t.same(relayedOf(counters), { receivedBytes: 0, sentBytes: 0 });
  const places = ROLES.flatMap((role) => [relayedAt(role), relayedAt(role) + 1]);
  t.same(
    places,
    Array.from({ length: COUNTERS - KERNEL_COUNTERS }, (_, i) => KERNEL_COUNTERS + i),
    'each its own, and no more',
  );
  for (const [index, role] of ROLES.entries()) {
    counters[relayedAt(role)] = 10 ** index;
    counters[relayedAt(role) + 1] = 2 * 10 ** index;
  }
  t.same(relayedOf(counters), { receivedBytes: 111, sentBytes: 222 });
  t.equal(payloadOf(counters).receivedBytes, SHARES * 1_000_000, 'and are no further payload');
});
