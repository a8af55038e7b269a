export interface Scrape {
  milliseconds: number;
  bytes: number;
  series: number;
}

/** Reads `/metrics` as Prometheus does: until the last byte has come. */
export async function scrape(port: number): Promise<Scrape> {
  const begin = performance.now();
  const response = await fetch(`http://127.0.0.1:${port}/metrics`);
  const text = await response.text();
  const milliseconds = performance.now() - begin;
  if (!response.ok) throw new Error(`GET /metrics: ${response.status} ${text}`);
  const series = text.split('\n').filter((line) => line !== '' && !line.startsWith('#')).length;
  return { milliseconds, bytes: Buffer.byteLength(text), series };
}
