import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';

/** With every process that lives in it; nothing where it is gone already. */
export function removeNamespace(name: string): void {
  try {
    for (const pid of residentsOf(name)) end(pid);
    execFileSync('ip', ['netns', 'del', name], { stdio: 'ignore' });
  } catch {
    // Gone already, or gone meanwhile.
  }
}

/**
 * Removes what test runs left that were killed outright.
 * @param prefix what the names begin with; the id of the process that made them follows
 */
export function removeLeftOvers(prefix: string): void {
  const names = existsSync('/run/netns') ? readdirSync('/run/netns') : [];
  for (const name of names) {
    const owner = name.startsWith(prefix) ? Number.parseInt(name.slice(prefix.length), 10) : Number.NaN;
    if (!Number.isNaN(owner) && !existsSync(`/proc/${owner}`)) removeNamespace(name);
  }
}

function end(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // Ended meanwhile.
  }
}

/**
 * Processes that live in a network namespace. `ip netns pids` also names those whose first thread is just passing through:
 * an agent, of this test or of another one, that reads the counters of the interfaces there.
 * @throws Error where the namespace is gone
 */
function residentsOf(name: string): number[] {
  const { ino } = statSync(`/run/netns/${name}`);
  const pids = execFileSync('ip', ['netns', 'pids', name], { encoding: 'utf8', stdio: 'pipe' })
    .split('\n')
    .filter(Boolean);
  return pids.map(Number).filter((pid) => {
    try {
      const threads = readdirSync(`/proc/${pid}/task`);
      return threads.every((thread) => statSync(`/proc/${pid}/task/${thread}/ns/net`).ino === ino);
    } catch {
      return false; // it has ended meanwhile
    }
  });
}
