/** Where a command writes to and reads keys from; tests pass their own. */
export interface Terminal {
  write(text: string): void;
  writeError(text: string): void;
  /** Columns and rows of the terminal; undefined where the output is none. */
  size(): { columns: number; rows: number } | undefined;
  now(): Date;
}

export function processTerminal(): Terminal {
  const { stdout, stderr } = process;
  return {
    write: (text) => void stdout.write(text),
    writeError: (text) => void stderr.write(text),
    size: () => (stdout.isTTY ? { columns: stdout.columns || 80, rows: stdout.rows || 24 } : undefined),
    now: () => new Date(),
  };
}

export function writeLines(terminal: Terminal, lines: readonly string[]): void {
  terminal.write(lines.map((line) => `${line}\n`).join(''));
}

export function writeJson(terminal: Terminal, answer: unknown): void {
  terminal.write(`${JSON.stringify(answer, null, 2)}\n`);
}
