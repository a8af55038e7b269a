import { ProblemError } from './problems.ts';

interface Range {
  type: string;
  quality: number;
}

function parseAccept(header: string): Range[] {
  return header.split(',').map((part) => {
    const [type = '', ...parameters] = part.split(';').map((piece) => piece.trim().toLowerCase());
    const quality = parameters.find((parameter) => parameter.startsWith('q='));
    const value = quality === undefined ? 1 : Number(quality.slice(2));
    return { type, quality: Number.isFinite(value) ? Math.min(Math.max(value, 0), 1) : 0 };
  });
}

function qualityOf(offered: string, ranges: Range[]): number {
  const family = `${offered.split('/', 1)[0]}/*`;
  for (const wanted of [offered, family, '*/*']) {
    const matching = ranges.filter((range) => range.type === wanted);
    if (matching.length > 0) return Math.max(...matching.map((range) => range.quality));
  }
  return 0;
}

/** Which of the offered media types the client likes best (RFC 9110, 12.5.1); of equals the first; or none of them. */
export function preferredType<T extends string>(accept: string | undefined, offered: readonly T[]): T | undefined {
  if (accept === undefined || accept.trim() === '') return offered[0];
  const ranges = parseAccept(accept);
  let best: { type: T; quality: number } | undefined;
  for (const type of offered) {
    const quality = qualityOf(type, ranges);
    if (quality > (best?.quality ?? 0)) best = { type, quality };
  }
  return best?.type;
}

/** Throws `not-acceptable` where the client would not take this media type. */
export function requireAccepted(accept: string | undefined, offered: string): void {
  if (preferredType(accept, [offered]) === undefined) {
    throw new ProblemError('not-acceptable', `This answers only ${offered}.`);
  }
}
