import {
  at,
  CLIENT,
  MIDDLE,
  MIDDLE_TO_SERVER,
  ours,
  type Program,
  type Scenario,
  SERVER,
  traffic,
} from './scenario.ts';

const MIB = 1 << 20;

const FAR: Readonly<Record<'client' | 'server', string>> = { client: CLIENT, server: SERVER };
const NEAR: Readonly<Record<'client' | 'server', string>> = { client: MIDDLE, server: MIDDLE_TO_SERVER };
const SIDES = ['client', 'server'] as const;

/** The same from or to both sides, so that traffic passes both ways through the middle host. */
const both = (make: (side: 'client' | 'server') => Program): Program[] => SIDES.map(make);
const end = (side: 'client' | 'server', kind: string, options: object = {}): Program =>
  at(side, ...traffic(kind, options));

const httpPeers = both((side) => end(side, 'http-server', { address: FAR[side], port: 9000 }));
const tcpPeers = both((side) => end(side, 'tcp-server', { address: FAR[side], port: 9000 }));

const readers = (port: number, more: object): Program[] =>
  both((side) =>
    end(side, 'http-client', { to: [NEAR[side], port], clients: 3, requests: 30, up: [0, 0], thinkMs: 120, ...more }),
  );
const speakers = (port: number, count: number, voice: object): Program[] =>
  both((side) =>
    end(side, 'call-client', {
      ...{ to: [NEAR[side], port], calls: count, mode: 'one-way', packetsPerSecond: 50, seconds: 7 },
      ...{ from: FAR[side] },
      ...voice,
    }),
  );

const VALUE = 'v'.repeat(1000);
const random = (file: string, mib: number): string => `head -c ${mib * MIB} /dev/urandom > ${file}`;
const GIT = 'git -c user.name=bench -c user.email=bench@test';
const NGINX_STATIC = `daemon off;
pid {dir}/nginx.pid;
error_log stderr;
worker_processes 2;
events {}
http { access_log off; client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f;
uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s; server { listen 8000; root {dir}/www; } }
`;

const none = { relays: false };

/** curl sends a file at 1 MB/s, and hardly anything comes back. */
const upload = ['-sS', '--limit-rate', '1M', '-o', '/dev/null', '-T', '{dir}/up', `http://${CLIENT}:9000/x?down=9`];

