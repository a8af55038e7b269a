import type { RelayPeer, RelayReading } from '../../../agent/readings.ts';
import { median } from '../statistics.ts';
import { formatPercent, renderTable } from '../table.ts';
import { type Finding, SUH } from './baselines.ts';
import type { Result } from './run-scenario.ts';
import { byteError, type Score, score } from './score.ts';

/** The text of what was measured. Pure. */

export const RESULT_COLUMNS: readonly string[] = [
  'scenario',
  'relays',
  'verdict',
  'sure',
  'billed in',
  'true in',
  'billed out',
  'true out',
  'error',
  'after',
  'min(in, out)',
  'error',
  'Suh',
  'error',
];

const count = (bytes: number | undefined): string => (bytes === undefined ? '' : bytes.toLocaleString('en-US'));
const share = (error: number | null): string => (error === null ? '-' : formatPercent(error));
const word = ({ flagged }: Finding): string => (flagged ? 'relay' : 'none');

export function renderResult(result: Result): string[] {
  const { scenario, truth, agent, detectSeconds } = result;
  const right = agent.flagged === scenario.relays;
  return [
    scenario.name,
    scenario.relays ? 'yes' : 'no',
    right ? agent.verdict : `${agent.verdict} WRONG`,
    agent.confidence.toFixed(2),
    count(agent.receivedBytes),
    count(truth?.receivedBytes),
    count(agent.sentBytes),
    count(truth?.sentBytes),
    share(byteError(agent, truth)),
    detectSeconds === null ? '-' : `${detectSeconds.toFixed(1)} s`,
    word(result.minOfInAndOut),
    share(byteError(result.minOfInAndOut, truth)),
    word(result.suh),
    share(byteError(result.suh, truth)),
  ];
}

const peers = (list: readonly RelayPeer[], all: number): string => {
  const [first] = list;
  const name = first === undefined ? 'nobody' : `${first.protocol} ${first.address ?? '?'}:${first.port ?? '?'}`;
  return all > 1 ? `${name} and ${all - 1} more` : name;
};

function renderReading(reading: RelayReading): string {
  const { name, verdict, kind, from, fromCount, to, toCount, receivedBytes, sentBytes, conservation, auc } = reading;
  return [
    `    ${name}: ${verdict} (${kind}, ${reading.confidence.toFixed(2)}) ${peers(from, fromCount)} -> ${peers(to, toCount)},`,
    `${count(receivedBytes)} in, ${count(sentBytes)} out, conservation ${conservation.toFixed(3)}, AUC ${auc.toFixed(3)},`,
    `lag ${reading.lagMedianMs.toFixed(2)} ms, ${reading.events} events: ${reading.why}`,
  ].join(' ');
}

const MOST_READINGS = 4;

/** Nothing for a scenario that the agent was right about. */
export function renderEvidence({ scenario, agent, truth, evidence }: Result): string[] {
  const error = byteError(agent, truth);
  if (agent.flagged === scenario.relays && (error === null || error <= (scenario.tolerance ?? 1))) return [];
  const said = evidence.toSorted((a, b) => b.receivedBytes - a.receivedBytes).slice(0, MOST_READINGS);
  const lines = said.length === 0 ? ['    /v1/relays said nothing about it'] : said.map(renderReading);
  return [`  ${scenario.name}: ${agent.verdict}${error === null ? '' : `, ${formatPercent(error)} off`}`, ...lines];
}

function renderScore(name: string, { recall, precision, found, relays, flagged, others, ...errors }: Score): string[] {
  const ratio = (value: number | null, of: string): string => (value === null ? '-' : `${value.toFixed(3)} (${of})`);
  return [
    name,
    ratio(recall, `${found}/${relays}`),
    ratio(precision, `${flagged}/${others} flagged`),
    share(errors.medianError),
    share(errors.p90Error),
  ];
}

export function renderScores(results: readonly Result[]): string {
  const strays = results.reduce((sum, result) => sum + result.strays.length, 0);
  const times = results.flatMap(({ scenario, detectSeconds }) => (scenario.relays ? (detectSeconds ?? []) : []));
  const { startMs, endMs, minRatio, minCorrelation, maxLagBins, binMs } = SUH;
  return [
    renderTable(
      ['', 'recall', 'precision', 'median error', '90th percentile'],
      [
        renderScore(
          'relayledger',
          score(results, ({ agent }) => agent, strays),
        ),
        renderScore(
          'min(in, out) >= 0.8',
          score(results, ({ minOfInAndOut }) => minOfInAndOut),
        ),
        renderScore(
          'Suh et al.',
          score(results, ({ suh }) => suh),
        ),
      ],
    ),
    `relayledger: median time to the verdict ${times.length === 0 ? '-' : `${median(times).toFixed(1)} s`}, asked for every 0.1 s; the agent judges once a second`,
    `Suh et al.: pairs of sockets that start within ${startMs} ms and end within ${endMs} ms, bytes at ${minRatio} or nearer, correlation over ${binMs} ms bins at least ${minCorrelation} at a lag up to ${(maxLagBins * binMs) / 1000} s; unconnected UDP sockets have no peer there`,
  ].join('\n');
}
