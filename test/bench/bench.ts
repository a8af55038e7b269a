import type { Programs } from './build.ts';

/** What every figure is given. */
export interface Bench {
  /** Fewer and shorter rounds. */
  quick: boolean;
  /** Seconds that `agent` measures for after the first 20 s instead of the usual; 600 for the figure after ten minutes. */
  windowSeconds: number | undefined;
  /** Only the cases of `agent` with so many. */
  sockets?: number | undefined;
  programs: Programs;
  /** A folder of the run's own, gone at its end. */
  folder: string;
  progress(text: string): void;
}