export const nonRelays: readonly Scenario[] = [
  {
    name: 'curl-down-and-up',
    ...none,
    prepare: random('up', 6),
    programs: httpPeers,
    listening: [
      ['tcp', 9000, 'client'],
      ['tcp', 9000, 'server'],
    ],
    drivers: [
      at(
        'middle',
        ...[
          'curl',
          '-sS',
          '--parallel',
          '--limit-rate',
          '1M',
          '-o',
          '/dev/null',
          `http://${SERVER}:9000/x?down=1048576`,
        ],
        ...[1, 2, 3, 4, 5].flatMap((n) => ['-o', '/dev/null', `http://${SERVER}:9000/x?down=1048576&n=${n}`]),
        ...['--next', ...upload],
      ),
    ],
  },
  {
    name: 'wget-and-curl-upload',
    ...none,
    prepare: random('up', 5),
    programs: httpPeers,
    listening: [
      ['tcp', 9000, 'client'],
      ['tcp', 9000, 'server'],
    ],
    drivers: [
      at('middle', 'wget', '-q', '-O', '/dev/null', '--limit-rate=1m', ...wgetUrls(5)),
      at('middle', 'curl', ...upload),
    ],
  },
  {
    name: 'iperf3-both-ways',
    ...none,
    programs: [at('server', 'iperf3', '-s')],
    listening: [['tcp', 5201, 'server']],
    drivers: [at('middle', 'iperf3', '-c', SERVER, '--bidir', '-b', '8M', '-t', '5', '-P', '2')],
  },
  {
    name: 'iperf3-two-hosts',
    ...none,
    programs: [at('middle', 'iperf3', '-s'), at('middle', 'iperf3', '-s', '-p', '5202')],
    listening: [
      ['tcp', 5201],
      ['tcp', 5202],
    ],
    drivers: [
      at('client', 'iperf3', '-c', MIDDLE, '-u', '-b', '2M', '-t', '5'),
      at('server', 'iperf3', '-c', MIDDLE_TO_SERVER, '-p', '5202', '-u', '-R', '-b', '2M', '-t', '5'),
    ],
  },
  {
    name: 'nginx-static',
    ...none,
    prepare: `mkdir www && ${random('www/x', 0).replace('-c 0', '-c 60000')} && chmod -R a+rX . && chmod a+rx ..`,
    files: { 'n.conf': NGINX_STATIC },
    programs: [at('middle', 'nginx', '-p', '{dir}', '-c', '{dir}/n.conf')],
    listening: [['tcp', 8000]],
    drivers: readers(8000, { down: [1, 1], requests: 40 }),
  },
  {
    name: 'redis-benchmark',
    ...none,
    programs: [at('middle', 'redis-server', '--save', '', '--protected-mode', 'no', '--bind', '0.0.0.0')],
    listening: [['tcp', 6379]],
    drivers: SIDES.flatMap((side) =>
      ['SET', 'GET'].map((what) =>
        at(
          side,
          ...[
            'redis-benchmark',
            '-h',
            NEAR[side],
            '-q',
            '-n',
            '40000',
            '-c',
            '4',
            '-d',
            '500',
            '-r',
            '1000',
            '-t',
            what,
          ],
        ),
      ),
    ),
  },
  {
    name: 'memcached',
    ...none,
    programs: [at('middle', 'memcached', '-u', 'root', '-l', '0.0.0.0', '-U', '0')],
    listening: [['tcp', 11211]],
    drivers: both((side) =>
      end(side, 'tcp-client', {
        ...{ to: [NEAR[side], 11211], connections: 3, seconds: 5, thinkMs: 4 },
        dialogue: [
          [`set ${side} 0 0 1000\r\n${VALUE}\r\n`, 'STORED\r\n'.length],
          [`get ${side}\r\n`, `VALUE ${side} 0 1000\r\n${VALUE}\r\nEND\r\n`.length],
        ],
      }),
    ),
  },
  {
    name: 'rsync-daemon',
    ...none,
    prepare: `mkdir data in && ${random('data/a', 6)} && ${random('up', 6)}`,
    files: {
      'r.conf':
        'use chroot = no\nuid = root\ngid = root\n[data]\npath = {dir}/data\n[in]\npath = {dir}/in\nread only = no\n',
    },
    programs: [at('middle', 'rsync', '--daemon', '--no-detach', '--config={dir}/r.conf', '--port=8730')],
    listening: [['tcp', 8730]],
    drivers: [
      at('client', 'rsync', '--bwlimit=1400', `rsync://${MIDDLE}:8730/data/a`, '{dir}/got'),
      at('server', 'rsync', '--bwlimit=1400', '{dir}/up', `rsync://${MIDDLE_TO_SERVER}:8730/in/`),
    ],
  },
  {
    name: 'git-daemon',
    ...none,
    prepare: `git init -q r && for n in 1 2 3 4; do ${random('r/$n', 1)}; done && cd r && ${GIT} add . && ${GIT} commit -qm one && cd .. && git clone -q --bare r push.git && git clone -q r w && for n in 5 6 7 8; do ${random('w/$n', 1)}; done && cd w && ${GIT} add . && ${GIT} commit -qm two`,
    programs: [
      at('middle', 'git', 'daemon', '--export-all', '--enable=receive-pack', '--base-path={dir}', '--reuseaddr'),
    ],
    listening: [['tcp', 9418]],
    drivers: [
      at('client', 'git', 'clone', '-q', `git://${MIDDLE}/r`, '{dir}/c'),
      at('server', 'git', '-C', '{dir}/w', 'push', '-q', `git://${MIDDLE_TO_SERVER}/push.git`, 'HEAD:refs/heads/new'),
    ],
  },
  {
    name: 'prometheus',
    ...none,
    files: {
      'p.yml':
        "global: { scrape_interval: 500ms, scrape_timeout: 400ms }\nscrape_configs:\n- job_name: t\n  static_configs:\n  - targets: ['203.0.113.2:9000', '203.0.113.3:9000', '203.0.113.4:9000']\n",
    },
    programs: [
      end('server', 'http-server', { address: '0.0.0.0', port: 9000 }),
      at(
        'middle',
        ...[
          'prometheus',
          '--config.file={dir}/p.yml',
          '--storage.tsdb.path={dir}/db',
          `--web.listen-address=${MIDDLE}:8000`,
        ],
      ),
    ],
    listening: [['tcp', 8000]],
    drivers: [
      end('client', 'http-client', {
        ...{ to: [MIDDLE, 8000], clients: 2, requests: 25, up: [0, 0], down: [1, 1], thinkMs: 200 },
        path: '/api/v1/query?query=topk(500,requests_total)',
      }),
    ],
  },
  {
    name: 'dnsmasq',
    ...none,
    programs: [
      at(
        'middle',
        ...['dnsmasq', '-k', '-C', '/dev/null', '--no-resolv', '--no-hosts', '--address=/example.test/192.0.2.7'],
        ...['--bind-interfaces', `--listen-address=${MIDDLE},${MIDDLE_TO_SERVER}`, '--user=root', '--pid-file='],
      ),
    ],
    listening: [['udp', 53]],
    drivers: both((side) => end(side, 'dns-client', { to: [NEAR[side], 53], perSecond: 200, seconds: 5 })),
  },
  {
    name: 'mesh-conference',
    ...none,
    programs: [at('middle', ...ours('conference.py', '0.0.0.0', 7000, 30, 50, 172, 172))],
    listening: [['udp', 7000]],
    drivers: speakers(7000, 3, { size: [172, 172] }),
  },
  {
    name: 'mesh-conference-vbr',
    ...none,
    programs: [at('middle', ...ours('conference.py', '0.0.0.0', 7000, 30, 50, 60, 180))],
    listening: [['udp', 7000]],
    drivers: speakers(7000, 2, { size: [60, 180] }),
  },
  {
    name: 'game-server',
    ...none,
    programs: [at('middle', ...ours('conference.py', '0.0.0.0', 7000, 30, 20, 380, 420))],
    listening: [['udp', 7000]],
    drivers: speakers(7000, 4, { size: [40, 60], packetsPerSecond: 30 }),
  },
  {
    name: 'two-jobs-threads',
    ...none,
    programs: tcpPeers,
    listening: [
      ['tcp', 9000, 'client'],
      ['tcp', 9000, 'server'],
    ],
    drivers: [at('middle', ...ours('two-jobs.py', SERVER, 9000, CLIENT, 9000, 6 * MIB, 5))],
  },
  {
    name: 'two-jobs-event-loop',
    ...none,
    programs: tcpPeers,
    listening: [
      ['tcp', 9000, 'client'],
      ['tcp', 9000, 'server'],
    ],
    drivers: [
      at(
        'middle',
        ...traffic('tcp-clients', [
          { to: [SERVER, 9000], connections: 1, up: 0, down: 6 * MIB, seconds: 5 },
          { to: [CLIENT, 9000], connections: 1, up: 6 * MIB, down: 0, seconds: 5 },
        ]),
      ),
    ],
  },
  {
    name: 'echo-server',
    ...none,
    programs: [at('middle', 'socat', 'TCP-LISTEN:8000,fork,reuseaddr', 'PIPE')],
    listening: [['tcp', 8000]],
    drivers: both((side) =>
      end(side, 'tcp-client', {
        ...{ to: [NEAR[side], 8000], connections: 2, seconds: 5, thinkMs: 10 },
        dialogue: [['e'.repeat(700), 700]],
      }),
    ),
  },
  {
    name: 'web-app-with-database',
    ...none,
    programs: [
      end('server', 'tcp-server', { address: SERVER, port: 9000 }),
      at('middle', ...ours('web-app.ts', MIDDLE, 8000, SERVER, 9000, 4000, 9000)),
    ],
    listening: [['tcp', 8000]],
    drivers: [
      end('client', 'http-client', {
        ...{ to: [MIDDLE, 8000], clients: 4, requests: 60, up: [0, 0], down: [1, 1], thinkMs: 70 },
      }),
    ],
  },
];

function wgetUrls(count: number): string[] {
  return Array.from({ length: count }, (_, n) => `http://${SERVER}:9000/x?down=${MIB}&n=${n}`);
}
