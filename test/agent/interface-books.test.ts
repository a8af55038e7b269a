import t from 'tap';
import { asCountedBy, clamp, nothingSeen, type Seen } from '../../agent/device-figures.ts';
import type { RlInterfaceName } from '../../bpf/layouts.ts';
import { ipBytes, makeBooks, nothing, PACKET } from './fake-books.ts';
import { type Device, makeDevice, type Passing } from './fake-interfaces.ts';

function makeName(override: Partial<RlInterfaceName> = {}): RlInterfaceName {
  return { netns: 100, type: 1, hardHeaderLength: 14, name: 'eth0', driver: '', kind: '', ...override };
}

function makeSeen(override: Partial<Seen> = {}): Seen {
  return { ...nothingSeen(), ...override };
}

t.test('the hooks’ figures are read as each kind of device counts', async (t) => {
  // One super-packet of 3 x 1,000 bytes of IP and one ARP packet of 28, over Ethernet.
  const seen = makeSeen({
    deviceBytes: 2934 + 42,
    devicePackets: 2,
    segmentedBytes: 3 * 1014 + 42,
    ipBytes: 3000,
    ipPackets: 3,
    nonIpBytes: 28,
    nonIpPackets: 1,
  });
  const handed: [number, number] = [2976, 2];
  const segmented: [number, number] = [3084, 4];
  for (const [title, device, expected] of [
    ['veth', { driver: '' }, handed],
    ['bridge', { driver: '', kind: 'bridge', name: 'br0' }, handed],
    ['virtio', { driver: 'virtio_net' }, handed],
    ['Xen', { driver: 'xen-netfront' }, handed],
    ['Xen’s host', { driver: 'vif' }, handed],
    ['Hyper-V', { driver: 'hv_netvsc' }, handed],
    ['Intel', { driver: 'igb' }, segmented],
    ['Realtek', { driver: 'r8169' }, segmented],
    ['a driver whose name only begins like one', { driver: 'virtio_net2' }, segmented],
    ['lo counts without the link header', { type: 772, name: 'lo' }, [2976 - 2 * 14, 2]],
    ['vxlan counts without the link header', { kind: 'vxlan', hardHeaderLength: 64 }, [2976 - 2 * 14, 2]],
    ['tun has none', { type: 65534, hardHeaderLength: 0 }, handed],
  ] as const) {
    for (const bound of ['least', 'most'] as const) {
      t.same(asCountedBy(makeName(device), seen, 'tx', bound), expected, title);
    }
  }
});

t.test('a bridge and a tunnel count what they receive without the link header', async (t) => {
  const seen = makeSeen({
    deviceBytes: 2976,
    devicePackets: 2,
    ipBytes: 3000,
    ipPackets: 3,
    nonIpBytes: 28,
    nonIpPackets: 1,
  });
  for (const bound of ['least', 'most'] as const) {
    t.same(asCountedBy(makeName({ kind: 'bridge' }), seen, 'rx', bound), [2976 - 2 * 14, 2]);
  }
  const tunnel = makeName({ kind: 'vxlan' });
  t.same(asCountedBy(tunnel, seen, 'rx', 'most'), [3028, 4], 'and before packets become super-packets');
  t.same(asCountedBy(tunnel, seen, 'rx', 'least'), [2976 - 2 * 14, 2], 'or they came as such');
});

t.test('what the IP layer gave back to the host itself is no packet of the device', async (t) => {
  const seen = makeSeen({ segmentedBytes: 1014, ipBytes: 2000, ipPackets: 2, loopedPackets: 1 });
  t.same(asCountedBy(makeName({ driver: 'igb' }), seen, 'rx', 'least'), [1014, 1]);
});

t.test('a figure is drawn between two others', async (t) => {
  for (const [value, least, most, expected] of [
    [5, 1, 9, 5],
    [0, 1, 9, 1],
    [10, 1, 9, 9],
    [5, 5, 5, 5],
    [-3, 0, 0, 0],
  ] as const) {
    t.equal(clamp(value, least, most), expected);
  }
});

