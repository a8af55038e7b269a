import t from 'tap';
import { Fingerprints } from '../../agent/fingerprints.ts';
import type { FlowIdentity } from '../../agent/flow-reading.ts';
import { findCgroupRoot } from '../../agent/mounts.ts';
import { makeIdentity } from './make-identity.ts';

/* The kernel's side is the real one; who is looked at is made up. */

const pairOf = (one: number, other: number, override: Partial<FlowIdentity> = {}) => ({
  source: makeIdentity(one, override),
  destination: makeIdentity(other, override),
});

const IDLE = {
  attached: false,
  pairs: 0,
  pairsWaiting: 0,
  receivedPieces: 0,
  sentPieces: 0,
  matchedPieces: 0,
  evictedPieces: 0,
  skippedBytes: 0,
};

t.test('attached while anybody is suspected, and for some seconds longer', async (t) => {
  using fingerprints = new Fingerprints(findCgroupRoot());
  t.equal(fingerprints.missing, null);
  t.same(fingerprints.status(), IDLE);
  fingerprints.watch([], 1_000);
  t.same(fingerprints.status(), IDLE);
  const pair = pairOf(1, 2);
  fingerprints.watch([pair, { source: pair.destination, destination: pair.source }], 2_000);
  t.same(fingerprints.status(), { ...IDLE, attached: true, pairs: 1 }, 'there and back is one');
  const nothing = { received: 0, sent: 0, matchedFrom: new Map() };
  t.same(
    fingerprints.read(),
    [1, 2].map((flow) => ({ flow, ...nothing })),
  );
  fingerprints.watch([], 12_000);
  t.ok(fingerprints.status().attached);
  fingerprints.watch([pair], 12_500);
  fingerprints.watch([], 22_500);
  t.ok(fingerprints.status().attached, 'suspected again meanwhile');
  fingerprints.watch([], 22_501);
  t.same(fingerprints.status(), IDLE);
  t.same(fingerprints.read(), []);
  fingerprints.watch([pair], 30_000);
  t.ok(fingerprints.status().attached, 'and anew');
});

t.test('a flow goes when its last pair does', async (t) => {
  using fingerprints = new Fingerprints(findCgroupRoot());
  const tcp = { protocol: 6 };
  fingerprints.watch([pairOf(1, 2), pairOf(1, 3), pairOf(4, 5, tcp)], 1_000);
  fingerprints.watch([pairOf(1, 3)], 12_000);
  t.same(
    fingerprints.read().map(({ flow }) => flow),
    [1, 3],
  );
});

t.test('a socket of two processes is looked at for one of them', async (t) => {
  using fingerprints = new Fingerprints(findCgroupRoot());
  for (const protocol of [6, 17]) {
    const shared = { protocol, cookie: 2n ** 63n };
    const [one, other] = [pairOf(1, 2, { protocol }), pairOf(3, 4, { protocol })];
    one.source = makeIdentity(1, shared);
    other.source = makeIdentity(3, { ...shared, slot: 8 });
    const begin = protocol * 100_000;
    fingerprints.watch([one, other], begin);
    fingerprints.watch([other], begin + 10_001);
    t.match(fingerprints.status(), { pairs: 1 });
    fingerprints.watch([], begin + 30_000);
    t.match(fingerprints.status(), { pairs: 0, attached: false });
  }
});

t.test('there is room for 128 flows: who comes later waits, and is counted', async (t) => {
  using fingerprints = new Fingerprints(findCgroupRoot());
  const many = Array.from({ length: 70 }, (_, index) => pairOf(2 * index + 1, 2 * index + 2));
  fingerprints.watch(many, 1_000);
  t.match(fingerprints.status(), { pairs: 64, pairsWaiting: 6 });
  fingerprints.watch([...many, pairOf(1, 4)], 2_000);
  t.match(fingerprints.status(), { pairs: 65, pairsWaiting: 6 }, 'two flows that are looked at need no more room');
  t.equal(fingerprints.read().length, 128);
  fingerprints.watch(many.slice(60), 13_000);
  t.match(fingerprints.status(), { pairs: 10, pairsWaiting: 0 });
  t.equal(fingerprints.read().length, 20);
});

t.test('Unix sockets have no packets', async (t) => {
  using fingerprints = new Fingerprints(findCgroupRoot());
  fingerprints.watch([{ source: makeIdentity(1), destination: makeIdentity(2, { family: 1 }) }], 1_000);
  t.same(fingerprints.status(), IDLE);
});

t.test('where it cannot be attached, that is said, and all else goes on', async (t) => {
  using fingerprints = new Fingerprints('/nonexistent');
  fingerprints.watch([pairOf(1, 2)], 1_000);
  t.match(fingerprints.missing, { feature: 'fingerprints', consequence: /cannot be compared/, reason: /nonexistent/ });
  t.equal(fingerprints.status().attached, false);
});
