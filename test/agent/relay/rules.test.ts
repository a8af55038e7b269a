import t from 'tap';
import type { Direction } from '../../../agent/relay/groups.ts';
import { rule } from '../../../agent/relay/rules.ts';
import { makeDirection, makeFlow } from './make-evidence.ts';

type Overrides = Partial<Direction>;

/** Its lags prove nothing, but they are short. */
const WEAK: Overrides = { auc: 0.7, sameRunShare: 0.3 };
/** Held for seconds: no send in the run of the receive, lags worse than chance. */
const HELD: Overrides = { auc: 0.3, sameRunShare: 0, lagP75Ms: 900 };
const HELD_CALL: Overrides = { ...HELD, datagrams: true, received: 160_000, periodic: true };
/** A fifth came within the last second and is not gone yet. */
const BEHIND: Overrides = { received: 1_000_000, sent: 800_000, due: [800_000] };
const SIZES = [20, 22, 18, 25, 19, 21, 17, 23];
const OTHER_SIZES = [23, 17, 24, 19, 22, 18, 25, 17];
const CROSSED: Overrides = { sizesByChance: 0.5, receivedSizes: SIZES, sentSizes: SIZES };
const BEAT: Overrides = { received: 64_000, periodic: true };
/** Frames of video at a constant pace. */
const IN_STEP: Overrides = { periodic: true, receives: 250 };
const UNRELATED = { slope: -0.05, correlation: -0.05 };
const RELATED = { slope: 1, correlation: 0.95 };
/** A thread of its own sends what another receives. */
const THREADS: Overrides = { auc: 0.97, sameRunShare: 0 };
/** Keys: 36 bytes of framing each, and sizes that follow. */
const TYPED: Overrides = { received: 5_000, sent: 8_600, receives: 100, sizes: { slope: 1, correlation: 0.95 } };
const PACKED: Overrides = { received: 2_000_000, sent: 1_000_000, receives: 300, auc: 0.9 };
const PACKED_LATE: Overrides = { ...PACKED, auc: 0.64, lagP75Ms: 50, periodic: true, sameRunShare: 0.5 };
const UNPACKED: Overrides = { received: 1_000_000, sent: 2_000_000, receives: 300, auc: 0.9 };

/** Voice of 160 bytes, in no step with what was heard. */
const SPOKEN: Overrides = { ...HELD, received: 60_000, receives: 375, sends: 375 };

/** A thread that sends in the run in which it receives: each way pays for some of the other, and its lags tell less. */
const PAID_ACROSS: Overrides = { received: 4_000_000, receives: 140, moved: 2_800_000, auc: 0.87 };
const PAID_ACROSS_BACK: Overrides = { received: 12_000_000, receives: 480, moved: 10_800_000, auc: 0.79 };
const PAID_ACROSS_OF_ONE_VOLUME: Overrides = { ...PAID_ACROSS_BACK, received: 4_000_000, moved: 2_800_000 };

