import { spawn } from 'node:child_process';
import { once } from 'node:events';
import t from 'tap';
import { makeCounters } from '../../agent/counters.ts';
import { PipeEnds, readFifos } from '../../agent/pipe-ends.ts';
import type { ProcessRecord } from '../../agent/process-table.ts';

type Fifo = ProcessRecord['details']['fifos'][number];

function makeRecord(slot: number, fifos: Fifo[], payload: number): ProcessRecord {
  const counters = makeCounters();
  // The first of the payload shares.
  counters[4] = payload;
  return { slot, tgid: slot, exitedAtMs: null, counters, details: { fifos } } as unknown as ProcessRecord;
}

t.test('processes that share a pipe, one writing and one reading', async (t) => {
  const ends = new PipeEnds(() => []);
  const writer = makeRecord(1, [{ inode: 7, modes: 2 }], 0);
  const reader = makeRecord(2, [{ inode: 7, modes: 1 }], 0);
  const wakesItself = makeRecord(
    3,
    [1, 2].map((modes) => ({ inode: 8, modes })),
    0,
  );
  t.same([...ends.find([writer, reader, wakesItself])], [1, 2]);
  const alsoWakes = makeRecord(4, [{ inode: 8, modes: 3 }], 0);
  t.same([...ends.find([wakesItself, alsoWakes])], [], 'a family that has inherited both ends');
  const child = makeRecord(5, [{ inode: 8, modes: 1 }], 0);
  t.same([...ends.find([wakesItself, child])], [3, 5], 'a parent that kept its own end and that of its child');
});

t.test('a pipe that was opened later is found once the process has moved some bytes', async (t) => {
  const looks: number[] = [];
  const ends = new PipeEnds((pid) => {
    looks.push(pid);
    return [{ inode: 9, modes: 2 }];
  });
  const reader = makeRecord(2, [{ inode: 9, modes: 1 }], 0);
  t.same([...ends.find([makeRecord(1, [], 0), reader])], []);
  const busy = makeRecord(1, [], 100_000);
  t.same([...ends.find([busy, reader])], [1, 2]);
  ends.find([busy, reader]);
  t.same(looks, [1], 'and is not looked for again until it has moved much more');
  busy.counters[4] = 500_000;
  ends.find([busy, reader]);
  t.same(looks, [1, 1]);
  t.equal(busy.details.fifos.length, 1, 'nor noted twice');
});

t.test('the pipes of a process that lives', async (t) => {
  const child = spawn('sh', ['-c', 'sleep 9 | sleep 8'], { stdio: ['ignore', 'ignore', 'ignore'], detached: true });
  await once(child, 'spawn');
  t.teardown(() => process.kill(-(child.pid ?? 0)));
  t.ok(Array.isArray(readFifos(child.pid ?? 0)));
  t.same(readFifos(2 ** 30), [], 'of none, there are none');
});
