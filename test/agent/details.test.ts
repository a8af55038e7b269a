import { readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import t from 'tap';
import { completeDetails, decodeDetails, type ProcessDetails, UNKNOWN_DETAILS } from '../../agent/details.ts';
import { placementOf } from '../../agent/identity.ts';
import {
  RL_PROCESS_DETAILS_OFFSET,
  RL_PROCESS_DETAILS_SIZE,
  type RlProcessDetails,
  readRlProcessDetails,
} from '../../bpf/layouts.ts';
import { encodeDetails, FIRST_PID, type ProcessShape } from './fake-kernel.ts';

const CAPACITY = 256;
/** What each field has room for. */
const ROOM = { executable: 512, command: 256, cgroup: 512 };
const CUT_EXECUTABLE = 1;
const CUT_CGROUP = 2;

function read(bytes: Buffer): RlProcessDetails {
  return readRlProcessDetails(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), 0);
}

function decode(
  override: Partial<ProcessShape> = {},
  change: (bytes: Buffer) => void = () => undefined,
): ProcessDetails {
  const bytes = encodeDetails({
    pid: FIRST_PID,
    startNs: 1n,
    uid: 0,
    executable: '/usr/sbin/nginx',
    argv: ['nginx'],
    cgroup: '/system.slice/nginx.service',
    parentPid: 1,
    netns: 4_026_531_840,
    ...override,
  });
  change(bytes);
  return decodeDetails(read(bytes));
}

/** Puts these bytes where the command stands. */
function withCommand(command: Buffer): (bytes: Buffer) => void {
  return (bytes) => {
    bytes.writeUInt16LE(
      command.copy(bytes, RL_PROCESS_DETAILS_OFFSET.command),
      RL_PROCESS_DETAILS_OFFSET.commandLength,
    );
  };
}

function makeDetails(override: Partial<ProcessDetails> = {}): ProcessDetails {
  return { executable: '/bin/x', command: 'x', cgroup: '/a.service', parentPid: 1, netns: 2, fifos: [], ...override };
}

t.test('paths are put together from the leaf up', async (t) => {
  for (const path of ['/usr/sbin/nginx', '/init', '/a/b/c/d/e/f/g/h', '/opt/naïve café/日本', '/with space/x']) {
    t.match(decode({ executable: path, cgroup: path }), { executable: path, cgroup: path });
  }
});

t.test('names as long as a file system allows are whole', async (t) => {
  const id = '3f4e1c0d9a8b7c6d5e4f3a2b1c0d9e8f7a6b5c4d3e2f1a0b9c8d7e6f5a4b3c2d';
  const pod = 'kubepods-burstable-pod1a2b3c4d_5e6f_7081_92a3_b4c5d6e7f809.slice';
  for (const cgroup of [
    `/system.slice/docker-${id}.scope`,
    `/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-${id}.scope/container`,
    `/kubepods.slice/kubepods-burstable.slice/${pod}/cri-containerd-${id}.scope`,
  ]) {
    t.equal(decode({ cgroup }).cgroup, cgroup);
    t.equal(placementOf(decode({ cgroup }).cgroup).container, id);
  }
  for (const length of [64, 127, 128, 254, 255]) {
    const path = `/${'d'.repeat(length)}/${'p'.repeat(length)}`;
    t.match(decode({ executable: path, cgroup: path }), { executable: path, cgroup: path }, `${length} bytes`);
  }
});

t.test('a path that had no room is not shown as if it were whole', async (t) => {
  // Four components of 100 bytes each: with two there is room for another, with three there is none.
  const long = `/${Array.from({ length: 4 }, (_, i) => String(i).repeat(99)).join('/')}`;
  const short = '/usr/bin/x';
  const leaf = `…/${Array.from({ length: 3 }, (_, i) => String(i + 1).repeat(99)).join('/')}`;
  for (const [executable, cgroup, expected] of [
    [long, short, { executable: leaf, cgroup: short }],
    [short, long, { executable: short, cgroup: leaf }],
    [long, long, { executable: leaf, cgroup: leaf }],
    [short, short, { executable: short, cgroup: short }],
  ] as const) {
    t.match(decode({ executable, cgroup }), expected);
  }
  const flagged = (cut: number): ProcessDetails =>
    decode({}, (bytes) => void bytes.writeUInt16LE(cut, RL_PROCESS_DETAILS_OFFSET.cut));
  const whole = decode();
  const executable = '…/usr/sbin/nginx';
  const cgroup = '…/system.slice/nginx.service';
  t.same(flagged(0), whole);
  t.same(flagged(CUT_EXECUTABLE), { ...whole, executable });
  t.same(flagged(CUT_CGROUP), { ...whole, cgroup });
  t.same(flagged(CUT_EXECUTABLE | CUT_CGROUP), { ...whole, executable, cgroup });
  t.equal(flagged(CUT_EXECUTABLE | CUT_CGROUP).command, 'nginx', 'the command has nothing to do with it');
});

t.test('each field has the room that the kernel’s side fills', async (t) => {
  const at = RL_PROCESS_DETAILS_OFFSET;
  t.same(
    {
      executable: at.command - at.executable,
      command: at.cgroup - at.command,
      cgroup: RL_PROCESS_DETAILS_SIZE - at.cgroup,
    },
    ROOM,
  );
});

t.test('pipes are those that were counted', async (t) => {
  const fifos = [
    { inode: 11, modes: 1 },
    { inode: 12, modes: 2 },
    { inode: 13, modes: 3 },
  ];
  t.same(decode({ fifos }).fifos, fifos);
  t.same(decode().fifos, []);
  const leftOver = (bytes: Buffer): void => void bytes.writeUInt16LE(1, RL_PROCESS_DETAILS_OFFSET.fifoCount);
  t.same(decode({ fifos }, leftOver).fifos, [fifos[0]], 'what lies behind is another process’s');
});

