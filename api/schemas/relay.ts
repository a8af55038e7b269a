import type { FingerprintReading, Relay, RelayPeer, RelayReading, Role, Verdict } from '../../agent/readings.ts';
import type { Schema } from './schema.ts';
import {
  array,
  bytes,
  describes,
  instant,
  integer,
  nullable,
  number,
  object,
  oneOf,
  optional,
  string,
} from './schema.ts';
import { scopeSchema } from './traffic.ts';

export const verdictSchema: Schema<Verdict> = oneOf(
  ['none', 'suspected', 'relay'],
  'Whether the process passes on what it receives: none, suspected, or relay',
);

export const relayVerdictSchema: Schema<RelayReading['verdict']> = oneOf(
  ['suspected', 'relay'],
  'relay: it passes on what it receives; suspected: it looks like that, and is not certain enough to be billed',
);

const roleSchema: Schema<Role> = oneOf(
  ['third-party', 'service', 'own'],
  'third-party: public peers on both sides and nobody declared it; service: declared, or one side local or private; own',
);

const confidenceSchema = number({
  minimum: 0,
  maximum: 1,
  description: 'How sure the verdict is, from 0 to 1: of verdicts at 0.9, nine in ten are right',
});

export const relaySchema: Schema<Relay> = describes<Relay>()(
  object(
    {
      verdict: verdictSchema,
      role: nullable(roleSchema),
      receivedBytes: bytes('Payload received to be passed on'),
      sentBytes: bytes('Payload passed on'),
      confidence: confidenceSchema,
      since: nullable(instant('Since when it is so; null where the verdict is none')),
    },
    { title: 'Relay', description: 'What the process relays' },
  ),
);

const relayPeerSchema = describes<RelayPeer>()(
  object(
    {
      address: nullable(string({ description: "The peer's address; null for AF_UNIX sockets and pipes" })),
      port: nullable(integer({ minimum: 0, maximum: 65535, description: 'Port; null where the peer has none' })),
      protocol: oneOf(
        ['tcp', 'udp', 'other', 'unix', 'pipe'],
        'tcp (MPTCP included), udp, unix: an AF_UNIX socket, pipe: a pipe or FIFO, or other: ICMP, raw IP, AF_PACKET',
      ),
      scope: scopeSchema,
    },
    { title: 'RelayPeer', description: 'Whom a process receives from, or passes on to' },
  ),
);

export const fingerprintPieces: Record<keyof FingerprintReading, Schema<number>> = {
  receivedPieces: integer({ minimum: 0, description: 'Of what came in' }),
  sentPieces: integer({ minimum: 0, description: 'Of what went out' }),
  matchedPieces: integer({ minimum: 0, description: 'Of what went out: the same had come in before' }),
};

const fingerprintReadingSchema = describes<FingerprintReading>()(
  object(fingerprintPieces, {
    title: 'FingerprintReading',
    description:
      'How many sampled pieces of content were compared, by keyed hashes that never leave the kernel; only with the ' +
      'option fingerprints, and only of flows that were suspected. Half of what went out proves a relay, less nothing: ' +
      'it may have been encrypted anew',
  }),
);

export const relayReadingSchema: Schema<RelayReading> = describes<RelayReading>()(
  object(
    {
      pid: integer({ minimum: 0, description: 'Process id of the relaying process; 0 where the kernel forwards' }),
      name: string({ description: "The process's name" }),
      app: string({ description: "The process's app" }),
      verdict: relayVerdictSchema,
      role: nullable(roleSchema),
      confidence: confidenceSchema,
      since: instant('Since when it is so, bytes from before the verdict included'),
      kind: string({
        description:
          'How it relays, in a word: causal (right after it came in), held (later, but exactly it), framed (with some ' +
          'bytes added to or taken from each message), compressed, chain (together with another process of this host), verbatim (its ' +
          'times prove nothing, but the content is the same), stored (kept as a whole, and sent on by a connection of its own) …',
        examples: ['causal', 'held', 'framed', 'compressed', 'chain', 'verbatim', 'stored', 'twins'],
      }),
      why: string({ description: 'Why it is judged so, in words' }),
      from: array(relayPeerSchema, { description: 'Peers that it receives from, the most important ones first' }),
      fromCount: integer({ minimum: 0, description: 'How many peers it receives from; `from` may list fewer' }),
      to: array(relayPeerSchema, { description: 'Peers that it passes on to, the most important ones first' }),
      toCount: integer({ minimum: 0, description: 'How many peers it passes on to; `to` may list fewer' }),
      receivedBytes: bytes('Billed: payload received to be passed on'),
      sentBytes: bytes('Billed: payload passed on'),
      lowerBytes: bytes('At least so much of what came in went out again: each byte was matched with a receive'),
      upperBytes: bytes('At most so much can have come in and gone out again'),
      overheadBytes: bytes(
        "Left out of the bill: a tunnel's headers and empty acknowledgements, where the sizes of its datagrams show them",
      ),
      fanOut: number({
        minimum: 0,
        description: 'How many times each byte went out: 1, and more for brokers and conferences that send copies',
      }),
      conservation: number({
        minimum: 0,
        maximum: 1,
        description:
          'The share of what came in that went out again, or of what went out that had come in, whichever is less: ' +
          '1 is all of it; a program that answers requests or downloads for itself has little',
      }),
      auc: number({
        minimum: 0,
        maximum: 1,
        description:
          'How closely sends follow receives (area under the curve of their lags against chance): 0.5 is chance, 1 ' +
          'is right after each receive; relays that do not hold data have 0.85 and more',
      }),
      lagMedianMs: number({
        minimum: 0,
        description: 'Half of the sends came at most so long after the receive that they pass on, in milliseconds',
      }),
      events: integer({ minimum: 0, description: 'Sends that were matched with a receive: what all this rests on' }),
      fingerprints: optional(fingerprintReadingSchema),
    },
    {
      title: 'RelayReading',
      description: 'One direction in which a process relays, or is suspected to, with the evidence',
      examples: [
        {
          pid: 4711,
          name: 'socat',
          app: 'socat',
          verdict: 'relay',
          role: 'third-party',
          confidence: 0.98,
          since: '2026-11-22T05:00:00.000Z',
          kind: 'causal',
          why: 'what comes in goes out again, and right after it came in',
          from: [{ address: '192.0.2.7', port: 51234, protocol: 'tcp', scope: 'public' }],
          fromCount: 1,
          to: [{ address: '198.51.100.2', port: 9000, protocol: 'tcp', scope: 'public' }],
          toCount: 1,
          receivedBytes: 1048576,
          sentBytes: 1048576,
          lowerBytes: 1048000,
          upperBytes: 1048576,
          overheadBytes: 0,
          fanOut: 1,
          conservation: 0.999,
          auc: 0.98,
          lagMedianMs: 0.05,
          events: 812,
        },
      ],
    },
  ),
);
