import { open } from 'node:fs/promises';
import { ApiError } from './errors.ts';

// `import` would read all that node:crypto exports, and so load WebCrypto.
const { createHash, timingSafeEqual } = process.getBuiltinModule('node:crypto');

export type TokenRole = 'read' | 'control';

export interface Token {
  name: string;
  role: TokenRole;
  /** SHA-256 of the token: all the same length, so comparing takes the same time for every guess. */
  digest: Buffer;
}

function digestOf(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

/**
 * The text of a token file: one token a line, `NAME ROLE TOKEN` with blanks between, where ROLE is `read` or
 * `control` and TOKEN has 16 characters or more out of RFC 6750's alphabet; empty lines and lines that begin
 * with # are skipped. Throws `token-file-invalid`, naming the line but never the token.
 */
export function parseTokens(text: string): Token[] {
  const tokens: Token[] = [];
  for (const [index, line] of text.split('\n').entries()) {
    const trimmed = line.trim();
    if (trimmed === '' || trimmed.startsWith('#')) continue;
    const refuse = (why: string): ApiError => new ApiError('token-file-invalid', `line ${index + 1}: ${why}`);
    const [name = '', role = '', token = '', ...rest] = trimmed.split(/\s+/);
    if (token === '' || rest.length > 0) throw refuse('must be NAME ROLE TOKEN');
    if (!/^[A-Za-z0-9._-]{1,64}$/.test(name)) throw refuse('the name may have letters, digits, dot, dash, underscore');
    if (role !== 'read' && role !== 'control') throw refuse('the role must be read or control');
    if (!/^[A-Za-z0-9._~+/-]{16,}=*$/.test(token)) {
      throw refuse('the token must have at least 16 characters out of letters, digits and -._~+/, as base64 has');
    }
    if (tokens.some((other) => other.name === name)) throw refuse(`the name ${name} is there twice`);
    tokens.push({ name, role, digest: digestOf(token) });
  }
  if (tokens.length === 0) throw new ApiError('token-file-invalid', 'there is no token in it');
  return tokens;
}

/** Reads a token file; refuses one that every user of the host can read. */
export async function readTokenFile(path: string): Promise<Token[]> {
  try {
    await using file = await open(path, 'r');
    const { mode } = await file.stat();
    if ((mode & 0o007) !== 0) {
      throw new ApiError('token-file-invalid', 'every user of this host may read or write it: chmod 600 it');
    }
    return parseTokens(await file.readFile('utf8'));
  } catch (error) {
    const code = error instanceof ApiError ? error.code : 'token-file-invalid';
    throw new ApiError(code, `token file ${path}: ${(error as Error).message}`, { cause: error });
  }
}

/** The token that was presented, if it is one of ours. Takes the same time whichever it is. */
export function findToken(tokens: readonly Token[], presented: string): Token | undefined {
  const digest = digestOf(presented);
  let found: Token | undefined;
  for (const token of tokens) {
    if (timingSafeEqual(token.digest, digest)) found = token;
  }
  return found;
}
