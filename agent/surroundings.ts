import { readlinkSync, statSync } from 'node:fs';
import type { MissingFeature } from './readings.ts';

/** Of the host's own namespace; the kernel gives it this number (include/linux/proc_ns.h, PROC_PID_INIT_INO). */
const HOST_PID_NAMESPACE = 'pid:[4026531836]';
/** Of the root of a cgroup hierarchy, wherever it is mounted; no folder in it has that. */
const ROOT_INODE = 1;

/** What an agent in a container does not see of its host. @param cgroup the cgroup2 folder that it accounts for */
export function surroundings(
  cgroup: string,
  pidNamespace: string = readlinkSync('/proc/self/ns/pid'),
): MissingFeature[] {
  const missing: MissingFeature[] = [];
  if (pidNamespace !== HOST_PID_NAMESPACE) {
    missing.push({
      feature: 'host_processes',
      consequence:
        'processes stand under the pids of the host, and none of them can be killed, disconnected or held by its pid; ' +
        'sockets from before the accounting have an owner once they are used',
      reason: 'the agent has a pid namespace of its own; run it in that of the host',
    });
  }
  if (statSync(cgroup).ino !== ROOT_INODE) {
    missing.push({
      feature: 'host_cgroup',
      consequence:
        'the packets of what runs elsewhere are not counted, and the books can’t balance; payload is all there',
      reason: `${cgroup} is not the root of the cgroup2 hierarchy`,
    });
  }
  return missing;
}
