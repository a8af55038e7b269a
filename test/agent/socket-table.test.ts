import { isIPv6 } from 'node:net';
import t from 'tap';
import { formatAddress } from '../../agent/addresses.ts';
import type { Socket } from '../../agent/readings.ts';
import { countSockets, type SocketOwner, socketRecords, toFlow, toSocket } from '../../agent/socket-table.ts';
import { RL_SOCKET_RECORD_SIZE, type RlSocketRecord } from '../../bpf/layouts.ts';
import {
  AF_INET,
  AF_INET6,
  AF_PACKET,
  address,
  ESTABLISHED,
  encodeSocketRecord,
  makeSocketRecord,
  SOCK_DGRAM,
  SOCK_RAW,
  SOCK_STREAM,
  TCP,
  UDP,
} from './socket-records.ts';

const OWNER: SocketOwner = { pid: 4711, startedAt: '2026-11-22T05:00:00.000Z', name: 'skype', app: 'skypeforlinux' };
const NOWHERE = { remotePort: 0, remoteAddress: address() };

function convert(override: Partial<RlSocketRecord> = {}): Socket {
  return toSocket(makeSocketRecord(override), OWNER);
}

/** `2001:db8::1` written out in full, as bytes. */
function fromGroups(text: string): Uint8Array {
  return address(
    ...text.split(':').flatMap((group) => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 0xff]),
  );
}