t.test('an interface that began with the accounting balances to the byte', async (t) => {
  for (const [title, device, passing, own] of [
    ['veth', {}, PACKET, [1014, 1]],
    ['veth, super-packet', {}, { deviceBytes: 2934, devicePackets: 1, segmentedBytes: 3042, ipPackets: 3 }, [2934, 1]],
    [
      'NIC, super-packet',
      { driver: 'igb' },
      { deviceBytes: 2934, devicePackets: 1, segmentedBytes: 3042, ipPackets: 3 },
      [3042, 3],
    ],
    ['lo', { type: 772, name: 'lo' }, PACKET, [1000, 1]],
    ['nothing passed that way', {}, {}, [0, 0]],
  ] as [string, Partial<Device>, Passing, [number, number]][]) {
    const { kernel, namespaces, books } = makeBooks();
    const eth = makeDevice(device);
    namespaces.set(eth);
    books.begin();
    kernel.pass(eth, 'rx', passing);
    kernel.pass(eth, 'tx', passing);
    const [bytes, packets] = own;
    namespaces.set(eth, { rxBytes: bytes, rxPackets: packets, txBytes: bytes, txPackets: packets });
    const [account] = books.read(nothing);
    const line = { netns: 100, netnsName: null, interface: eth.name };
    const figures = { interfaceBytes: bytes, interfacePackets: packets, seenBytes: bytes, seenPackets: packets };
    t.same(
      account?.lines,
      [
        { ...line, direction: 'rx', ...figures, errorBytes: 0 },
        { ...line, direction: 'tx', ...figures, errorBytes: 0 },
      ],
      title,
    );
  }
});

t.test('what passed before the accounting is not ours to explain', async (t) => {
  const { kernel, namespaces, books } = makeBooks();
  const eth = makeDevice();
  namespaces.set(eth, { rxBytes: 5_000_000, rxPackets: 5000, txBytes: 2 ** 52, txPackets: 7 });
  books.begin();
  kernel.pass(eth, 'rx', PACKET);
  namespaces.set(eth, { rxBytes: 5_001_014, rxPackets: 5001, txBytes: 2 ** 52 + 99, txPackets: 8 });
  t.match(books.read(nothing)[0]?.lines, [
    { direction: 'rx', interfaceBytes: 1014, interfacePackets: 1, seenBytes: 1014, errorBytes: 0 },
    { direction: 'tx', interfaceBytes: 99, interfacePackets: 1, seenBytes: 0, errorBytes: 99 },
  ]);
});

t.test('what passed between attaching the hooks and reading the baseline is counted once', async (t) => {
  for (const driver of ['', 'igb']) {
    const { kernel, namespaces, books } = makeBooks();
    const eth = makeDevice({ driver });
    kernel.pass(eth, 'rx', { deviceBytes: 2934, devicePackets: 1, segmentedBytes: 3042, ipBytes: 3000, ipPackets: 3 });
    const own = driver === '' ? [2934, 1] : [3042, 3];
    namespaces.set(eth, { rxBytes: 10_000 + (own[0] ?? 0), rxPackets: 10 + (own[1] ?? 0) });
    books.begin();
    t.match(books.read(nothing)[0]?.lines[0], { interfaceBytes: own[0], interfacePackets: own[1], errorBytes: 0 });
  }
});

t.test('the baseline is read again while packets pass', async (t) => {
  const { kernel, namespaces, books } = makeBooks();
  const eth = makeDevice();
  let passed = 0;
  const pass = (): void => {
    if (passed >= 3) return;
    kernel.pass(eth, 'rx', PACKET);
    passed++;
    // The packet is in the hooks' figures at once and in the interface's own ones a little later.
    namespaces.set(eth, { rxBytes: 500 + (passed - 1) * 1014, rxPackets: 5 + passed - 1 });
  };
  namespaces.set(eth, { rxBytes: 500, rxPackets: 5 });
  namespaces.discover();
  namespaces.onRead = () => {
    if (passed < 3) pass();
    else namespaces.set(eth, { rxBytes: 500 + 3 * 1014, rxPackets: 8 });
  };
  books.begin();
  namespaces.onRead = nothing;
  t.match(books.read(nothing)[0]?.lines[0], { interfaceBytes: 3042, seenBytes: 3042, errorBytes: 0 });
});

t.test('packets that pass while the books are read are no error, those that are missing are', async (t) => {
  for (const [title, before, during, own, expected] of [
    ['read before it passed', 1, 1, 1014, { seenBytes: 1014, errorBytes: 0 }],
    ['read after it passed', 1, 1, 2028, { seenBytes: 2028, errorBytes: 0 }],
    ['seen by us alone', 2, 1, 1014, { seenBytes: 2028, errorBytes: -1014 }],
    ['seen by the interface alone', 1, 0, 2028, { seenBytes: 1014, errorBytes: 1014 }],
  ] as const) {
    const { kernel, namespaces, books } = makeBooks();
    const eth = makeDevice();
    namespaces.set(eth);
    books.begin();
    for (let i = 0; i < before; i++) kernel.pass(eth, 'rx', PACKET);
    namespaces.set(eth, { rxBytes: own, rxPackets: own / 1014 });
    const [account] = books.read(() => {
      for (let i = 0; i < during; i++) kernel.pass(eth, 'rx', PACKET);
    });
    t.match(account?.lines[0], { interfaceBytes: own, ...expected }, title);
    t.equal(account?.rx.before.ipBytes, before * 1000, title);
    t.equal(account?.rx.after.ipBytes, (before + during) * 1000, title);
  }
});

