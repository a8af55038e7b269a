import t from 'tap';
import { loadProfiles } from '../../../agent/profiles/profiles.ts';

const PROFILES = loadProfiles('/nowhere');

interface Case {
  command: string;
  /** The first word of the command where it is not given. */
  executable?: string | null;
  package?: string;
  /** Configuration files that are there. */
  files?: string[];
  profile: string | null;
}

function check(t: { equal(found: unknown, wanted: unknown, title: string): unknown }, cases: readonly Case[]): void {
  for (const { command, executable = command.split(' ')[0] ?? null, package: owner, files = [], profile } of cases) {
    const found = PROFILES.recognise({
      executable,
      command,
      ...(owner === undefined ? {} : { package: owner }),
      hasConfiguration: (where) => files.includes(where),
    });
    t.equal(found?.id ?? null, profile, `${executable} ${JSON.stringify(command)} ${owner ?? ''} ${files.join(' ')}`);
  }
}

t.test('a packaged program is recognised by its path, whatever its arguments and titles', async (t) => {
  check(t, [
    { command: '/usr/bin/skype', profile: 'skype' },
    { command: 'skype', executable: '/usr/lib32/skype/skype', profile: 'skype' },
    { command: '/usr/bin/tor --defaults-torrc /usr/share/tor/x -f /etc/tor/torrc', profile: 'tor' },
    { command: '/usr/bin/snowflake-proxy', profile: 'snowflake-proxy' },
    { command: '/usr/sbin/i2pd --conf=/etc/i2pd/i2pd.conf --daemon', profile: 'i2pd' },
    { command: '/usr/bin/strelaysrv -nat=true', profile: 'strelaysrv' },
    { command: '/usr/bin/turnserver -c /etc/turnserver.conf', profile: 'coturn' },
    { command: '/usr/bin/supernode -l 7654', profile: 'n2n-supernode' },
    { command: '/usr/sbin/tincd -n office -D', profile: 'tinc' },
    { command: '/usr/bin/nebula -config /etc/nebula/a.yml', profile: 'nebula' },
    { command: '/usr/lib/x86_64-linux-gnu/gnunet/libexec/gnunet-service-transport', profile: 'gnunet' },
    { command: '/usr/lib/aarch64-linux-gnu/gnunet/libexec/gnunet-communicator-tcp', profile: 'gnunet' },
    { command: '/usr/sbin/murmurd -ini /etc/mumble-server.ini', profile: 'mumble-server' },
    { command: '/usr/bin/rtpengine -f -E', profile: 'rtpengine' },
    { command: '/usr/bin/ss-server -c /etc/shadowsocks-libev/config.json', profile: 'shadowsocks' },
    { command: '/usr/sbin/danted', profile: 'danted' },
    { command: '/usr/bin/microsocks -p 1081', profile: 'microsocks' },
    { command: '(squid-1) --kid squid-1 --foreground', executable: '/usr/sbin/squid', profile: 'squid' },
    { command: '/usr/bin/transmission-daemon -f', profile: 'transmission' },
    { command: '/usr/sbin/haproxy -Ws -f /etc/haproxy/haproxy.cfg', profile: 'haproxy' },
    { command: 'nginx: worker process', executable: '/usr/sbin/nginx', profile: 'nginx' },
    { command: 'sshd: joe@pts/0', executable: '/usr/sbin/sshd', profile: 'sshd' },
    { command: 'ssh -N -D 1080 host', executable: '/usr/bin/ssh', profile: 'ssh' },
    { command: '/usr/bin/stunnel4 /etc/stunnel/mail.conf', profile: 'stunnel' },
    { command: '/usr/sbin/privoxy --pidfile /run/privoxy.pid', profile: 'privoxy' },
    { command: 'socat TCP-LISTEN:1 TCP:a:2', executable: '/usr/bin/socat', profile: 'socat' },
    { command: '/usr/bin/tor', package: 'tor', profile: 'tor' },
  ]);
});

t.test('what is installed elsewhere needs more than its file name', async (t) => {
  check(t, [
    { command: '/opt/tor/tor', profile: null },
    { command: '/opt/tor/tor -f /etc/tor/torrc', profile: null },
    { command: '/opt/tor/tor', package: 'tor', profile: 'tor' },
    { command: '/opt/tor/tor', package: 'torsocks', profile: null },
    { command: '/opt/tor/onion', package: 'tor', profile: null },
    { command: '/usr/local/bin/tincd', profile: null },
    { command: '/usr/local/bin/tincd --net=office', profile: 'tinc' },
    { command: '/srv/nebula', profile: null },
    { command: '/srv/nebula -config /etc/nebula', profile: 'nebula' },
    { command: '/srv/stars -config /etc/nebula', profile: null },
    { command: '/home/joe/bin/strelaysrv -pools=', profile: 'strelaysrv' },
    { command: '/home/joe/bin/strelaysrv', profile: null },
    { command: '/tmp/socat - TCP4:host:80', profile: 'socat' },
    { command: '/tmp/socat -V', profile: null },
    { command: '/tmp/nginx', profile: null },
    { command: '/home/joe/skype/skype', profile: null },
    { command: '/home/joe/skype/skype', files: ['$HOME/.Skype/shared.xml'], profile: 'skype' },
    { command: '/home/joe/skype/other', files: ['$HOME/.Skype/shared.xml'], profile: null },
  ]);
});