const CASES: [string, Overrides[], string][] = [
  ['follows and conserves', [{}], 'relay causal'],
  ['the same both ways', [{}, {}], 'relay causal'],
  ['conserves just enough', [{ sent: 1_170_000 }], 'relay causal'],
  ['a web app with a database: follows, but sends something else', [{ sent: 2_000_000 }], 'none undecided'],
  ['a download that is not passed on', [{ moved: 500_000 }], 'none undecided'],
  ['sends in the run of receives, lags that speak against it', [{ auc: 0.55 }], 'none undecided'],
  ['another thread sends', [THREADS], 'relay causal'],
  ['another thread sends, at times independent flows reach', [{ ...THREADS, auc: 0.89 }], 'none undecided'],
  ['another thread sends at a constant rate', [{ ...THREADS, auc: 0.995, periodic: true }], 'relay causal'],
  [
    'another thread sends at a constant rate, sizes that vary as what came',
    [{ ...THREADS, periodic: true, sizes: RELATED }],
    'relay causal',
  ],
  [
    'another thread sends at a constant rate, of other sizes',
    [{ ...THREADS, periodic: true, sizes: UNRELATED }],
    'none undecided',
  ],
  ['two clocks of one rate', [{ ...THREADS, periodic: true }], 'none undecided'],
  ['some runs hold both, at constant rate', [{ auc: 0.98, sameRunShare: 0.6, periodic: true }], 'relay causal'],
  ['some runs hold both, lags not short enough', [{ auc: 0.8, sameRunShare: 0.6 }], 'none undecided'],
  ['fifteen sends', [{ receives: 15 }], 'none undecided'],
  ['sixteen sends', [{ receives: 16 }], 'relay causal'],
  ['forty sends of one old message', [{ receives: 2, sends: 40 }], 'none undecided'],
  ['a thousand bytes', [{ received: 1_000, receives: 100 }], 'none undecided'],

  ['one way follows, the other is near', [{}, WEAK], 'relay causal-one-way'],
  ['one way follows, the other conserves less', [{}, { ...WEAK, sent: 1_150_000 }], 'none undecided'],
  ['in bulk, each way pays for some of the other', [PAID_ACROSS, PAID_ACROSS_BACK], 'relay crossed'],
  ['the same, one way ends with less', [{ ...PAID_ACROSS, sent: 3_900_000 }, PAID_ACROSS_BACK], 'none undecided'],
  ['the same of two like streams', [PAID_ACROSS, PAID_ACROSS_OF_ONE_VOLUME], 'none undecided'],
  [
    'the same of two like streams, with little that is mixed',
    [
      { ...PAID_ACROSS, moved: 3_500_000 },
      { ...PAID_ACROSS_OF_ONE_VOLUME, moved: 3_500_000 },
    ],
    'relay crossed',
  ],
  [
    'the same of two like streams, where each way follows',
    [PAID_ACROSS, { ...PAID_ACROSS_OF_ONE_VOLUME, auc: 0.83 }],
    'relay crossed',
  ],
  ['the same, most of it mixed', [{ ...PAID_ACROSS, moved: 1_800_000 }, PAID_ACROSS_BACK], 'none undecided'],
  ['the same, at times that prove nothing', [{ ...PAID_ACROSS, auc: 0.75 }, PAID_ACROSS_BACK], 'none undecided'],
  ['the same one way', [PAID_ACROSS], 'none undecided'],
  ['the same in datagrams', [{ ...PAID_ACROSS, datagrams: true }, PAID_ACROSS_BACK], 'none undecided'],
  ['the same in small messages', [{ ...PAID_ACROSS, receives: 20_000 }, PAID_ACROSS_BACK], 'none undecided'],
  [
    'one way follows, the other has its own clock',
    [{}, { ...WEAK, periodic: true, sent: 960_000 }],
    'suspected undecided',
  ],
  [
    'a direction of a few bytes does not count',
    [{}, { ...HELD, received: 2_000, receives: 50, sends: 50 }],
    'relay causal',
  ],

  ['held both ways, equal', [HELD, { ...HELD, received: 300_000 }], 'relay held'],
  ['held, with something missing', [HELD, { ...HELD, received: 300_000, sent: 290_000 }], 'suspected undecided'],
  ['held, late credit but equal volumes', [HELD, { ...HELD, moved: 910_000 }], 'relay held'],
  ['two calls of its own over TCP, whose times jitter', [SPOKEN, SPOKEN], 'suspected undecided'],
  ['small messages, held, of other volumes', [SPOKEN, { ...SPOKEN, received: 30_000 }], 'relay held'],
  ['held one way only', [HELD], 'none undecided'],
  ['a fifth is still held, as of what is stored and asked for', [HELD, { ...HELD, ...BEHIND }], 'none undecided'],
  ['a heartbeat in step with another', [BEAT], 'suspected undecided'],
  ['a beat that is answered', [BEAT, BEAT], 'relay causal'],
  [
    'a broker that reads the head of each message first, and sends the whole to three',
    [
      {
        periodic: true,
        received: 1_000_000,
        receives: 2_000,
        sent: 3_000_000,
        sends: 1_500,
        copied: 2_000_000,
        sentShare: 1,
        conservation: 1,
      },
    ],
    'relay causal',
  ],
  ['a stream of its own in step with another of like volume', [{ ...IN_STEP, sent: 1_080_000 }], 'suspected undecided'],
  [
    '... in datagrams of other sizes',
    [{ ...IN_STEP, datagrams: true, sizes: UNRELATED, sizesByChance: 0.5 }],
    'suspected undecided',
  ],
  ['a stream that is cut anew as it is passed on', [{ ...IN_STEP, sizes: UNRELATED }], 'relay causal'],
  [
    'a stream of its own, sent whenever the loop is woken by another',
    [{ ...IN_STEP, settledShare: 0.04 }],
    'suspected undecided',
  ],
  ['a stream that is passed on without its frames', [{ ...IN_STEP, settledShare: 0, sent: 980_000 }], 'relay causal'],
  ['a stream that is passed on', [IN_STEP], 'relay causal'],
  [
    'a stream that is passed on in frames',
    [{ ...IN_STEP, received: 100_000, sent: 108_000, sizes: RELATED }],
    'relay causal',
  ],
  ['... of what came long ago', [HELD_CALL, { ...HELD_CALL, ...BEHIND, due: [900_000] }], 'none undecided'],
  ['... and hardly anything came long ago', [HELD_CALL, { ...HELD_CALL, ...BEHIND, due: [400_000] }], 'none undecided'],
  ['a third is still held', [HELD_CALL, { ...HELD_CALL, ...BEHIND, sent: 660_000, due: [600_000] }], 'none undecided'],
  [
    'two constant streams of one volume',
    [
      { ...HELD, periodic: true },
      { ...HELD, periodic: true },
    ],
    'suspected undecided',
  ],
  [
    'two constant streams of different volumes',
    [
      { ...HELD, periodic: true },
      { ...HELD, periodic: true, received: 400_000 },
    ],
    'relay held',
  ],

  [
    'answers in bursts that seem to keep time, sent on in slices without a sleep',
    [{}, { sent: 950_000, periodic: true, auc: 0.55, lagP75Ms: 1 }],
    'relay causal-one-way',
  ],
  [
    '... after a sleep',
    [{}, { sent: 950_000, periodic: true, auc: 0.55, lagP75Ms: 1, sameRunShare: 0.3 }],
    'suspected undecided',
  ],
  [
    '... in small messages',
    [{}, { sent: 950_000, periodic: true, auc: 0.55, lagP75Ms: 1, receives: 10_000 }],
    'suspected undecided',
  ],
  [
    '... in datagrams',
    [{}, { sent: 950_000, periodic: true, auc: 0.55, lagP75Ms: 1, datagrams: true }],
    'suspected undecided',
  ],

  ['a jitter buffer with packets of varying size', [HELD_CALL, HELD_CALL], 'relay held-datagrams'],
  ['... whose sizes differ', [HELD_CALL, { ...HELD_CALL, sizesByChance: 0.01 }], 'suspected undecided'],
  ['... of two sizes', [HELD_CALL, { ...HELD_CALL, sizeVariety: 2 }], 'suspected undecided'],
  [
    '... two of which are taken for each other',
    [
      { ...HELD_CALL, ...CROSSED, sentSizes: OTHER_SIZES },
      { ...HELD_CALL, ...CROSSED, receivedSizes: OTHER_SIZES },
      HELD_CALL,
    ],
    'relay held-datagrams',
  ],
  [
    '... two of which have nothing to do with each other',
    [{ ...HELD_CALL, ...CROSSED }, { ...HELD_CALL, ...CROSSED, sentSizes: OTHER_SIZES }, HELD_CALL],
    'suspected undecided',
  ],
  ['... one way, where sizes may agree by chance', [{ ...HELD_CALL, sizesByChance: 1e-4 }], 'none undecided'],
  ['... of which the last fifth is still held', [HELD_CALL, { ...HELD_CALL, ...BEHIND }], 'relay held-datagrams'],
  ['... that lost a tenth', [HELD_CALL, { ...HELD_CALL, sent: 144_000 }], 'suspected undecided'],
  [
    '... of whose credit a tenth went to another call',
    [HELD_CALL, { ...HELD_CALL, moved: 144_000 }],
    'relay held-datagrams',
  ],

  ['typing through a tunnel', [TYPED, TYPED], 'relay framed'],
  ['... where sizes do not follow', [{ ...TYPED, sizes: { slope: 0.2, correlation: 0.3 } }], 'suspected undecided'],
  ['... where all have one size', [{ ...TYPED, sizes: null }], 'suspected undecided'],
  ['... with 100 bytes a message missing', [{ ...TYPED, sent: 15_000 }], 'none undecided'],
  ['... that does not follow', [{ ...TYPED, auc: 0.85 }], 'none undecided'],

  ['packed and unpacked', [PACKED, UNPACKED], 'relay compressed'],
  ['packed one way only', [PACKED], 'none undecided'],
  ['packed more than unpacked', [PACKED, { ...UNPACKED, sent: 1_400_000 }], 'none undecided'],
  ['packed at a constant pace, leftovers of which pay late', [PACKED_LATE, UNPACKED], 'relay compressed'],
  ['... by another ratio than it is unpacked', [{ ...PACKED_LATE, sent: 1_050_000 }, UNPACKED], 'none undecided'],
  ['... and unpacked as late', [PACKED_LATE, { ...PACKED_LATE, ...UNPACKED, auc: 0.64 }], 'none undecided'],
  ['packed, with some of it not matched', [{ ...PACKED, moved: 900_000 }, UNPACKED], 'none undecided'],
  [
    'packed, too little of it',
    [{ ...PACKED, received: 40_000, sent: 20_000, receives: 20 }, UNPACKED],
    'none undecided',
  ],
];

