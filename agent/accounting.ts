import { closeSync, existsSync, readdirSync, readFileSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { ArrayWindow } from '../bpf/array-window.ts';
import { bootTimeNs } from '../bpf/clock.ts';
import { BpfError } from '../bpf/errors.ts';
import { type ProgramInfo, programInfo } from '../bpf/info.ts';
import { checkLayouts } from '../bpf/layout.ts';
import { layouts, RL_TOTALS_OFFSET } from '../bpf/layouts.ts';
import { BpfIterator, BpfLink } from '../bpf/link.ts';
import { BpfMap } from '../bpf/map.ts';
import type { Mapping } from '../bpf/mapping.ts';
import { BpfObject } from '../bpf/object.ts';
import { openPin, unpin } from '../bpf/pin.ts';
import { RingBuffer } from '../bpf/ring-buffer.ts';
import { releaseAll } from './enforcement/release.ts';
import { AgentError } from './errors.ts';
import {
  ADOPT_SOCKETS,
  DUMP_SOCKETS,
  ENFORCEMENT,
  findsOwners,
  HOLD_CONNECTIONS,
  type Hook,
  SETTLE_SOCKETS,
} from './hooks.ts';
import { hooksHere, loadPrograms, OBJECT, shortcomingsHere } from './load-programs.ts';
import type { MissingFeature } from './readings.ts';
import { surroundings } from './surroundings.ts';

// `import` would read all that node:crypto exports, and so load WebCrypto.
const { createHash } = process.getBuiltinModule('node:crypto');

/** All that the agent reads or writes; pinned under their names. `totals` comes last: its pin says that all is there. */
const MAPS = [
  'processes',
  'process_slots',
  'free_slots',
  'process_details',
  'process_events',
  'sockets',
  'threads',
  'interfaces',
  'interface_names',
  'interface_baselines',
  'flows',
  'incomes',
  'free_flows',
  'peer_flows',
  'pairs',
  'sources',
  'policies',
  'protected_programs',
  'flow_rulings',
  'held_sockets',
  'destroy_requests',
  'rejected_listeners',
  'rejected_datagrams',
  'totals',
] as const;
type MapName = (typeof MAPS)[number];

export interface AccountingOptions {
  /** Directory on a bpffs. */
  bpffs: string;
  /** The cgroup2 directory to account for; its whole subtree is. */
  cgroup: string;
  /** Called where other programs than ours were pinned: they have been taken out, and their maps go next. */
  beforeMapsGo?: (bpffs: string) => void;
}

interface AttachedProgram {
  hook: Hook;
  fd: number | null;
}

/**
 * The kernel's side of the ledger: programs and maps, pinned under `bpffs` so that they outlive the agent. `start`
 * adopts what an earlier agent left there, or loads and attaches anew.
 */
export class Accounting implements Disposable {
  readonly maps: ReadonlyMap<MapName, BpfMap>;
  /** `struct rl_process` by slot, shared with the kernel. */
  readonly processes: ArrayWindow;
  readonly totals: DataView;
  readonly events: RingBuffer;
  readonly adopted: boolean;
  readonly bpffs: string;
  readonly cgroup: string;
  readonly missing: readonly MissingFeature[];
  readonly programs: readonly AttachedProgram[];
  readonly #dump: BpfIterator;
  readonly #settle: BpfIterator;
  readonly #totalsMapping: Mapping;

  private constructor(
    { bpffs, cgroup }: AccountingOptions,
    hooks: readonly Hook[],
    adopted: boolean,
    missing: MissingFeature[],
  ) {
    this.bpffs = bpffs;
    this.cgroup = cgroup;
    this.adopted = adopted;
    this.missing = [...missing, ...shortcomingsHere(), ...surroundings(cgroup)];
    this.maps = new Map(MAPS.map((name) => [name, BpfMap.openPinned(pinPath(bpffs, 'maps', name))]));
    this.processes = new ArrayWindow(this.map('processes'));
    this.#totalsMapping = this.map('totals').mmap();
    this.totals = new DataView(this.#totalsMapping.buffer);
    this.events = RingBuffer.open(this.map('process_events'));
    this.#dump = new BpfIterator(BpfLink.openPinned(pinPath(bpffs, 'links', DUMP_SOCKETS)));
    this.#settle = new BpfIterator(BpfLink.openPinned(pinPath(bpffs, 'links', SETTLE_SOCKETS)));
    this.programs = hooks.map((hook) => describeProgram(bpffs, hook));
  }

  /** @throws AGENT_HOOK_MISSING, BpfError */
  static start(options: AccountingOptions): Accounting {
    const { bpffs, beforeMapsGo } = options;
    const objectId = objectIdOf(OBJECT);
    const earlier = readObjectId(bpffs);
    const hooks = hooksHere();
    if (earlier === objectId) return new Accounting(options, hooks, true, missingFeatures(hooks, bpffs));
    checkLayouts(OBJECT, layouts);
    let isOurs = false;
    const makeRoom = (): void => {
      remove(bpffs, beforeMapsGo);
      isOurs = true;
    };
    try {
      const missing = load(options, hooks, objectId, makeRoom);
      return new Accounting(options, hooks, false, missing);
    } catch (error) {
      if (isOurs) remove(bpffs);
      throw error;
    }
  }

  /**
   * Takes links, programs and maps out of the kernel. True where there were any.
   * @param beforeMapsGo called once nothing counts any more, where all maps are there
   */
  static remove(bpffs: string, beforeMapsGo?: (bpffs: string) => void): boolean {
    return remove(bpffs, beforeMapsGo);
  }

  map(name: MapName): BpfMap {
    return this.maps.get(name) as BpfMap;
  }

  /** Loads one more program of the object, over the same maps. @throws BPF_OBJECT_LOAD */
  loadProgram(name: string, globals: Readonly<Record<string, number>>): BpfObject {
    const reuse = Object.fromEntries(MAPS.map((map) => [map, pinPath(this.bpffs, 'maps', map)]));
    return BpfObject.open(OBJECT, { only: [name], globals, reuse }).load();
  }

  /** `struct rl_socket_record` after `struct rl_socket_record`, in one Buffer that the next call overwrites. */
  dumpSockets(): Buffer {
    return this.#dump.read();
  }

  /** Brings the flow table up to date: what connections have sent of late is kept with their sockets. */
  settleFlows(): void {
    this.#settle.read();
  }

  programInfo({ fd }: AttachedProgram): ProgramInfo | undefined {
    return fd === null ? undefined : programInfo(fd);
  }

  /** When the counters began, CLOCK_BOOTTIME ns. */
  get sinceNs(): bigint {
    return this.totals.getBigUint64(RL_TOTALS_OFFSET.sinceNs, true);
  }

  /** The same on the wall clock as it was then, in ms. */
  get sinceWallMs(): number {
    return Number(this.totals.getBigUint64(RL_TOTALS_OFFSET.sinceWallMs, true));
  }

  [Symbol.dispose](): void {
    for (const { fd } of this.programs) if (fd !== null) closeSync(fd);
    this.#dump[Symbol.dispose]();
    this.#settle[Symbol.dispose]();
    this.events[Symbol.dispose]();
    this.processes[Symbol.dispose]();
    this.#totalsMapping[Symbol.dispose]();
    for (const map of this.maps.values()) map[Symbol.dispose]();
  }
}

/** @param makeRoom called once the programs are in the kernel: what was there before counts until then */
function load(
  { bpffs, cgroup }: AccountingOptions,
  hooks: readonly Hook[],
  objectId: bigint,
  makeRoom: () => void,
): MissingFeature[] {
  const { object, unsupported } = loadPrograms(hooks, ({ required }) => !required);
  using loaded = object;
  makeRoom();
  const missing: MissingFeature[] = [];
  for (const hook of [...hooks, ...ENFORCEMENT]) {
    const refused = unsupported.get(hook.program);
    if (refused) missing.push(describeMissing(hook, refused.reason));
  }

  for (const name of MAPS.filter((name) => name !== 'totals')) loaded.map(name).pin(pinPath(bpffs, 'maps', name));
  const attach = (hook: Hook): void => {
    if (unsupported.has(hook.program)) return;
    const refused = attachAndPin(loaded, hook, bpffs, cgroup);
    if (refused) missing.push(refused);
  };
  hooks.filter(findsOwners).forEach(attach);
  adoptSockets(loaded); // sockets get their owners before anything is charged to them
  hooks.filter((hook) => !findsOwners(hook)).forEach(attach);

  for (const program of [DUMP_SOCKETS, SETTLE_SOCKETS]) {
    using iterator = loaded.program(program).attachIterator({ map: loaded.map('sockets') });
    iterator.link.pin(pinPath(bpffs, 'links', program));
  }
  for (const { program } of ENFORCEMENT) if (!unsupported.has(program)) pinUnattached(loaded, program, bpffs);
  const totals = loaded.map('totals');
  using mapping = totals.mmap();
  const view = new DataView(mapping.buffer);
  view.setBigUint64(RL_TOTALS_OFFSET.objectId, objectId, true);
  view.setBigUint64(RL_TOTALS_OFFSET.sinceNs, bootTimeNs(), true);
  view.setBigUint64(RL_TOTALS_OFFSET.sinceWallMs, BigInt(Date.now()), true);
  totals.pin(pinPath(bpffs, 'maps', 'totals'));
  return missing;
}

function attachAndPin(object: BpfObject, hook: Hook, bpffs: string, cgroup: string): MissingFeature | undefined {
  const program = object.program(hook.program);
  try {
    using link = program.section.startsWith('cgroup') ? program.attachCgroup(cgroup) : program.attach();
    link.pin(pinPath(bpffs, 'links', hook.program));
    program.pin(pinPath(bpffs, 'programs', hook.program));
    return undefined;
  } catch (cause) {
    if (!(cause instanceof BpfError) || cause.code !== 'BPF_ATTACH') throw cause;
    if (hook.required) throw new AgentError('AGENT_HOOK_MISSING', `${hook.consequence}: ${cause.message}`, { cause });
    return describeMissing(hook, cause.message);
  }
}

/** Iterators as links, which cost nothing until they are read; the others as programs. */
function pinUnattached(object: BpfObject, name: string, bpffs: string): void {
  const program = object.program(name);
  if (!program.section.startsWith('iter/')) {
    program.pin(pinPath(bpffs, 'programs', name));
    return;
  }
  using iterator = program.attachIterator();
  iterator.link.pin(pinPath(bpffs, 'links', name));
}

function adoptSockets(object: BpfObject): void {
  using iterator = object.program(ADOPT_SOCKETS).attachIterator();
  iterator.read();
}

function describeProgram(bpffs: string, hook: Hook): AttachedProgram {
  const path = pinPath(bpffs, 'programs', hook.program);
  return { hook, fd: existsSync(path) ? openPin('program', path) : null };
}

function describeMissing({ program, consequence }: Hook, reason: string): MissingFeature {
  return { feature: program, consequence, reason };
}

/** After adoption the reasons are gone with the agent that saw them. */
function missingFeatures(hooks: readonly Hook[], bpffs: string): MissingFeature[] {
  const isThere = ({ program }: Hook): boolean =>
    existsSync(pinPath(bpffs, 'links', program)) ||
    (program === HOLD_CONNECTIONS && existsSync(pinPath(bpffs, 'programs', program)));
  return [...hooks, ...ENFORCEMENT]
    .filter((hook) => !isThere(hook))
    .map((hook) =>
      describeMissing(hook, 'the kernel refused it when accounting began; the log of that agent says why'),
    );
}

/** The first 6 bytes of the object file's SHA-256: another build's maps are not ours to read. */
function objectIdOf(path: string): bigint {
  return BigInt(createHash('sha256').update(readFileSync(path)).digest().readUIntLE(0, 6));
}

/** undefined where nothing complete is pinned. */
function readObjectId(bpffs: string): bigint | undefined {
  const path = pinPath(bpffs, 'maps', 'totals');
  if (!existsSync(path)) return undefined;
  using map = BpfMap.openPinned(path);
  // The first field, in every version.
  return map.lookup(Buffer.alloc(4))?.readBigUInt64LE(RL_TOTALS_OFFSET.objectId);
}

/** Links first, so that nothing runs when its maps go. */
function remove(bpffs: string, beforeMapsGo?: (bpffs: string) => void): boolean {
  let removed = false;
  releaseAll(bpffs);
  for (const kind of ['links', 'programs', 'maps'] as const) {
    if (kind === 'maps' && existsSync(pinPath(bpffs, 'maps', 'totals'))) beforeMapsGo?.(bpffs);
    const folder = join(bpffs, kind);
    if (!existsSync(folder)) continue;
    for (const name of readdirSync(folder)) removed = unpin(join(folder, name)) || removed;
    rmdirSync(folder);
  }
  if (existsSync(bpffs) && readdirSync(bpffs).length === 0) rmdirSync(bpffs);
  return removed;
}

export function pinPath(bpffs: string, kind: 'maps' | 'programs' | 'links', name: string): string {
  return join(bpffs, kind, name);
}
