import t from 'tap';
import type { RelayReading } from '../../../agent/readings.ts';
import { relayLines } from '../../../api/cli/relay-report.ts';
import { displayWidth } from '../../../api/cli/text.ts';
import { makeRelayPeer, makeRelayReading } from '../readings.ts';

const now = new Date('2026-11-22T12:00:00.000Z');

function show(readings: RelayReading[], width?: number): string[] {
  return relayLines(readings, { bytes: false, now, width });
}

/** The line that says between whom, and how many bytes. */
function directionOf(override: Partial<RelayReading>): string {
  return show([makeRelayReading(override)])[2]?.trim() ?? '';
}

const peers = (count: number) =>
  Array.from({ length: count }, (_, port) => makeRelayPeer({ port: port + 1, protocol: 'udp' }));

t.test('a process is a row of the table, with who, how much and why below it', async (t) => {
  const back = makeRelayReading({ receivedBytes: 4000, sentBytes: 4000, lowerBytes: 4000, upperBytes: 4000 });
  const since = new Date(back.since).toTimeString().slice(0, 8);
  const lines = show([{ ...back, from: back.to, to: back.from }, makeRelayReading()]);
  const why = '      why: what comes in goes out again, and right after it came in (causal)';
  t.strictSame(lines, [
    ' PID  NAME   APP    VERDICT  ROLE         SURE  SINCE     RECEIVED     SENT',
    `4711  socat  socat  relay    third-party  98 %  ${since}   1.00 MB  1.00 MB`,
    '    tcp 192.0.2.7:51234 (public) -> tcp 198.51.100.2:9000 (public): 1.00 MB in, 1.00 MB out',
    why,
    '    tcp 198.51.100.2:9000 (public) -> tcp 192.0.2.7:51234 (public): 4.00 kB in, 4.00 kB out',
    why,
    '    next: relayledger cap socat 4K (hold what it relays), relayledger deny socat --inbound (let nobody in)',
  ]);
});

t.test(
  'who relays for strangers can be held by what is typed next; services and suspects have no such line',
  async (t) => {
    const nextOf = (override: Partial<RelayReading>): string | undefined =>
      show([makeRelayReading(override)]).find((line) => line.includes('next: '));
    const apps = {
      socat: 'socat',
      'my app': "'my app'",
      "it's": 'pid:4711',
      '-x': 'pid:4711',
      'a\u001bb': 'pid:4711',
      é: 'pid:4711',
    };
    for (const [app, argument] of Object.entries(apps)) {
      t.match(nextOf({ app }), `relayledger cap ${argument} 4K (`, app);
      t.match(nextOf({ app }), `relayledger deny ${argument} --inbound (`, app);
    }
    t.equal(nextOf({ role: 'service' }), undefined);
    t.equal(nextOf({ verdict: 'suspected' }), undefined);
  },
);

t.test('a direction names its peers, their number, and how certain its bytes are', async (t) => {
  const cases: [string, Partial<RelayReading>, RegExp][] = [
    ['within 1 %', { lowerBytes: 990_000, upperBytes: 1_000_000 }, /: 1\.00 MB in, 1\.00 MB out$/],
    ['beyond 1 %', { lowerBytes: 900_000, upperBytes: 1_100_000 }, /out \(900 kB \.\. 1\.10 MB\)$/],
    ['nothing proven', { lowerBytes: 0, upperBytes: 5 }, /out \(0 B \.\. 5 B\)$/],
    ['nothing at all', { lowerBytes: 0, upperBytes: 0, receivedBytes: 0, sentBytes: 0 }, /: 0 B in, 0 B out$/],
    ['copies', { fanOut: 3 }, /out, each byte out 3\.0 times$/],
    ['a Unix socket', { to: [makeRelayPeer({ address: null, port: null, protocol: 'unix' })] }, /-> a Unix socket:/],
    ['a pipe', { from: [makeRelayPeer({ address: null, port: null, protocol: 'pipe' })] }, /^a pipe -> tcp/],
    ['IPv6', { from: [makeRelayPeer({ address: '2001:db8::1', port: 5 })] }, /^tcp \[2001:db8::1\]:5 \(public\) ->/],
    [
      'two',
      { from: peers(2), fromCount: 2 },
      /^udp 192\.0\.2\.7:1 and udp 192\.0\.2\.7:2 \(public\) -> .* \[2 -> 1\]:/,
    ],
    ['many', { from: peers(2), fromCount: 1200 }, /^udp \S+:1, udp \S+:2 and 1,198 more \(public\) .* \[1,200 -> 1\]:/],
    ['none named', { from: [], fromCount: 7 }, /^7 peers -> /],
    ['none known', { from: [], fromCount: 0 }, /^nobody -> /],
    [
      'scopes',
      { from: [makeRelayPeer({ scope: 'private' }), makeRelayPeer()], fromCount: 2 },
      /51234 \(private, public\) ->/,
    ],
  ];
  for (const [name, override, expected] of cases) t.match(directionOf(override), expected, name);
});

t.test('those that relay come first, and what differs from the row is said below it', async (t) => {
  const lines = show([
    makeRelayReading({ pid: 1, name: 'maybe', verdict: 'suspected', role: null, confidence: 0.5, sentBytes: 9e9 }),
    makeRelayReading({ pid: 2, name: 'small', receivedBytes: 5, sentBytes: 5 }),
    makeRelayReading({ pid: 3, name: 'mixed', receivedBytes: 0, sentBytes: 0, verdict: 'suspected', confidence: 0.5 }),
    makeRelayReading({ pid: 3, name: 'mixed', role: 'service', receivedBytes: 1, sentBytes: 1 }),
    makeRelayReading({ pid: 3, name: 'mixed', since: '2026-11-20T05:00:00.000Z' }),
  ]);
  const rows = lines.filter((line) => !line.startsWith('    '));
  t.strictSame(
    rows.slice(1).map((row) => row.trim().split(/ {2,}/).slice(0, 6)),
    [
      ['3', 'mixed', 'socat', 'relay', 'service, third-party', '98 %'],
      ['2', 'small', 'socat', 'relay', 'third-party', '98 %'],
      ['1', 'maybe', 'socat', 'suspected', '-', '50 %'],
    ],
  );
  const directions = lines.filter((line) => / (?:in|->), /.test(line)).map((line) => line.split('; ')[1] ?? '');
  t.match(directions[0], /^third-party$/);
  t.match(directions[1], /^service, since [0-9:]{8}$/);
  t.match(directions[2], /^suspected, third-party, 50 % sure, since /);
  t.strictSame(directions.slice(3), ['', '']);
});

t.test('a screen shows the directions and peers that carry most, and no line is too wide for it', async (t) => {
  const many = Array.from({ length: 80 }, (_, index) =>
    makeRelayReading({ sentBytes: index, name: 'n\x1b[2J', from: peers(6), fromCount: 6 }),
  );
  for (const width of [200, 100, 40]) {
    const lines = show(many, width);
    for (const line of lines) t.ok(displayWidth(line) <= width, `${width}: ${line}`);
    const text = lines.map((line) => line.trim()).join(' ');
    t.match(text, /and 72 more directions with less: --wide shows them next: /);
    t.equal(text.match(/why:/g)?.length, 8);
    t.match(text, /and 3 more \(public\)/);
    t.notOk(text.includes('\x1b'));
  }
  const all = show(many);
  t.equal(all.length, 2 + 2 * 80 + 1);
  t.notMatch(all.join('\n'), / more /);
});
