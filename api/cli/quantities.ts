import { ApiError } from '../errors.ts';

/* Sizes, rates and durations as people write them. Pure. */

const factors: Readonly<Record<string, number>> = {
  '': 1,
  k: 1e3,
  m: 1e6,
  g: 1e9,
  t: 1e12,
  ki: 2 ** 10,
  mi: 2 ** 20,
  gi: 2 ** 30,
  ti: 2 ** 40,
};

function parseBytes(text: string, pattern: RegExp): number | undefined {
  const [, number = '', unit = '', kind = ''] = pattern.exec(text) ?? [];
  const factor = factors[unit.toLowerCase()];
  if (number === '' || factor === undefined) return undefined;
  const bytes = Math.round((Number(number) * factor) / (/^bits?$/i.test(kind) ? 8 : 1));
  return Number.isSafeInteger(bytes) && bytes > 0 ? bytes : undefined;
}

/** `1G` is 1,000,000,000 bytes, `1Gi` 1,073,741,824. */
export function parseSize(text: string): number {
  const bytes = parseBytes(text, /^(\d+(?:\.\d+)?) ?([kmgt]i?)?(b)?$/i);
  if (bytes !== undefined) return bytes;
  throw new ApiError('usage', `"${text}" is not a size: write 500M, 1G (1000) or 1Gi (1024)`);
}

/** Bytes per second: `4K`, `4KB/s`, `1.5Mi`; in bits where it says so: `10Mbit`. */
export function parseRate(text: string): number {
  const bytes = parseBytes(text, /^(\d+(?:\.\d+)?) ?([kmgt]i?)?(b|bits?)?(?:\/s|ps)?$/i);
  if (bytes !== undefined) return bytes;
  throw new ApiError('usage', `"${text}" is not a rate: write 4K for 4,000 bytes a second, 4Ki, 1.5M, or 10Mbit`);
}

const secondsPer: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 };

/** `90s`, `30m`, `2h`, `1d`, `1h30m`; milliseconds. */
export function parseDuration(text: string): number {
  if (/^(?:\d+(?:\.\d+)?[smhdw])+$/.test(text)) {
    const parts = [...text.matchAll(/(\d+(?:\.\d+)?)([smhdw])/g)];
    const seconds = parts.reduce((sum, [, number, unit = '']) => sum + Number(number) * (secondsPer[unit] ?? 0), 0);
    if (seconds > 0 && seconds < 1e10) return seconds * 1000;
  }
  throw new ApiError('usage', `"${text}" is not a duration: write 90s, 30m, 2h, 1d or 1h30m`);
}
