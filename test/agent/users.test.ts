import { rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parsePasswd, Users } from '../../agent/users.ts';
import { makeFolder } from './folder.ts';

t.test('names are read by uid, the first one where a uid has two', async (t) => {
  const text = ['root:x:0:0:root:/root:/bin/bash', 'toor:x:0:0::/root:/bin/sh', 'www-data:x:33:33::/:', ''].join('\n');
  t.same(
    [...parsePasswd(text)],
    [
      [0, 'root'],
      [33, 'www-data'],
    ],
  );
});

t.test('lines that are no user are left out', async (t) => {
  for (const line of [
    '',
    '# a comment',
    '+::::::',
    ':x:5:5',
    'name:x',
    'name:x:',
    'name:x:-1:',
    'name:x:1e3:',
    'name',
  ]) {
    t.equal(parsePasswd(`${line}\n`).size, 0, line);
  }
});

t.test('a change of the file is seen, and its loss leaves the names', async (t) => {
  const path = join(makeFolder(t), 'passwd');
  const users = new Users(path);
  users.refresh();
  t.equal(users.nameOf(1000), null, 'no file yet');
  for (const [second, name] of [
    [1, 'ada'],
    [2, 'grace'],
  ] as const) {
    writeFileSync(path, `${name}:x:1000:1000::/:\n`);
    utimesSync(path, second, second);
    users.refresh();
    t.equal(users.nameOf(1000), name);
  }
  rmSync(path);
  users.refresh();
  t.equal(users.nameOf(1000), 'grace');
  t.equal(users.nameOf(1001), null);
});
