import t from 'tap';
import { COUNTERS, makeCounters, WIRE_RX_BYTES, WIRE_RX_PACKETS } from '../../agent/counters.ts';
import { type Described, EndedProcesses } from '../../agent/ended-processes.ts';
import type { Process } from '../../agent/readings.ts';

function makeDescribed(override: Partial<Described> = {}): Described {
  return {
    pid: 4711,
    startedAt: '2026-11-22T05:00:00.000Z',
    exitedAt: '2026-11-22T05:01:00.000Z',
    name: 'socat',
    executable: '/usr/bin/socat',
    command: 'socat - -',
    user: 'root',
    uid: 0,
    parentPid: 1,
    app: 'socat',
    unit: null,
    container: null,
    profile: null,
    netns: 100,
    relay: { verdict: 'none', role: null, receivedBytes: 0, sentBytes: 0, confidence: 0, since: null },
    ...override,
  };
}

t.test('an ended process is answered with all that a live one is', async (t) => {
  for (const described of [makeDescribed(), makeDescribed({ app: 'skype', configuredPorts: [23_399] })]) {
    const ended = new EndedProcesses(10);
    const counters = makeCounters();
    t.equal(counters.length, COUNTERS);
    counters[WIRE_RX_BYTES] = 1500;
    counters[WIRE_RX_PACKETS] = 2;
    ended.add('a', described, counters, Date.parse(described.exitedAt as string));
    const [answered] = JSON.parse(JSON.stringify([...ended.values()])) as Process[];
    t.same(answered, {
      ...described,
      traffic: {
        wire: { receivedBytes: 1500, sentBytes: 0, receivedPackets: 2, sentPackets: 0 },
        payload: { receivedBytes: 0, sentBytes: 0 },
      },
      payloadShares: [],
    });
  }
});
