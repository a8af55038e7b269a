import { execFileSync } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { listeningPortsOf, readSkypeSettings } from '../../../agent/profiles/skype.ts';
import { makeFolder } from '../folder.ts';

const SHARED = `<?xml version="1.0"?>
<config version="1.0" serial="46" timestamp="1368439823.55">
  <Lib>
    <Connection>
      <HostCache><_1>41C80105000000000000</_1></HostCache>
      <LastSync>1368439824</LastSync>
      <ListeningPort>33991</ListeningPort>
      <NatTracker><ContraProbeResults>192.0.2.7:52514 192.0.2.7:53485</ContraProbeResults></NatTracker>
    </Connection>
  </Lib>
  <UI><General><LastLanguage>en</LastLanguage></General></UI>
</config>
`;

/** A home directory whose shared.xml holds this. */
function makeHome(t: Test, content?: string | Buffer): string {
  const home = makeFolder(t);
  mkdirSync(join(home, '.Skype'));
  if (content !== undefined) writeFileSync(join(home, '.Skype', 'shared.xml'), content);
  return home;
}

t.test('the port that Skype is configured to listen on is read', async (t) => {
  const home = makeHome(t, SHARED);
  t.same(await readSkypeSettings(home), {
    path: join(home, '.Skype', 'shared.xml'),
    listeningPorts: [33991],
    problem: null,
  });
});

t.test('the element is found however it is written', async (t) => {
  for (const [title, xml, ports] of [
    ['as Skype writes it', SHARED, [33991]],
    ['one line', SHARED.replaceAll(/\n\s*/g, ''), [33991]],
    ['CR LF', SHARED.replaceAll('\n', '\r\n'), [33991]],
    ['a byte order mark', `\uFEFF${SHARED}`, [33991]],
    ['blanks and attributes', '<c><ListeningPort type="i">\n 80 </ListeningPort ></c>', [80]],
    ['elsewhere in the tree', '<config><UI><ListeningPort>443</ListeningPort></UI></config>', [443]],
    ['several, each once', `${SHARED}${SHARED}<ListeningPort>80</ListeningPort>`, [33991, 80]],
    ['cut off behind it', SHARED.slice(0, SHARED.indexOf('<NatTracker>')), [33991]],
    ['a doctype before it', `<!DOCTYPE config [<!ENTITY a "b">]>${SHARED}`, [33991]],
    ['a comment before it', `<!-- <ListeningPort>1</ListeningPort> -->${SHARED}`, [33991]],
    ['bounds', '<ListeningPort>1</ListeningPort><ListeningPort>65535</ListeningPort>', [1, 65535]],
  ] as const) {
    t.same(listeningPortsOf(xml), ports, title);
  }
});

t.test('what is not a port is none', async (t) => {
  for (const xml of [
    '',
    'no XML at all',
    '<',
    '<ListeningPort>',
    '<ListeningPort>33991',
    '<ListeningPort>33991<',
    '<ListeningPort>33991</Other>',
    '<ListeningPort/>',
    '<ListeningPort></ListeningPort>',
    '<ListeningPort>0</ListeningPort>',
    '<ListeningPort>65536</ListeningPort>',
    '<ListeningPort>-80</ListeningPort>',
    '<ListeningPort>8e1</ListeningPort>',
    '<ListeningPort>0x50</ListeningPort>',
    '<ListeningPort>80 81</ListeningPort>',
    '<ListeningPort><x/>80</ListeningPort>',
    '<ListeningPort>&p;</ListeningPort>',
    '<ListeningPort>&#56;0</ListeningPort>',
    '<ListeningPortX>80</ListeningPortX>',
    '<XListeningPort>80</XListeningPort>',
    '<listeningport>80</listeningport>',
    '<!-- <ListeningPort>80</ListeningPort> -->',
    '<!-- <ListeningPort>80</ListeningPort>',
    '<![CDATA[<ListeningPort>80</ListeningPort>]]>',
    '<?x <ListeningPort>80</ListeningPort> ?>',
    '<!DOCTYPE c [<!ENTITY p "<ListeningPort>80</ListeningPort>">]><c>&p;</c>',
    `<ListeningPort>${' '.repeat(1000)}80</ListeningPort>`,
    Buffer.from(SHARED, 'utf16le').toString(),
  ]) {
    t.same(listeningPortsOf(xml), [], JSON.stringify(xml.slice(0, 80)));
  }
});

