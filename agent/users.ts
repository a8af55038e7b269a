import { readFileSync, statSync } from 'node:fs';

/** Names and home directories of local users by uid, from /etc/passwd, read again when it changes. */
export class Users {
  readonly #path: string;
  #names = new Map<number, string>();
  #homes = new Map<number, string>();
  #readAt = -1;

  constructor(path = '/etc/passwd') {
    this.#path = path;
  }

  /** null where the uid has no local name (a container's user, a directory service's). */
  nameOf(uid: number): string | null {
    return this.#names.get(uid) ?? null;
  }

  homeOf(uid: number): string | null {
    return this.#homes.get(uid) ?? null;
  }

  /** Looks whether the file has changed; called once a poll. A file that can't be read leaves the names as they were. */
  refresh(): void {
    try {
      const { mtimeMs } = statSync(this.#path);
      if (mtimeMs === this.#readAt) return;
      this.#readAt = mtimeMs;
      const text = readFileSync(this.#path, 'utf8');
      this.#names = parsePasswd(text);
      this.#homes = parsePasswd(text, HOME);
    } catch {
      // The uid is shown instead.
    }
  }
}

const NAME = 0;
const HOME = 5;

/** One field of each user's line, by uid. */
export function parsePasswd(text: string, field: number = NAME): Map<number, string> {
  const fields = new Map<number, string>();
  for (const line of text.split('\n')) {
    const parts = line.split(':');
    const [name, , uid] = parts;
    const value = parts[field];
    // The first name of a uid is the one that `id` and `ps` show.
    if (name && value && uid && /^\d+$/.test(uid) && !fields.has(Number(uid))) fields.set(Number(uid), value);
  }
  return fields;
}
