import t from 'tap';
import { ensureBpffs, parseMountinfo } from '../../agent/mounts.ts';

t.test('mounts are read with what is mounted, where, and of which kind', async (t) => {
  for (const [line, expected] of [
    [
      '36 35 0:31 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate',
      ['/', '/sys/fs/cgroup', 'cgroup2'],
    ],
    ['36 35 0:31 / /sys/fs/bpf rw - bpf bpf rw,mode=700', ['/', '/sys/fs/bpf', 'bpf']],
    ['36 35 0:31 / /a rw shared:1 master:2 propagate_from:3 - ext4 /dev/sda1 rw', ['/', '/a', 'ext4']],
    ['36 35 0:31 /../../x /mnt rw - cgroup2 none rw', ['/../../x', '/mnt', 'cgroup2']],
    ['36 35 0:4 net:[4026532281] /run/netns/blue rw - nsfs nsfs rw', ['net:[4026532281]', '/run/netns/blue', 'nsfs']],
    ['36 35 0:31 /a\\040b /c\\011d\\012e\\134f rw - tmpfs none rw', ['/a b', '/c\td\ne\\f', 'tmpfs']],
    ['36 35 0:31 /x /has\\040-\\040dash rw - tmpfs none rw', ['/x', '/has - dash', 'tmpfs']],
  ] as const) {
    const [root, target, type] = expected;
    t.same(parseMountinfo(`${line}\n`), [{ root, target, type }]);
  }
});

t.test('lines that are no mount are left out', async (t) => {
  t.same(parseMountinfo(''), []);
  t.same(parseMountinfo('\n\nnonsense\n'), []);
});

t.test('a folder for pins outside any bpffs is refused with what to do', async (t) => {
  for (const path of ['/proc/relayledger', '/sys/fs/bpfx/relayledger']) {
    t.throws(() => ensureBpffs(path), {
      code: 'AGENT_MOUNT_MISSING',
      message: `${path} is not on a bpffs; mount one there, or leave out --bpffs`,
    });
  }
});
