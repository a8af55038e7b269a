import { spawnSync } from 'node:child_process';
import { makeCounters } from '../../agent/counters.ts';
import type { Policy } from '../../agent/policies/policy.ts';
import { Store, type StoredProcess } from '../../agent/store.ts';

/** Writes more than a file may hold, then less; prints what came of it. Run by store.test.ts under `ulimit -f`. */
function fill(folder: string): void {
  const store = Store.open(folder);
  const write = (app: string, descriptionBytes: number, count: number): void => {
    const counters = makeCounters([1]);
    const description = 'x'.repeat(descriptionBytes);
    const processes = Array.from({ length: count }, (_, tgid): StoredProcess => {
      return { tgid, startNs: 1n, app, counters, exitedAtMs: null, freed: false, description };
    });
    store.checkpoint({ apps: [[app, counters]], processes, freed: counters, forgetBeforeMs: 0 });
  };
  write('before', 10, 1);
  let refused: { code?: string; message?: string } = {};
  try {
    write('too much', 1000, 1000);
  } catch (error) {
    refused = error as { code: string; message: string };
  }
  write('after', 10, 1);
  const { code, message } = refused;
  console.log(JSON.stringify({ code, message, appsAfter: [...store.apps().keys()] }));
}

/** Puts policies until the disk is full, then has room made; prints what came of it. */
function fillWithPolicies(folder: string): void {
  const store = Store.open(folder);
  const put = (name: string): void => {
    const policy = { match: { app: 'x'.repeat(4000) } } as unknown as Policy;
    store.policies.put({ name, policy, createdAtMs: 1, changedAtMs: 1, bound: null, spared: [], forced: false });
  };
  const refused: (string | undefined)[] = [];
  for (let n = 0; refused.length < 3 && n < 1000; n++) {
    try {
      put(`policy ${n}`);
    } catch (error) {
      refused.push((error as { code?: string }).code);
    }
  }
  const kept = store.policies.policies().length;
  spawnSync('prlimit', ['--pid', String(process.pid), '--fsize=unlimited']);
  put('after');
  const counters = makeCounters([1]);
  store.checkpoint({ apps: [['after', counters]], processes: [], freed: counters, forgetBeforeMs: 0 });
  console.log(JSON.stringify({ refused, kept }));
}

// Without a folder somebody has given the runner this one instead of the tests.
if (process.argv[2]) (process.argv[3] === 'policies' ? fillWithPolicies : fill)(process.argv[2]);
