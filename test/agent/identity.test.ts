import t from 'tap';
import { appOf, type Identity, placementOf } from '../../agent/identity.ts';

const ID = '3f4e1c0d9a8b7c6d5e4f3a2b1c0d9e8f7a6b5c4d3e2f1a0b9c8d7e6f5a4b3c2d';
const POD = '1a2b3c4d_5e6f_7081_92a3_b4c5d6e7f809';

function makeIdentity(override: Partial<Identity> = {}): Identity {
  return {
    profile: null,
    unit: null,
    container: null,
    executable: '/usr/bin/python3.11',
    name: 'python3',
    ...override,
  };
}

t.test('the unit is the innermost one of the path', async (t) => {
  for (const [path, unit] of [
    ['/', null],
    ['', null],
    ['/system.slice', null],
    ['/user.slice/user-1000.slice', null],
    ['/system.slice/nginx.service', 'nginx.service'],
    ['/system.slice/nginx.service/', 'nginx.service'],
    ['/system.slice/system-getty.slice/getty@tty1.service', 'getty@tty1.service'],
    ['/system.slice/ssh.socket', 'ssh.socket'],
    ['/system.slice/mnt-data.mount', 'mnt-data.mount'],
    ['/system.slice/dev-sda2.swap', 'dev-sda2.swap'],
    ['/init.scope', 'init.scope'],
    ['/user.slice/user-1000.slice/session-3.scope', 'session-3.scope'],
    ['/user.slice/user-1000.slice/user@1000.service', 'user@1000.service'],
    ['/user.slice/user-1000.slice/user@1000.service/init.scope', 'init.scope'],
    ['/user.slice/user-1000.slice/user@1000.service/app.slice/pulseaudio.service', 'pulseaudio.service'],
    ['/system.slice/postgresql.service/worker', 'postgresql.service'],
    ['/my.service.d', null],
    ['/service', null],
  ] as const) {
    t.same(placementOf(path), { unit, container: null }, path);
  }
});

t.test('containers are told by their engine’s way of naming cgroups', async (t) => {
  for (const [engine, path, unit] of [
    ['Docker, systemd', `/system.slice/docker-${ID}.scope`, null],
    ['Docker, cgroupfs', `/docker/${ID}`, null],
    ['Docker under a parent', `/batch/jobs/${ID}`, null],
    ['Docker with systemd inside', `/system.slice/docker-${ID}.scope/system.slice/nginx.service`, 'nginx.service'],
    ['containerd by ctr', `/default/${ID}`, null],
    ['containerd, systemd', `/system.slice/nerdctl-${ID}.scope`, null],
    ['containerd, systemd spelt out', `/system.slice:cri-containerd:${ID}`, null],
    ['Podman', `/machine.slice/libpod-${ID}.scope`, null],
    ['Podman with an inner group', `/machine.slice/libpod-${ID}.scope/container`, null],
    ['Podman, cgroupfs', `/libpod_parent/libpod-${ID}`, null],
    [
      'Podman rootless',
      `/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-${ID}.scope`,
      'user@1000.service',
    ],
    [
      'Kubernetes, containerd',
      `/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${POD}.slice/cri-containerd-${ID}.scope`,
      null,
    ],
    ['Kubernetes, CRI-O', `/kubepods.slice/kubepods-pod${POD}.slice/crio-${ID}.scope`, null],
    ['Kubernetes, Docker', `/kubepods.slice/kubepods-besteffort.slice/docker-${ID}.scope`, null],
    ['Kubernetes, cgroupfs', `/kubepods/burstable/pod${POD.replaceAll('_', '-')}/${ID}`, null],
    ['Kubernetes under the kubelet', `/system.slice/k3s.service/kubepods/pod1/${ID}`, 'k3s.service'],
  ] as const) {
    t.same(placementOf(path), { unit, container: ID }, engine);
  }
});

t.test('of a container in a container it is the inner one', async (t) => {
  const inner = ID.replaceAll('3', '7');
  t.equal(placementOf(`/docker/${ID}/docker/${inner}`).container, inner);
});

t.test('what only looks like a container id is none', async (t) => {
  for (const path of [
    `/docker/${ID.slice(1)}`,
    `/docker/${ID}0`,
    `/docker/${ID.toUpperCase()}`,
    `/docker-${ID}.slice`,
    `/docker/x${ID}`,
    '/docker/web',
    '/lxc',
    '/lxc.monitor.web',
    '/machine.slice',
  ]) {
    t.equal(placementOf(path).container, null, path);
  }
});

