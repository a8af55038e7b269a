import { readlinkSync } from 'node:fs';
import t from 'tap';
import { NetworkNamespaces, parseNetDev } from '../../agent/network-namespaces.ts';

const HEADER = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
`;

t.test('interface counters are read from /proc/net/dev as the kernel formats it', async (t) => {
  for (const [title, line, expected] of [
    [
      'short',
      '    lo:     100       2    3    4    5     6          7         8      900      10    0    0    0     0       0          0',
      ['lo', 100, 2, 900, 10],
    ],
    [
      'no blank behind the colon',
      '  eth0:1234567890123 9 0 0 0 0 0 0 9007199254740991 8 0 0 0 0 0 0',
      ['eth0', 1234567890123, 9, 9007199254740991, 8],
    ],
    ['a colon in the name', 'eth0:1: 1 2 0 0 0 0 0 0 3 4 0 0 0 0 0 0', ['eth0:1', 1, 2, 3, 4]],
    [
      'nothing yet',
      ' wg0:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0          0',
      ['wg0', 0, 0, 0, 0],
    ],
  ] as const) {
    const [name, rxBytes, rxPackets, txBytes, txPackets] = expected;
    t.same(parseNetDev(`${HEADER}${line}\n`), [{ name, rxBytes, rxPackets, txBytes, txPackets }], title);
  }
});

t.test('a namespace without interfaces has none', async (t) => {
  t.same(parseNetDev(HEADER), []);
  t.same(parseNetDev(''), []);
});

t.test('one’s own network namespace is found', async (t) => {
  const own = Number(/\[(\d+)\]/.exec(readlinkSync('/proc/self/ns/net'))?.[1]);
  const namespaces = new NetworkNamespaces();
  t.notOk(namespaces.has(own), 'not before it is looked for');
  namespaces.discover();
  t.ok(namespaces.has(own));
  t.ok([...namespaces.inodes()].includes(own));
  t.notOk(namespaces.has(1));
  t.equal(namespaces.nameOf(1), null);
});
