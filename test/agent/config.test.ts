import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type Config, describeOptions, OPTIONS, readConfig } from '../../agent/config.ts';
import { makeFolder } from './folder.ts';

/** A YAML file with this text; its path. */
function makeFile(t: Test, text: string): string {
  const path = join(makeFolder(t), 'config.yaml');
  writeFileSync(path, text);
  return path;
}

/** Reads a file that holds nothing, so that what the machine has in /etc plays no part. */
function read(t: Test, argv: readonly string[] = [], environment: NodeJS.ProcessEnv = {}, yaml = ''): Config {
  return readConfig(['--config', makeFile(t, yaml), ...argv], environment);
}

t.test('without any option the documented defaults hold', async (t) => {
  t.same(read(t), {
    listen: ['127.0.0.1:9745'],
    socket: '/run/relayledger/api.sock',
    stateDir: '/var/lib/relayledger',
    bpffs: '/sys/fs/bpf/relayledger',
    cgroup: undefined,
    tokenFile: undefined,
    interval: 1,
    logLevel: 'info',
    maxApps: 1000,
    metricsPerProcess: false,
    detachOnExit: false,
    services: [],
    profiles: true,
    fingerprints: false,
    protected: [],
    policies: new Map(),
  });
});

/** For each option: its default, and a value by file, environment and flags. */
const LAYERS: readonly {
  flag: string;
  key: keyof Config;
  yaml: string;
  variable: string;
  argv: string[];
  values: [file: unknown, environment: unknown, flags: unknown];
}[] = [
  {
    flag: 'listen',
    key: 'listen',
    yaml: '[10.0.0.1:1, 10.0.0.2:2]',
    variable: '10.0.0.3:3,[::1]:4',
    argv: ['--listen', '10.0.0.5:5', '--listen=[fe80::1]:6'],
    values: [
      ['10.0.0.1:1', '10.0.0.2:2'],
      ['10.0.0.3:3', '[::1]:4'],
      ['10.0.0.5:5', '[fe80::1]:6'],
    ],
  },
  ...(
    [
      ['socket', 'socket'],
      ['state-dir', 'stateDir'],
      ['bpffs', 'bpffs'],
      ['cgroup', 'cgroup'],
      ['token-file', 'tokenFile'],
    ] as const
  ).map(([flag, key]) => ({
    flag,
    key,
    yaml: '/by/file',
    variable: '/by/environment',
    argv: [`--${flag}`, '/by/flag'],
    values: ['/by/file', '/by/environment', '/by/flag'] as [string, string, string],
  })),
  {
    flag: 'interval',
    key: 'interval',
    yaml: '2.5',
    variable: '0.1',
    argv: ['--interval=3600'],
    values: [2.5, 0.1, 3600],
  },
  {
    flag: 'log-level',
    key: 'logLevel',
    yaml: 'warn',
    variable: 'trace',
    argv: ['--log-level', 'fatal'],
    values: ['warn', 'trace', 'fatal'],
  },
  {
    flag: 'max-apps',
    key: 'maxApps',
    yaml: '1',
    variable: '20',
    argv: ['--max-apps', '100000'],
    values: [1, 20, 100_000],
  },
  {
    flag: 'metrics-per-process',
    key: 'metricsPerProcess',
    yaml: 'true',
    variable: 'false',
    argv: ['--metrics-per-process'],
    values: [true, false, true],
  },
  {
    flag: 'profiles',
    key: 'profiles',
    yaml: 'false',
    variable: 'true',
    argv: ['--no-profiles'],
    values: [false, true, false],
  },
  {
    flag: 'fingerprints',
    key: 'fingerprints',
    yaml: 'true',
    variable: 'false',
    argv: ['--fingerprints'],
    values: [true, false, true],
  },
  {
    flag: 'service',
    key: 'services',
    yaml: '[nginx, haproxy]',
    variable: 'tor,i2pd',
    argv: ['--service', 'coturn', '--service=my relay'],
    values: [
      ['nginx', 'haproxy'],
      ['tor', 'i2pd'],
      ['coturn', 'my relay'],
    ],
  },
  {
    flag: 'protected',
    key: 'protected',
    yaml: '[postgres, /usr/sbin/sshd]',
    variable: 'nginx',
    argv: ['--protected', 'haproxy', '--protected=chronyd'],
    values: [['postgres', '/usr/sbin/sshd'], ['nginx'], ['haproxy', 'chronyd']],
  },
  {
    flag: 'detach-on-exit',
    key: 'detachOnExit',
    yaml: 'true',
    variable: '0',
    argv: ['--detach-on-exit'],
    values: [true, false, true],
  },
];

