const { RELAYLEDGER_TEST_PATIENCE = '1' } = process.env;
/** How many times longer than on a real machine tests wait: test/kernels/run says so, as an emulated one is slow. */
const factor = Number(RELAYLEDGER_TEST_PATIENCE);

/** How long to wait for what takes at most `milliseconds` on a real machine. */
export function patience(milliseconds: number): number {
  return milliseconds * factor;
}
