import t from 'tap';
import type { FlowEvidence } from '../../../agent/relay/evidence.ts';
import { RelayLedger } from '../../../agent/relay/ledger.ts';
import { findTwins } from '../../../agent/relay/twins.ts';
import type { Known } from '../../../agent/relay/volumes.ts';
import { makeFlow, makePair } from './make-evidence.ts';

const NOBODY = { isOther: () => false, isFound: () => false };

/** What two dozen clients have said and heard. */
const TOTALS = Array.from({ length: 24 }, (_, index): [number, number] => [400 + 37 * index, 900 + 101 * index]);

const accepted = (totals: readonly (readonly [number, number])[]): FlowEvidence[] =>
  totals.map(([received, sent], index) =>
    makeFlow(`in${index}`, { opened: 'accepted', received, sent, receives: 8, sends: 8, firstMs: 10 * index }),
  );

const connected = (
  totals: readonly (readonly [number, number])[],
  overrides: Partial<FlowEvidence> = {},
): FlowEvidence[] =>
  totals.map(([said, heard], index) => {
    const moved = { received: heard, sent: said, receives: 8, sends: 8 };
    return makeFlow(`out${index}`, { opened: 'connected', ...moved, firstMs: 10 * index + 1, ...overrides });
  });

const twinsIn = (flows: readonly FlowEvidence[], known: Known = NOBODY): number =>
  (findTwins(flows, known)?.directions.length ?? 0) / 2;

const CASES: [string, FlowEvidence[], number][] = [
  ['each has a twin', [...accepted(TOTALS), ...connected(TOTALS)], 24],
  [
    'a quarter of them have said something that is held',
    [
      ...accepted(TOTALS.map(([said, heard], index) => [index % 4 ? said : said + 50, heard] as const)),
      ...connected(TOTALS),
    ],
    18,
  ],
  [
    'most of them have',
    [...accepted(TOTALS.map(([said, heard]) => [said + 50, heard] as const)), ...connected(TOTALS)],
    0,
  ],
  [
    'requests are passed on, answers are its own',
    [...accepted(TOTALS), ...connected(TOTALS.map(([said]) => [said, 77]))],
    0,
  ],
  ['too few to tell', [...accepted(TOTALS.slice(0, 7)), ...connected(TOTALS.slice(0, 7))], 0],
  [
    'all say the same, as where somebody looks whether it lives',
    [...accepted(TOTALS.map(() => [400, 900])), ...connected(TOTALS.map(() => [400, 900]))],
    0,
  ],
  ['those that it opened were there before', [...accepted(TOTALS), ...connected(TOTALS, { firstMs: -1 })], 0],
  ['... or came minutes later', [...accepted(TOTALS), ...connected(TOTALS, { firstMs: 120_000 })], 0],
  ['both ends are one host', [...accepted(TOTALS), ...connected(TOTALS)].map((flow) => ({ ...flow, host: 'one' })), 0],
  ['nobody has opened any from elsewhere', [...connected(TOTALS), ...connected(TOTALS)], 0],
];

for (const [what, flows, twins] of CASES) t.test(what, async (t) => t.equal(twinsIn(flows), twins));

t.test('of flows that relay in another way nothing more is said', async (t) => {
  const flows = [...accepted(TOTALS), ...connected(TOTALS)];
  const isOther = ({ id }: FlowEvidence): boolean => id.startsWith('in');
  t.equal(twinsIn(flows, { ...NOBODY, isOther }), 0);
});

t.test('a ruled twin is billed by its totals, whatever was matched with what', async (t) => {
  const ledger = new RelayLedger();
  const flows = [...accepted(TOTALS), ...connected(TOTALS)];
  const mixed = TOTALS.map((_, index) => {
    const few = { moved: 150, moves: 3, sameRun: 0, direct: 0, settled: 0 };
    return makePair(`in${index}`, `out${(index + 5) % 24}`, few);
  });
  const state = { key: 'held', pid: 7, name: 'held', ended: false, fifos: [] };
  for (const nowMs of [1_000, 2_000]) {
    ledger.update(state, flows, mixed, nowMs);
    ledger.judge(nowMs);
  }
  const bytes = TOTALS.reduce((sum, [said, heard]) => sum + said + heard, 0);
  t.match(ledger.relayOf('held'), { verdict: 'relay', receivedBytes: bytes, sentBytes: bytes });
  t.equal(ledger.relays()[0]?.kind, 'twins');
});