t.test('flags come before the environment, the environment before the file', async (t) => {
  t.same(LAYERS.map(({ flag }) => flag).sort(), Object.keys(OPTIONS).sort(), 'every option is in the table');
  for (const { flag, key, yaml, variable, argv, values } of LAYERS) {
    const text = `${flag}: ${yaml}\n`;
    const environment = { [`RELAYLEDGER_${flag.toUpperCase().replaceAll('-', '_')}`]: variable };
    const [file, fromEnvironment, flags] = values;
    t.same(read(t, [], {}, text)[key], file, `${flag} in the file`);
    t.same(read(t, [], environment, text)[key], fromEnvironment, `${flag} in the environment`);
    t.same(read(t, argv, environment, text)[key], flags, `${flag} as a flag`);
    t.same(read(t, argv)[key], flags, `${flag} as a flag alone`);
    t.same({ ...read(t, argv), [key]: undefined }, { ...read(t), [key]: undefined }, `${flag} changes nothing else`);
  }
});

t.test('truth is written in any of its ways', async (t) => {
  for (const [text, expected] of [
    ['true', true],
    ['1', true],
    ['false', false],
    ['0', false],
  ] as const) {
    t.equal(read(t, [], { RELAYLEDGER_DETACH_ON_EXIT: text }).detachOnExit, expected);
  }
});

t.test('a variable that is empty counts as not set', async (t) => {
  const environment = Object.fromEntries(
    LAYERS.map(({ flag }) => [`RELAYLEDGER_${flag.toUpperCase().replaceAll('-', '_')}`, '']),
  );
  t.same(read(t, [], environment), read(t));
  t.same(readConfig([], { RELAYLEDGER_CONFIG: '' }), readConfig([], {}), 'the path of the file too');
});

t.test('the file is named by flag or by environment, the flag first', async (t) => {
  const byFlag = makeFile(t, 'max-apps: 1');
  const byEnvironment = makeFile(t, 'max-apps: 2');
  t.equal(readConfig(['--config', byFlag], { RELAYLEDGER_CONFIG: byEnvironment }).maxApps, 1);
  t.equal(readConfig([], { RELAYLEDGER_CONFIG: byEnvironment }).maxApps, 2);
});

t.test('a bad value is refused with the option, its source and what is allowed', async (t) => {
  const inFile = (name: string): string => `${name} in the configuration file`;
  const cases: [title: string, yaml: string, environment: NodeJS.ProcessEnv, argv: string[], parts: string[]][] = [
    ['too small', '', {}, ['--interval', '0.05'], ['--interval', '0.1', '3600', '0.05']],
    ['too large', '', {}, ['--interval', '3601'], ['--interval', '3601']],
    ['negative', '', {}, ['--interval=-1'], ['--interval', '-1']],
    ['not a number', '', {}, ['--interval', '1s'], ['--interval', '1s']],
    ['nothing', '', {}, ['--interval', ''], ['--interval']],
    ['blank', '', {}, ['--interval', ' '], ['--interval']],
    ['NaN', '', {}, ['--interval', 'NaN'], ['--interval', 'NaN']],
    ['endless', 'interval: .inf', {}, [], [inFile('interval'), 'Infinity']],
    ['a list', 'interval: [1]', {}, [], [inFile('interval')]],
    ['yes', 'interval: true', {}, [], [inFile('interval'), 'true']],
    ['null', 'interval:', {}, [], [inFile('interval'), 'null']],
    ['a part of an app', '', {}, ['--max-apps', '1.5'], ['--max-apps', 'whole', '1.5']],
    ['no apps', '', { RELAYLEDGER_MAX_APPS: '0' }, [], ['RELAYLEDGER_MAX_APPS', '1', '100000']],
    ['too many apps', 'max-apps: 100001', {}, [], [inFile('max-apps'), '100001']],
    ['maybe', '', { RELAYLEDGER_DETACH_ON_EXIT: 'maybe' }, [], ['RELAYLEDGER_DETACH_ON_EXIT', 'maybe']],
    ['a number for a flag', 'metrics-per-process: 2', {}, [], [inFile('metrics-per-process'), '2']],
    ['an empty path', '', {}, ['--state-dir', ''], ['--state-dir', 'empty']],
    ['a blank path', '', { RELAYLEDGER_SOCKET: '  ' }, [], ['RELAYLEDGER_SOCKET', 'empty']],
    ['no path', 'bpffs:', {}, [], [inFile('bpffs')]],
    ['a number for a path', 'token-file: 7', {}, [], [inFile('token-file')]],
    ['no address', 'listen:', {}, [], [inFile('listen')]],
    ['an empty address', '', {}, ['--listen', 'a:1', '--listen', ''], ['--listen', 'empty']],
    ['an address too few', '', { RELAYLEDGER_LISTEN: 'a:1,' }, [], ['RELAYLEDGER_LISTEN', 'empty']],
    ['a number among addresses', 'listen: ["a:1", 2]', {}, [], [inFile('listen')]],
    [
      'a level that is none',
      '',
      {},
      ['--log-level', 'loud'],
      ['--log-level', 'loud', 'trace, debug, info, warn, error, fatal'],
    ],
    ['a level in the file', 'log-level: loud', {}, [], [inFile('log-level'), 'loud']],
    ['a level in the environment', '', { RELAYLEDGER_LOG_LEVEL: 'INFO' }, [], ['RELAYLEDGER_LOG_LEVEL', 'INFO']],
    ['an option that is none', '', {}, ['--listne', 'x'], ['--listne', '--help']],
    ['an option without its value', '', {}, ['--socket'], ['--socket', '--help']],
    ['a value for a flag', '', {}, ['--detach-on-exit=yes'], ['--detach-on-exit', '--help']],
    ['a word too many', '', {}, ['start'], ['start', '--help']],
  ];
  for (const [title, yaml, environment, argv, parts] of cases) {
    try {
      read(t, argv, environment, yaml);
      t.fail(`${title}: taken as valid`);
    } catch (error) {
      const { code, message } = error as { code: string; message: string };
      t.equal(code, 'AGENT_OPTION_INVALID', title);
      for (const part of parts) t.ok(message.includes(part), `${title}: "${message}" says ${part}`);
      t.notMatch(message, /\n/, title);
    }
  }
});

