import t from 'tap';
import { judgeEvidence } from '../../../agent/relay/judgement.ts';
import { makeEvidence, makeFlow, makePair } from './make-evidence.ts';

t.test('what compression leaves over and the flow itself sends later joins nothing', async (t) => {
  const plain = { received: 2_000_000, sent: 2_000_000, receives: 400, sends: 400 };
  const packed = { received: 1_000_000, sent: 1_000_000, receives: 400, sends: 400 };
  const flows = [makeFlow('1', plain), makeFlow('2', packed)];
  const pairs = [
    makePair('1', '2', { moved: 1_000_000, moves: 400, sameRun: 400 }),
    makePair('2', '1', { moved: 1_000_000, moves: 400, sameRun: 400 }),
    makePair('1', '1', { moved: 300_000, moves: 400 }),
  ];
  t.match(
    judgeEvidence(makeEvidence(flows, pairs)).filter(({ verdict }) => verdict === 'relay'),
    [{ kind: 'compressed', directions: { length: 2 } }],
  );
});
