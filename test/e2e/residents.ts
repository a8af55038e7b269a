import { execFileSync } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';

/**
 * Processes that live in a network namespace. `ip netns pids` also names those whose first thread is just passing through:
 * an agent, of this test or of another one, that reads the counters of the interfaces there.
 * @throws Error where the namespace is gone
 */
export function residentsOf(name: string): number[] {
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
