import t from 'tap';
import type { FlowEvidence } from '../../../agent/relay/evidence.ts';
import { RelayLedger } from '../../../agent/relay/ledger.ts';
import { findStored } from '../../../agent/relay/stored.ts';
import { makeEvidence, makeFlow, makePair } from './make-evidence.ts';

/** Sizes as letters have them: nothing repeats. */
const SIZES: readonly number[] = [89_060, 33_676, 156_482, 69_852, 117_268, 50_216, 100_612, 18_446, 136_690, 55_672];
const NOBODY = { isOther: () => false, isFound: () => false };

/** Left with it on a connection each, one every 300 ms. */
function left(sizes: readonly number[]): FlowEvidence[] {
  return sizes.map((received, index) =>
    makeFlow(`in${index}`, { opened: 'accepted', received, sent: 75, receives: 20, sends: 7, firstMs: 300 * index }),
  );
}

/** Sent on, with an envelope of about 92 bytes, seconds later and in another order. */
function sentOn(sizes: readonly number[], overrides: Partial<FlowEvidence> = {}): FlowEvidence[] {
  return sizes.toReversed().map((size, index) => {
    const moved = { received: 56, sent: size + 92 + (index % 3), receives: 7, sends: 12 };
    return makeFlow(`out${index}`, { opened: 'connected', ...moved, firstMs: 5_000 + 100 * index, ...overrides });
  });
}

const pieces = (counts: readonly number[]): number[] => counts.map((count) => count * 16_397);

const CASES: [string, FlowEvidence[], number][] = [
  ['letters that are sent on', [...left(SIZES), ...sentOn(SIZES)], SIZES.length],
  ['... most of them; others stay here', [...left(SIZES), ...sentOn(SIZES.slice(0, 8))], 8],
  ['seven letters', [...left(SIZES.slice(0, 7)), ...sentOn(SIZES.slice(0, 7))], 0],
  ['letters of its own', [...left(SIZES), ...sentOn(SIZES.map((size) => size + 5_000 + (size % 777)))], 0],
  ['uploads of one size', [...left(SIZES.map(() => 50_000)), ...sentOn(SIZES.map(() => 50_000))], 0],
  [
    'pieces of a torrent, as many each as chance has it',
    [...left(pieces([3, 1, 4, 1, 5, 9, 2, 6, 5, 3])), ...sentOn(pieces([2, 7, 1, 8, 2, 8, 1, 8, 2, 8]))],
    0,
  ],
  ['sent before it came', [...left(SIZES), ...sentOn(SIZES, { firstMs: -1 })], 0],
  ['minutes later', [...left(SIZES), ...sentOn(SIZES, { firstMs: 120_000 })], 0],
  ['back to where it came from', [...left(SIZES), ...sentOn(SIZES)].map((flow) => ({ ...flow, host: 'one' })), 0],
  [
    'fetched, and served to who asks for it',
    [
      ...left(SIZES).map((flow): FlowEvidence => ({ ...flow, opened: 'connected' })),
      ...sentOn(SIZES, { opened: 'accepted' }),
    ],
    0,
  ],
  ['answered with as much', [...left(SIZES).map((flow) => ({ ...flow, sent: flow.received })), ...sentOn(SIZES)], 0],
];

for (const [what, flows, letters] of CASES) {
  t.test(what, async (t) => {
    t.equal(findStored(makeEvidence(flows, []), NOBODY)?.directions.length ?? 0, letters);
  });
}

t.test('of flows that relay in another way nothing more is said', async (t) => {
  const flows = [...left(SIZES), ...sentOn(SIZES)];
  t.equal(findStored(makeEvidence(flows, []), { ...NOBODY, isOther: ({ id }) => id.startsWith('in') }), null);
});

t.test('a mail relay is billed letter by letter, whatever times have matched with what', async (t) => {
  const ledger = new RelayLedger();
  const state = { key: '1', pid: 1, name: 'mail', ended: false, fifos: [] };
  const more = [...SIZES, 77_777];
  const [first, then] = [
    [...left(SIZES), ...sentOn(SIZES)],
    [...left(more).slice(-1), ...sentOn([77_777]).map((flow) => ({ ...flow, id: 'out10' }))],
  ];
  const crossed = makePair('in3', 'out3', { moved: 20_000, moves: 5 });
  ledger.update(state, first, [crossed], 10_000);
  const changes = [10_000, 11_000, 12_000].flatMap((nowMs) => ledger.judge(nowMs));
  t.match(changes, [{ verdict: 'relay', kind: 'stored', role: 'third-party' }]);
  const bytes = SIZES.reduce((sum, size) => sum + size, 0);
  t.match(ledger.relayOf('1'), { receivedBytes: bytes, sentBytes: bytes });
  ledger.update(state, then, [makePair('in10', 'out10', { moved: 100, moves: 1 })], 13_000);
  for (const nowMs of [13_000, 14_000]) ledger.judge(nowMs);
  t.equal(ledger.relayOf('1').sentBytes, bytes + 77_777, 'one letter more');
});