t.test('machines go by their names', async (t) => {
  for (const [path, container, unit] of [
    ['/machine.slice/machine-web.scope', 'web', null],
    ['/machine.slice/machine-my\\x2dweb.scope', 'my-web', null],
    ['/machine.slice/machine-qemu\\x2d1\\x2ddebian.scope/libvirt/emulator', 'qemu-1-debian', null],
    ['/machine.slice/machine-web.scope/payload/system.slice/nginx.service', 'web', 'nginx.service'],
    ['/machine.slice/systemd-nspawn@web.service', 'web', null],
    ['/machine.slice/systemd-nspawn@my\\x2dweb.service/payload/system.slice/nginx.service', 'my-web', 'nginx.service'],
    ['/lxc.payload.web', 'web', null],
    ['/lxc.payload.web/system.slice/nginx.service', 'web', 'nginx.service'],
    ['/lxc/web', 'web', null],
    ['/lxc/web/init.scope', 'web', 'init.scope'],
  ] as const) {
    t.same(placementOf(path), { unit, container }, path);
  }
});

t.test(
  'an app is the profile, the container, the unit, the executable or the name, the first that there is',
  async (t) => {
    const full = makeIdentity({ profile: 'skype', container: ID, unit: 'a.service' });
    for (const [identity, expected] of [
      [full, 'skype'],
      [{ ...full, profile: null }, ID.slice(0, 12)],
      [{ ...full, profile: null, container: 'web' }, 'web'],
      [{ ...full, profile: null, container: null }, 'a'],
      [makeIdentity(), 'python3.11'],
      [makeIdentity({ executable: null }), 'python3'],
    ] as const) {
      t.equal(appOf(identity), expected);
    }
  },
);

t.test('a unit gives the app its name, unless it only groups what a user started', async (t) => {
  for (const [unit, expected] of [
    ['nginx.service', 'nginx'],
    ['getty@tty1.service', 'getty@tty1'],
    ['ssh.socket', 'ssh'],
    ['dev-sda2.swap', 'dev-sda2'],
    ['backup.scope', 'backup'],
    ['my.app.service', 'my.app'],
    ['service.service', 'service'],
    ['serial\\x2dgetty@ttyS0.service', 'serial-getty@ttyS0'],
    ['caf\\xc3\\xa9.service', 'café'],
    ['\\xe6\\x97\\xa5\\xe6\\x9c\\xac-\\x2d.service', '日本--'],
    ['not\\x2escaped\\xzz.service', 'not.scaped\\xzz'],
    ['session-3.scope', 'python3.11'],
    ['session-c1.scope', 'python3.11'],
    ['init.scope', 'python3.11'],
    ['user@1000.service', 'python3.11'],
    ['user-runtime-dir@1000.service', 'python3.11'],
    ['user-1000.slice', 'python3.11'],
    // Made anew at each launch by a desktop, a terminal or systemd-run.
    ['app-gnome-org.gnome.Terminal-2841.scope', 'python3.11'],
    ['app-org.kde.konsole-5d0b8c1f.scope', 'python3.11'],
    ['app-gnome\\x2dkeyring\\x2dpkcs11@autostart.service', 'python3.11'],
    ['app-firefox@0f3c2a.service', 'python3.11'],
    ['vte-spawn-5a1c8a1e-26b5-4b0e-a0f2-0e3a8b5a7c11.scope', 'python3.11'],
    ['run-r4f1b6c2d.scope', 'python3.11'],
    ['run-u217.service', 'python3.11'],
    // Installed ones that only begin or end alike.
    ['app-server.service', 'app-server'],
    ['app.service', 'app'],
    ['my-app-1.scope', 'my-app-1'],
    ['runner.service', 'runner'],
    ['run.service', 'run'],
    ['pre-run-1.service', 'pre-run-1'],
    ['vte-spawn-1.service', 'vte-spawn-1'],
    ['webapp-x@1.service', 'webapp-x@1'],
  ] as const) {
    t.equal(appOf(makeIdentity({ unit })), expected, unit);
  }
});

t.test('a transient unit still stands with the process, and a container goes before it', async (t) => {
  const unit = 'app-gnome-firefox-2841.scope';
  const path = `/user.slice/user-1000.slice/user@1000.service/app.slice/${unit}`;
  t.same(placementOf(path), { unit, container: null });
  t.equal(appOf(makeIdentity({ unit, container: ID })), ID.slice(0, 12));
  t.equal(appOf(makeIdentity({ unit, executable: null })), 'python3', 'without an executable, the name');
});

t.test('an executable gives the last part of its path', async (t) => {
  for (const [executable, expected] of [
    ['/usr/bin/skypeforlinux', 'skypeforlinux'],
    ['/opt/My App/my app', 'my app'],
    ['/memfd:runc', 'memfd:runc'],
    ['relative', 'relative'],
  ] as const) {
    t.equal(appOf(makeIdentity({ executable })), expected);
  }
});
