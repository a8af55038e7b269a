import t from 'tap';
import {
  compare,
  describeComparison,
  type FlowPrints,
  PrintLog,
  proveVerbatim,
} from '../../../agent/relay/fingerprints.ts';
import { directionOf, exchanges } from '../../../agent/relay/groups.ts';
import { type Finding, judgeEvidence } from '../../../agent/relay/judgement.ts';
import { RelayLedger } from '../../../agent/relay/ledger.ts';
import { histogram, LATE, makeEvidence, makeFlow, makePair, PACED } from './make-evidence.ts';

/** A call of constant rate and size. */
const CALL = { protocol: 'udp', received: 160_000, sent: 160_000, receives: 1_000, sends: 1_000 } as const;
const CONSTANT = { ...CALL, gaps: histogram({ [PACED]: 999 }), receivedSizes: [1_000], sentSizes: [1_000] };
/** All of it went out again, some time later. */
const HELD = { moved: 160_000, moves: 1_000, sameRun: 0, direct: 0, lags: histogram({ [LATE]: 1_000 }) };

function prints(flow: string, sent: number, from: Record<string, number> = {}, received = sent): FlowPrints {
  return { flow, received, sent, matchedFrom: new Map(Object.entries(from)) };
}

function printsOf(...list: FlowPrints[]): Map<string, FlowPrints> {
  return new Map(list.map((one) => [one.flow, one]));
}

/** As `source>destination`, by verdict. */
function pairsOf(findings: readonly Finding[], verdict: Finding['verdict']): string[] {
  return findings
    .filter((finding) => finding.verdict === verdict)
    .flatMap(({ directions }) =>
      directions.flatMap(({ edges }) => edges.map(({ pair }) => `${pair.source}>${pair.destination}`)),
    )
    .sort();
}

const one = makeEvidence(
  [makeFlow('1', CONSTANT), makeFlow('2', CONSTANT)],
  [makePair('1', '2', HELD), makePair('2', '1', HELD)],
);
/** Times have given the bytes of each call to the other one. */
const crossed = makeEvidence(
  ['1', '2', '3', '4'].map((id) => makeFlow(id, CONSTANT)),
  [makePair('1', '4', HELD), makePair('4', '1', HELD), makePair('3', '2', HELD), makePair('2', '3', HELD)],
);

t.test('what content proves of a suspected call', async (t) => {
  const cases: [string, FlowPrints[], relayed: string[], suspected: string[]][] = [
    ['nothing was compared', [], [], ['1>2', '2>1']],
    ['all came in', [prints('1', 90, { 2: 90 }), prints('2', 90, { 1: 90 })], ['1>2', '2>1'], []],
    ['half of it came in', [prints('1', 90, { 2: 45 }), prints('2', 90, { 1: 45 })], ['1>2', '2>1'], []],
    [
      'less than half: it may have been encrypted anew',
      [prints('1', 90, { 2: 44 }), prints('2', 90)],
      [],
      ['1>2', '2>1'],
    ],
    ['enough pieces', [prints('1', 32, { 2: 32 }), prints('2', 32, { 1: 32 })], ['1>2', '2>1'], []],
    ['too few pieces', [prints('1', 31, { 2: 31 }), prints('2', 31, { 1: 31 })], [], ['1>2', '2>1']],
    ['one way only', [prints('1', 90), prints('2', 90, { 1: 90 })], ['1>2'], ['2>1']],
    ['it sends back what it hears', [prints('1', 90, { 1: 90 }), prints('2', 90, { 2: 90 })], [], ['1>2', '2>1']],
    ['a flow that is gone', [prints('9', 90, { 8: 90 })], [], ['1>2', '2>1']],
  ];
  for (const [name, list, relayed, suspected] of cases) {
    const findings = proveVerbatim(judgeEvidence(one), printsOf(...list), one);
    t.same(pairsOf(findings, 'relay'), relayed, name);
    t.same(pairsOf(findings, 'suspected'), suspected, `${name}: the rest`);
  }
});

t.test('which call is whose, is told by content, not by times', async (t) => {
  const both = printsOf(
    prints('1', 90, { 2: 88 }),
    prints('2', 90, { 1: 80 }),
    prints('3', 90, { 4: 88 }),
    prints('4', 90, { 3: 88 }),
  );
  const findings = proveVerbatim(judgeEvidence(crossed), both, crossed);
  t.same(pairsOf(findings, 'relay'), ['1>2', '2>1', '3>4', '4>3']);
  t.same(pairsOf(findings, 'suspected'), []);
  const relayed = findings.filter(({ verdict }) => verdict === 'relay');
  t.same(new Set(relayed.map(({ kind }) => kind)), new Set(['verbatim']));
});

t.test('a call of its own beside one that it relays stays what it is', async (t) => {
  const evidence = makeEvidence(
    ['1', '2', '3', '4'].map((id) => makeFlow(id, CONSTANT)),
    ['1>2', '1>4', '3>2', '3>4', '2>1', '2>3', '4>1', '4>3'].map((pair) => {
      const [source = '', destination = ''] = pair.split('>');
      return makePair(source, destination, { ...HELD, moved: 80_000, moves: 500, lags: histogram({ [LATE]: 500 }) });
    }),
  );
  const compared = printsOf(prints('1', 90, { 2: 90 }), prints('2', 90, { 1: 90 }), prints('3', 90), prints('4', 90));
  const findings = proveVerbatim(judgeEvidence(evidence), compared, evidence);
  t.same(pairsOf(findings, 'relay'), ['1>2', '2>1']);
  t.same(pairsOf(findings, 'suspected'), ['3>4', '4>3']);
});

