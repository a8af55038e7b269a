import t from 'tap';
import type { Relay } from '../../../agent/readings.ts';
import type { FlowEvidence, PairEvidence } from '../../../agent/relay/evidence.ts';
import { RelayLedger } from '../../../agent/relay/ledger.ts';
import { makeFlow, makePair } from './make-evidence.ts';

const SAID = 100_000;
const HOSTS = ['one', 'one', 'one', 'other', 'other', 'other'];

/** Six members on two hosts: what is said on one host reaches the other's as a first sending and two copies. */
function members(heardOf: (own: number, all: number) => number): FlowEvidence[] {
  const all = SAID * HOSTS.length;
  return HOSTS.map((host, i) => makeFlow(`${i}`, { host, received: SAID, sent: heardOf(SAID, all), sends: 600 }));
}

function pairs(lags?: readonly number[]): PairEvidence[] {
  const timed = lags ? { lags } : {};
  return HOSTS.flatMap((from, i) =>
    HOSTS.flatMap((to, j) => {
      if (from === to) return [];
      const isFirst = j % 3 === 0;
      const carried = isFirst ? { moved: SAID } : { moved: 0, moves: 0, sameRun: 0, copied: SAID, copies: 100 };
      return [makePair(`${i}`, `${j}`, { ...carried, ...timed })];
    }),
  );
}

function judge(flows: readonly FlowEvidence[], between: readonly PairEvidence[]): Relay {
  const ledger = new RelayLedger();
  ledger.update({ key: '1 broker', pid: 1, name: 'broker', ended: false, fifos: [] }, flows, between, 1_000);
  for (const nowMs of [1_000, 2_000, 3_000]) ledger.judge(nowMs);
  return ledger.relayOf('1 broker');
}

t.test('a broker whose members share hosts: all that is said, to everybody', async (t) => {
  const relay = judge(
    members((_, all) => all),
    pairs(),
  );
  t.match(relay, { verdict: 'relay', receivedBytes: 6 * SAID, sentBytes: 36 * SAID });
});

t.test('... to everybody else', async (t) => {
  const relay = judge(
    members((own, all) => all - own),
    pairs(),
  );
  t.match(relay, { verdict: 'relay', receivedBytes: 6 * SAID, sentBytes: 30 * SAID });
});

t.test('a server that tells everybody something of its own', async (t) => {
  const relay = judge(
    members((_, all) => 0.9 * all),
    pairs(),
  );
  t.match(relay, { verdict: 'none', receivedBytes: 0 });
});

t.test('... as much as all together say, but in its own time', async (t) => {
  const late = Array.from({ length: 26 }, (_, bucket) => (bucket === 18 ? 100 : 0));
  t.not(
    judge(
      members((_, all) => all),
      pairs(late),
    ).verdict,
    'relay',
  );
});
