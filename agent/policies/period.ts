import type { QuotaPeriod } from './policy.ts';

export interface Period {
  startMs: number;
  /** null for `total`. */
  endMs: number | null;
  /** null where periods differ in length, or there is only one. */
  lengthMs: number | null;
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** The period, in UTC, that a moment lies in. Pure. */
export function periodAt(period: QuotaPeriod, nowMs: number): Period {
  switch (period) {
    case 'hour':
      return fixed(HOUR_MS, nowMs);
    case 'day':
      return fixed(DAY_MS, nowMs);
    case 'month': {
      const now = new Date(nowMs);
      const [year, month] = [now.getUTCFullYear(), now.getUTCMonth()];
      return { startMs: Date.UTC(year, month), endMs: Date.UTC(year, month + 1), lengthMs: null };
    }
    case 'total':
      return { startMs: 0, endMs: null, lengthMs: null };
  }
}

/** The epoch began on the hour and at midnight, and UTC as computers count it has no leap seconds. */
function fixed(lengthMs: number, nowMs: number): Period {
  const startMs = Math.floor(nowMs / lengthMs) * lengthMs;
  return { startMs, endMs: startMs + lengthMs, lengthMs };
}
