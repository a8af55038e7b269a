import { errorCode } from '../errors.ts';
import type { Terminal } from './terminal.ts';
import { printable } from './text.ts';

export const exitCodes = { ok: 0, error: 1, usage: 2 } as const;

/** Codes of errors that say the command line is wrong: ours and the agent's. */
const usageCodes = new Set(['usage', 'AGENT_OPTION_INVALID']);

/** Says why a command failed, further lines indented, so that none can pass for another message; answers its exit code. */
export function reportFailure(error: unknown, terminal: Terminal): number {
  const lines = (error as Error).message.split('\n').map(printable);
  terminal.writeError(`relayledger: ${lines.join('\n  ')}\n`);
  return usageCodes.has(errorCode(error) ?? '') ? exitCodes.usage : exitCodes.error;
}
