import { join } from 'node:path';
import { BpfObject, type Unsupported } from '../bpf/object.ts';
import { REJECT_LOOKUP } from './hooks.ts';

const OBJECTS = join(import.meta.dirname, '..', 'bpf', 'objects');
/** The programs of accounting and enforcement. */
export const OBJECT: string = join(OBJECTS, 'relayledger.bpf.o');
const FEATURES = join(OBJECTS, 'features.bpf.o');

/**
 * Loads the programs as this kernel takes them; those that are loaded on their own later are left out.
 * @param optional names of programs that may be refused
 * @throws BpfError where another one is
 */
export function loadPrograms(optional: readonly string[]): {
  readonly object: BpfObject;
  readonly unsupported: Unsupported;
} {
  const hasThreads = BpfObject.probe(FEATURES, 'reach_thread') === undefined;
  const globals = { cgroup_has_threads: hasThreads ? 1 : 0 };
  return BpfObject.loadSupported(OBJECT, optional, { skip: [REJECT_LOOKUP], globals });
}
