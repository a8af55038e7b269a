import t, { type Test } from 'tap';
import type { FlowEvidence, PairEvidence } from '../../../agent/relay/evidence.ts';
import { RelayLedger } from '../../../agent/relay/ledger.ts';
import type { Fifo } from '../../../agent/relay/relay-process.ts';
import { histogram, LATE, makeFlow, makePair } from './make-evidence.ts';

/** A ledger and its clock. */
class Host {
  readonly ledger: RelayLedger;
  nowMs = 1_000_000;

  constructor(ledger: RelayLedger = new RelayLedger()) {
    this.ledger = ledger;
  }

  tell(
    key: string,
    flows: readonly FlowEvidence[],
    pairs: readonly PairEvidence[],
    { ended = false, fifos = [] }: { ended?: boolean; fifos?: readonly Fifo[] } = {},
  ): void {
    this.ledger.update({ key, pid: Number.parseInt(key, 10), name: key, ended, fifos }, flows, pairs, this.nowMs);
  }

  /** Judges every second. */
  pass(seconds: number): string[] {
    const changes: string[] = [];
    for (let i = 0; i < seconds; i++) {
      this.nowMs += 1_000;
      changes.push(...this.ledger.judge(this.nowMs).map(({ processKey, verdict }) => `${processKey} ${verdict}`));
    }
    return changes;
  }

  bill(t: Test, key: string, receivedBytes: number, sentBytes: number): void {
    t.match(this.ledger.relayOf(key), { receivedBytes, sentBytes });
  }
}

const THERE_AND_BACK = [makePair('1', '2'), makePair('2', '1')];
const CLIENT = makeFlow('1', { opened: 'accepted', localPort: 8000, remotePort: 40_000 });
const UPSTREAM = makeFlow('2');

t.test('a relay is ruled at the second look, and billed from its first byte', async (t) => {
  const host = new Host();
  host.tell('1 socat', [CLIENT, UPSTREAM], THERE_AND_BACK);
  t.same(host.pass(1), []);
  t.same(host.pass(1), ['1 socat relay'], 'also where nothing has moved since');
  t.match(host.ledger.relayOf('1 socat'), {
    verdict: 'relay',
    role: 'third-party',
    receivedBytes: 200_000,
    sentBytes: 200_000,
    since: '1970-01-01T00:00:00.000Z',
  });
  t.ok(host.ledger.relayOf('1 socat').confidence > 0.9);
  t.same(host.pass(5), [], 'and stays');
});

t.test('a second look in between rules what the first one found, and looks at nothing else', async (t) => {
  const host = new Host();
  host.tell('1 socat', [CLIENT, UPSTREAM], THERE_AND_BACK);
  t.notOk(host.ledger.hasVotes());
  host.pass(1);
  t.ok(host.ledger.hasVotes());
  host.tell('2 nc', [makeFlow('3'), makeFlow('4')], [makePair('3', '4'), makePair('4', '3')]);
  const changes = host.ledger.judge(host.nowMs + 400, true);
  t.same(
    changes.map(({ processKey, verdict }) => `${processKey} ${verdict}`),
    ['1 socat relay'],
  );
  t.notOk(host.ledger.hasVotes());
  t.same(host.pass(1), [], 'the other one has its first look now');
});

t.test('a process with thousands of pairs is looked at less often than every second', async (t) => {
  const host = new Host();
  const flows = Array.from({ length: 3_200 }, (_, i) => makeFlow(`${i}`));
  const pairs = flows.flatMap(({ id }, i) => (i % 2 ? [] : [makePair(id, `${i + 1}`), makePair(`${i + 1}`, id)]));
  host.tell('1 flooded', flows, pairs);
  t.same(host.pass(1), []);
  t.same(host.pass(1), [], 'not yet');
  t.same(host.pass(1), ['1 flooded relay']);
});

