import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { mountFilesystem } from '../bpf/namespace.ts';
import { AgentError } from './errors.ts';

export interface Mount {
  /** The directory of the filesystem that is mounted, `/` for all of it. */
  root: string;
  target: string;
  type: string;
}

/** Where the agent mounts what it finds nowhere. */
const OWN_CGROUP2 = '/run/relayledger/cgroup2';

/** @param text /proc/PID/mountinfo (Documentation/filesystems/proc.rst, 3.5) */
export function parseMountinfo(text: string): Mount[] {
  return text
    .split('\n')
    .filter((line) => line.includes(' - '))
    .map((line) => {
      const [before, after] = line.split(' - ') as [string, string];
      const fields = before.split(' ');
      return {
        root: unescapeOctal(fields[3] ?? ''),
        target: unescapeOctal(fields[4] ?? ''),
        type: after.split(' ')[0] ?? '',
      };
    });
}

/**
 * The root of the cgroup2 hierarchy, mounted where it is not yet.
 * @throws AGENT_MOUNT_MISSING
 */
export function findCgroupRoot(): string {
  const found = mounts().find(({ type, root }) => type === 'cgroup2' && root === '/');
  if (found) return found.target;
  mountAt('cgroup2', OWN_CGROUP2, 'give a cgroup2 directory with --cgroup');
  return OWN_CGROUP2;
}

/**
 * Sees to it that `path` can hold pins: it lies on a bpffs, or a bpffs is mounted at /sys/fs/bpf for it.
 * @throws AGENT_MOUNT_MISSING
 */
export function ensureBpffs(path: string): void {
  const onBpffs = (): boolean => mounts().some(({ type, target }) => type === 'bpf' && isBelow(path, target));
  if (onBpffs()) return;
  const standard = '/sys/fs/bpf';
  if (!isBelow(path, standard)) {
    throw new AgentError('AGENT_MOUNT_MISSING', `${path} is not on a bpffs; mount one there, or leave out --bpffs`);
  }
  mountAt('bpf', existsSync(standard) ? standard : dirname(path), 'mount a bpffs and name a folder in it with --bpffs');
}

function mounts(): Mount[] {
  return parseMountinfo(readFileSync('/proc/self/mountinfo', 'utf8'));
}

function mountAt(type: 'bpf' | 'cgroup2', target: string, advice: string): void {
  try {
    mkdirSync(target, { recursive: true });
    mountFilesystem(type, target);
  } catch (cause) {
    const message = `no ${type} is mounted and it cannot be mounted at ${target}: ${(cause as Error).message}; ${advice}`;
    throw new AgentError('AGENT_MOUNT_MISSING', message, { cause });
  }
}

function isBelow(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder === '/' ? '/' : `${folder}/`);
}

/** The kernel writes space, tab, newline and backslash as octal escapes. */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}
