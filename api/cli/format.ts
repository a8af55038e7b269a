const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB', 'EB'];

/** A size in SI units (1000, as network tools use) and three digits: `999 B`, `1.23 kB`, `45.6 MB`. */
export function formatBytes(bytes: number): string {
  let value = Math.abs(bytes);
  let unit = 0;
  // Judged by what will be shown: 999,999 is 1.00 MB and not 1000 kB.
  while (unit < units.length - 1 && value >= (unit === 0 ? 1000 : 999.5)) {
    value /= 1000;
    unit += 1;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return `${bytes < 0 ? '-' : ''}${value.toFixed(digits)} ${units[unit]}`;
}

export function formatRate(bytesPerSecond: number): string {
  return `${formatBytes(Math.round(bytesPerSecond))}/s`;
}

/** A whole number with its thousands apart, the same in every locale. */
export function formatCount(count: number): string {
  return String(count).replace(/\B(?=(?:[0-9]{3})+$)/g, ',');
}

function twoDigits(value: number): string {
  return String(value).padStart(2, '0');
}

/** Local time of day where it is of today, else the local date. */
export function formatStarted(iso: string, now: Date): string {
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) return '-';
  if (date.toDateString() === now.toDateString()) return formatTimeOfDay(date);
  return `${date.getFullYear()}-${twoDigits(date.getMonth() + 1)}-${twoDigits(date.getDate())}`;
}

export function formatTimeOfDay(date: Date): string {
  return [date.getHours(), date.getMinutes(), date.getSeconds()].map(twoDigits).join(':');
}

/** `10.0.0.1:80`, `[::1]:80`; `*` where there is no port. */
export function formatEndpoint(address: string, port: number | null): string {
  const host = address.includes(':') ? `[${address}]` : address || '*';
  return `${host}:${port === null || port === 0 ? '*' : port}`;
}

/** A part of a whole as a percentage with two digits that count, or as exactly zero. */
export function formatShare(part: number, whole: number): string {
  if (part === 0 || whole === 0) return '0 %';
  return `${Number(((100 * part) / whole).toPrecision(2))} %`;
}

/** 0 to 1 as a percentage, rounded down: 100 % is all of it. */
export function formatPercent(share: number): string {
  const tenths = Math.floor(1000 * share + 1e-6) / 10;
  return `${tenths} %`;
}
