import t from 'tap';
import type { FlowEvidence } from '../../../agent/relay/evidence.ts';
import { RelayLedger } from '../../../agent/relay/ledger.ts';
import { tunnelBytes, tunnelBytesPerDatagram } from '../../../agent/relay/tunnel.ts';
import { makeFlow, makePair } from './make-evidence.ts';

/** A flow that received these datagrams, `[size, count]`, as the kernel sums them up. */
function received(id: string, datagrams: readonly (readonly [number, number])[]): FlowEvidence {
  const tunnelSizes = new Array<number>(9).fill(0);
  const put = (index: number, count: number): void => {
    tunnelSizes[index] = (tunnelSizes[index] ?? 0) + count;
  };
  let [bytes, receives] = [0, 0];
  for (const [size, count] of datagrams) {
    bytes += size * count;
    receives += count;
    const beyond = size - 52;
    if (size >= 1280) put(0, count);
    else if (beyond >= 0 && beyond < 128) {
      put(1 + Math.floor(beyond / 32), count);
      put(5 + Math.floor(beyond / 32), (beyond % 32) * count);
    }
  }
  return makeFlow(id, { protocol: 'udp', received: bytes, receives, tunnelSizes });
}

type Datagrams = readonly (readonly [number, number])[];

const CASES: [string, Datagrams, Datagrams, number][] = [
  ['a download in a tunnel', [[1408, 2600]], [[154, 1300]], 154],
  [
    'both ways, with selective acknowledgements',
    [
      [1408, 2600],
      [154, 280],
      [166, 80],
    ],
    [
      [1408, 900],
      [154, 1000],
      [166, 120],
    ],
    155.5,
  ],
  [
    'beside a call',
    [
      [1364, 2650],
      [116, 350],
      [252, 300],
    ],
    [
      [1364, 840],
      [116, 660],
      [252, 300],
      [128, 180],
    ],
    117.8,
  ],
  [
    'padded to blocks',
    [
      [1380, 2700],
      [84, 110],
      [100, 115],
    ],
    [
      [1380, 900],
      [84, 410],
      [100, 340],
    ],
    91.5,
  ],
  ['a call', [[172, 500]], [[172, 500]], 0],
  ['a call in a tunnel: nothing tells', [[290, 500]], [[290, 500]], 0],
  ['full ones that nobody acknowledges', [[1400, 2000]], [], 0],
  ['QUIC, whose acknowledgements hold no TCP header', [[1350, 3000]], [[35, 1500]], 0],
  ['QUIC of smaller datagrams', [[1200, 3000]], [[60, 1500]], 0],
  [
    'KCP, whose acknowledgements are of all sizes',
    [
      [1350, 3300],
      [230, 900],
      [152, 300],
      [44, 45],
    ],
    [
      [1350, 1100],
      [230, 300],
      [44, 115],
      [152, 100],
    ],
    0,
  ],
  [
    'video of all sizes with a sound track',
    [
      [1300, 600],
      [700, 500],
      [172, 400],
    ],
    [
      [1300, 600],
      [172, 400],
      [400, 500],
    ],
    0,
  ],
  ['a game: more answers than snapshots', [[1300, 200]], [[60, 600]], 0],
  ['too few to tell', [[1408, 60]], [[154, 30]], 0],
];

t.test('bytes of each datagram that are the tunnel’s', async (t) => {
  for (const [title, there, back, bytes] of CASES) {
    const [from, to] = [received('1', there), received('2', back)];
    t.ok(Math.abs(tunnelBytesPerDatagram([from, to]) - bytes) < 1, title);
  }
});

t.test('a control connection beside the datagrams is nothing, and streams have none', async (t) => {
  const from = received('1', [[1408, 1000]]);
  const to = { ...received('2', [[154, 500]]), sent: from.received, sends: from.receives };
  const control = makeFlow('3', { received: 2_000, sent: 2_000 });
  const of = (sources: FlowEvidence[], destinations: FlowEvidence[]): number => {
    const sum = (flows: FlowEvidence[], side: 'received' | 'sent'): number => flows.reduce((n, f) => n + f[side], 0);
    return tunnelBytes({ sources, destinations, received: sum(sources, 'received'), sent: sum(destinations, 'sent') });
  };
  t.equal(of([from], [to]), 154_000);
  t.equal(of([from, control], [to, control]), 154_000);
  t.equal(of([from], [{ ...to, protocol: 'tcp' }]), 0);
});

t.test('a VPN hub is billed what its tunnels carry, and the evidence says what was left out', async (t) => {
  const ledger = new RelayLedger();
  const data = received('1', [[1400, 1000]]);
  const acknowledgements = received('2', [[150, 500]]);
  const flows = [
    { ...data, sent: acknowledgements.received, sends: acknowledgements.receives },
    { ...acknowledgements, sent: data.received, sends: data.receives },
  ];
  const pairs = [
    makePair('1', '2', { moved: data.received, moves: 1000, sameRun: 1000 }),
    makePair('2', '1', { moved: acknowledgements.received, moves: 500, sameRun: 500 }),
  ];
  ledger.update({ key: '1 hub', pid: 1, name: 'hub', ended: false, fifos: [] }, flows, pairs, 1_000);
  for (const nowMs of [1_000, 2_000, 3_000]) ledger.judge(nowMs);
  const inside = 1000 * (1400 - 150);
  t.match(ledger.relayOf('1 hub'), { verdict: 'relay', receivedBytes: inside, sentBytes: inside });
  t.same(
    ledger.relays().map(({ overheadBytes, lowerBytes, upperBytes }) => ({ overheadBytes, lowerBytes, upperBytes })),
    [
      { overheadBytes: 150_000, lowerBytes: inside, upperBytes: 1_400_000 },
      { overheadBytes: 75_000, lowerBytes: 0, upperBytes: 75_000 },
    ],
  );
  t.match(ledger.relays()[0]?.why, /TCP runs inside/);
});
