import { at, MIDDLE, MIDDLE_TO_SERVER, type Program, type Scenario, SERVER, traffic } from './scenario.ts';

const MIB = 1 << 20;
const SECONDS = 4;
const IN = `${MIDDLE}:8000`;
const OUT = `${SERVER}:9000`;

/** Four connections, 1 MiB up and 3 MiB down on each. */
export function bulk(more: object = {}): Program {
  const amounts = { connections: 4, up: MIB, down: 3 * MIB, seconds: SECONDS };
  return at('client', ...traffic('tcp-client', { to: [MIDDLE, 8000], ...amounts, ...more }));
}

/** Two-way voice, 50 packets a second. */
export function calls(count: number, more: object = {}): Program {
  const voice = { packetsPerSecond: 50, size: [80, 200], seconds: 7 };
  return at('client', ...traffic('call-client', { to: [MIDDLE, 8000], calls: count, ...voice, ...more }));
}

const web = (more: object = {}): Program =>
  at(
    'client',
    ...traffic('http-client', {
      ...{ to: [MIDDLE, 8000], clients: 6, requests: 40, up: [0, 20_000], down: [500, 120_000], thinkMs: 90 },
      ...more,
    }),
  );

const tcpServer = at('server', ...traffic('tcp-server', { address: SERVER, port: 9000 }));
const tlsServer = at(
  'server',
  ...traffic('tcp-server', { address: SERVER, port: 9000, certificate: '{dir}/cert.pem' }),
);
const httpServer = at('server', ...traffic('http-server', { address: SERVER, port: 9000 }));
export const callServer: Program = at('server', ...traffic('call-server', { address: SERVER, port: 9000 }));

const SOCKS = { to: [MIDDLE, 8000], via: 'socks5', destination: [SERVER, 9000] };
const CONNECT = { to: [MIDDLE, 8000], via: 'connect', destination: [SERVER, 9000] };
const TLS = { tls: true };

const CERTIFICATE =
  'openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out crt.pem -days 2 -subj /CN=bench.test 2>/dev/null && cat key.pem crt.pem > cert.pem && chmod 644 *.pem';

/** One connection in, one out, bytes unchanged. */
const oneToOne = { relays: true, tolerance: 0.01, pace: 'bulk' } as const;
/** Many to one, rewritten or encrypted. */
const other = { relays: true, tolerance: 0.05, pace: 'bulk' } as const;
const call = { relays: true, tolerance: 0.01, pace: 'call' } as const;

const SSHD = `Port 2222
ListenAddress {address}
HostKey {dir}/host
PidFile none
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
AuthorizedKeysFile {dir}/user.pub
AllowTcpForwarding yes
PasswordAuthentication no
UseDNS no
`;
const SSH_KEYS = 'mkdir -p /run/sshd && for k in host user; do ssh-keygen -q -t ed25519 -N "" -f $k; done';
const SSH = [
  ...['ssh', '-F', 'none', '-N', '-T', '-i', '{dir}/user', '-p', '2222', '-o', 'StrictHostKeyChecking=no'],
  ...['-o', 'UserKnownHostsFile={dir}/known', '-o', 'GlobalKnownHostsFile=/dev/null', '-o', 'IdentitiesOnly=yes'],
  ...['-o', 'ExitOnForwardFailure=yes', '-o', 'LogLevel=ERROR'],
];

const HAPROXY = `defaults
  timeout connect 5s
  timeout client 30s
  timeout server 30s
`;
const NGINX = (modules: string, body: string): string =>
  `${modules}user root;\ndaemon off;\npid {dir}/nginx.pid;\nerror_log stderr;\nworker_processes 2;\nevents {}\n${body}\n`;

