import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { basename } from 'node:path';
import { interfaceIndex, networkNamespaceCookie, withNetworkNamespace } from '../bpf/namespace.ts';
import { parseMountinfo } from './mounts.ts';

export interface InterfaceCounters {
  name: string;
  ifindex: number;
  rxBytes: number;
  rxPackets: number;
  txBytes: number;
  txPackets: number;
}

export interface NetworkNamespace {
  /** Inode, as in /proc/PID/ns/net. */
  inode: number;
  /** Unique until the next boot. */
  cookie: bigint;
  /** As `ip netns` calls it, or whoever else mounted it; null where nobody did. */
  name: string | null;
  interfaces: InterfaceCounters[];
}

/** Finds the host's network namespaces, and reads their interfaces' counters. */
export class NetworkNamespaces {
  /** Inode to a path through which it can be entered. */
  #paths = new Map<number, { path: string; name: string | null }>();

  /** Looks for namespaces with a process or a mount. Some 10 us a process: call it when one is missing. */
  discover(): void {
    const paths = new Map<number, { path: string; name: string | null }>();
    const add = (path: string, name: string | null): void => {
      const inode = inodeOf(path);
      if (inode !== undefined && !paths.has(inode)) paths.set(inode, { path, name });
    };
    add('/proc/thread-self/ns/net', null);
    for (const { type, root, target } of parseMountinfo(readFileSync('/proc/self/mountinfo', 'utf8'))) {
      if (type === 'nsfs' && root.startsWith('net:')) add(target, basename(target));
    }
    for (const pid of readdirSync('/proc')) if (/^\d+$/.test(pid)) add(`/proc/${pid}/ns/net`, null);
    this.#paths = paths;
  }

  inodes(): Iterable<number> {
    return this.#paths.keys();
  }

  has(inode: number): boolean {
    return this.#paths.has(inode);
  }

  nameOf(inode: number): string | null {
    return this.#paths.get(inode)?.name ?? null;
  }

  /** undefined where the namespace is gone. */
  read(inode: number): NetworkNamespace | undefined {
    const known = this.#paths.get(inode) ?? this.#rediscover(inode);
    if (!known) return undefined;
    try {
      return withNetworkNamespace(known.path, () => {
        // The path may lead to another namespace by now: its process has ended and the pid is another's.
        if (inodeOf('/proc/thread-self/ns/net') !== inode) return undefined;
        const interfaces = parseNetDev(readFileSync('/proc/thread-self/net/dev', 'utf8'));
        return {
          inode,
          cookie: networkNamespaceCookie(),
          name: known.name,
          interfaces: interfaces.map((each) => ({ ...each, ifindex: interfaceIndex(each.name) })),
        };
      });
    } catch (error) {
      if ((error as { code?: string }).code !== 'BPF_NAMESPACE') throw error;
      this.#paths.delete(inode);
      return undefined;
    }
  }

  /** Runs `fn`, which must be synchronous, inside one namespace after the other; those that go meanwhile are left out. */
  visit(fn: (inode: number) => void): void {
    for (const [inode, { path }] of this.#paths) {
      try {
        withNetworkNamespace(path, () => {
          if (inodeOf('/proc/thread-self/ns/net') === inode) fn(inode);
        });
      } catch (error) {
        if ((error as { code?: string }).code !== 'BPF_NAMESPACE') throw error;
      }
    }
  }

  #rediscover(inode: number): { path: string; name: string | null } | undefined {
    this.discover();
    return this.#paths.get(inode);
  }
}

/** @param text /proc/net/dev */
export function parseNetDev(text: string): Omit<InterfaceCounters, 'ifindex'>[] {
  return text
    .split('\n')
    .filter((line) => line.includes(':'))
    .map((line) => {
      const colon = line.lastIndexOf(':');
      const fields = line
        .slice(colon + 1)
        .trim()
        .split(/\s+/)
        .map(Number);
      return {
        name: line.slice(0, colon).trim(),
        rxBytes: fields[0] ?? 0,
        rxPackets: fields[1] ?? 0,
        txBytes: fields[8] ?? 0,
        txPackets: fields[9] ?? 0,
      };
    });
}

function inodeOf(path: string): number | undefined {
  try {
    const link = path.startsWith('/proc/') ? /\[(\d+)\]/.exec(readlinkSync(path)) : null;
    return link ? Number(link[1]) : statSync(path).ino;
  } catch {
    return undefined; // it has gone meanwhile
  }
}
