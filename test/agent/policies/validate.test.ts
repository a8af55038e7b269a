import t from 'tap';
import { PolicyInvalidError, parsePorts, readPolicy, requirePolicyName } from '../../../agent/policies/validate.ts';

const NOW = Date.UTC(2026, 10, 22, 5);
const rate = { bytesPerSecond: 4096 };
const match = { app: 'skype' };

function faultsOf(input: unknown): string[] {
  try {
    readPolicy(input, NOW);
    return [];
  } catch (error) {
    if (!(error instanceof PolicyInvalidError)) throw error;
    return error.faults.map(({ name, detail }) => `${name}: ${detail}`);
  }
}

t.test('what is left out has its documented default', async (t) => {
  t.same(readPolicy({ match, rate }, NOW), {
    match,
    scope: 'relay',
    enabled: true,
    expiresAt: null,
    rate: { bytesPerSecond: 4096, direction: 'both' },
    quota: null,
    deny: null,
  });
  t.same(readPolicy({ match, deny: { inbound: true } }, NOW).deny, {
    inbound: true,
    outbound: false,
    ports: null,
    how: 'drop',
  });
  const quota = { bytes: 1, period: 'day', then: 'throttle' };
  t.same(readPolicy({ match, quota }, NOW).quota, { ...quota, throttleBytesPerSecond: 4096 });
});

t.test('the policy of the contract is taken as it is written there, and its answer is a policy again', async (t) => {
  const contract = {
    match: { app: 'skype' },
    scope: 'relay',
    enabled: true,
    expiresAt: null,
    rate: { bytesPerSecond: 4096, direction: 'both' },
    quota: { bytes: 1073741824, period: 'day', then: 'throttle' },
    deny: { inbound: true, outbound: false, ports: '1024-65535', how: 'drop' },
  };
  const policy = readPolicy(contract, NOW);
  t.same(policy, { ...contract, quota: { ...contract.quota, throttleBytesPerSecond: 4096 } });
  t.same(readPolicy(JSON.parse(JSON.stringify(policy)), NOW), policy);
});

t.test('a time with another offset is kept as UTC', async (t) => {
  const { expiresAt } = readPolicy({ match, rate, expiresAt: '2026-11-22T09:00:00+02:00' }, NOW);
  t.equal(expiresAt, '2026-11-22T07:00:00.000Z');
});