t.test('what stands on flows that the kernel has let go is settled: the next agent finds only the rest', async (t) => {
  const host = new Host();
  const rest = [makeFlow('3', { opened: 'accepted' }), makeFlow('4')];
  host.tell('1 socat', [CLIENT, UPSTREAM, ...rest], [...THERE_AND_BACK, makePair('3', '4'), makePair('4', '3')]);
  t.notOk(host.ledger.isBilled('1'));
  t.ok(host.ledger.isKnown('1'));
  host.pass(2);
  t.ok(host.ledger.isBilled('1'));
  t.same(host.ledger.settledOf('1 socat'), { receivedBytes: 0, sentBytes: 0 });
  host.ledger.forgetFlows(['1', '2']);
  t.same(host.ledger.settledOf('1 socat'), { receivedBytes: 200_000, sentBytes: 200_000 });
  host.bill(t, '1 socat', 400_000, 400_000);
  t.notOk(host.ledger.isKnown('9'));
  t.same(host.ledger.settledOf('9 nobody'), { receivedBytes: 0, sentBytes: 0 });
});

t.test('a relay that has ended is ruled at once', async (t) => {
  const host = new Host();
  host.tell('1 nc', [CLIENT, UPSTREAM], THERE_AND_BACK, { ended: true });
  t.same(host.pass(1), ['1 nc relay']);
  host.pass(30);
  host.bill(t, '1 nc', 200_000, 200_000);
  t.match(host.ledger.relays(), [{ receivedBytes: 200_000, fromCount: 2, why: /goes out again/ }], 'in words, too');
  host.ledger.forget('1 nc');
  t.equal(host.ledger.relayOf('1 nc').verdict, 'none');
  t.same(host.ledger.relays(), []);
});

t.test('a process that does not relay', async (t) => {
  const host = new Host();
  host.tell('1 app', [CLIENT, UPSTREAM], [makePair('1', '2', { moved: 20_000 })]);
  host.tell('2 web', [makeFlow('3')], []);
  t.same(host.pass(5), []);
  t.same(host.ledger.relayOf('1 app'), {
    verdict: 'none',
    role: null,
    receivedBytes: 0,
    sentBytes: 0,
    confidence: 0,
    since: null,
  });
  t.equal(host.ledger.relayOf('unheard of').verdict, 'none');
});

t.test('suspected comes and goes', async (t) => {
  const host = new Host();
  const late = { lags: histogram({ [LATE]: 100 }), sameRun: 0 };
  const sizes = [100, ...new Array<number>(15).fill(0)];
  const constant = { protocol: 'udp' as const, gaps: histogram({ 15: 99 }), receivedSizes: sizes, sentSizes: sizes };
  const calls = [makeFlow('1', constant), makeFlow('2', constant)];
  host.tell('1 phone', calls, [makePair('1', '2', late), makePair('2', '1', late)]);
  t.same(host.pass(1), []);
  host.tell('1 phone', calls, []);
  t.same(host.pass(1), ['1 phone suspected']);
  t.match(host.ledger.relays()[0], { verdict: 'suspected', receivedBytes: 0, upperBytes: 100_000 });
  const more = calls.map((flow) => ({ ...flow, sent: 900_000 }));
  const changes: string[] = [];
  for (let i = 0; i < 8; i++) {
    host.tell('1 phone', more, []);
    changes.push(...host.pass(1));
  }
  t.same(changes, ['1 phone none']);
});

t.test('a tunnel that begins to relay after hours of its own use is found by what it does lately', async (t) => {
  const host = new Host();
  const old = [makeFlow('1', { received: 5e9, receives: 5e6 }), makeFlow('2', { sent: 3e9, sends: 3e6 })];
  host.tell('1 vpn', old, [makePair('1', '2', { moved: 1 })]);
  host.pass(1);
  const changes: string[] = [];
  for (let second = 1; second <= 14; second++) {
    const bytes = second * 50_000;
    const count = second * 50;
    const flows = [
      // In frames; what it received for itself is left behind.
      {
        ...old[0],
        received: 5e9 + bytes + 30 * count,
        receives: 5e6 + count,
        gaps: histogram({ 11: 50 + count, 20: 50 }),
      },
      { ...old[1], sent: 3e9 + bytes, sends: 3e6 + count },
    ] as FlowEvidence[];
    const lags = histogram({ 7: count });
    const pair = makePair('1', '2', { moved: bytes, moves: count, settled: 0, sameRun: count, lags });
    host.tell('1 vpn', flows, [pair]);
    changes.push(...host.pass(1));
  }
  t.same(changes, ['1 vpn relay']);
  host.bill(t, '1 vpn', 700_000, 700_000);
  t.ok((host.ledger.relayOf('1 vpn').since ?? '') > '1970-01-01T00:16:40', 'since it began to');
});

