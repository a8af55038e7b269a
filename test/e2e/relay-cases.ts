import type { Side } from './three-hosts.ts';

/*
 * Programs that relay and programs that don't, as data: what runs on the middle host, what speaks with it from both
 * sides, and what is true of it. {port} is where the program listens, {peer} where its peers on the server do, {next}
 * one port further; {client}, {server} and {far} (a second address of the server) are addresses.
 */

export interface RelayCase {
  name: string;
  verdict: 'relay' | 'none' | 'at most suspected';
  /** The program under test, in a shell where it is more than one. */
  program: string[];
  peers: Partial<Record<Exclude<Side, 'middle'>, string[][]>>;
  /** What drives it, from the client; without, the program is over by itself. */
  driver?: string[];
  /** Of relayed bytes, what the bill may be off. */
  tolerance?: number;
  /** Passed on, where the program doesn't say itself; what is received to be passed on is as much. */
  bytes?: number;
  /** How many callers must be named. */
  callers?: number;
  /** Says when it is ready; else its port is waited for. */
  says?: boolean;
}

const MIB = 1 << 20;
const ONE_TO_ONE = 0.01;
const OTHER = 0.05;

const to = ['--port', '{port}', '--to', '{server}', '--to-port', '{peer}'];
const relay = (kind: string, ...more: string[]): Pick<RelayCase, 'program' | 'says'> => {
  return { program: ['relay', kind, ...to, ...more], says: true };
};
const answering = [['peers', 'answer', '--port', '{peer}']];
const listening = (port: string, ...more: string[]): string[] => ['peers', 'listen', '--port', port, ...more];
const calling = (calls: number, seconds = 6): string[] => {
  const voice = ['--calls', String(calls), '--seconds', String(seconds)];
  return ['peers', 'call', '--to', '198.51.100.1', '--port', '{port}', ...voice];
};
const swap = (streams: number, up: number, down: number): Pick<RelayCase, 'peers' | 'driver' | 'bytes'> => {
  const sizes = ['--up', String(up), '--down', String(down)];
  return {
    peers: { server: [['peers', 'swap', '--port', '{peer}', ...sizes]] },
    driver: ['peers', 'swapper', '--to', '198.51.100.1', '--port', '{port}', '--streams', String(streams), ...sizes],
    bytes: streams * (up + down),
  };
};
const { driver: _, ...trunkPeers } = swap(6, MIB / 2, MIB);

