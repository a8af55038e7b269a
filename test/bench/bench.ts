import type { Programs } from './build.ts';

/** What every figure is given. */
export interface Bench {
  /** Fewer and shorter rounds. */
  quick: boolean;
  /** Seconds that each state of `agent` is measured for instead of the usual; 600 for the figure after ten minutes. */
  windowSeconds: number | undefined;
  programs: Programs;
  /** A folder of the run's own, gone at its end. */
  folder: string;
  progress(text: string): void;
}