t.test('IPv6 addresses are written as RFC 5952 says', async (t) => {
  for (const [groups, expected] of [
    ['0:0:0:0:0:0:0:0', '::'],
    ['0:0:0:0:0:0:0:1', '::1'],
    ['1:0:0:0:0:0:0:0', '1::'],
    ['2001:db8:0:0:0:0:0:1', '2001:db8::1'],
    // 4.1: no leading zeros, 4.3: lower case
    ['2001:0DB8:0001:0020:0300:4000:00AB:CDEF', '2001:db8:1:20:300:4000:ab:cdef'],
    // 4.2.2: one group of zeros alone is not shortened
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['0:1:2:3:4:5:6:7', '0:1:2:3:4:5:6:7'],
    ['1:2:3:4:5:6:7:0', '1:2:3:4:5:6:7:0'],
    // 4.2.3: the longest run, and of two alike the first
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['2001:0:0:0:1:0:0:1', '2001::1:0:0:1'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['0:0:1:0:0:1:0:0', '::1:0:0:1:0:0'],
    ['1:0:0:2:0:0:0:0', '1:0:0:2::'],
    ['fe80:0:0:0:1:2:3:4', 'fe80::1:2:3:4'],
    ['ff02:0:0:0:0:0:1:2', 'ff02::1:2'],
    // 5: v4-mapped in the mixed notation; nothing else is
    ['0:0:0:0:0:ffff:c000:201', '::ffff:192.0.2.1'],
    ['0:0:0:0:0:ffff:0:0', '::ffff:0.0.0.0'],
    ['0:0:0:0:0:ffff:ffff:ffff', '::ffff:255.255.255.255'],
    ['0:0:0:0:ffff:0:c000:201', '::ffff:0:c000:201'],
    ['0:0:0:0:0:fffe:c000:201', '::fffe:c000:201'],
    ['0:0:0:0:0:0:c000:201', '::c000:201'],
    ['64:ff9b:0:0:0:0:c000:201', '64:ff9b::c000:201'],
    ['ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
  ] as const) {
    t.equal(formatAddress(AF_INET6, fromGroups(groups)), expected);
    t.ok(isIPv6(expected), `${expected} is an address`);
  }
});

t.test('IPv4 addresses are the first four bytes', async (t) => {
  for (const [bytes, expected] of [
    [[0, 0, 0, 0], '0.0.0.0'],
    [[127, 0, 0, 1], '127.0.0.1'],
    [[255, 255, 255, 255], '255.255.255.255'],
    [[10, 1, 2, 3, 0xee, 0xee], '10.1.2.3'],
  ] as const) {
    t.equal(formatAddress(AF_INET, address(...bytes)), expected);
  }
});

t.test('a socket that is not of IP has no address', async (t) => {
  for (const family of [0, 1, 16, AF_PACKET]) t.equal(formatAddress(family, address(1, 2, 3, 4)), '*');
});

t.test('every field of a record finds its place', async (t) => {
  const record = makeSocketRecord({ cookie: 2n ** 64n - 1n, inode: 2 ** 32 + 5, netns: 2 ** 32 - 1, uid: 2 ** 32 - 2 });
  const dump = Buffer.concat([encodeSocketRecord(record), encodeSocketRecord(makeSocketRecord({ cookie: 2n }))]);
  const [first, second] = socketRecords(dump);
  t.same(first, record);
  t.equal(second?.cookie, 2n);
});

t.test('a dump is read to its last whole record, wherever it lies in memory', async (t) => {
  const one = encodeSocketRecord(makeSocketRecord({ cookie: 1n }));
  for (const [title, dump, cookies] of [
    ['nothing', Buffer.alloc(0), []],
    ['less than one', one.subarray(0, RL_SOCKET_RECORD_SIZE - 1), []],
    ['one', one, [1n]],
    ['one and a part', Buffer.concat([one, one.subarray(0, 100)]), [1n]],
    ['a slice of a larger buffer', Buffer.concat([Buffer.alloc(24, 0xff), one]).subarray(24), [1n]],
  ] as const) {
    t.same(
      [...socketRecords(dump)].map(({ cookie }) => cookie),
      cookies,
      title,
    );
  }
});

t.test('a connection is shown with both ends, its owner and its bytes', async (t) => {
  t.same(convert({ cookie: 0xabcn }), {
    cookie: 'abc',
    ...OWNER,
    protocol: 'tcp',
    family: 4,
    state: 'ESTAB',
    localAddress: '192.0.2.1',
    localPort: 40_000,
    remoteAddress: '198.51.100.7',
    remotePort: 443,
    inode: 4242,
    netns: 4_026_531_840,
    uid: 1000,
    scope: 'public',
    payload: { receivedBytes: 300, sentBytes: 200 },
  });
});

t.test('TCP states are named as ss names them', async (t) => {
  for (const [state, expected] of [
    [1, 'ESTAB'],
    [2, 'SYN-SENT'],
    [3, 'SYN-RECV'],
    [4, 'FIN-WAIT-1'],
    [5, 'FIN-WAIT-2'],
    [6, 'TIME-WAIT'],
    [7, 'UNCONN'],
    [8, 'CLOSE-WAIT'],
    [9, 'LAST-ACK'],
    [10, 'LISTEN'],
    [11, 'CLOSING'],
    [12, 'SYN-RECV'],
    [13, 'state 13'],
    [0, 'state 0'],
  ] as const) {
    t.equal(convert({ state }).state, expected);
    t.equal(convert({ state, protocol: 262 }).state, expected, 'MPTCP too');
  }
});

t.test('protocols are told by family, type and number', async (t) => {
  for (const { title, record, protocol, family } of [
    { title: 'TCP', record: { protocol: TCP }, protocol: 'tcp', family: 4 },
    { title: 'MPTCP', record: { protocol: 262 }, protocol: 'mptcp', family: 4 },
    { title: 'UDP', record: { protocol: UDP, type: SOCK_DGRAM }, protocol: 'udp', family: 4 },
    { title: 'UDP-Lite', record: { protocol: 136, type: SOCK_DGRAM }, protocol: 'udp', family: 4 },
    { title: 'ping without root', record: { protocol: 1, type: SOCK_DGRAM }, protocol: 'icmp', family: 4 },
    { title: 'ping6', record: { protocol: 58, type: SOCK_DGRAM, family: AF_INET6 }, protocol: 'icmp', family: 6 },
    { title: 'ping as root', record: { protocol: 1, type: SOCK_RAW }, protocol: 'raw', family: 4 },
    { title: 'raw TCP', record: { protocol: TCP, type: SOCK_RAW }, protocol: 'raw', family: 4 },
    { title: 'SCTP', record: { protocol: 132, type: SOCK_STREAM }, protocol: 'other', family: 4 },
    { title: 'tcpdump', record: { family: AF_PACKET, type: SOCK_RAW, protocol: 3 }, protocol: 'packet', family: null },
    { title: 'DHCP', record: { family: AF_PACKET, type: SOCK_DGRAM, protocol: 8 }, protocol: 'packet', family: null },
  ] as const) {
    t.match(convert(record), { protocol, family }, title);
  }
});

t.test('without a peer there is no remote end, no scope and no flow', async (t) => {
  const udp = { protocol: UDP, type: SOCK_DGRAM, state: 7 };
  for (const { title, record, state } of [
    { title: 'listening', record: { state: 10 }, state: 'LISTEN' },
    { title: 'unconnected UDP', record: udp, state: 'UNCONN' },
    { title: 'unconnected UDP that has no scope yet', record: { ...udp, scope: 255 }, state: 'UNCONN' },
    { title: 'raw', record: { protocol: 1, type: SOCK_RAW, state: 7, localPort: 1 }, state: 'UNCONN' },
    { title: 'packet', record: { family: AF_PACKET, type: SOCK_RAW, protocol: 3, localPort: 0 }, state: 'UNCONN' },
    { title: 'IPv6', record: { family: AF_INET6, state: 10, localAddress: address() }, state: 'LISTEN' },
  ]) {
    const socket = convert({ ...record, ...NOWHERE });
    t.match(socket, { remoteAddress: null, remotePort: null, scope: null, state }, title);
    t.equal(toFlow(socket), undefined, title);
  }
});

t.test('with a peer a datagram socket is connected', async (t) => {
  for (const { title, record } of [
    { title: 'UDP', record: { protocol: UDP, type: SOCK_DGRAM } },
    { title: 'raw has a peer without a port', record: { type: SOCK_RAW, protocol: 1, remotePort: 0 } },
    { title: 'a peer whose address is all zeros', record: { protocol: UDP, remoteAddress: address() } },
  ]) {
    const socket = convert({ state: ESTABLISHED, ...record });
    t.equal(socket.state, 'ESTAB', title);
    t.ok(toFlow(socket), title);
  }
});

t.test('scopes are told by number, and one that is unknown is not guessed', async (t) => {
  for (const [scope, expected] of [
    [0, 'loopback'],
    [1, 'private'],
    [2, 'public'],
    [3, null],
    [255, null],
  ] as const) {
    t.equal(convert({ scope }).scope, expected);
  }
});

t.test('a socket without an inode has none', async (t) => {
  t.equal(convert({ inode: 0 }).inode, null);
});

t.test('a v4-mapped peer keeps its family and its prefix', async (t) => {
  const record = { family: AF_INET6, remoteAddress: fromGroups('0:0:0:0:0:ffff:c633:6407') };
  t.match(convert(record), { family: 6, remoteAddress: '::ffff:198.51.100.7', remotePort: 443 });
});

t.test('a flow is a socket with its peer, by transport', async (t) => {
  t.same(toFlow(convert({ cookie: 0xabcn, scope: 1 })), {
    cookie: 'abc',
    ...OWNER,
    protocol: 'tcp',
    localAddress: '192.0.2.1',
    localPort: 40_000,
    remoteAddress: '198.51.100.7',
    remotePort: 443,
    scope: 'private',
    payload: { receivedBytes: 300, sentBytes: 200 },
    lastActiveAt: null,
  });
  for (const [protocol, type, expected] of [
    [262, SOCK_STREAM, 'tcp'],
    [UDP, SOCK_DGRAM, 'udp'],
    [1, SOCK_DGRAM, 'other'],
    [1, SOCK_RAW, 'other'],
    [132, SOCK_STREAM, 'other'],
  ] as const) {
    t.equal(toFlow(convert({ protocol, type }))?.protocol, expected);
  }
});

t.test('sockets are counted as they would be listed', async (t) => {
  const records = [
    makeSocketRecord(),
    makeSocketRecord({ owner: 2, state: 10, ...NOWHERE }),
    makeSocketRecord({ owner: 2, protocol: UDP, type: SOCK_DGRAM, state: 7 }),
    makeSocketRecord({ owner: 2, protocol: UDP, type: SOCK_DGRAM, state: 1, ...NOWHERE }),
    makeSocketRecord({ owner: 2, remotePort: 0, family: AF_INET6, type: SOCK_RAW, protocol: 58 }),
    makeSocketRecord({ owner: 0, state: 77 }),
  ];
  const dump = Buffer.concat(records.map(encodeSocketRecord));
  const expected = new Map<string, Map<string, number>>();
  for (const record of records) {
    const { state } = toSocket(record, OWNER);
    const states = expected.get(`app ${record.owner}`) ?? new Map<string, number>();
    expected.set(`app ${record.owner}`, states.set(state, (states.get(state) ?? 0) + 1));
  }
  t.same(
    countSockets(dump, ({ owner }) => `app ${owner}`),
    expected,
  );
  t.equal(expected.get('app 2')?.get('ESTAB'), 2);
});
