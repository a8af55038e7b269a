import { readFileSync } from 'node:fs';
import t from 'tap';
import { returnFreedMemory, returnProgramPages, unwritten } from '../../bpf/own-memory.ts';

const SMAPS = `00400000-00746000 r--p 00000000 fe:00 5324825                            /opt/node
Size:               3352 kB
Anonymous:             0 kB
VmFlags: rd mr mw me sd
06b52000-06b56000 r--p 06751000 fe:00 5324825                            /opt/node
Size:                 16 kB
Anonymous:             8 kB
VmFlags: rd mr mw me sd
06b56000-06b7d000 rw-p 06755000 fe:00 5324825                            /opt/node
Size:                156 kB
Anonymous:             0 kB
7fd6e2940000-7fd6e2b45000 r-xp 01627000 fe:00 5324825                    /opt/node
Size:               2068 kB
Anonymous:             0 kB
7fd6e2b45000-7fd6e2b46000 r--p 00000000 fe:00 77                         /opt/node (deleted)
Anonymous:             0 kB
7ffd0b5e9000-7ffd0b60a000 rw-p 00000000 00:00 0                          [stack]
Anonymous:           132 kB
7ffd0b7d2000-7ffd0b7d4000 r-xp 00000000 00:00 0
Anonymous:             0 kB
`;

/** Bytes of files that are mapped here and in memory. */
function residentFileBytes(): number {
  return Number(/^RssFile:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) * 1024;
}

t.test('only what cannot have been written to is let go of', async (t) => {
  t.same(unwritten(SMAPS, '/opt/node'), [
    { address: 0x400000n, length: 0x346000 },
    { address: 0x7fd6e2940000n, length: 0x205000 },
  ]);
  t.same(unwritten(SMAPS, '/opt/other'), []);
  t.same(unwritten('', '/opt/node'), []);
});

t.test('the program’s own pages go, and come back as they are needed', async (t) => {
  const before = residentFileBytes();
  returnProgramPages();
  const after = residentFileBytes();
  t.ok(after < before - 5e6, `${before} bytes before, ${after} after`);
  returnFreedMemory();
  t.equal(new Intl.NumberFormat('de').format(1234.5), '1.234,5');
});