t.test('a hostile megabyte is read once through', async (t) => {
  const size = 1 << 20;
  for (const unit of [
    '<',
    '>',
    '<a',
    '<!',
    '<!a>',
    '<!a[]',
    '<!a[',
    '<!-- -->',
    '<!--',
    '<![CDATA[]]>',
    '<?x?>',
    '<?',
    '<ListeningPort',
    '<ListeningPort>',
    '<ListeningPort a="',
    '<ListeningPort>x</ListeningPort>',
    '</ListeningPort>',
    '<a b="',
    '&a;',
  ]) {
    t.same(listeningPortsOf(unit.repeat(size / unit.length)), [], unit);
    t.same(listeningPortsOf(`${unit.repeat(size / unit.length)}]>`), [], `${unit}, closed`);
  }
  const many = Array.from({ length: 10_000 }, (_, i) => `<ListeningPort>${i + 1}</ListeningPort>`).join('');
  t.equal(listeningPortsOf(many).length, 16, 'no more ports than a settings file would have');
});

t.test('bytes of any kind do not throw', async (t) => {
  let seed = 1;
  const next = (): number => {
    seed = (seed * 1103515245 + 12345) % 2147483648;
    return seed;
  };
  for (let i = 0; i < 500; i++) {
    const bytes = Buffer.from(SHARED);
    for (let j = 0; j < 20; j++) bytes[next() % bytes.length] = next() % 256;
    for (const port of listeningPortsOf(bytes.toString('utf8'))) t.ok(port >= 1 && port <= 65535);
  }
  t.same((await readSkypeSettings(makeHome(t, Buffer.alloc(5000, 0xff)))).listeningPorts, []);
});

t.test('a file that is not there, or not a file of that size, is a reported state', async (t) => {
  const large = `${SHARED}${' '.repeat(1 << 20)}`;
  const link = makeHome(t);
  symlinkSync(join(makeHome(t, SHARED), '.Skype', 'shared.xml'), join(link, '.Skype', 'shared.xml'));
  const pipe = makeHome(t);
  execFileSync('mkfifo', [join(pipe, '.Skype', 'shared.xml')]);
  const folder = makeHome(t);
  mkdirSync(join(folder, '.Skype', 'shared.xml'));
  const noFolder = makeFolder(t);
  writeFileSync(join(noFolder, '.Skype'), '');
  for (const [title, home, problem] of [
    ['no Skype', makeFolder(t), 'not there'],
    ['no file', makeHome(t), 'not there'],
    ['.Skype is a file', noFolder, 'not there'],
    ['too large', makeHome(t, large), 'larger than 1048576 bytes'],
    ['a link', link, 'cannot be read (ELOOP)'],
    ['a pipe', pipe, 'not a regular file'],
    ['a folder', folder, 'not a regular file'],
    ['a home that is none', '', 'no home directory'],
    ['a relative home', 'home', 'no home directory'],
    ['a NUL', '/home/a\0b', 'no home directory'],
  ] as const) {
    const settings = await readSkypeSettings(home);
    t.equal(settings.problem, problem, title);
    t.same(settings.listeningPorts, [], title);
  }
  const whole = `${SHARED}${' '.repeat((1 << 20) - SHARED.length)}`;
  t.same((await readSkypeSettings(makeHome(t, whole))).listeningPorts, [33991], 'the largest that is read');
});