t.test('what is sent to one host is never relayed to it from the same', async (t) => {
  const evidence = makeEvidence(
    [makeFlow('1', { ...CONSTANT, host: 'a' }), makeFlow('2', { ...CONSTANT, host: 'a' }), makeFlow('3', CONSTANT)],
    [makePair('1', '3', HELD), makePair('3', '1', HELD)],
  );
  const findings = proveVerbatim(judgeEvidence(evidence), printsOf(prints('2', 90, { 1: 90 })), evidence);
  t.same(pairsOf(findings, 'relay'), []);
});

t.test('what times have ruled already is not ruled again', async (t) => {
  const evidence = makeEvidence([makeFlow('1'), makeFlow('2')], [makePair('1', '2'), makePair('2', '1')]);
  const compared = printsOf(prints('1', 90, { 2: 90 }), prints('2', 90, { 1: 90 }));
  const findings = proveVerbatim(judgeEvidence(evidence), compared, evidence);
  t.same(
    findings.map(({ kind }) => kind),
    ['causal'],
  );
});

t.test('one to many: each copy is compared with what came in', async (t) => {
  const evidence = makeEvidence(
    [makeFlow('1', { ...CONSTANT, sent: 0, sends: 0 }), ...['2', '3'].map((id) => makeFlow(id, CONSTANT))],
    [makePair('1', '2', HELD), makePair('1', '3', { ...HELD, moved: 0, moves: 0, copied: 160_000, copies: 1_000 })],
  );
  const compared = printsOf(prints('1', 0, {}, 90), prints('2', 90, { 1: 90 }), prints('3', 90, { 1: 89 }));
  const findings = proveVerbatim([], compared, evidence);
  t.same(pairsOf(findings, 'relay'), ['1>2', '1>3']);
  const [direction] = exchanges(directionOf(evidence, [...evidence.pairs.values()]).edges).flat();
  const total = direction && compare(direction, compared);
  t.same(total, { receivedPieces: 90, sentPieces: 180, matchedPieces: 179 });
  t.match(total && describeComparison(total), /^179 of 180 sampled pieces/);
});

t.test('a flow that is looked at again begins at nothing, and loses nothing', async (t) => {
  const log = new PrintLog();
  t.ok(log.add(prints('1', 10, { 2: 5 })));
  t.notOk(log.add(prints('1', 10, { 2: 5 })), 'nothing new');
  t.ok(log.add(prints('1', 20, { 2: 9 })));
  t.same(log.sums.get('1'), prints('1', 20, { 2: 9 }));
  t.ok(log.add(prints('1', 0)));
  t.same(log.sums.get('1'), prints('1', 20, { 2: 9 }));
  log.add(prints('1', 7, { 2: 3, 3: 1 }));
  t.same(log.sums.get('1'), prints('1', 27, { 2: 12, 3: 1 }));
  log.delete('1');
  t.equal(log.sums.size, 0);
  log.add(prints('1', 1));
  t.same(log.sums.get('1'), prints('1', 1), 'its past is forgotten');
});

t.test('the ledger: suspected until content proves it, then billed from the beginning', async (t) => {
  const state = { key: '7:1', pid: 7, name: 'hub', ended: false, fifos: [] };
  const ledger = new RelayLedger();
  const judge = (second: number): void => {
    ledger.update(state, [...crossed.flows.values()], [...crossed.pairs.values()], 1_000 * second);
    ledger.judge(1_000 * second);
  };
  for (const second of [1, 2, 3]) judge(second);
  t.match(ledger.relayOf(state.key), { verdict: 'suspected', receivedBytes: 0, confidence: 0.499 });
  const named = ledger.suspectedPairs().map(({ source, destination }) => `${source}>${destination}`);
  t.same(named.sort(), ['1>4', '2>3', '3>2', '4>1']);

  ledger.compare([prints('1', 90), prints('2', 90), prints('3', 90), prints('4', 90)]);
  for (const second of [4, 5]) judge(second);
  t.equal(ledger.relayOf(state.key).verdict, 'suspected', 'content that differs proves nothing');
  t.match(ledger.relays()[0], { why: /; 0 of 90 sampled pieces/, fingerprints: { sentPieces: 90, matchedPieces: 0 } });

  ledger.compare([
    prints('1', 300, { 2: 200 }),
    prints('2', 300, { 1: 200 }),
    prints('3', 300, { 4: 200 }),
    prints('4', 300, { 3: 200 }),
  ]);
  for (const second of [6, 7]) judge(second);
  const relay = ledger.relayOf(state.key);
  t.match(relay, { verdict: 'relay', confidence: 0.99, receivedBytes: 640_000, sentBytes: 640_000 });
  for (const reading of ledger.relays()) {
    t.match(reading, { kind: 'verbatim', fromCount: 1, toCount: 1, receivedBytes: 160_000 });
    t.match(
      reading.why,
      /to the letter.*; 200 of 300 sampled pieces of what it sent to the one had come from the other/,
    );
  }
  t.same(ledger.suspectedPairs(), [], 'nothing is left to compare');
});

t.test('nobody compares what ended', async (t) => {
  const state = { key: '7:1', pid: 7, name: 'hub', fifos: [] };
  const ledger = new RelayLedger();
  ledger.update({ ...state, ended: false }, [...one.flows.values()], [...one.pairs.values()], 1_000);
  ledger.judge(1_000);
  t.equal(ledger.suspectedPairs().length, 2);
  ledger.update({ ...state, ended: true }, [], [], 2_000);
  ledger.judge(2_000);
  t.same(ledger.suspectedPairs(), []);
});
