import type { Builder } from '@grafana/grafana-foundation-sdk/cog';
import type { Panel } from '@grafana/grafana-foundation-sdk/dashboard';
import { bars, graph, greenUntil, number, states, table, timeline } from './panels.ts';
import { APPS, HOSTS, movedInRange, rate, series, topApps } from './queries.ts';

const received = 'direction="rx"';
const sent = 'direction="tx"';
const wireReceived = series('process_wire_bytes_total', `${APPS},${received}`);
const wireSent = series('process_wire_bytes_total', `${APPS},${sent}`);
const payload = series('process_payload_bytes_total', APPS);
const payloadReceived = series('process_payload_bytes_total', `${APPS},${received}`);
const payloadSent = series('process_payload_bytes_total', `${APPS},${sent}`);
const relayedReceived = series('process_relayed_bytes_total', `${APPS},${received}`);
const relayedSent = series('process_relayed_bytes_total', `${APPS},${sent}`);
const verdict = series('process_relay_verdict', APPS);
const unexplained = series('reconciliation_error_bytes', HOSTS);
const unattributed = series('unattributed_bytes_total', HOSTS);

const VERDICTS = states({
  '0': { text: 'none', color: 'green' },
  '1': { text: 'suspected', color: 'orange' },
  '2': { text: 'relay', color: 'red' },
});

export const now: Builder<Panel>[] = [
  number({
    title: 'Agents',
    description:
      'Whether every agent answers its scrapes. Down: its log on that host says why. The kernel goes on counting meanwhile, and the next start adopts what it counted.',
    unit: 'none',
    width: 4,
    queries: [{ expr: `min(up{${HOSTS}}) or vector(0)`, legend: 'agents' }],
    mappings: states({ '0': { text: 'down', color: 'red' }, '1': { text: 'up', color: 'green' } }),
    thresholds: [
      { value: null, color: 'red' },
      { value: 1, color: 'green' },
    ],
  }),
  number({
    title: 'Received',
    description: 'Wire bytes that the chosen apps receive, loopback included. Too high: the bars below name the app.',
    unit: 'Bps',
    width: 4,
    queries: [{ expr: `sum(${rate(wireReceived)})`, legend: 'received' }],
  }),
  number({
    title: 'Sent',
    description: 'Wire bytes that the chosen apps send, loopback included. Too high: the bars below name the app.',
    unit: 'Bps',
    width: 4,
    queries: [{ expr: `sum(${rate(wireSent)})`, legend: 'sent' }],
  }),
  number({
    title: 'Apps that relay',
    description:
      'Apps with the verdict `relay`. Not zero: the row Relay says which and how much; `relayledger relays` shows the evidence.',
    unit: 'none',
    width: 4,
    queries: [{ expr: `count(${verdict} == 2) or vector(0)`, legend: 'apps' }],
    thresholds: greenUntil([1, 'orange']),
  }),
  number({
    title: 'Lost events',
    description:
      'Things in what is shown that should have been recorded and could not be. Not zero: some numbers are too low; the row Books says why.',
    unit: 'short',
    width: 4,
    queries: [{ expr: `ceil(sum(increase(${series('lost_events_total', HOSTS)}[$__range])))`, legend: 'lost' }],
    thresholds: greenUntil([1, 'red']),
  }),
  number({
    title: 'Unexplained',
    description:
      'Share of the bytes in what is shown by which the interfaces and the ledger disagree. Above 0.01 %: the row Books names the interface.',
    unit: 'percentunit',
    width: 4,
    queries: [
      {
        expr: `sum(abs(delta(${unexplained}[$__range]))) / clamp_min(sum(increase(${series('process_wire_bytes_total', HOSTS)}[$__range])) + (sum(increase(${unattributed}[$__range])) or vector(0)), 1)`,
        legend: 'unexplained',
      },
    ],
    thresholds: greenUntil([0.0001, 'orange'], [0.01, 'red']),
  }),
  bars({
    title: 'Who moves bytes now',
    description:
      'The ten apps with the highest wire rate, both directions. `relayledger top` shows their processes, `relayledger cap` slows one down.',
    unit: 'Bps',
    width: 12,
    queries: [
      {
        expr: `sort_desc(topk(10, sum by (app) (${rate(series('process_wire_bytes_total', APPS))})))`,
        legend: '{{app}}',
      },
    ],
  }),
  table({
    title: 'Bytes moved',
    description:
      'Wire and payload bytes of every app in what is shown, also of those that lived shorter than a scrape. Sort by a column to find who used up a quota.',
    unit: 'decbytes',
    width: 12,
    queries: [
      { expr: movedInRange(wireReceived), legend: '' },
      { expr: movedInRange(wireSent), legend: '' },
      { expr: movedInRange(payloadReceived), legend: '' },
      { expr: movedInRange(payloadSent), legend: '' },
    ],
    columns: {
      app: 'App',
      'Value #A': 'Wire received',
      'Value #B': 'Wire sent',
      'Value #C': 'Payload received',
      'Value #D': 'Payload sent',
    },
    sortBy: 'Wire sent',
  }),
];

