const last: (() => void)[] = [];
let done = false;

function runAll(): void {
  if (done) return;
  done = true;
  for (const work of last.reverse()) {
    try {
      work();
    } catch (error) {
      console.error(error);
    }
  }
}

process.on('exit', runAll);
// SIGALRM is how tap ends a test file that takes too long.
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGALRM'] as const) {
  process.once(signal, () => {
    runAll();
    process.kill(process.pid, signal);
  });
}

/** Runs when this process ends, by an error or a signal too; the latest first. Only synchronous work gets done then. */
export function atEnd(work: () => void): void {
  last.push(work);
}
