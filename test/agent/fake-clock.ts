import type { Clock } from '../../agent/process-table.ts';

/** Stands still until it is told otherwise. */
export class FakeClock implements Clock {
  wallMs: number;
  bootTimeNs: bigint;

  constructor(override: { wallMs?: number; bootNs?: bigint } = {}) {
    const { wallMs = Date.UTC(2026, 10, 22, 5), bootNs = 1_000_000_000_000n } = override;
    this.wallMs = wallMs;
    this.bootTimeNs = bootNs;
  }

  nowMs(): number {
    return this.wallMs;
  }

  bootNs(): bigint {
    return this.bootTimeNs;
  }

  advance(ms: number): void {
    this.wallMs += ms;
    this.bootTimeNs += BigInt(ms) * 1_000_000n;
  }

  /** As `date --set` does: time since boot goes on as before. */
  setWall(ms: number): void {
    this.wallMs = ms;
  }
}
