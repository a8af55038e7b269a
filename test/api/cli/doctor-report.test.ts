import t from 'tap';
import { doctorLines, isHealthy } from '../../../api/cli/doctor-report.ts';
import { makeStatus, makeWire } from '../readings.ts';

t.test('a healthy host is told so, with its books', async (t) => {
  const status = makeStatus();
  t.ok(isHealthy(status));
  const text = doctorLines(status).join('\n');
  t.match(text, /Agent 0\.1\.0 on kernel 6\.1\.0-28-amd64/);
  t.match(text, /taken over from an earlier agent/);
  t.match(text, /Hooks in use: 2 of 2\./);
  t.match(text, /attached +cgroup_skb\/egress \(count_egress\), 1,000 runs of 59 ns/);
  t.match(text, /attached +cgroup_skb\/ingress \(count_ingress\)/);
  t.match(text, /fentry: splice is counted from packets \(EPERM\)/);
  t.match(text, /Lost: nothing\./);
  t.match(text, /Content of suspected relays: not compared/);
  t.match(text, /received: interfaces 98\.6 kB, processes 98\.0 kB, kernel 600 B; adds up to the byte/);
  t.match(text, /sent: .*; 100 bytes unaccounted \(0\.2 %\)/);
  t.match(text, /eth0 \(netns 4026531840\) received: .* adds up to the byte/);
  t.match(text, /no-socket: received 1\.57 kB, sent 2\.57 kB/);
  t.match(text, /nothing was lost\.$/);
});

t.test('what is wrong is named', async (t) => {
  const status = makeStatus({
    adopted: false,
    missing: [],
    lost: [
      { reason: 'flow-table-full', count: 1234 },
      { reason: 'other', count: 0 },
    ],
    unattributed: [{ reason: 'quiet', ...makeWire({ receivedBytes: 0, sentBytes: 0 }) }],
    maps: [
      { name: 'flows', type: 'lru_hash', entries: null, capacity: 10, bytes: 5 },
      { name: 'owners', type: 'sk_storage', entries: null, capacity: 0, bytes: 0 },
      { name: 'events', type: 'ringbuf', entries: null, capacity: 1_048_576, bytes: 5 },
    ],
    reconciliation: [{ direction: 'rx', interfacesBytes: 100, processesBytes: 90, kernelBytes: 20, errorBytes: -10 }],
  });
  status.programs[0] = { name: 'p', hook: 'tp_btf/x\x1b', attached: false, runCount: null, nanosecondsPerRun: null };
  t.notOk(isHealthy(status));
  const text = doctorLines(status).join('\n');
  t.match(text, /Hooks in use: 1 of 2\./);
  t.match(text, /NOT ATTACHED {2}tp_btf\/x\\x1b \(p\)/);
  t.match(text, /Missing on this host: nothing\./);
  t.match(text, /LOST.*\n {2}1,234 flow-table-full\n\n/);
  t.match(text, /flows \(lru_hash\): room for 10\n/);
  t.match(text, /owners \(sk_storage\): as many as there are\n/);
  t.match(text, /events \(ringbuf\): room for 1\.05 MB\n/);
  t.match(text, /10 bytes too many \(10 %\)/);
  t.notMatch(text, /Packets without an owner|taken over/);
  t.match(text, /Something is wrong/);
});

t.test('what is compared of suspected relays', async (t) => {
  const idle = {
    attached: false,
    pairs: 0,
    pairsWaiting: 0,
    receivedPieces: 1200,
    sentPieces: 1100,
    matchedPieces: 1000,
    evictedPieces: 7,
    skippedBytes: 5000,
  };
  const text = doctorLines(makeStatus({ fingerprints: idle })).join('\n');
  t.match(text, /compared, by keyed hashes of samples; nobody is suspected at the moment\./);
  t.match(text, /1,000 of 1,100 pieces sent had come in; 7 made room too early, 5\.00 kB were not looked at/);
  const busy = { ...idle, attached: true, pairs: 64, pairsWaiting: 6 };
  t.match(
    doctorLines(makeStatus({ fingerprints: busy })).join('\n'),
    /; 64 pairs at the moment, 6 more wait for room\./,
  );
});
