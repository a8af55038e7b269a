import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { stringify } from 'yaml';
import { loadProfiles, type Profiles } from '../../../agent/profiles/profiles.ts';
import { makeFolder } from '../folder.ts';

type Fields = Record<string, unknown>;

function makeEntry(override: Fields = {}): Fields {
  return {
    id: 'own',
    title: 'Our own relay',
    recognise: [{ executable: '/opt/own/relay' }],
    relays: 'Whatever it is given.',
    ports: [{ port: 4000, protocol: 'tcp', use: 'all' }],
    configuration: [{ where: '/etc/own.conf', keys: ['relay'] }],
    switchOff: 'Stop it.',
    declaredService: true,
    sources: { recognise: 'a', relays: 'a', ports: 'a', configuration: 'a', switchOff: 'a' },
    ...override,
  };
}

/** Loads the catalogue with these files in the administrator's folder. */
function load(t: Test, files: Record<string, string>): Profiles {
  const folder = makeFolder(t);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  return loadProfiles(folder);
}

t.test('a file of the administrator’s adds an entry', async (t) => {
  const profiles = load(t, { 'own.yaml': stringify(makeEntry()) });
  t.equal(profiles.recognise({ executable: '/opt/own/relay', command: '' })?.id, 'own');
  t.match(profiles.byId('own'), {
    ports: [{ protocol: 'tcp', from: 4000, to: 4000, use: 'all' }],
    declaredService: true,
  });
  t.equal(profiles.byId('tor')?.title, 'Tor', 'ours are there too');
  t.equal(profiles.byId('none'), null);
});

t.test('an entry of the same id replaces ours as a whole', async (t) => {
  const tor = makeEntry({ id: 'tor', title: 'Another tor' });
  const profiles = load(t, { 'tor.yaml': stringify(tor) });
  t.equal(profiles.all.filter(({ id }) => id === 'tor').length, 1);
  t.equal(profiles.byId('tor')?.title, 'Another tor');
  t.equal(profiles.recognise({ executable: '/usr/bin/tor', command: '' }), null);
  t.equal(profiles.recognise({ executable: '/opt/own/relay', command: '' })?.id, 'tor');
});

t.test('the administrator’s entry wins over ours where both say as much', async (t) => {
  const profiles = load(t, { 'a.yaml': stringify(makeEntry({ recognise: [{ executable: '/usr/bin/tor' }] })) });
  t.equal(profiles.recognise({ executable: '/usr/bin/tor', command: '' })?.id, 'own');
});

t.test('the rule that says most wins', async (t) => {
  const rules: [id: string, rule: Fields][] = [
    ['d', { basename: 'relay', nameOnly: true }],
    ['c', { basename: 'relay', arguments: '-x' }],
    ['b', { basename: 'relay', package: 'p' }],
    ['a', { executable: '/r/relay' }],
  ];
  const entries = rules.map(([id, rule]) => makeEntry({ id, recognise: [rule] }));
  const profiles = load(t, { 'all.yaml': stringify(entries) });
  const find = (executable: string, command: string, owner: string | null): string | undefined =>
    profiles.recognise({ executable, command, package: owner })?.id;
  t.equal(find('/r/relay', '/r/relay -x', 'p'), 'a');
  t.equal(find('/s/relay', '/s/relay -x', 'p'), 'b');
  t.equal(find('/s/relay', '/s/relay -x', null), 'c');
  t.equal(find('/s/relay', '/s/relay -y', null), 'd');
});

t.test('all that a rule states must hold', async (t) => {
  const rule = { executable: '/r/*/relay-*', basename: 'relay-?', package: ['p', 'q'], arguments: '^run' };
  const profiles = load(t, { 'a.yaml': stringify(makeEntry({ recognise: [{ ...rule, basename: '*-a*z' }] })) });
  const holds = (executable: string, command: string, owner: string): boolean =>
    profiles.recognise({ executable, command, package: owner }) !== null;
  t.equal(holds('/r/x/relay-abcz', 'relay run', 'q'), true);
  t.equal(holds('/r/x/relay-az', 'relay run', 'p'), true);
  t.equal(holds('/r/x/relay-az', 'relay walk', 'p'), false);
  t.equal(holds('/r/x/relay-az', 'relay run', 'r'), false);
  t.equal(holds('/r/x/relay-a', 'relay run', 'p'), false);
  t.equal(holds('/r/x/y/relay-az', 'relay run', 'p'), false);
});

t.test('scripts are recognised by their own names', async (t) => {
  const profiles = load(t, { 'a.yaml': stringify(makeEntry({ recognise: [{ executable: '/srv/relay.py' }] })) });
  t.equal(profiles.recognise({ executable: '/usr/bin/python3', command: 'python3 /srv/relay.py 80' })?.id, 'own');
  t.equal(profiles.recognise({ executable: '/usr/bin/python3', command: 'python3 /srv/other.py' }), null);
});

t.test('no folder, an empty file and files of other kinds are nothing to complain of', async (t) => {
  const count = loadProfiles('/nowhere/at/all').all.length;
  const profiles = load(t, { 'a.yaml': '', 'b.yaml': '# nothing\n', 'c.yml': '{', '.d.yaml': '{', 'e.yaml~': '{' });
  t.equal(profiles.all.length, count);
});