t.test('roles', async (t) => {
  const loopback = { scope: 'loopback' as const, localAddress: '127.0.0.1', remoteAddress: '127.0.0.1' };
  const listening = { opened: 'accepted' as const, localPort: 1080, remotePort: 50_000 };
  const cases: [string, Partial<FlowEvidence>, Partial<FlowEvidence>, string, string | null][] = [
    ['public on both sides', listening, {}, 'relay', 'third-party'],
    ['private upstream', listening, { scope: 'private' }, 'relay', 'service'],
    ['application on the loopback', listening, loopback, 'relay', 'service'],
    ["a local program's tunnel", { ...loopback, ...listening }, {}, 'none', 'own'],
    ['between local programs', { ...loopback, ...listening }, loopback, 'none', null],
    [
      'an application behind AF_UNIX',
      listening,
      { family: 'unix', scope: 'loopback', opened: 'unknown' },
      'relay',
      'service',
    ],
    ['declared', { ...listening, localPort: 443 }, {}, 'relay', 'service'],
  ];
  for (const [what, source, destination, verdict, role] of cases) {
    const host = new Host(new RelayLedger({ isDeclared: (_, listener) => listener?.port === 443 }));
    host.tell('1 x', [makeFlow('1', source), makeFlow('2', { remotePort: 9000, ...destination })], THERE_AND_BACK);
    host.pass(3);
    const relay = host.ledger.relayOf('1 x');
    t.equal(relay.verdict, verdict, what);
    t.equal(relay.role, role, what);
    t.equal(relay.receivedBytes, verdict === 'relay' ? 200_000 : 0, what);
  }
});

t.test('a chain over the loopback bills each byte once in and once out, and is for third parties', async (t) => {
  const host = new Host();
  const near = { netns: 7, scope: 'loopback' as const, localAddress: '127.0.0.1', remoteAddress: '127.0.0.1' };
  const outbound = makeFlow('2', { ...near, localPort: 45_000, remotePort: 9000, firstMs: 5 });
  const inbound = makeFlow('3', { ...near, localPort: 9000, remotePort: 45_000, opened: 'accepted', firstMs: 6 });
  host.tell('1 tls', [CLIENT, outbound], THERE_AND_BACK);
  host.tell('2 proxy', [inbound, makeFlow('4')], [makePair('3', '4'), makePair('4', '3')]);
  t.same(host.pass(2), ['1 tls relay', '2 proxy relay']);
  for (const key of ['1 tls', '2 proxy']) {
    t.equal(host.ledger.relayOf(key).role, 'third-party');
    host.bill(t, key, 100_000, 100_000);
  }
  t.ok(host.ledger.relays().every(({ kind }) => kind === 'chain'));
  host.tell('2 proxy', [], [], { ended: true });
  host.pass(60);
  host.tell('1 tls', [{ ...CLIENT, received: 100_001 }], []);
  host.pass(1);
  host.bill(t, '1 tls', 100_000, 100_000);
});

t.test('the same addresses in another network namespace are not a mirror', async (t) => {
  const host = new Host();
  const near = { scope: 'loopback' as const, localAddress: '127.0.0.1', remoteAddress: '127.0.0.1' };
  host.tell('1 a', [CLIENT, makeFlow('2', { ...near, netns: 1, localPort: 45_000, remotePort: 9000 })], THERE_AND_BACK);
  const inbound = makeFlow('3', { ...near, netns: 2, localPort: 9000, remotePort: 45_000, opened: 'accepted' });
  host.tell('2 b', [inbound, makeFlow('4')], [makePair('3', '4'), makePair('4', '3')]);
  host.pass(2);
  t.equal(host.ledger.relayOf('1 a').role, 'service');
  t.equal(host.ledger.relayOf('2 b').role, 'own');
});