t.test('what is wrong is said with its place, all of it at once', async (t) => {
  const cases: [title: string, input: unknown, faults: RegExp[]][] = [
    ['nothing', undefined, [/^: is missing/, /^match: is missing/]],
    ['null', null, [/^: must be an object/, /^match: /]],
    ['a list', [], [/^: must be an object/, /^match: /]],
    ['text', 'cap', [/^: must be an object/, /^match: /]],
    ['empty', {}, [/^match: is missing/]],
    ['no limits', { match }, [/needs a rate, a quota or a deny/]],
    ['limits that are null', { match, rate: null, quota: null, deny: null }, [/needs a rate/]],
    ['a match without terms', { match: {}, rate }, [/^match: must have at least one/]],
    ['a match that is text', { match: 'skype', rate }, [/^match: must be an object/]],
    ['an unknown term', { match: { ap: 'skype' }, rate }, [/^match.ap: is not known/]],
    ['an unknown member', { match, rate, scop: 'all' }, [/^scop: is not known/]],
    [
      'an inherited member',
      JSON.parse('{"match":{"app":"a"},"rate":{"bytesPerSecond":1},"__proto__":{"x":1}}'),
      [/^__proto__: is not known/],
    ],
    ['an empty app', { match: { app: '' }, rate }, [/^match.app: must be text/]],
    ['a blank app', { match: { app: ' ' }, rate }, [/^match.app: must be text/]],
    ['half of a surrogate pair', { match: { app: 'a\ud800' }, rate }, [/^match.app: .*surrogate/]],
    ['a NUL', { match: { app: 'a\0b' }, rate }, [/^match.app: .*control/]],
    ['a number for a name', { match: { name: 7 }, rate }, [/^match.name: must be text/]],
    ['a name the kernel has no room for', { match: { name: 'x'.repeat(16) }, rate }, [/^match.name: .*15 bytes/]],
    ['a relative executable', { match: { executable: 'bin/x' }, rate }, [/^match.executable: .*absolute/]],
    ['pid 0', { match: { pid: 0 }, rate }, [/^match.pid: /]],
    ['a pid as text', { match: { pid: '4711' }, rate }, [/^match.pid: .*whole number/]],
    ['half a pid', { match: { pid: 1.5 }, rate }, [/^match.pid: /]],
    ['no uid', { match: { uid: 4294967295 }, rate }, [/^match.uid: /]],
    ['a negative uid', { match: { uid: -1 }, rate }, [/^match.uid: /]],
    ['a scope that is none', { match, rate, scope: 'some' }, [/^scope: must be one of relay, all/]],
    ['enabled as text', { match, rate, enabled: 'true' }, [/^enabled: must be true or false/]],
    ['no rate', { match, rate: {} }, [/^rate.bytesPerSecond: is missing/]],
    ['a rate of 0', { match, rate: { bytesPerSecond: 0 } }, [/^rate.bytesPerSecond: /]],
    ['a negative rate', { match, rate: { bytesPerSecond: -1 } }, [/^rate.bytesPerSecond: /]],
    ['half a byte', { match, rate: { bytesPerSecond: 0.5 } }, [/^rate.bytesPerSecond: /]],
    ['NaN', { match, rate: { bytesPerSecond: Number.NaN } }, [/^rate.bytesPerSecond: /]],
    ['an endless rate', { match, rate: { bytesPerSecond: Infinity } }, [/^rate.bytesPerSecond: /]],
    ['a rate as text', { match, rate: { bytesPerSecond: '4K' } }, [/^rate.bytesPerSecond: /]],
    ['a rate as number', { match, rate: 4096 }, [/^rate: must be an object/, /rate.bytesPerSecond/]],
    ['a way that is none', { match, rate: { ...rate, direction: 'up' } }, [/^rate.direction: must be one of sent/]],
    ['another unit', { match, rate: { ...rate, bitsPerSecond: 1 } }, [/^rate.bitsPerSecond: is not known/]],
    [
      'a quota alone',
      { match, quota: {} },
      [/^quota.bytes: is missing/, /^quota.period: is missing/, /^quota.then: is missing/],
    ],
    ['a quota of 0', { match, quota: { bytes: 0, period: 'day', then: 'deny' } }, [/^quota.bytes: /]],
    ['a quota past 2^53', { match, quota: { bytes: 2 ** 53, period: 'day', then: 'deny' } }, [/^quota.bytes: /]],
    ['a week', { match, quota: { bytes: 1, period: 'week', then: 'deny' } }, [/^quota.period: must be one of hour/]],
    [
      'an action that is none',
      { match, quota: { bytes: 1, period: 'day', then: 'stop' } },
      [/^quota.then: must be one of/],
    ],
    ['a deny of nothing', { match, deny: {} }, [/^deny: must deny inbound/]],
    ['a port too high', { match, deny: { inbound: true, ports: '1024-65536' } }, [/^deny.ports: /]],
    ['ports the wrong way', { match, deny: { inbound: true, ports: '90-80' } }, [/^deny.ports: /]],
    ['port 0', { match, deny: { inbound: true, ports: '0' } }, [/^deny.ports: /]],
    ['a list of ports', { match, deny: { inbound: true, ports: '80,443' } }, [/^deny.ports: /]],
    ['a port as a number', { match, deny: { inbound: true, ports: 80 } }, [/^deny.ports: must be text/]],
    ['a past time', { match, rate, expiresAt: '2026-11-22T05:00:00Z' }, [/^expiresAt: must be in the future/]],
    ['no time', { match, rate, expiresAt: 'tomorrow' }, [/^expiresAt: must be a time/]],
    ['a day that is none', { match, rate, expiresAt: '2026-13-45T05:00:00Z' }, [/^expiresAt: must be a time/]],
    ['a time without a zone', { match, rate, expiresAt: '2027-11-22T05:00:00' }, [/^expiresAt: must be a time/]],
    [
      'several',
      { match: { pid: -1 }, rate: { bytesPerSecond: 0 }, x: 1 },
      [/^match.pid/, /^rate.bytesPerSecond/, /^x: /],
    ],
  ];
  for (const [title, input, patterns] of cases) {
    const faults = faultsOf(input);
    t.equal(faults.length, patterns.length, `${title}: ${faults.join(' | ')}`);
    for (const pattern of patterns)
      t.ok(
        faults.some((fault) => pattern.test(fault)),
        `${title}: ${pattern}`,
      );
  }
});

t.test('ports', async (t) => {
  t.same(parsePorts('80'), { first: 80, last: 80 });
  t.same(parsePorts('1-65535'), { first: 1, last: 65_535 });
  for (const text of ['', '-', '80-', '-80', '1-2-3', ' 80', '0x50', '99999']) t.equal(parsePorts(text), null, text);
});

t.test('names of policies', async (t) => {
  for (const name of ['a', 'cap-skype', 'deny.all:1', 'x'.repeat(63)]) t.equal(requirePolicyName(name), name);
  for (const name of ['', '-a', 'a b', 'a/b', '..', 'ä', 'x'.repeat(64), 'a\n']) {
    t.throws(() => requirePolicyName(name), { code: 'POLICY_INVALID' }, JSON.stringify(name));
  }
});