export const traffic: Builder<Panel>[] = [
  graph({
    title: 'Received by app',
    description:
      'Wire bytes per second of the ten apps that received most. A step up without a reason: `relayledger flows` shows from where.',
    unit: 'Bps',
    width: 12,
    queries: [{ expr: topApps(wireReceived), legend: '{{app}}' }],
  }),
  graph({
    title: 'Sent by app',
    description:
      'Wire bytes per second of the ten apps that sent most. A step up without a reason: `relayledger flows` shows to where.',
    unit: 'Bps',
    width: 12,
    queries: [{ expr: topApps(wireSent), legend: '{{app}}' }],
  }),
  graph({
    title: 'Packets received by app',
    description:
      'Packets per second of the ten apps that received most, super-packets as the packets they become. Many packets with few bytes: a scan, a flood, or a call.',
    unit: 'pps',
    width: 12,
    queries: [{ expr: topApps(series('process_wire_packets_total', `${APPS},${received}`)), legend: '{{app}}' }],
  }),
  graph({
    title: 'Packets sent by app',
    description:
      'Packets per second of the ten apps that sent most, super-packets as the packets they become. Many packets with few bytes: a scan, a flood, or a call.',
    unit: 'pps',
    width: 12,
    queries: [{ expr: topApps(series('process_wire_packets_total', `${APPS},${sent}`)), legend: '{{app}}' }],
  }),
  graph({
    title: 'Payload against wire',
    description:
      'What the chosen apps read and wrote, and what that took on the wire. A widening gap: retransmissions, or ever smaller packets.',
    unit: 'Bps',
    width: 12,
    mirrored: true,
    queries: [
      { expr: `sum(${rate(wireReceived)})`, legend: 'wire received' },
      { expr: `sum(${rate(payloadReceived)})`, legend: 'payload received' },
      { expr: `sum(${rate(wireSent)})`, legend: 'wire sent' },
      { expr: `sum(${rate(payloadSent)})`, legend: 'payload sent' },
    ],
  }),
  graph({
    title: 'Overhead by app',
    description:
      'Share of the wire bytes that is not payload, of apps above 1 kB/s: about 0.04 for bulk TCP, far more for small packets and retransmissions. Below zero for a moment: payload that waits in a buffer.',
    unit: 'percentunit',
    width: 12,
    queries: [
      {
        expr: `1 - sum by (app) (${rate(payload)}) / (sum by (app) (${rate(series('process_wire_bytes_total', APPS))}) > 1000)`,
        legend: '{{app}}',
      },
    ],
  }),
  graph({
    title: 'Where the peers are',
    description:
      'Payload by where the peer is: this host, a private network, or a public address. Public bytes of an app that should stay inside deserve a look.',
    unit: 'Bps',
    width: 12,
    mirrored: true,
    queries: [
      { expr: `sum by (scope) (${rate(payloadReceived)})`, legend: '{{scope}} received' },
      { expr: `sum by (scope) (${rate(payloadSent)})`, legend: '{{scope}} sent' },
    ],
  }),
  graph({
    title: 'Public bytes by app',
    description:
      'Payload that the ten most talkative apps exchange with public addresses, both directions: what a metered line is billed for. A bill that grew: `relayledger flows` shows with whom.',
    unit: 'Bps',
    width: 12,
    queries: [{ expr: topApps(series('process_payload_bytes_total', `${APPS},scope="public"`)), legend: '{{app}}' }],
  }),
  graph({
    title: 'Sockets by state',
    description:
      'Sockets of the chosen apps. Growing CLOSE-WAIT: an app forgets to close; growing SYN-RECV: a flood; SYN-SENT: a peer that does not answer.',
    unit: 'short',
    width: 12,
    stacked: true,
    queries: [{ expr: `sum by (state) (${series('process_sockets', APPS)})`, legend: '{{state}}' }],
  }),
  graph({
    title: 'Sockets by app',
    description: 'The ten apps with the most sockets. `relayledger ports` lists them with their peers and bytes.',
    unit: 'short',
    width: 12,
    queries: [{ expr: `topk(10, sum by (app) (${series('process_sockets', APPS)}))`, legend: '{{app}}' }],
  }),
];

