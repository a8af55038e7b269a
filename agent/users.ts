import { readFileSync, statSync } from 'node:fs';

/** Names of local users by uid, from /etc/passwd, read again when it changes. */
export class Users {
  readonly #path: string;
  #names = new Map<number, string>();
  #readAt = -1;

  constructor(path = '/etc/passwd') {
    this.#path = path;
  }

  /** null where the uid has no local name (a container's user, a directory service's). */
  nameOf(uid: number): string | null {
    return this.#names.get(uid) ?? null;
  }

  /** Looks whether the file has changed; called once a poll. A file that can't be read leaves the names as they were. */
  refresh(): void {
    try {
      const { mtimeMs } = statSync(this.#path);
      if (mtimeMs === this.#readAt) return;
      this.#readAt = mtimeMs;
      this.#names = parsePasswd(readFileSync(this.#path, 'utf8'));
    } catch {
      // The uid is shown instead.
    }
  }
}

export function parsePasswd(text: string): Map<number, string> {
  const names = new Map<number, string>();
  for (const line of text.split('\n')) {
    const [name, , uid] = line.split(':');
    // The first name of a uid is the one that `id` and `ps` show.
    if (name && uid && /^\d+$/.test(uid) && !names.has(Number(uid))) names.set(Number(uid), name);
  }
  return names;
}
