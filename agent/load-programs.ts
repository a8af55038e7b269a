import { join } from 'node:path';
import { BpfObject, type Unsupported } from '../bpf/object.ts';
import { ENFORCEMENT, type Hook, hooksOf, REJECT_LOOKUP } from './hooks.ts';
import type { MissingFeature } from './readings.ts';

const OBJECTS = join(import.meta.dirname, '..', 'bpf', 'objects');
/** The programs of accounting and enforcement. */
export const OBJECT: string = join(OBJECTS, 'relayledger.bpf.o');

/** Asks for a program of features.bpf.c, which says what it stands for: why the verifier refuses it, if it does. */
function refusalOf(program: string): string | undefined {
  return BpfObject.probe(join(OBJECTS, 'features.bpf.o'), program);
}

/** The programs that this kernel is asked to run for the accounting. Takes a millisecond. */
export function hooksHere(): readonly Hook[] {
  return hooksOf(refusalOf('trace_lengths') === undefined);
}

/** What programs that this kernel takes can't do in it. */
export function shortcomingsHere(): MissingFeature[] {
  const reason = refusalOf('read_packet');
  if (reason === undefined) return [];
  const consequence =
    'UDP’s fragments count as one packet for their process, and what another cgroup program refuses stays charged ' +
    '(needs kernel 6.2)';
  return [{ feature: 'read_packet', consequence, reason }];
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
