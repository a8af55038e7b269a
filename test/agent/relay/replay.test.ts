import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import t from 'tap';
import { replay } from './dump.ts';
import { score, type Truth } from './truth.ts';

const FIXTURES: string = join(import.meta.dirname, 'fixtures');
/** Billed by the payload of its datagrams; the truth is what was inside the tunnel's packets. */
const TUNNELS = new Set(['r_supernode', 'r_tinc']);
/** Brokers, reverse proxies and other protocols with headers of their own. */
const CLOSE = 0.05;
const EXACT = 0.01;
const ONE_TO_ONE =
  /^(r_socat|r_haproxy_splice|r_go_copy|r_microsocks|r_simpleproxy|r_danted|r_turn|hr_stunnel|hr_sslh|hr_pen)/;

for (const file of readdirSync(FIXTURES)) {
  const name = file.replace('.json.gz', '');
  const [first = '', ...lines] = gunzipSync(readFileSync(join(FIXTURES, file)))
    .toString('utf8')
    .split('\n');
  const { truth } = JSON.parse(first) as { truth: Truth };
  t.test(`${name} (${truth.kind})`, async (t) => {
    const result = score(truth, replay(lines));
    if (truth.kind === 'ambiguous') return;
    t.equal(result.isFlagged, truth.kind === 'relay');
    if (truth.kind === 'origin') {
      t.equal(result.billedIn + result.billedOut, 0);
      return;
    }
    t.ok(result.confidence >= 0.8);
    if (TUNNELS.has(name)) return;
    const limit = ONE_TO_ONE.test(name) ? EXACT : CLOSE;
    t.ok(result.error <= limit, `billed within ${limit * 100} %: ${result.billedIn}/${result.billedOut}`);
  });
}