t.test('what the kernel could not read is not made up', async (t) => {
  t.match(decode({ executable: '/', cgroup: '/', argv: [], parentPid: 0, netns: 0 }), {
    executable: null,
    command: '',
    cgroup: '/',
    parentPid: null,
    netns: null,
  });
});

t.test('arguments are joined by blanks, and what is left over at their end is cut off', async (t) => {
  for (const [argv, expected] of [
    [['curl'], 'curl'],
    [['curl', '-4', 'http://[::1]:80/?a=b c'], 'curl -4 http://[::1]:80/?a=b c'],
    [['sh', '-c', 'a\nb'], 'sh -c a\nb'],
    [['prog', '', 'x'], 'prog  x'],
    [['prog', ''], 'prog'],
    [['nginx: worker process', '', '', '', ''], 'nginx: worker process'],
    [['', '', ''], ''],
    [['naïve', '日本'], 'naïve 日本'],
  ] as const) {
    t.equal(decode({ argv }).command, expected);
  }
});

t.test('a command without a NUL at its end is whole', async (t) => {
  t.equal(decode({}, withCommand(Buffer.from('postgres: writer'))).command, 'postgres: writer');
});

t.test('what lies behind the given lengths is another process’s', async (t) => {
  const leftOver = (bytes: Buffer): void => {
    for (const at of ['executable', 'command', 'cgroup'] as const) {
      const start = RL_PROCESS_DETAILS_OFFSET[at];
      const length = bytes.readUInt16LE(RL_PROCESS_DETAILS_OFFSET[`${at}Length`]);
      bytes.fill('x', start + length, start + ROOM[at]);
    }
  };
  t.same(decode({}, leftOver), decode());
});

t.test('details that lie in the middle of a buffer are read from there', async (t) => {
  const bytes = encodeDetails({
    pid: 1,
    startNs: 1n,
    uid: 0,
    executable: '/bin/a',
    argv: ['a', 'b'],
    cgroup: '/c',
    parentPid: 9,
    netns: 8,
    fifos: [{ inode: 2 ** 40, modes: 2 }],
  });
  const larger = Buffer.concat([Buffer.alloc(40, 'z'), bytes, Buffer.alloc(40, 'z')]);
  t.same(decodeDetails(readRlProcessDetails(new DataView(larger.buffer, larger.byteOffset), 40)), {
    executable: '/bin/a',
    command: 'a b',
    cgroup: '/c',
    parentPid: 9,
    netns: 8,
    fifos: [{ inode: 2 ** 40, modes: 2 }],
  });
});

t.test('a command that fills its room is decoded as far as it goes', async (t) => {
  const cut = Buffer.from(`${'x'.repeat(CAPACITY - 1)}é`).subarray(0, CAPACITY);
  t.equal(decode({}, withCommand(cut)).command, `${'x'.repeat(CAPACITY - 1)}\ufffd`);
});

t.test('what the kernel knows is not read again', async (t) => {
  const details = makeDetails();
  t.same(
    completeDetails(details, process.pid, () => true),
    details,
  );
});

t.test('what the kernel had no room for is completed while the process lives', async (t) => {
  for (const [title, details] of [
    ['nothing known', UNKNOWN_DETAILS],
    ['a command that was cut', makeDetails({ executable: null, command: 'y'.repeat(CAPACITY) })],
    ['a command cut in the NUL', makeDetails({ executable: null, command: 'y'.repeat(CAPACITY - 1) })],
    ['a command cut in a character', makeDetails({ executable: null, command: `${'y'.repeat(CAPACITY - 1)}\ufffd` })],
  ] as const) {
    const completed = completeDetails(details, process.pid, () => true);
    t.ok(completed.command.endsWith(basename(import.meta.filename)), title);
    t.equal(completed.executable, readlinkSync('/proc/self/exe'), title);
    t.equal(completed.parentPid, details.parentPid, title);
  }
});

t.test('a path that was cut is read from /proc while the process lives', async (t) => {
  const whole = decode();
  const cut = decode({}, (bytes) => {
    bytes.writeUInt16LE(CUT_EXECUTABLE | CUT_CGROUP, RL_PROCESS_DETAILS_OFFSET.cut);
  });
  const completed = completeDetails(cut, process.pid, () => true);
  t.equal(completed.executable, readlinkSync('/proc/self/exe'));
  t.ok(readFileSync('/proc/self/cgroup', 'utf8').includes(`:${completed.cgroup}\n`), completed.cgroup);
  t.equal(completed.command, whole.command);
  t.same(
    completeDetails(cut, FIRST_PID, () => true),
    cut,
    'once it is gone, nothing is made up',
  );
});

t.test('a command that just fits is not taken for a cut one', async (t) => {
  const details = makeDetails({ command: 'y'.repeat(CAPACITY - 2) });
  t.equal(completeDetails(details, process.pid, () => true).command, details.command);
});

t.test('nothing is taken from a pid that may be another’s by now', async (t) => {
  t.same(
    completeDetails(UNKNOWN_DETAILS, process.pid, () => false),
    UNKNOWN_DETAILS,
  );
});

t.test('a process that has gone keeps what is known of it', async (t) => {
  const cut = makeDetails({ command: 'y'.repeat(CAPACITY) });
  t.same(
    completeDetails(cut, FIRST_PID, () => true),
    cut,
  );
  t.same(
    completeDetails(UNKNOWN_DETAILS, FIRST_PID, () => true),
    UNKNOWN_DETAILS,
  );
});