export const relay: Builder<Panel>[] = [
  graph({
    title: 'Relayed by app and role',
    description:
      'Payload that apps receive to pass on, and pass on. The role third-party is what nobody declared: `relayledger cap APP RATE --relay-only` bounds it.',
    unit: 'Bps',
    width: 12,
    mirrored: true,
    empty: 'Nothing is relayed',
    queries: [
      { expr: `sum by (app, role) (${rate(relayedReceived)}) > 0`, legend: '{{app}} {{role}} received' },
      { expr: `sum by (app, role) (${rate(relayedSent)}) > 0`, legend: '{{app}} {{role}} sent' },
    ],
  }),
  graph({
    title: 'Relayed share of what an app sends',
    description:
      'Of the payload an app sends, the part it relays. Near 1: the app does nothing else; in between: its own traffic shares the process.',
    unit: 'percentunit',
    width: 12,
    empty: 'Nothing is relayed',
    queries: [
      {
        expr: `sum by (app) (${rate(relayedSent)}) / (sum by (app) (${rate(payloadSent)}) > 0) > 0`,
        legend: '{{app}}',
      },
    ],
  }),
  table({
    title: 'Verdicts',
    description:
      'Apps that relay or are suspected to, and what they relayed in what is shown. Unexpected: `relayledger relays` for the evidence, then `cap`, `deny` or `disconnect`.',
    unit: 'decbytes',
    width: 12,
    empty: 'Nothing is relayed',
    queries: [
      { expr: `max by (app) (${verdict}) > 0`, legend: '' },
      { expr: `${movedInRange(relayedReceived)} > 0`, legend: '' },
      { expr: `${movedInRange(relayedSent)} > 0`, legend: '' },
      {
        expr: `${movedInRange(series('process_relayed_bytes_total', `${APPS},${sent},role="third-party"`))} > 0`,
        legend: '',
      },
    ],
    columns: {
      app: 'App',
      'Value #A': 'Verdict',
      'Value #B': 'Received to pass on',
      'Value #C': 'Passed on',
      'Value #D': 'Passed on for third parties',
    },
    sortBy: 'Verdict',
    state: { column: 'Verdict', mappings: VERDICTS },
  }),
  timeline({
    title: 'When the verdict changed',
    description: 'When an app began and ceased to relay. The audit and the events of that time say what followed.',
    unit: 'none',
    width: 12,
    empty: 'Nothing relays',
    mappings: VERDICTS,
    queries: [
      {
        expr: `max by (app) (${verdict}) and max by (app) (max_over_time(${verdict}[$__range] @ end())) > 0`,
        legend: '{{app}}',
      },
    ],
  }),
];

export const books: Builder<Panel>[] = [
  graph({
    title: 'Kernel row by reason',
    description:
      'Wire bytes that belong to no process. `forwarded`: this host routes; `no_socket`: closed ports, resets, ping; `table_full`: see Fullest tables. Much without a known reason: `relayledger doctor`.',
    unit: 'Bps',
    width: 12,
    mirrored: true,
    empty: 'Every byte has its process',
    queries: [
      {
        expr: `sum by (reason) (${rate(series('unattributed_bytes_total', `${HOSTS},${received}`))})`,
        legend: '{{reason}} received',
      },
      {
        expr: `sum by (reason) (${rate(series('unattributed_bytes_total', `${HOSTS},${sent}`))})`,
        legend: '{{reason}} sent',
      },
    ],
  }),
  graph({
    title: 'Reconciliation error by interface',
    description:
      'How far the interface counter is from what the ledger saw pass, since accounting began. Constant: history; growing: `relayledger doctor` says which hook is missing, then file a bug with its output.',
    unit: 'decbytes',
    width: 12,
    empty: 'The books balance',
    queries: [
      {
        expr: `topk(10, sum by (instance, interface, direction) (abs(${unexplained})) > 0)`,
        legend: '{{instance}} {{interface}} {{direction}}',
      },
    ],
  }),
  graph({
    title: 'Lost events by reason',
    description:
      'What could not be recorded. `process`, `socket`, `interface`, `details`: a table was full (see Fullest tables); `event`: the agent read too slowly.',
    unit: 'short',
    width: 8,
    queries: [
      {
        expr: `sum by (reason) (increase(${series('lost_events_total', HOSTS)}[$__rate_interval]))`,
        legend: '{{reason}}',
      },
    ],
  }),
  graph({
    title: 'Unclaimed bytes',
    description:
      'Bytes on accepted connections that no process has touched yet; they are credited when one does. Growing: an app accepts too slowly.',
    unit: 'decbytes',
    width: 8,
    mirrored: true,
    queries: [
      { expr: `sum(${series('unclaimed_bytes', `${HOSTS},${received}`)})`, legend: 'unclaimed received' },
      { expr: `sum(${series('unclaimed_bytes', `${HOSTS},${sent}`)})`, legend: 'unclaimed sent' },
    ],
  }),
  bars({
    title: 'Fullest tables',
    description:
      'How full the tables in the kernel are. Above 80 %: `relayledger ps` shows what starts so many processes; a full table loses events.',
    unit: 'percentunit',
    width: 8,
    thresholds: greenUntil([0.8, 'orange'], [0.95, 'red']),
    queries: [
      {
        expr: `sort_desc(max by (map) (${series('bpf_map_entries', HOSTS)} / (${series('bpf_map_capacity', HOSTS)} > 0)))`,
        legend: '{{map}}',
      },
    ],
  }),
];