t.test('the rule for an exchange', async (t) => {
  for (const [what, directions, expected] of CASES) {
    const { verdict, kind } = rule(directions.map(makeDirection));
    t.equal(`${verdict} ${kind}`, expected, what);
  }
});

t.test('answers that follow weakly, to requests too small to count', async (t) => {
  const [client, server] = [makeFlow('1'), makeFlow('2')];
  const answers = {
    sources: [server],
    destinations: [client],
    received: 3_600_000,
    sent: 3_500_000,
    sends: 900,
    auc: 0.27,
    lagP75Ms: 0.4,
  };
  const requests = {
    sources: [client],
    destinations: [server],
    received: 30_000,
    sent: 29_900,
    receives: 120,
    sends: 60,
  };
  const ruled = (one: Partial<Direction>, other: Partial<Direction>): string => {
    return rule([makeDirection({ ...answers, ...one }), makeDirection({ ...requests, ...other })]).verdict;
  };
  t.equal(ruled({}, {}), 'relay');
  t.equal(ruled({ sameRunShare: 0.5 }, {}), 'none', 'answers that come after a sleep');
  t.equal(ruled({}, { sent: 40_000 }), 'none', 'requests that are not passed on');
  t.equal(ruled({}, { auc: 0.7 }), 'none', 'requests that do not follow');
  t.equal(ruled({}, { sources: [makeFlow('3')] }), 'none', "somebody else's");
  t.equal(ruled({}, { sends: 10 }), 'none', 'a few');
});

