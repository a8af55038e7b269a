import { bulk, callServer, calls } from './packaged-relays.ts';
import { at, MIDDLE, ours, type Program, type Scenario, SERVER, traffic } from './scenario.ts';

const KIB = 1 << 10;

const call = { relays: true, tolerance: 0.05, pace: 'call' } as const;
const udp = { listening: [['udp', 8000]] as const };
const tcp = { relays: true, tolerance: 0.05, pace: 'bulk' } as const;

const relay = (kind: string, options: object = {}): Program =>
  at('middle', ...ours('relay.ts', kind, JSON.stringify({ listen: [MIDDLE, 8000], to: [SERVER, 9000], ...options })));

const callServers = (ports: number): Program =>
  at('server', ...traffic('call-server', { address: SERVER, port: 9000, ports }));
/** Whom the relay itself calls; what is said there is not relayed. */
const ownPeer = at('server', ...traffic('call-server', { address: '203.0.113.9', port: 9900, own: true }));
const tcpServer = at('server', ...traffic('tcp-server', { address: SERVER, port: 9000 }));

/** The hard kinds, made on demand by a relay of our own. */
export const generatedRelays: readonly Scenario[] = [
  {
    name: 'one-socket-8-calls',
    ...call,
    ...udp,
    programs: [callServers(8), relay('oneSocket', { listen: ['0.0.0.0', 8000], ports: 8 })],
    drivers: [calls(8, { from: '198.51.100.2' })],
  },
  {
    name: 'many-to-one',
    ...tcp,
    programs: [
      tcpServer,
      {
        ...at('server', ...ours('relay.ts', 'demultiplex', `{"listen":["${SERVER}",8000],"to":["${SERVER}",9000]}`)),
        listens: ['tcp', 8000],
      },
      relay('multiplex', { to: [SERVER, 8000] }),
    ],
    drivers: [bulk({ connections: 8, up: 256 * KIB, down: 768 * KIB })],
    alsoRelay: ['bench-relay', 'node'],
  },
  {
    name: 'held-300-ms',
    ...call,
    pace: 'held',
    ...udp,
    programs: [callServer, relay('calls', { holdMs: 300 })],
    drivers: [calls(3, { seconds: 9 })],
  },
  {
    name: 'rate-limited',
    ...tcp,
    pace: 'held',
    programs: [tcpServer, relay('rateLimited', { bytesPerSecond: 128 * KIB })],
    drivers: [bulk({ connections: 3, up: 256 * KIB, down: 768 * KIB, seconds: 3 })],
  },
  {
    name: 'fan-out-4',
    ...call,
    ...udp,
    programs: [callServers(4), relay('fanOut', { ports: 4 })],
    drivers: [calls(1, { mode: 'one-way' })],
  },
  {
    name: 'own-call-beside-6',
    ...call,
    ...udp,
    programs: [callServer, ownPeer, relay('calls', { ownCall: ['203.0.113.9', 9900] })],
    drivers: [calls(6)],
  },
  {
    name: 'own-call-beside-40',
    ...call,
    ...udp,
    programs: [callServer, ownPeer, relay('calls', { ownCall: ['203.0.113.9', 9900] })],
    drivers: [calls(40)],
  },
  {
    name: 'call-of-4-KB-per-s',
    ...call,
    ...udp,
    programs: [callServer, relay('calls')],
    drivers: [calls(1, { size: [60, 100] })],
  },
];
