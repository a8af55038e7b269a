import { makeCounters } from '../../agent/counters.ts';
import { Metrics } from '../../agent/metrics.ts';
import { makeStatus } from '../api/readings.ts';

/** In the contract and on the dashboard, and exported once there is a relay ledger. */
const PROMISED = ['relayledger_process_relayed_bytes_total{app="",direction="",role=""} 0'];

/** Names of what `/metrics` gives, each with its labels, read from a sample that the agent's own writer makes. */
export async function exportedFamilies(): Promise<Map<string, Set<string>>> {
  const metrics = new Metrics('0.1.0', '6.1.0');
  metrics.pollDuration.observe(0.001);
  const apps = [{ app: 'socat', counters: makeCounters().fill(1) }];
  const sockets = new Map([['socat', new Map([['LISTEN', 1]])]]);
  const input = {
    apps,
    processes: null,
    verdicts: new Map(),
    sockets,
    status: makeStatus(),
    policies: [],
    policyErrors: 0,
    historyRowsPruned: 0,
  };
  const text = await metrics.write(input, apps, 0, false);
  const families = new Map<string, Set<string>>();
  for (const line of [...text.split('\n'), ...PROMISED]) {
    const [, name, labels = ''] = /^(\w+)(?:\{(.*)\})? /.exec(line) ?? [];
    if (name === undefined) continue;
    const known = families.get(name) ?? new Set();
    for (const [, label] of labels.matchAll(/(\w+)="/g)) known.add(label as string);
    families.set(name, known);
  }
  return families;
}