t.test('the lines of all CPUs are summed up, wherever each CPU has put them', async (t) => {
  const { kernel, namespaces, books } = makeBooks(4);
  const eth = makeDevice({ ifindex: 2 });
  const sameSet = makeDevice({ ifindex: 2 + 256, name: 'eth1' });
  for (const device of [eth, sameSet]) namespaces.set(device);
  kernel.pass(sameSet, 'rx', { ...PACKET, cpu: 1 });
  for (const cpu of [0, 1, 2, 3, 3]) kernel.pass(eth, 'rx', { ...PACKET, cpu });
  kernel.pass(sameSet, 'rx', { ...PACKET, cpu: 0 });
  const accounts = books.read(nothing);
  t.same(accounts.map((account) => [account.interface, account.rx.after.ipPackets]).sort(), [
    ['eth0', 5],
    ['eth1', 2],
  ]);
  t.equal(ipBytes(books), 7000);
  t.equal(ipBytes(books, 'tx'), 0);
});

t.test('namespaces are told apart by their cookies, also where an inode was given out again', async (t) => {
  const { kernel, namespaces, books } = makeBooks();
  const gone = makeDevice({ netns: 100, cookie: 7n, name: 'old0' });
  const present = makeDevice({ netns: 100, cookie: 8n, name: 'eth0' });
  kernel.pass(gone, 'rx', PACKET);
  kernel.pass(present, 'rx', PACKET);
  namespaces.set(present, { rxBytes: 1014, rxPackets: 1 });
  const accounts = books.read(nothing);
  t.match(accounts.find((account) => account.interface === 'old0')?.lines, []);
  t.equal(accounts.find((account) => account.interface === 'old0')?.lines.length, 0);
  t.match(accounts.find((account) => account.interface === 'eth0')?.lines, [{ errorBytes: 0 }, { errorBytes: 0 }]);
  t.equal(ipBytes(books), 2000);
});

t.test('cookies of any size and large indices find their lines', async (t) => {
  for (const cookie of [2n ** 32n + 1n, 2n ** 53n + 1n, 2n ** 64n - 1n]) {
    const { kernel, namespaces, books } = makeBooks();
    const eth = makeDevice({ cookie, ifindex: 2 ** 32 - 1 });
    // As a number its cookie would be the same.
    const other = makeDevice({ netns: 200, cookie: cookie - 1n, ifindex: 2 ** 32 - 1, name: 'eth1' });
    for (const device of [eth, other]) namespaces.set(device, { rxBytes: 500, rxPackets: 5 });
    books.begin();
    kernel.pass(eth, 'tx', PACKET);
    namespaces.set(eth, { rxBytes: 500, rxPackets: 5, txBytes: 1014, txPackets: 1 });
    t.equal(ipBytes(books, 'tx'), 1000, `${cookie}`);
    t.match(books.read(nothing), [
      { interface: 'eth0', lines: [{ errorBytes: 0 }, { seenBytes: 1014, errorBytes: 0 }] },
    ]);
    kernel.pass(other, 'tx', PACKET);
    t.equal(books.read(nothing).length, 2, `${cookie}`);
    books.forgetGone();
    t.ok(kernel.holds(eth) && kernel.holds(other), 'neither is taken for gone');
  }
});

t.test('an interface that was renamed goes by its name of now', async (t) => {
  const { kernel, namespaces, books } = makeBooks();
  kernel.pass(makeDevice({ name: 'eth0' }), 'rx', PACKET);
  namespaces.set(makeDevice({ name: 'wan' }));
  const [account] = books.read(nothing);
  t.match([account?.interface, account?.lines[0]?.interface], ['wan', 'wan']);
});

t.test('a namespace’s name stands with its interfaces', async (t) => {
  const { kernel, namespaces, books } = makeBooks();
  const eth = makeDevice();
  namespaces.set(eth);
  namespaces.setName(eth.netns, 'blue');
  namespaces.discover();
  kernel.pass(eth, 'rx', PACKET);
  t.match(books.read(nothing), [
    { netns: 100, netnsName: 'blue', lines: [{ netnsName: 'blue' }, { netnsName: 'blue' }] },
  ]);
});