export const packagedRelays: readonly Scenario[] = [
  {
    name: 'socat-tcp',
    ...oneToOne,
    programs: [tcpServer, at('middle', 'socat', `TCP-LISTEN:8000,bind=${MIDDLE},fork,reuseaddr`, `TCP:${OUT}`)],
    drivers: [bulk()],
  },
  {
    name: 'socat-udp',
    ...call,
    programs: [callServer, at('middle', 'socat', `UDP-LISTEN:8000,bind=${MIDDLE},fork`, `UDP:${OUT}`)],
    listening: [['udp', 8000]],
    drivers: [calls(2)],
  },
  {
    name: 'socat-chain',
    ...other,
    programs: [
      tcpServer,
      at('middle', 'socat', 'TCP-LISTEN:7000,bind=127.0.0.1,fork,reuseaddr', `TCP:${OUT}`),
      at('middle', 'socat', `TCP-LISTEN:8000,bind=${MIDDLE},fork,reuseaddr`, 'TCP:127.0.0.1:7000'),
    ],
    drivers: [bulk()],
  },
  {
    name: 'haproxy-tcp',
    ...oneToOne,
    files: { 'h.cfg': `${HAPROXY}  mode tcp\nlisten l\n  bind ${IN}\n  server s ${OUT}\n` },
    programs: [tcpServer, at('middle', 'haproxy', '-db', '-f', '{dir}/h.cfg')],
    drivers: [bulk()],
  },
  {
    name: 'haproxy-http',
    ...other,
    files: {
      'h.cfg': `${HAPROXY}  mode http\n  option forwardfor\n  http-reuse always\nlisten l\n  bind ${IN}\n  server s ${OUT} maxconn 3\n`,
    },
    programs: [httpServer, at('middle', 'haproxy', '-db', '-f', '{dir}/h.cfg')],
    drivers: [web()],
  },
  {
    name: 'nginx-stream',
    ...oneToOne,
    files: {
      'n.conf': NGINX(
        'load_module /usr/lib/nginx/modules/ngx_stream_module.so;\n',
        `stream { server { listen ${IN}; proxy_pass ${OUT}; } }`,
      ),
    },
    programs: [tcpServer, at('middle', 'nginx', '-p', '{dir}', '-c', '{dir}/n.conf')],
    drivers: [bulk()],
  },
  {
    name: 'nginx-http',
    ...other,
    files: {
      'n.conf': NGINX(
        '',
        `http { access_log off; client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f;
        uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s; upstream u { server ${OUT}; keepalive 4; }
        server { listen ${IN}; location / { proxy_pass http://u; proxy_http_version 1.1; proxy_set_header Connection ""; } } }`,
      ),
    },
    programs: [httpServer, at('middle', 'nginx', '-p', '{dir}', '-c', '{dir}/n.conf')],
    drivers: [web()],
  },
  {
    name: 'ssh-L',
    ...other,
    prepare: SSH_KEYS,
    files: { 'sshd.conf': SSHD.replace('{address}', SERVER) },
    programs: [
      tcpServer,
      { ...at('server', '/usr/sbin/sshd', '-D', '-e', '-f', '{dir}/sshd.conf'), listens: ['tcp', 2222] },
      at('middle', ...SSH, '-L', `${IN}:${OUT}`, `root@${SERVER}`),
    ],
    drivers: [bulk()],
    alsoRelay: ['sshd'],
  },
  {
    name: 'ssh-D',
    ...other,
    prepare: SSH_KEYS,
    files: { 'sshd.conf': SSHD.replace('{address}', MIDDLE) },
    programs: [
      tcpServer,
      { ...at('middle', '/usr/sbin/sshd', '-D', '-e', '-f', '{dir}/sshd.conf'), listens: ['tcp', 2222] },
      at('client', ...SSH, '-D', '127.0.0.1:1080', `root@${MIDDLE}`),
    ],
    listening: [['tcp', 1080, 'client']],
    drivers: [bulk({ ...SOCKS, to: ['127.0.0.1', 1080] })],
    alsoRelay: ['ssh'],
  },
  {
    name: 'microsocks',
    ...oneToOne,
    programs: [tcpServer, at('middle', 'microsocks', '-i', MIDDLE, '-p', '8000')],
    drivers: [bulk(SOCKS)],
  },
  {
    name: 'danted',
    ...oneToOne,
    files: {
      'd.conf': `logoutput: stderr\ninternal: ${MIDDLE} port = 8000\nexternal: ${MIDDLE_TO_SERVER}\nclientmethod: none\nsocksmethod: none\nuser.privileged: root\nuser.unprivileged: nobody\nclient pass { from: 0.0.0.0/0 to: 0.0.0.0/0 }\nsocks pass { from: 0.0.0.0/0 to: 0.0.0.0/0 }\n`,
    },
    programs: [tcpServer, at('middle', 'danted', '-f', '{dir}/d.conf', '-p', '{dir}/d.pid')],
    drivers: [bulk(SOCKS)],
  },
  {
    name: 'stunnel',
    ...other,
    prepare: CERTIFICATE,
    files: { 's.conf': `foreground=yes\npid=\n[a]\naccept=${IN}\nconnect=${OUT}\ncert={dir}/cert.pem\n` },
    programs: [tcpServer, at('middle', 'stunnel4', '{dir}/s.conf')],
    drivers: [bulk(TLS)],
  },
  {
    name: 'hitch',
    ...other,
    prepare: CERTIFICATE,
    files: {
      'h.conf': `frontend = "[${MIDDLE}]:8000"\nbackend = "[${SERVER}]:9000"\npem-file = "{dir}/cert.pem"\nworkers = 2\nuser = "nobody"\n`,
    },
    programs: [tcpServer, at('middle', 'hitch', '--config={dir}/h.conf')],
    drivers: [bulk(TLS)],
  },
  {
    name: 'rinetd',
    ...oneToOne,
    files: { 'r.conf': `${MIDDLE} 8000 ${SERVER} 9000\n` },
    programs: [tcpServer, at('middle', 'rinetd', '-f', '-c', '{dir}/r.conf')],
    drivers: [bulk()],
  },
  {
    name: 'redir',
    ...oneToOne,
    programs: [tcpServer, at('middle', 'redir', '-n', '-s', IN, OUT)],
    drivers: [bulk()],
  },
  {
    name: 'simpleproxy',
    ...oneToOne,
    programs: [tcpServer, at('middle', 'simpleproxy', '-L', IN, '-R', OUT)],
    drivers: [bulk()],
  },
  {
    name: 'privoxy',
    ...other,
    files: { 'p.conf': `listen-address ${IN}\nconfdir /etc/privoxy\nlogdir {dir}\nkeep-alive-timeout 30\n` },
    programs: [httpServer, at('middle', 'privoxy', '--no-daemon', '{dir}/p.conf')],
    drivers: [web({ origin: `http://${OUT}` })],
  },
  {
    name: 'tinyproxy',
    ...oneToOne,
    files: {
      't.conf': `Port 8000\nListen ${MIDDLE}\nTimeout 60\nMaxClients 20\nAllow 198.51.100.0/24\nConnectPort 9000\nLogLevel Error\n`,
    },
    programs: [tcpServer, at('middle', 'tinyproxy', '-d', '-c', '{dir}/t.conf')],
    drivers: [bulk(CONNECT)],
  },
  {
    name: 'squid-connect',
    ...oneToOne,
    files: {
      's.conf': `http_port ${IN}\nhttp_access allow all\ncache deny all\naccess_log none\ncache_log {dir}/cache.log\npid_filename none\ncoredump_dir {dir}\nnetdb_filename none\nvisible_hostname bench\npinger_enable off\nshutdown_lifetime 0 seconds\nunlinkd_program /bin/true\n`,
    },
    programs: [tcpServer, at('middle', 'squid', '-N', '-f', '{dir}/s.conf')],
    drivers: [bulk(CONNECT)],
  },
  {
    name: 'sslh',
    ...oneToOne,
    programs: [
      tcpServer,
      at('middle', 'sslh-select', '-f', '-p', IN, '--anyprot', OUT, '--user', 'nobody', '--pidfile', '{dir}/pid'),
    ],
    drivers: [bulk()],
  },
  {
    name: 'sniproxy',
    ...oneToOne,
    prepare: CERTIFICATE,
    files: {
      's.conf': `user nobody\npidfile {dir}/sni.pid\nerror_log { filename {dir}/sni.log }\nlistener ${IN} {\nproto tls\ntable t\nfallback ${OUT}\n}\ntable t {\n.* ${OUT}\n}\n`,
    },
    programs: [tlsServer, at('middle', 'sniproxy', '-f', '-c', '{dir}/s.conf')],
    drivers: [bulk(TLS)],
  },
  {
    name: 'pen',
    ...oneToOne,
    programs: [tcpServer, at('middle', 'pen', '-f', IN, OUT)],
    drivers: [bulk()],
  },
  {
    name: 'shadowsocks',
    ...other,
    programs: [
      tcpServer,
      at('middle', 'ss-server', '-s', MIDDLE, '-p', '8000', '-k', 'pw', '-m', 'aes-256-gcm'),
      at(
        'client',
        ...['ss-local', '-s', MIDDLE, '-p', '8000', '-l', '1080', '-b', '127.0.0.1', '-k', 'pw', '-m', 'aes-256-gcm'],
      ),
    ],
    listening: [
      ['tcp', 8000],
      ['tcp', 1080, 'client'],
    ],
    drivers: [bulk({ ...SOCKS, to: ['127.0.0.1', 1080] })],
    alsoRelay: ['ss-local'],
  },
  {
    name: 'coturn',
    ...call,
    tolerance: 0.05,
    files: {
      't.conf': `listening-ip=${MIDDLE}\nrelay-ip=${MIDDLE_TO_SERVER}\nlistening-port=8000\nmin-port=40000\nmax-port=40100\nno-auth\nrealm=bench.test\nno-tls\nno-dtls\nno-cli\nrelay-threads=2\nlog-file=stdout\npidfile={dir}/turn.pid\nuserdb={dir}/turn.db\n`,
    },
    programs: [callServer, at('middle', 'turnserver', '-c', '{dir}/t.conf')],
    listening: [['udp', 8000]],
    drivers: [calls(3, { turnPeer: [SERVER, 9000] })],
  },
  {
    name: 'n2n-supernode',
    ...call,
    tolerance: 0.05,
    programs: [
      at('middle', 'supernode', '-l', '8000'),
      ...(
        [
          ['client', '10.9.0.2', MIDDLE],
          ['server', '10.9.0.3', MIDDLE_TO_SERVER],
        ] as const
      ).map(([side, address, hub]) =>
        at(
          side,
          ...['edge', '-d', 'n2n0', '-a', address, '-c', 'bench', '-k', 'secret', '-s', '255.255.255.0'],
          ...['-l', `${hub}:8000`, '-M', '1300'],
        ),
      ),
      at('server', ...traffic('call-server', { address: '0.0.0.0', port: 9000 })),
    ],
    listening: [['udp', 8000]],
    reach: '10.9.0.3',
    drivers: [calls(3, { to: ['10.9.0.3', 9000] })],
    truth: 'links',
    alsoRelay: ['edge'],
  },
  {
    name: 'nc-pipe',
    ...other,
    prepare: 'mkfifo back && chmod 666 back',
    programs: [
      tcpServer,
      at('middle', 'sh', '-c', `nc -l ${MIDDLE} 8000 < {dir}/back | nc ${SERVER} 9000 > {dir}/back`),
    ],
    drivers: [bulk({ connections: 1 })],
  },
];
