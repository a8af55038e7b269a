import t from 'tap';
import { withoutBridges } from '../../../agent/relay/bridges.ts';
import type { Evidence } from '../../../agent/relay/evidence.ts';
import { edgesOf } from '../../../agent/relay/groups.ts';
import { judgeEvidence } from '../../../agent/relay/judgement.ts';
import { BURST, histogram, makeEvidence, makeFlow, makePair, SOON } from './make-evidence.ts';

function left(evidence: Evidence): string[] {
  return withoutBridges(edgesOf(evidence)).map(({ pair }) => `${pair.source}>${pair.destination}`);
}

const thereAndBack = [makePair('1', '2'), makePair('2', '1')];

t.test('a destination that takes next to nothing from two directions joins them no more', async (t) => {
  const flows = [makeFlow('1'), makeFlow('2'), makeFlow('3', { sent: 160 })];
  const asked = [makePair('1', '3', { moved: 40 }), makePair('2', '3', { moved: 120 })];
  t.same(left(makeEvidence(flows, [...thereAndBack, ...asked])), ['1>2', '2>1', '2>3']);
});

t.test('one that takes much does', async (t) => {
  const flows = [makeFlow('1'), makeFlow('2'), makeFlow('3')];
  const asked = [makePair('1', '3', { moved: 40_000 }), makePair('2', '3', { moved: 50_000 })];
  t.same(left(makeEvidence(flows, [...thereAndBack, ...asked])), ['1>2', '2>1', '1>3', '2>3']);
});

t.test('many small streams in one connection stay together', async (t) => {
  const streams = Array.from({ length: 300 }, (_, index) => makeFlow(`s${index}`, { received: 500, sent: 500 }));
  const pairs = streams.flatMap(({ id }) => [makePair('1', id, { moved: 500 }), makePair(id, '1', { moved: 500 })]);
  const trunk = makeFlow('1', { received: 150_000, sent: 150_000 });
  t.equal(left(makeEvidence([trunk, ...streams], pairs)).length, 600);
});

t.test('so do many clients of two servers, each of which carries little to either', async (t) => {
  const clients = Array.from({ length: 400 }, (_, index) => makeFlow(`c${index}`, { received: 1_000 }));
  const servers = [makeFlow('1', { sent: 220_000 }), makeFlow('2', { sent: 180_000 })];
  const pairs = clients.flatMap(({ id }) => [makePair(id, '1', { moved: 550 }), makePair(id, '2', { moved: 450 })]);
  t.equal(left(makeEvidence([...clients, ...servers], pairs)).length, 800);
});

t.test('a forward proxy that sends answers in slices and asks for names in between', async (t) => {
  const client = makeFlow('client', { received: 200_000, sent: 2_000_000 });
  const flows = [client, makeFlow('names', { protocol: 'udp', received: 0, sent: 240, receives: 0, sends: 6 })];
  const pairs = [
    makePair('client', 'names', { moved: 40, moves: 1 }),
    makePair('server 0', 'names', { moved: 200, moves: 5 }),
  ];
  for (let index = 0; index < 20; index++) {
    const id = `server ${index}`;
    // Two or three bursts, of which each is sent on for as long as the next one is away.
    flows.push(makeFlow(id, { received: 100_000, sent: 10_000, receives: 4, gaps: histogram({ 0: 1, [BURST]: 2 }) }));
    pairs.push(makePair('client', id, { moved: 10_000, moves: 10, sameRun: 10, lags: histogram({ 0: 10 }) }));
    const lags = histogram({ [SOON]: 4, [BURST - 1]: 5, [BURST]: 16 });
    pairs.push(makePair(id, 'client', { moves: 25, sameRun: 25, lags }));
  }
  const relayed = judgeEvidence(makeEvidence(flows, pairs)).filter(({ verdict }) => verdict === 'relay');
  t.same(
    relayed.map(({ kind, directions }) => [kind, directions.length]),
    [['causal-one-way', 2]],
  );
});
