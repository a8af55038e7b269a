import { existsSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { bootTimeNs, wallTimeMs } from '../bpf/clock.ts';
import { BpfError } from '../bpf/errors.ts';
import { libbpf } from '../bpf/libbpf.ts';
import { Accounting } from './accounting.ts';
import { harvest } from './harvest.ts';
import { ENFORCEMENT } from './hooks.ts';
import { hooksHere, loadPrograms, shortcomingsHere } from './load-programs.ts';
import { lock } from './lock.ts';
import { ensureBpffs, findCgroupRoot } from './mounts.ts';
import { loadProfiles, recogniser } from './profiles/profiles.ts';
import type { MissingFeature } from './readings.ts';
import { Store } from './store.ts';
import { surroundings } from './surroundings.ts';
import { Users } from './users.ts';

/** What it is told where no agent answers. */
export interface DoctorOptions {
  /** Take everything of ours out of the kernel. */
  remove: boolean;
  json: boolean;
  socketPath: string;
  bpffs: string;
  stateDir: string;
  /** Mount point of cgroup2; undefined: to be found. */
  cgroup: string | undefined;
}

interface Finding {
  what: string;
  ok: boolean;
  detail: string;
}

/** Examines a host where no agent runs, or takes what one left out of the kernel. Gives the exit code. */
export async function doctor(options: DoctorOptions): Promise<number> {
  if (options.remove) return remove(options);
  const findings = examine(options);
  if (options.json) console.log(JSON.stringify({ agent: null, findings }));
  else for (const { what, ok, detail } of findings) console.log(`${ok ? 'ok     ' : 'MISSING'} ${what}: ${detail}`);
  return findings.every(({ ok }) => ok) ? 0 : 1;
}

async function remove({ bpffs, stateDir, json }: DoctorOptions): Promise<number> {
  const held = await lock(bpffs); // an agent may have another socket than the one that was asked
  let lost: string | undefined;
  const removed = Accounting.remove(bpffs, () => {
    lost = takeOver(bpffs, stateDir);
  });
  held.close();
  const totals = lost === undefined ? `totals stay in ${stateDir}` : `what they have counted last is lost: ${lost}`;
  const text = removed
    ? `removed: all programs and maps under ${bpffs} are out of the kernel; ${totals}`
    : `nothing to remove: ${bpffs} holds no programs or maps`;
  console.log(json ? JSON.stringify({ removed, lost }) : text);
  return 0;
}

/** What was counted since the last agent ended goes into its totals; why not, where it can't. */
function takeOver(bpffs: string, stateDir: string): string | undefined {
  try {
    if (!Store.isIn(stateDir)) return `${stateDir} holds no totals`;
    using store = Store.open(stateDir);
    const clock = { nowMs: wallTimeMs, bootNs: bootTimeNs };
    const recognise = recogniser(loadProfiles());
    harvest({ bpffs, store, clock, users: new Users(), recognise, onlyWhereItBelongs: true });
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

function examine({ bpffs, cgroup, socketPath }: DoctorOptions): Finding[] {
  const findings: Finding[] = [];
  const check = (what: string, work: () => string): boolean => {
    try {
      findings.push({ what, ok: true, detail: work() });
      return true;
    } catch (error) {
      findings.push({ what, ok: false, detail: (error as Error).message.split('\n')[0] ?? '' });
      return false;
    }
  };
  check('agent', () => `none answers on ${socketPath}; start it with: sudo npm start`);
  check('kernel', () => {
    if (!existsSync('/sys/kernel/btf/vmlinux'))
      throw new Error(`${release()} has no BTF; it needs CONFIG_DEBUG_INFO_BTF`);
    return `${release()} with BTF`;
  });
  const hasLibrary = check('libbpf', () => `${libbpf().libbpf_major_version()}.${libbpf().libbpf_minor_version()}`);
  check('cgroup2', () => {
    const place = cgroup ?? findCgroupRoot();
    findings.push(...surroundings(place).map(toFinding));
    return place;
  });
  check('bpffs', () => {
    ensureBpffs(bpffs);
    return existsSync(join(bpffs, 'maps', 'totals')) ? `${bpffs}, where accounting goes on` : `${bpffs}, empty`;
  });
  if (hasLibrary) findings.push(...examineHooks(), ...shortcomingsHere().map(toFinding));
  return findings;
}

function toFinding({ feature, consequence, reason }: MissingFeature): Finding {
  return { what: feature, ok: false, detail: `${consequence} (${reason})` };
}

/** Asks the kernel about every program, without attaching any. */
function examineHooks(): Finding[] {
  try {
    const hooks = hooksHere();
    const { object, unsupported } = loadPrograms(hooks, () => true);
    using loaded = object;
    return [...hooks, ...ENFORCEMENT].map(({ program, consequence }) => {
      const refused = unsupported.get(program);
      const { section } = loaded.program(program);
      const detail = refused ? `${consequence} (${refused.reason})` : section;
      return { what: program, ok: refused === undefined, detail };
    });
  } catch (error) {
    if (!(error instanceof BpfError)) throw error;
    return [{ what: 'programs', ok: false, detail: error.message.split('\n')[0] ?? '' }];
  }
}
