import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { parseLine } from './dump.ts';
import { readLines } from './replay.ts';
import { programOf, type Truth, withDescendants } from './truth.ts';

/*
 * Makes the recorded evidence under fixtures/ from dumps of whole recordings:
 *   node test/agent/relay/make-fixtures.ts FOLDER NAME ...
 * Left out are other programs than the scenario's, flows without a pair in processes without pipes, and counters that
 * are not in use.
 */

const FLOW_KEYS = ['f', 'g', 'fam', 'proto', 'n', 'h', 'us', 'up', 'rx', 'tx', 'rxe', 'txe', 'first', 'gap'] as const;
const PAIR_KEYS = ['p', 'a', 'b', 'mv', 'cp', 'ev', 'cev', 'st', 'di', 'sr', 'rn', 'rs', 'lag'] as const;
const UDP = 17;
const OUT: string = join(import.meta.dirname, 'fixtures');

function reduce(lines: readonly string[], truth: Truth): string[] {
  const parsed = lines.map(parseLine);
  const names = new Map<number, string>();
  const parents = new Map<number, number>();
  for (const line of parsed) {
    if ('comm' in line) names.set(line.comm, line.n);
    if ('fork' in line) parents.set(line.fork, line.pp);
  }
  const wanted = new Set([...programOf(truth, names, parents), ...withDescendants(truth.other_relays ?? [], parents)]);
  const paired = new Set<string>();
  const piped = new Set<number>();
  for (const line of parsed) {
    if ('p' in line) paired.add(line.a).add(line.b);
    if ('fd' in line) piped.add(line.fd);
  }
  const processes = new Set<number>();
  const flows = new Set<string>();
  const kept = parsed.filter((line) => {
    if (!('f' in line)) return true;
    if (!wanted.has(line.g) || (!paired.has(line.f) && !piped.has(line.g))) return false;
    processes.add(line.g);
    flows.add(line.f);
    return true;
  });
  return kept.flatMap((line) => {
    if ('stats' in line) return [];
    if ('comm' in line && !processes.has(line.comm)) return [];
    if ('exit' in line && !processes.has(line.exit)) return [];
    if ('fork' in line && !processes.has(line.fork)) return [];
    if ('fd' in line && !processes.has(line.fd)) return [];
    if ('p' in line && !flows.has(line.a)) return [];
    if ('f' in line) {
      const sizes = line.proto === UDP ? { srx: line.srx, stx: line.stx } : {};
      return [JSON.stringify({ ...pick(line, FLOW_KEYS), ...sizes })];
    }
    return [JSON.stringify('p' in line ? pick(line, PAIR_KEYS) : line)];
  });
}

function pick<T extends object, K extends keyof T>(from: T, keys: readonly K[]): Pick<T, K> {
  return Object.fromEntries(keys.map((key) => [key, from[key]])) as Pick<T, K>;
}

function main([folder, ...names]: string[]): void {
  if (!folder) throw new Error('which folder?');
  mkdirSync(OUT, { recursive: true });
  for (const name of names) {
    const truth = JSON.parse(readFileSync(join(folder, `${name}.json`), 'utf8')) as Truth;
    const { kind, comm, pids, other_relays, relayed_in, relayed_out } = truth;
    const first = JSON.stringify({ truth: { kind, comm, pids, other_relays, relayed_in, relayed_out } });
    const text = [first, ...reduce(readLines(folder, name), truth)].join('\n');
    const bytes = gzipSync(text, { level: 9 });
    writeFileSync(join(OUT, `${name}.json.gz`), bytes);
    console.log(name, bytes.length);
  }
}

main(process.argv.slice(2));
