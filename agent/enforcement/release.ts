import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { RL_POLICY_SIZE, RL_PROCESS_OFFSET, RL_PROCESS_SIZE } from '../../bpf/layouts.ts';
import { BpfIterator, BpfLink } from '../../bpf/link.ts';
import { BpfMap } from '../../bpf/map.ts';
import { PACE_CONNECTIONS } from '../hooks.ts';
import { NetworkNamespaces } from '../network-namespaces.ts';

/**
 * Gives every live socket what it had before any policy, with no agent running: policies to nothing first, so that the
 * programs hold nobody any more, then one round through every network namespace. What is pinned stays pinned.
 */
export function releaseAll(bpffs: string): void {
  const paths = ['maps/policies', 'maps/processes', `links/${PACE_CONNECTIONS}`].map((name) => join(bpffs, name));
  const [policies, processes, iterator] = paths as [string, string, string];
  if (!paths.every((path) => existsSync(path))) return;
  if (!clear(policies, (map) => map.info.valueSize === RL_POLICY_SIZE && clearPolicies(map))) return;
  clear(processes, (map) => map.info.valueSize === RL_PROCESS_SIZE && clearProcesses(map));
  using pace = new BpfIterator(BpfLink.openPinned(iterator));
  const namespaces = new NetworkNamespaces();
  namespaces.discover();
  namespaces.visit(() => pace.read());
}

/** Another build's records may look different: its own removal is the pins' alone. */
function clear(path: string, work: (map: BpfMap) => boolean): boolean {
  using map = BpfMap.openPinned(path);
  return work(map);
}

function clearPolicies(map: BpfMap): boolean {
  using mapping = map.mmap();
  const view = new DataView(mapping.buffer);
  let held = false;
  for (let offset = 0; offset < view.byteLength; offset += RL_POLICY_SIZE) {
    if (view.getUint32(offset, true) === 0) continue;
    view.setUint32(offset, 0, true);
    held = true;
  }
  return held;
}

function clearProcesses(map: BpfMap): boolean {
  using mapping = map.mmap();
  const view = new DataView(mapping.buffer);
  for (let offset = RL_PROCESS_OFFSET.policies; offset < view.byteLength; offset += RL_PROCESS_SIZE) {
    if (view.getUint32(offset, true) !== 0) view.setBigUint64(offset, 0n, true);
  }
  return true;
}
