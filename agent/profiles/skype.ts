import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';

/** What Skype for Linux has set for itself. */
export interface SkypeSettings {
  path: string;
  /** Ports it is configured to listen on; empty where none is set. */
  listeningPorts: number[];
  /** Why nothing could be read; null where it was. An absent file is `not there`. */
  problem: string | null;
}

const SIZE_LIMIT = 1 << 20;
/** More than this is no settings file of Skype's. */
const PORTS_LIMIT = 16;

/**
 * Reads $HOME/.Skype/shared.xml of the user that runs Skype. The file is theirs and so may be anything: a link, a pipe,
 * a gigabyte. Never throws.
 * @param home that user's home directory
 */
export async function readSkypeSettings(home: string): Promise<SkypeSettings> {
  const path = join(home, '.Skype', 'shared.xml');
  const failed = (problem: string): SkypeSettings => ({ path, listeningPorts: [], problem });
  if (!isAbsolute(home) || path.includes('\0')) return failed('no home directory');
  let file: FileHandle | undefined;
  try {
    // Without O_NONBLOCK a named pipe in its place would hold us until somebody writes.
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY);
    if (!(await file.stat()).isFile()) return failed('not a regular file');
    const bytes = Buffer.alloc(SIZE_LIMIT + 1);
    let length = 0;
    while (length < bytes.length) {
      const { bytesRead } = await file.read(bytes, length, bytes.length - length, length);
      if (bytesRead === 0) break;
      length += bytesRead;
    }
    if (length > SIZE_LIMIT) return failed(`larger than ${SIZE_LIMIT} bytes`);
    return { path, listeningPorts: listeningPortsOf(bytes.toString('utf8', 0, length)), problem: null };
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    return failed(
      code === 'ENOENT' || code === 'ENOTDIR' ? 'not there' : `cannot be read (${code ?? 'unknown error'})`,
    );
  } finally {
    await file?.close().catch(() => undefined);
  }
}

/**
 * The numbers in elements ListeningPort, in the order of the file, each once. The file's tree is config/Lib/Connection,
 * but it is documented nowhere by its makers, so the element is taken wherever it stands outside comments, CDATA and
 * declarations. Entities are not looked at: a port needs none. One pass, whatever the text.
 */
export function listeningPortsOf(xml: string): number[] {
  const ports = new Set<number>();
  let at = xml.indexOf('<');
  while (at >= 0 && ports.size < PORTS_LIMIT) {
    const skipped = skipNonElement(xml, at);
    if (skipped === null) break;
    if (skipped > at) {
      at = xml.indexOf('<', skipped);
      continue;
    }
    const next = xml.indexOf('<', at + 1);
    if (next < 0) break;
    if (xml.startsWith('<ListeningPort', at) && xml.startsWith('</ListeningPort', next)) {
      const port = portIn(xml.slice(at, next));
      if (port !== null) ports.add(port);
    }
    at = next;
  }
  return [...ports];
}

/** A declaration ends, or holds others. To look for both at once keeps a file full of either from costing n². */
const DECLARATION_BREAK = /[>[]/g;
const SECTIONS: readonly (readonly [begin: string, end: string])[] = [
  ['<!--', '-->'],
  ['<![CDATA[', ']]>'],
  ['<?', '?>'],
];

/** Behind a comment, CDATA, instruction or declaration; `at` itself for an element; null where it has no end. */
function skipNonElement(xml: string, at: number): number | null {
  if (xml[at + 1] !== '!' && xml[at + 1] !== '?') return at;
  for (const [begin, end] of SECTIONS) {
    if (!xml.startsWith(begin, at)) continue;
    const found = xml.indexOf(end, at + begin.length);
    return found < 0 ? null : found + end.length;
  }
  DECLARATION_BREAK.lastIndex = at;
  const found = DECLARATION_BREAK.exec(xml);
  if (!found) return null;
  if (found[0] === '>') return found.index + 1;
  const end = xml.indexOf(']', found.index);
  return end < 0 ? null : end + 1;
}

function portIn(element: string): number | null {
  if (element.length > 256) return null;
  const digits = /^<ListeningPort(?:\s[^>]*)?>\s*(\d{1,5})\s*$/.exec(element)?.[1];
  const port = Number(digits);
  return port >= 1 && port <= 65535 ? port : null;
}
