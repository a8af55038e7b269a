import { join } from 'node:path';
import { BpfObject, type Unsupported } from '../bpf/object.ts';
import { ENFORCEMENT, type Hook, hooksOf, REJECT_LOOKUP } from './hooks.ts';

const OBJECTS = join(import.meta.dirname, '..', 'bpf', 'objects');
/** The programs of accounting and enforcement. */
export const OBJECT: string = join(OBJECTS, 'relayledger.bpf.o');

/** Whether the verifier takes a program of features.bpf.c, which says what it stands for. */
function allows(program: string): boolean {
  return BpfObject.probe(join(OBJECTS, 'features.bpf.o'), program) === undefined;
}

/** The programs that this kernel is asked to run for the accounting. Takes a millisecond. */
export function hooksHere(): readonly Hook[] {
  return hooksOf(allows('trace_lengths'));
}

/**
 * Loads the accounting's programs and the enforcement's as this kernel takes them; those that are loaded on their own
 * later are left out.
 * @param mayLack which of them may be refused
 * @throws BpfError where another one is
 */
export function loadPrograms(
  hooks: readonly Hook[],
  mayLack: (hook: Hook) => boolean,
): { readonly object: BpfObject; readonly unsupported: Unsupported } {
  const wanted = new Set(hooks);
  const others = [...hooksOf(true), ...hooksOf(false)].filter((hook) => !wanted.has(hook));
  const skip = [REJECT_LOOKUP, ...new Set(others.map(({ program }) => program))];
  const optional = [...hooks, ...ENFORCEMENT].filter(mayLack).map(({ program }) => program);
  return BpfObject.loadSupported(OBJECT, optional, { skip });
}