t.test('an entry that is wrong is refused, with the file, the field and the reason', async (t) => {
  const rule = (fields: Fields): Fields => ({ recognise: [fields] });
  const port = (fields: Fields): Fields => ({ ports: [{ port: 1, protocol: 'tcp', use: 'x', ...fields }] });
  const cases: [title: string, entry: unknown, parts: string[]][] = [
    ['text', 'tor', ['mapping']],
    ['a number in a list', [1], ['mapping']],
    ['an unknown field', makeEntry({ port: 1 }), ['"port"', 'ports']],
    ['no id', makeEntry({ id: undefined }), ['id']],
    ['an id with blanks', makeEntry({ id: 'My App' }), ['My App']],
    ['no title', makeEntry({ title: '' }), ['own: title']],
    ['no relays', makeEntry({ relays: null }), ['own: relays']],
    ['no rules', makeEntry({ recognise: [] }), ['own: recognise']],
    ['rules that are none', makeEntry({ recognise: 'tor' }), ['own: recognise', 'list']],
    ['an empty rule', makeEntry(rule({})), ['recognise[0]']],
    ['arguments alone', makeEntry(rule({ arguments: 'x' })), ['recognise[0]', 'executable or basename']],
    ['a package alone', makeEntry(rule({ package: 'x' })), ['recognise[0]', 'executable or basename']],
    ['a file name alone', makeEntry(rule({ basename: 'x' })), ['a file name alone']],
    ['nameOnly with more', makeEntry(rule({ basename: 'x', package: 'x', nameOnly: true })), ['nameOnly']],
    ['a relative path', makeEntry(rule({ executable: 'bin/x' })), ['absolute', 'bin/x']],
    ['a path with ..', makeEntry(rule({ executable: '/usr/../x' })), ['absolute']],
    ['a path for a name', makeEntry(rule({ basename: 'a/b', package: 'x' })), ['file name', 'a/b']],
    ['any name', makeEntry(rule({ basename: '*', package: 'x' })), ['file name']],
    ['an interpreter', makeEntry(rule({ executable: '/usr/bin/python3.11' })), ['interpreter', 'python3.11']],
    ['a comm', makeEntry(rule({ name: 'x' })), ['"name"']],
    ['a broken pattern', makeEntry(rule({ basename: 'x', arguments: '(' })), ['arguments', 'regular expression']],
    ['a long pattern', makeEntry(rule({ basename: 'x', arguments: 'x'.repeat(201) })), ['200']],
    ['configured: yes', makeEntry(rule({ basename: 'x', configured: 'yes' })), ['configured', 'true or false']],
    ['port 0', makeEntry(port({ port: 0 })), ['ports[0].port', '0']],
    ['port 65536', makeEntry(port({ port: 65536 })), ['ports[0].port']],
    ['a range backwards', makeEntry(port({ port: '20-10' })), ['ports[0].port', '20-10']],
    ['a port by name', makeEntry(port({ port: 'http' })), ['ports[0].port', 'http']],
    ['another protocol', makeEntry(port({ protocol: 'sctp' })), ['ports[0].protocol', 'sctp']],
    ['a port without use', makeEntry(port({ use: undefined })), ['ports[0].use']],
    ['a place without path', makeEntry({ configuration: [{ keys: [] }] }), ['configuration[0].where']],
    ['keys that are numbers', makeEntry({ configuration: [{ where: '/x', keys: [1] }] }), ['configuration[0].keys']],
    ['switchOff as a list', makeEntry({ switchOff: ['x'] }), ['switchOff']],
    ['declaredService missing', makeEntry({ declaredService: undefined }), ['declaredService']],
    ['declaredService as text', makeEntry({ declaredService: 'no' }), ['declaredService', 'true or false']],
    ['no sources', makeEntry({ sources: undefined }), ['sources']],
    ['a fact without source', makeEntry({ sources: { recognise: 'a', relays: 'a' } }), ['sources.ports']],
    ['a source of nothing', makeEntry({ sources: { weather: 'a' } }), ['"weather"']],
    ['an empty source', makeEntry({ sources: { recognise: '' } }), ['sources.recognise']],
  ];
  for (const [title, entry, parts] of cases) {
    try {
      load(t, { 'wrong.yaml': stringify(entry) });
      t.fail(`${title}: taken as valid`);
    } catch (error) {
      const { code, message } = error as { code: string; message: string };
      t.equal(code, 'AGENT_CONFIG_UNREADABLE', title);
      for (const part of ['wrong.yaml', ...parts]) t.ok(message.includes(part), `${title}: "${message}" says ${part}`);
    }
  }
});

t.test('files that cannot be used are reported with their path, in one line', async (t) => {
  t.throws(() => load(t, { 'a.yaml': 'id: [a\nb: "' }), {
    code: 'AGENT_CONFIG_UNREADABLE',
    message: /^[^\n]*a\.yaml[^\n]*$/,
  });
  const bomb = `a: &a [x,x,x,x,x,x,x,x,x]\n${'bcdefgh'
    .split('')
    .map((key, i) => `${key}: &${key} [${Array(9).fill(`*${'abcdefg'[i]}`)}]\n`)
    .join('')}`;
  t.throws(() => load(t, { 'bomb.yaml': bomb }), { code: 'AGENT_CONFIG_UNREADABLE', message: /bomb\.yaml/ });
  const twice = { 'a.yaml': stringify(makeEntry()), 'b.yaml': stringify(makeEntry()) };
  t.throws(() => load(t, twice), { code: 'AGENT_CONFIG_UNREADABLE', message: /b\.yaml: the id own is in .*a\.yaml/ });
  const folder = makeFolder(t);
  mkdirSync(join(folder, 'folder.yaml'));
  t.throws(() => loadProfiles(folder), { code: 'AGENT_CONFIG_UNREADABLE', message: /folder\.yaml.*EISDIR/ });
  t.throws(() => loadProfiles('/nowhere', '/nowhere'), { code: 'AGENT_CONFIG_UNREADABLE', message: /ENOENT/ });
});