t.test('a chain over AF_UNIX', async (t) => {
  const host = new Host();
  const unix = { family: 'unix' as const, scope: 'loopback' as const, opened: 'unknown' as const };
  host.tell('1 a', [CLIENT, makeFlow('2', { ...unix, localSocket: 'a', remoteSocket: 'b' })], THERE_AND_BACK);
  host.tell(
    '2 b',
    [makeFlow('3', { ...unix, localSocket: 'b', remoteSocket: 'a' }), makeFlow('4')],
    [makePair('3', '4'), makePair('4', '3')],
  );
  host.pass(2);
  host.bill(t, '1 a', 100_000, 100_000);
  host.bill(t, '2 b', 100_000, 100_000);
});

t.test('pipes', async (t) => {
  const cases: [string, number, Fifo[], Fifo[], string][] = [
    ['writer to reader', 100_000, [{ inode: 5, modes: 2 }], [{ inode: 5, modes: 1 }], 'relay'],
    ['of which a little is left', 98_500, [{ inode: 5, modes: 2 }], [{ inode: 5, modes: 1 }], 'relay'],
    ['of which some went elsewhere', 95_000, [{ inode: 5, modes: 2 }], [{ inode: 5, modes: 1 }], 'none'],
    ['not the same pipe', 100_000, [{ inode: 5, modes: 2 }], [{ inode: 6, modes: 1 }], 'none'],
    ['the wrong way round', 100_000, [{ inode: 5, modes: 1 }], [{ inode: 5, modes: 2 }], 'none'],
    ['which both read and write', 100_000, [{ inode: 5, modes: 3 }], [{ inode: 5, modes: 3 }], 'none'],
    ['too little', 10_000, [{ inode: 5, modes: 2 }], [{ inode: 5, modes: 1 }], 'none'],
  ];
  for (const [what, sent, ofWriter, ofReader, verdict] of cases) {
    const host = new Host();
    const received = sent < 20_000 ? sent : 100_000;
    host.tell('1 in', [makeFlow('1', { received, sent: 0 })], [], { fifos: ofWriter });
    host.tell('2 out', [makeFlow('2', { received: 0, sent })], [], { fifos: ofReader });
    host.pass(2);
    t.equal(host.ledger.relayOf('1 in').verdict, verdict, what);
    t.equal(host.ledger.relayOf('2 out').verdict, verdict, what);
    host.bill(t, '1 in', verdict === 'relay' ? sent : 0, 0);
    host.bill(t, '2 out', 0, verdict === 'relay' ? sent : 0);
  }
});

t.test('fan-out: once in, many times out', async (t) => {
  const host = new Host();
  const flows = [makeFlow('1', { sent: 0 }), makeFlow('2', { received: 0 }), makeFlow('3', { received: 0 })];
  const copy = { moved: 0, moves: 0, copied: 100_000, copies: 100, sameRun: 0 };
  host.tell('1 hub', flows, [makePair('1', '2'), makePair('1', '3', copy)]);
  host.pass(2);
  host.bill(t, '1 hub', 100_000, 200_000);
  t.match(host.ledger.relays()[0], { fanOut: 2, fromCount: 1, toCount: 2 });
});

t.test('the call of its own beside forty that it relays is not billed', async (t) => {
  const host = new Host();
  const flows: FlowEvidence[] = [makeFlow('own')];
  const pairs: PairEvidence[] = [];
  for (let call = 0; call < 40; call++) {
    const [a, b] = [`a${call}`, `b${call}`];
    flows.push(makeFlow(a), makeFlow(b));
    pairs.push(makePair(a, b), makePair(b, a));
  }
  host.tell('1 node', flows, pairs);
  host.pass(2);
  host.bill(t, '1 node', 8_000_000, 8_000_000);
});