export const relayCases: readonly RelayCase[] = [
  {
    name: 'socat, TCP',
    verdict: 'relay',
    program: ['socat', 'TCP-LISTEN:{port},reuseaddr', 'TCP:{server}:{peer}'],
    ...swap(1, MIB, 4 * MIB),
    tolerance: ONE_TO_ONE,
  },
  {
    name: 'splice',
    verdict: 'relay',
    ...relay('stream', '--spliced'),
    ...swap(3, MIB, 2 * MIB),
    tolerance: ONE_TO_ONE,
  },
  {
    name: 'UDP',
    verdict: 'relay',
    ...relay('calls'),
    peers: { server: [listening('{peer}', '--seconds', '5')] },
    driver: calling(2),
    tolerance: ONE_TO_ONE,
    callers: 2,
  },
  {
    name: 'forty calls and one of its own',
    verdict: 'relay',
    ...relay('calls', '--own', '{next}'),
    peers: { server: [listening('{peer}', '--seconds', '5'), listening('{next}', '--seconds', '6', '--vary', '0')] },
    driver: calling(40),
    tolerance: ONE_TO_ONE,
    callers: 40,
  },
  {
    name: 'calls that are held',
    verdict: 'relay',
    ...relay('calls', '--hold', '200'),
    peers: { server: [listening('{peer}', '--seconds', '6')] },
    driver: calling(2, 7),
    tolerance: OTHER,
  },
  {
    name: 'a rate limiter',
    verdict: 'relay',
    ...relay('stream', '--rate', '100000'),
    ...swap(2, 200_000, 500_000),
    tolerance: OTHER,
  },
  {
    name: 'nc and nc, by a pipe',
    verdict: 'relay',
    program: ['sh', '-c', 'nc -l -p {port} </dev/null | nc -N {server} {peer}'],
    ...swap(1, 2 * MIB, 0),
    tolerance: OTHER,
  },
  {
    name: 'socat and socat, by the loopback',
    verdict: 'relay',
    program: [
      'sh',
      '-c',
      'socat TCP-LISTEN:{next},bind=127.0.0.1 TCP:{server}:{peer} & exec socat TCP-LISTEN:{port} TCP:127.0.0.1:{next}',
    ],
    ...swap(1, MIB, 4 * MIB),
    tolerance: OTHER,
  },
  {
    name: 'one packet to three',
    verdict: 'relay',
    ...relay('fan-out', '--copies', '3'),
    // They hear and say nothing.
    peers: { server: ['{peer}', '{next}', '{third}'].map((port) => listening(port)) },
    driver: calling(1),
    tolerance: OTHER,
  },
  {
    name: 'one packet to three, by a thread for each',
    verdict: 'relay',
    ...relay('spread', '--copies', '3'),
    peers: { server: ['{peer}', '{next}', '{third}'].map((port) => listening(port)) },
    driver: calling(1),
    tolerance: OTHER,
  },
  {
    name: 'one packet to three, who acknowledge it',
    verdict: 'relay',
    ...relay('fan-out', '--copies', '3'),
    peers: { server: ['{peer}', '{next}', '{third}'].map((port) => ['peers', 'echo', '--port', port, '--first', '4']) },
    driver: calling(1),
    tolerance: OTHER,
  },
  {
    name: 'many requests over two connections, as reverse proxies do',
    verdict: 'relay',
    ...relay('pool'),
    peers: { server: answering },
    driver: ['peers', 'ask', '--to', '198.51.100.1', '--port', '{port}', '--clients', '8', '--rounds', '80'],
    tolerance: OTHER,
  },
  {
    name: 'a connection for each request, and a question to a name server between them, as forward proxies do',
    verdict: 'relay',
    ...relay('proxy', '--names', '{next}'),
    peers: { server: [...answering, listening('{next}')] },
    driver: [
      ...['peers', 'ask', '--to', '198.51.100.1', '--port', '{port}', '--clients', '6', '--rounds', '60'],
      ...['--answer', '60000'],
    ],
    tolerance: OTHER,
  },
  {
    name: 'many streams in one connection, as ssh does',
    verdict: 'relay',
    ...relay('trunk'),
    ...trunkPeers,
    driver: [
      ...['peers', 'trunk', '--to', '198.51.100.1', '--port', '{port}', '--streams', '6'],
      ...['--up', String(MIB / 2), '--down', String(MIB)],
    ],
    tolerance: OTHER,
  },

  {
    name: 'a download and an upload of one rate',
    verdict: 'none',
    program: ['peers', 'jobs', '--from', '{server}', '--to', '{client}', '--port', '{peer}', '--seconds', '7'],
    peers: {
      server: [['peers', 'swap', '--port', '{peer}', '--up', '0', '--down', '1500000', '--rate', '204800']],
      client: [['peers', 'swap', '--port', '{peer}', '--up', '4000000', '--down', '0']],
    },
  },
  {
    name: 'a web app with a database',
    verdict: 'none',
    ...relay('pool', '--web'),
    peers: { server: answering },
    driver: [
      ...['peers', 'ask', '--to', '198.51.100.1', '--port', '{port}', '--clients', '8', '--rounds', '80'],
      ...['--answer', '3000'],
    ],
  },
  {
    name: 'an echo server',
    verdict: 'none',
    program: ['peers', 'echo', '--port', '{port}'],
    says: true,
    peers: { server: [['peers', 'call', '--to', '203.0.113.1', '--port', '{port}', '--calls', '3', '--seconds', '6']] },
    driver: calling(3),
  },
  {
    name: 'a conference of three',
    verdict: 'at most suspected',
    program: [
      ...calling(1, 7).slice(0, 2),
      '--to',
      '{server}',
      '--second',
      '{client}',
      '--port',
      '{peer}',
      '--seconds',
      '7',
    ],
    peers: {
      server: [listening('{peer}', '--seconds', '7')],
      client: [listening('{peer}', '--seconds', '7')],
    },
  },
  {
    name: 'two calls of its own, of one constant rate',
    verdict: 'at most suspected',
    program: [
      ...['peers', 'call', '--to', '{server}', '--second', '{client}', '--port', '{peer}', '--seconds', '7'],
      ...['--vary', '0'],
    ],
    peers: {
      server: [listening('{peer}', '--seconds', '7', '--vary', '0')],
      client: [listening('{peer}', '--seconds', '7', '--vary', '0')],
    },
  },
];
