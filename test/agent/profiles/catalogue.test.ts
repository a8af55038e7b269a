import { readdirSync } from 'node:fs';
import t from 'tap';
import { FACTS } from '../../../agent/profiles/profile.ts';
import { describe, loadProfiles } from '../../../agent/profiles/profiles.ts';

const { all } = loadProfiles('/nowhere');

t.test('there is a file per program, named after its id', async (t) => {
  const files = readdirSync(new URL('../../../agent/profiles/catalogue/', import.meta.url)).sort();
  t.same(
    files,
    all.map(({ id }) => `${id}.yaml`),
  );
  t.equal(new Set(all.map(({ id }) => id)).size, all.length, 'ids are unique');
  t.ok(files.includes('skype.yaml'));
});

t.test('every fact has a source that says more than "same", and no source is without its fact', async (t) => {
  for (const profile of all) {
    for (const fact of FACTS) {
      const stated = profile[fact] !== null && profile[fact]?.length !== 0;
      t.equal(profile.sources[fact] !== undefined, stated, `${profile.id}: ${fact}`);
    }
    t.match(profile.sources.recognise, /Debian 12 \S+ \d|DESIGN\.md section 4|wiki/, `${profile.id}: first source`);
    for (const from of Object.values(profile.sources)) t.not(from, 'same', profile.id);
  }
});

t.test('ports are in range and tcp or udp', async (t) => {
  for (const { id, ports } of all) {
    for (const { from, to, protocol } of ports) {
      t.ok(Number.isInteger(from) && from >= 1 && from <= to && to <= 65535, `${id} ${from}-${to}`);
      t.ok(protocol === 'tcp' || protocol === 'udp', id);
    }
  }
});

t.test('a packaged program is never recognised by its file name alone', async (t) => {
  for (const { id, recognise, sources } of all) {
    const named = recognise.filter(({ nameOnly }) => nameOnly);
    t.ok(named.length === 0 || sources.recognise === 'DESIGN.md section 4', id);
  }
});

t.test('what is only named in the design states nothing that the design does not', async (t) => {
  const named = all.filter(({ sources }) => sources.recognise === 'DESIGN.md section 4');
  t.equal(named.length, 10);
  for (const { id, ports, switchOff } of named) {
    t.same(ports, [], id);
    t.equal(switchOff !== null, id === 'kubo', id);
  }
});

t.test('the description says what is known, in a few lines', async (t) => {
  for (const profile of all) {
    const lines = describe(profile).split('\n');
    t.ok(lines[0]?.startsWith(`${profile.title} [${profile.id}]`), profile.id);
    t.ok(lines.length >= 3 && lines.length <= 6, profile.id);
    t.notMatch(describe(profile), /undefined|null|\[object/, profile.id);
  }
  const coturn = describe(all.find(({ id }) => id === 'coturn') as (typeof all)[number]);
  t.match(coturn, /a service that is meant to relay/);
  t.match(coturn, /49152-65535\/udp/);
  t.match(coturn, /\/etc\/turnserver\.conf: .*no-udp-relay/);
  t.match(describe(all.find(({ id }) => id === 'earnapp') as (typeof all)[number]), /not known\n.*file name only/);
});