t.test('flows that the kernel has let go stay billed, once', async (t) => {
  const host = new Host();
  let billed = 0;
  for (let round = 0; round < 30; round++) {
    const ids: string[] = [];
    for (let i = 0; i < 100; i++) {
      const [a, b] = [`a${round}-${i}`, `b${round}-${i}`];
      ids.push(a, b);
      host.tell('1 proxy', [makeFlow(a), makeFlow(b)], [makePair(a, b), makePair(b, a)]);
    }
    host.pass(2);
    host.ledger.forgetFlows(ids);
    const { receivedBytes, sentBytes } = host.ledger.relayOf('1 proxy');
    t.ok(receivedBytes >= billed, 'never less');
    billed = receivedBytes;
    t.equal(sentBytes, receivedBytes);
  }
  host.bill(t, '1 proxy', 30 * 100 * 200_000, 30 * 100 * 200_000);
  t.ok(host.ledger.relays().length < 1_000, 'and their evidence is folded');
  const total = host.ledger.relays().reduce((sum, reading) => sum + reading.receivedBytes, 0);
  t.equal(total, 30 * 100 * 200_000, 'readings add up to the bill');
});

t.test('connections that come and go over one tunnel that stays', async (t) => {
  const host = new Host();
  const count = 2_000;
  const tunnelAt = (done: number): FlowEvidence =>
    makeFlow('tunnel', { localPort: 22, received: done * 100_000, sent: done * 100_000, receives: done * 100 });
  for (let done = 1; done <= count; done++) {
    const id = `c${done}`;
    host.tell('1 sshd', [tunnelAt(done), makeFlow(id)], [makePair(id, 'tunnel'), makePair('tunnel', id)]);
    if (done % 100 === 0) host.pass(1);
    if (done > 300) host.ledger.forgetFlows([`c${done - 300}`]);
  }
  host.pass(2);
  host.bill(t, '1 sshd', 2 * count * 100_000, 2 * count * 100_000);
  t.equal(host.ledger.relays().length, 2);
  t.ok((host.ledger.relays()[0]?.fromCount ?? 0) < 1_000 && (host.ledger.relays()[1]?.fromCount ?? 0) < 1_000);
});

t.test('short connections that were forgotten before they could be ruled still count for those to come', async (t) => {
  const host = new Host();
  const short = { received: 2_000, sent: 2_000, receives: 2, sends: 2, gaps: histogram({ 15: 1 }) };
  const moved = { moved: 2_000, moves: 2, sameRun: 2, lags: histogram({ 7: 2 }) };
  for (let i = 0; i < 1_000; i++) {
    host.tell(
      '1 proxy',
      [makeFlow(`a${i}`, short), makeFlow(`b${i}`, short)],
      [makePair(`a${i}`, `b${i}`, moved), makePair(`b${i}`, `a${i}`, moved)],
    );
    host.ledger.forgetFlows([`a${i}`, `b${i}`]);
  }
  host.pass(2);
  host.bill(t, '1 proxy', 4_000_000, 4_000_000);
});

t.test('an ended process without a verdict leaves nothing behind, and a late word of it does no harm', async (t) => {
  const host = new Host();
  host.tell('1 curl', [CLIENT], [], { ended: true });
  host.pass(20);
  host.tell('1 curl', [CLIENT], [], { ended: true });
  t.same(host.pass(20), []);
  t.same(host.ledger.relays(), []);
});

t.test(
  'the flows that a verdict rests on are told with what each has relayed, as long as the kernel has them',
  async (t) => {
    const host = new Host();
    const own = makeFlow('3', { remoteAddress: '203.0.113.77', host: 'elsewhere' });
    host.tell('1 socat', [CLIENT, UPSTREAM, own], THERE_AND_BACK);
    t.same(host.ledger.ruledFlows('1 socat'), [], 'nothing before the verdict');
    host.pass(2);
    const ruled = host.ledger.ruledFlows('1 socat');
    t.same(ruled.map(({ id, role }) => [id, role]).sort(), [
      ['1', 'third-party'],
      ['2', 'third-party'],
    ]);
    for (const { relayedBytes } of ruled) t.equal(relayedBytes, 200_000, 'there and back');
    host.ledger.forgetFlows(['1']);
    t.same(
      host.ledger.ruledFlows('1 socat').map(({ id }) => id),
      ['2'],
    );
    t.same(host.ledger.ruledFlows('nobody'), []);
  },
);
