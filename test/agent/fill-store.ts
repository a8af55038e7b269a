import { makeCounters } from '../../agent/counters.ts';
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

// Without a folder somebody has given the runner this one instead of the tests.
if (process.argv[2]) fill(process.argv[2]);
