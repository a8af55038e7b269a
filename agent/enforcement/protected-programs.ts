import type { BpfMap } from '../../bpf/map.ts';
import { AgentError } from '../errors.ts';
import { hashProgram } from './policy-record.ts';

const PRESENT = Buffer.of(1);

/**
 * Tells the kernel which programs no policy holds before the agent has looked at them: at a process's first socket, and
 * while no agent runs, it knows no other reason to leave one alone.
 * @param programs names or paths of executables; those of an earlier agent are forgotten
 * @throws AgentError ENFORCEMENT_FULL, where there are more than the kernel's table takes; nothing has changed then
 */
export function protectPrograms(map: BpfMap, programs: readonly string[]): void {
  const wanted = new Map(programs.map((program) => [hashProgram(program), program]));
  const { maxEntries } = map.info;
  if (wanted.size > maxEntries) {
    const message = `${wanted.size} programs are to be protected, and the kernel's table takes ${maxEntries}`;
    throw new AgentError('ENFORCEMENT_FULL', message);
  }
  const known = [...map.entries()].map(([key]) => key.readBigUInt64LE());
  for (const hash of known) if (!wanted.has(hash)) map.delete(encode(hash));
  for (const hash of wanted.keys()) map.update(encode(hash), PRESENT);
}

function encode(hash: bigint): Buffer {
  const key = Buffer.alloc(8);
  key.writeBigUInt64LE(hash);
  return key;
}
