/**
 * Measures what the agent costs and prints each figure as a ratio taken within this run. Never fails for being slow,
 * only where it can't measure.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, loadavg, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { listPrograms } from '../../bpf/info.ts';
import { atEnd } from '../e2e/at-end.ts';
import { measureAgentCost } from './agent-cost.ts';
import type { Bench } from './bench.ts';
import { buildPrograms } from './build.ts';
import { measureEventCost } from './event-cost.ts';
import { measureFingerprintCost } from './fingerprint-cost.ts';
import { measureMetrics } from './metrics-latency.ts';
import { measureOtherTools } from './other-tools.ts';
import { measurePacketCost } from './packet-cost.ts';
import { measureStart } from './start-time.ts';
import { renderSection, renderVerdicts, type Section, type Verdict } from './table.ts';
import { measureThroughput } from './throughput.ts';

/** By the name that `--only` takes. */
const FIGURES: Readonly<Record<string, (bench: Bench) => Promise<Section>>> = {
  packet: measurePacketCost,
  event: measureEventCost,
  fingerprints: measureFingerprintCost,
  throughput: measureThroughput,
  agent: measureAgentCost,
  start: measureStart,
  metrics: measureMetrics,
  tools: measureOtherTools,
};

const USAGE = `Usage: npm run bench -- [options]

  --quick            fewer and shorter rounds: under 2 minutes instead of under 8
  --only NAME        ${Object.keys(FIGURES).join(', ')}; may be given several times
  --window SECONDS   how long \`agent\` measures busy sockets after their first 20 s, instead of 20 s
  --sockets COUNT    \`agent\` with 100, 1000 or 10000 sockets only`;

interface Options {
  quick: boolean;
  only: string[];
  windowSeconds: number | undefined;
  sockets: number | undefined;
}

/** undefined where help was asked for. */
function readOptions(): Options | undefined {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      only: { type: 'string', multiple: true, default: Object.keys(FIGURES) },
      window: { type: 'string' },
      sockets: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return undefined;
  const unknown = values.only.find((name) => !(name in FIGURES));
  if (unknown !== undefined) throw new Error(`there is no figure ${unknown}: ${Object.keys(FIGURES).join(', ')}`);
  const windowSeconds = values.window === undefined ? undefined : Number(values.window);
  if (windowSeconds !== undefined && !(windowSeconds > 0)) throw new Error('--window takes a number of seconds');
  const sockets = values.sockets === undefined ? undefined : Number(values.sockets);
  return { quick: values.quick, only: values.only, windowSeconds, sockets };
}

function describeLoad(): string {
  return `load average ${loadavg()
    .map((load) => load.toFixed(2))
    .join(' ')}`;
}

async function run({ quick, only, windowSeconds, sockets }: Options): Promise<void> {
  if (process.getuid?.() !== 0) throw new Error('this needs root: it loads programs and makes network namespaces');
  const begin = performance.now();
  const seconds = (): string => `${Math.round((performance.now() - begin) / 1000)} s`;
  const progress = (text: string): void => console.error(`bench: ${seconds().padStart(5)}  ${text}`);
  const folder = mkdtempSync(join(tmpdir(), 'relayledger-bench-'));
  atEnd(() => rmSync(folder, { recursive: true, force: true }));

  const [cpu] = cpus();
  console.log(`${new Date().toISOString()}, kernel ${release()}, Node ${process.version}`);
  console.log(`${cpus().length} CPUs (${cpu?.model.trim()}), ${describeLoad()}`);
  console.log(`programs of others in the kernel: ${listPrograms().length}; their hooks slow down both sides alike`);
  progress('compiling');
  const bench: Bench = { quick, windowSeconds, sockets, programs: buildPrograms(folder), folder, progress };
  const verdicts: Verdict[] = [];
  for (const [name, measure] of Object.entries(FIGURES).filter(([name]) => only.includes(name))) {
    progress(name);
    try {
      const section = await measure(bench);
      verdicts.push(...section.verdicts);
      console.log(`\n${renderSection(section)}\n${describeLoad()}`);
    } catch (error) {
      process.exitCode = 1;
      console.log(`\n${name} could not be measured: ${(error as Error).message}`);
      console.error(error);
    }
  }
  if (verdicts.length > 0) console.log(`\n${renderVerdicts(verdicts)}`);
  console.log(`\nended after ${seconds()}, ${describeLoad()}`);
}

try {
  const options = readOptions();
  if (options === undefined) console.log(USAGE);
  else await run(options);
} catch (error) {
  console.error(`bench: ${(error as Error).message}`);
  process.exitCode = 1;
}