t.test('near misses', async (t) => {
  check(t, [
    { command: '', executable: null, profile: null },
    { command: '/usr/bin/tor', executable: null, profile: null },
    { command: '/usr/bin/tor', executable: '/usr/bin/cat', profile: null },
    { command: '/usr/bin/tor-resolve host', profile: null },
    { command: '/usr/bin/ss', profile: null },
    { command: '/usr/bin/ss-manager', profile: null },
    { command: '/usr/bin/ssh-agent', profile: null },
    { command: '/usr/sbin/edge -l host:7654', profile: null },
    { command: '/usr/lib/gnunet/libexec/gnunet-service-core', profile: null },
    { command: '/usr/lib/a/b/gnunet/libexec/gnunet-service-core', profile: null },
    { command: '/usr/bin/transmission-remote -l', profile: null },
    { command: '/usr/bin/turnutils_uclient host', profile: null },
    { command: '/usr/bin/syncthing serve', profile: null },
    { command: '/usr/sbin/nginx-debug', profile: null },
    { command: '/usr/bin/Tor', profile: null },
    { command: '/usr/bin/skypeforlinux', profile: null },
  ]);
});

t.test('proxyware of which only the name is known goes by its file name, a common word by more', async (t) => {
  check(t, [
    { command: '/opt/honeygain -accept', profile: 'honeygain' },
    { command: '/app/psclient', profile: 'packetstream' },
    { command: '/usr/local/bin/myst service', profile: 'mysterium' },
    { command: '/usr/bin/pop', profile: null },
    { command: '/usr/bin/pop --host proxyrack', profile: 'proxyrack' },
    { command: '/usr/bin/honeygain-log', profile: null },
  ]);
});

t.test('of an interpreter the script is looked at', async (t) => {
  check(t, [
    { command: 'python3 /usr/bin/tor', executable: '/usr/bin/python3.11', profile: 'tor' },
    { command: 'python3 -W ignore -u /usr/bin/tor', executable: '/usr/bin/python3.11', profile: 'tor' },
    { command: 'python3 /srv/tor -f /usr/bin/tor', executable: '/usr/bin/python3.11', profile: null },
    { command: 'python3 -c /usr/bin/tor', executable: '/usr/bin/python3.11', profile: null },
    { command: 'python3 -m tor /usr/bin/tor', executable: '/usr/bin/python3.11', profile: null },
    { command: 'python3', executable: '/usr/bin/python3.11', profile: null },
    { command: 'tor', executable: '/usr/bin/python3.11', package: 'tor', profile: null },
    { command: 'sh ./tor', executable: '/usr/bin/dash', package: 'tor', profile: null },
    { command: 'sh ./honeygain', executable: '/usr/bin/dash', profile: 'honeygain' },
    { command: 'node --require /x.js /app/nebula -config /etc', executable: '/usr/bin/node', profile: 'nebula' },
    {
      command: '/lib64/ld-linux-x86-64.so.2 /usr/bin/tor',
      executable: '/usr/lib64/ld-linux-x86-64.so.2',
      profile: 'tor',
    },
    { command: 'java -cp a.jar -jar honeygain', executable: '/usr/lib/jvm/bin/java', profile: 'honeygain' },
  ]);
});

t.test('blanks in a path do not turn it into arguments', async (t) => {
  check(t, [
    { command: '/opt/my -config x/nebula', executable: '/opt/my -config x/nebula', profile: null },
    { command: '/opt/my x/nebula -config y', executable: '/opt/my x/nebula', profile: 'nebula' },
  ]);
});

t.test('a hostile command line costs little', async (t) => {
  for (const command of [' '.repeat(1 << 20), `a ${'-n '.repeat(1 << 18)}`, '*'.repeat(1 << 20)]) {
    for (const executable of ['/x/tincd', '/x/socat', '/usr/bin/python3', `/${'gnunet-service-'.repeat(1000)}`]) {
      PROFILES.recognise({ executable, command });
    }
  }
  t.pass('came back');
});
