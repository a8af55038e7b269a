import t from 'tap';
import { makeCounters, PAYLOAD, payloadOf, sharesOf, wireOf } from '../../agent/counters.ts';
import { type Described, EndedProcesses } from '../../agent/ended-processes.ts';

const START = Date.UTC(2026, 10, 22, 5);

function makeProcess(override: Partial<Described> = {}): Described {
  return {
    pid: 4711,
    startedAt: new Date(START).toISOString(),
    exitedAt: new Date(START + 1500).toISOString(),
    name: 'curl',
    executable: '/usr/bin/curl',
    command: 'curl -4 http://example.org/',
    user: 'root',
    uid: 0,
    parentPid: 1,
    app: 'curl',
    unit: null,
    container: null,
    profile: null,
    netns: 4026531840,
    relay: { verdict: 'none', role: null, receivedBytes: 0, sentBytes: 0, confidence: 0, since: null },
    ...override,
  };
}

t.test('reads as it was', async (t) => {
  const counters = makeCounters([1500, 2, 60, 1]);
  counters[PAYLOAD + 2] = 2 ** 52 + 1;
  const relay = {
    verdict: 'relay',
    role: 'third-party',
    receivedBytes: 7,
    sentBytes: 8,
    confidence: 0.9,
    since: null,
  } as const;
  const cases: [title: string, process: Described][] = [
    ['a process', makeProcess()],
    ['another of the same program', makeProcess({ pid: 4712, parentPid: null, command: 'curl -6' })],
    ['a relay', makeProcess({ pid: 1, relay })],
    ['one without a name for its user', makeProcess({ user: null, uid: 7, executable: null, netns: null })],
    ['one in a unit', makeProcess({ unit: 'a.service', app: 'a', container: 'ab', profile: 'p' })],
    ['one with ports of its own', makeProcess({ configuredPorts: [443, 80] })],
  ];
  const ended = new EndedProcesses(10);
  for (const [title, process] of cases) ended.add(title, process, counters, START + 1500);
  counters.fill(0);
  const before = makeCounters([1500, 2, 60, 1]);
  before[PAYLOAD + 2] = 2 ** 52 + 1;
  for (const [title, process] of cases) {
    const read = ended.get(title);
    const { configuredPorts, ...rest } = process;
    t.match(read, rest, title);
    t.same(read?.configuredPorts, configuredPorts, title);
    t.same(read?.traffic, { wire: wireOf(before), payload: payloadOf(before) }, title);
    t.same(read?.payloadShares, sharesOf(before), title);
    const traffic = { wire: wireOf(before), payload: payloadOf(before) };
    t.same(
      JSON.parse(JSON.stringify(read)),
      { ...process, traffic, payloadShares: sharesOf(before) },
      `${title}, as the API answers it`,
    );
  }
  t.same([...ended.values()].length, cases.length);
});

t.test('too many push out the oldest, and that is told', async (t) => {
  const ended = new EndedProcesses(3);
  for (const pid of [1, 2, 3, 4, 5]) ended.add(`${pid}:0`, makeProcess({ pid }), makeCounters(), START + pid);
  t.same(
    [...ended.values()].map(({ pid }) => pid),
    [3, 4, 5],
  );
  t.equal(ended.size, 3);
  t.equal(ended.forgottenEarly, 2);
  t.same(ended.takeDropped(), ['1:0', '2:0']);
  t.same(ended.takeDropped(), []);
});

t.test('each goes in its time, and who lives on goes at once', async (t) => {
  const ended = new EndedProcesses(3);
  for (const pid of [1, 2, 3]) ended.add(`${pid}:0`, makeProcess({ pid }), makeCounters(), START + pid);
  ended.forgetBefore(START + 2);
  t.equal(ended.get('1:0'), undefined);
  ended.delete('3:0');
  t.same(
    [...ended.values()].map(({ pid, name }) => [pid, name]),
    [[2, 'curl']],
  );
  t.same([ended.forgottenEarly, ended.takeDropped()], [0, []]);
});