t.test('a download that is held, asked for to the byte', async (t) => {
  const [client, server, other] = [makeFlow('1'), makeFlow('2'), makeFlow('3')];
  const held = { ...HELD, sources: [server], destinations: [client], received: 4_000_000, receives: 300, sends: 900 };
  const asked = { sources: [client], destinations: [server], received: 160, receives: 1, sends: 1 };
  const ruled = (one: Partial<Direction>, request: Partial<Direction>): string => {
    const { verdict, kind } = rule([makeDirection({ ...held, ...one }), makeDirection({ ...asked, ...request })]);
    return `${verdict} ${kind}`;
  };
  t.equal(ruled({}, {}), 'relay held');
  t.equal(ruled({}, { received: 161, sent: 160 }), 'none undecided', 'a byte more was said');
  t.equal(ruled({}, { moved: 150 }), 'none undecided', 'some of it had not been said before');
  t.equal(ruled({}, { received: 40 }), 'none undecided', 'a request that says nothing');
  t.equal(ruled({}, { sources: [other] }), 'none undecided', "somebody else's");
  t.equal(ruled({ sources: [server, other] }, {}), 'none undecided', 'another source that nobody asked');
  t.equal(ruled({ sent: 3_900_000 }, {}), 'none undecided', 'some is missing');
  t.equal(ruled({ datagrams: true, sizesByChance: 1 }, {}), 'none undecided', 'datagrams');
});

t.test('a download that is held, asked for by requests that are encrypted anew', async (t) => {
  const [client, server, other] = [makeFlow('1'), makeFlow('2'), makeFlow('3')];
  const held = { ...HELD, sources: [server], destinations: [client], received: 3_153_143, sent: 3_152_903 };
  const asked = { sources: [client], destinations: [server], received: 20_625, sent: 20_451, receives: 7, sends: 8 };
  const ruled = (one: Partial<Direction>, request: Partial<Direction>): string => {
    const bulk = makeDirection({ ...held, moved: 3_001_406, ...one });
    const { verdict, kind } = rule([bulk, makeDirection({ ...asked, moved: 19_639, ...request })]);
    return `${verdict} ${kind}`;
  };
  t.equal(ruled({}, {}), 'relay held');
  t.equal(ruled({ sent: 3_100_000 }, {}), 'none undecided', 'some is missing');
  t.equal(ruled({}, { sent: 19_900 }), 'none undecided', 'requests that differ by more than a handshake');
  t.equal(ruled({}, { moved: 15_000 }), 'none undecided', 'requests that had not been said before');
  t.equal(ruled({}, { received: 900, sent: 895, moved: 890 }), 'none undecided', 'next to nothing');
  t.equal(ruled({}, { sources: [other] }), 'none undecided', "somebody else's");
  t.equal(ruled({}, { destinations: [server, other] }), 'none undecided', 'asked for elsewhere, too');
  const [typist, host] = [makeFlow('4'), makeFlow('5')];
  const bulk = makeDirection({ ...held, sources: [server, host], destinations: [client, typist], moved: 3_001_406 });
  const one = makeDirection({ ...asked, moved: 20_132 });
  const chat = {
    sources: [typist],
    destinations: [host],
    received: 10_420,
    sent: 10_160,
    moved: 9_416,
    sends: 23,
    receives: 24,
  };
  t.equal(rule([bulk, one, makeDirection(chat)]).kind, 'held', 'two connections, of which one paid for the other');
  t.equal(rule([bulk, one]).kind, 'undecided', 'two, of which one was asked');
});

t.test('many equal directions all count, however small each one is', async (t) => {
  const good = Array.from({ length: 60 }, () => makeDirection());
  t.equal(rule(good).verdict, 'relay');
  t.equal(rule(good.map(() => makeDirection({ sent: 2_000_000 }))).verdict, 'none');
});
