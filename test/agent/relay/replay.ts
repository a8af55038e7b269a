import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { replay } from './dump.ts';
import { score, type Truth } from './truth.ts';

/*
 * Replays recorded evidence through the ledger and prints truth against bill:
 *   node test/agent/relay/replay.ts FOLDER [NAME ...]
 * FOLDER holds NAME.json, the truth, and NAME.dump.gz (or NAME.dump), what dump.ts reads.
 */

const CLOSE = 0.05;

function main([folder, ...names]: string[]): void {
  if (!folder) throw new Error('which folder?');
  const all = names.length > 0 ? names : readdirSync(folder).flatMap((file) => /^(.*)\.json$/.exec(file)?.[1] ?? []);
  const errors: number[] = [];
  const times: number[] = [];
  const wrong: string[] = [];
  let [relays, found, close, origins, flagged, strays] = [0, 0, 0, 0, 0, 0];
  for (const name of all.toSorted()) {
    const truth = JSON.parse(readFileSync(join(folder, `${name}.json`), 'utf8')) as Truth;
    const result = score(truth, replay(readLines(folder, name)));
    const isClose = result.isFlagged && result.error <= CLOSE;
    let mark = '-';
    if (truth.kind === 'relay') {
      relays++;
      if (result.isFlagged) found++;
      if (isClose) close++;
      errors.push(result.error);
      if (result.detectedSeconds !== null) times.push(result.detectedSeconds);
      mark = isClose ? 'ok' : result.isFlagged ? 'BYTES' : 'MISSED';
    } else if (truth.kind === 'origin') {
      origins++;
      if (result.isFlagged) flagged++;
      mark = result.isFlagged ? 'FLAGGED' : 'ok';
    }
    strays += result.strays.length;
    if (mark !== 'ok' && mark !== '-') wrong.push(`${name}:${mark}`);
    const { wantedIn, wantedOut, billedIn, billedOut, error, detectedSeconds, whys, confidence } = result;
    console.log(
      [
        name.padEnd(18),
        truth.kind.slice(0, 6).padEnd(6),
        mark.padEnd(7),
        `relay=${Number(result.isFlagged)} suspected=${Number(result.isSuspected)}`,
        `want=${wantedIn}/${wantedOut} got=${billedIn}/${billedOut}`,
        `error=${truth.kind === 'origin' ? '-' : error.toFixed(4)}`,
        `seconds=${detectedSeconds?.toFixed(1) ?? '-'} confidence=${confidence}`,
        whys.join(', '),
        result.strays.length > 0 ? `STRAY ${result.strays.join('; ')}` : '',
      ].join(' '),
    );
  }
  errors.sort((one, other) => one - other);
  times.sort((one, other) => one - other);
  console.log(
    `relays ${relays} found ${found} bytes within 5 % ${close}, error median ${at(errors, 0.5)} p90 ${at(errors, 0.9)}, ` +
      `seconds median ${at(times, 0.5)} p90 ${at(times, 0.9)}; origins ${origins} flagged ${flagged}; strays ${strays}; ` +
      wrong.join(' '),
  );
}

export function readLines(folder: string, name: string): string[] {
  const plain = join(folder, `${name}.dump`);
  const bytes = existsSync(plain) ? readFileSync(plain) : gunzipSync(readFileSync(`${plain}.gz`));
  return bytes.toString('utf8').split('\n').filter(Boolean);
}

function at(sorted: readonly number[], share: number): string {
  return sorted[Math.floor(sorted.length * share)]?.toFixed(4) ?? '-';
}

if (import.meta.main) main(process.argv.slice(2));