t.test('a key that is no option is refused, whatever JavaScript knows under that name', async (t) => {
  for (const key of ['listne', 'stateDir', 'config', 'constructor', 'toString', '__proto__']) {
    t.throws(
      () => read(t, [], {}, `${JSON.stringify(key)}: 1`),
      {
        code: 'AGENT_OPTION_INVALID',
        message: `${key} in the configuration file: there is no such option; see relayledger agent --help`,
      },
      key,
    );
  }
});

t.test('a file that is there and cannot be used is reported with its path, in one line', async (t) => {
  const folder = makeFolder(t);
  mkdirSync(join(folder, 'folder'));
  writeFileSync(join(folder, 'broken'), 'listen: [a\nsocket: "');
  writeFileSync(join(folder, 'list'), '- listen');
  writeFileSync(join(folder, 'text'), 'listen');
  for (const [name, reason] of [
    ['missing', /cannot read the configuration file .*ENOENT/],
    ['folder', /cannot read the configuration file .*EISDIR/],
    ['broken', /is not YAML/],
    ['list', /must be a YAML mapping/],
    ['text', /must be a YAML mapping/],
  ] as const) {
    const path = join(folder, name);
    for (const attempt of [
      () => readConfig(['--config', path], {}),
      () => readConfig([], { RELAYLEDGER_CONFIG: path }),
    ]) {
      t.throws(attempt, { code: 'AGENT_CONFIG_UNREADABLE', message: reason }, name);
      t.throws(attempt, { message: new RegExp(`^[^\\n]*${path}[^\\n]*$`) }, name);
    }
  }
});

t.test('an empty file is a file without options', async (t) => {
  for (const yaml of ['', '\n', '# nothing\n', '{}', 'null']) t.same(read(t, [], {}, yaml), read(t));
});

t.test('one reading does not change the next', async (t) => {
  read(t).listen.push('0.0.0.0:1');
  t.same(read(t).listen, ['127.0.0.1:9745']);
});

t.test('the help has a line for each option and says its default', async (t) => {
  const lines = describeOptions();
  for (const name of [...Object.keys(OPTIONS), 'config']) {
    t.equal(lines.filter((line) => line.startsWith(`  --${name}`)).length, 1, name);
  }
  t.match(lines.join('\n'), /--listen VALUE .*default 127\.0\.0\.1:9745/);
  t.match(lines.join('\n'), /--interval N .*default 1\)/);
  t.notMatch(lines.join('\n'), /default \)/, 'where it is nothing, nothing is said');
  t.match(lines.join('\n'), /--config VALUE .*\/etc\/relayledger\/config\.yaml/);
  for (const line of lines) t.match(line, /^ {2}--[a-z-]+( VALUE| N)? {1,}\S/, 'the help text stands apart');
});

t.test('policies stand in the file, each with its defaults, and are checked before anything starts', async (t) => {
  const cap = '{ match: { app: skype }, rate: { bytesPerSecond: 4096 } }';
  const { policies } = read(t, [], {}, `policies:\n  cap-skype: ${cap}\n`);
  t.match(policies.get('cap-skype'), { scope: 'relay', enabled: true, rate: { direction: 'both' }, quota: null });
  t.equal(read(t, [], {}, 'policies:').policies.size, 0);
  const cases: [title: string, yaml: string, part: RegExp][] = [
    ['a list', `policies: [${cap}]`, /must be a mapping/],
    ['no match', 'policies: { a: { rate: { bytesPerSecond: 1 } } }', /a: match is missing/],
    [
      'no rate',
      'policies: { a: { match: { app: x }, rate: { bytesPerSecond: 0 } } }',
      /a: rate.bytesPerSecond must be/,
    ],
    ['a bad name', `policies: { "a b": ${cap} }`, /a b: name must begin/],
    ['a pid', 'policies: { a: { match: { pid: 7 }, deny: { inbound: true } } }', /match.pid means another process/],
  ];
  for (const [title, yaml, part] of cases) {
    t.throws(() => read(t, [], {}, yaml), { code: 'AGENT_OPTION_INVALID', message: part }, title);
  }
  t.throws(() => read(t, ['--policies', 'x']), { code: 'AGENT_OPTION_INVALID' }, 'they are no option');
});
