import { startTicksOf } from '../proc-stat.ts';
import type { EarlyMatch } from './enforcer.ts';
import type { Match } from './policy.ts';

/* Which processes a policy means. Pure. */

/** What of a process can be matched. */
export interface Candidate {
  tgid: number;
  /** CLOCK_BOOTTIME of its start. */
  startNs: bigint;
  name: string;
  uid: number;
  app: string;
  profile: string | null;
  unit: string | null;
  container: string | null;
  details: { executable: string | null };
}

/** A process across the reuse of its pid: starts are in the 10 ms ticks that /proc tells, within one boot. */
export interface Bound {
  bootId: string;
  startTicks: number;
}

/** As many digits of a container's id as `docker ps` shows. */
const SHORT_ID = 12;

/** @param bound which process `match.pid` meant when the policy was put; null matches no pid */
export function isMatch(match: Match, candidate: Candidate, bound: Bound | null): boolean {
  const { app, profile, name, executable, pid, uid, unit, container } = match;
  if (app !== undefined && app !== candidate.app) return false;
  if (profile !== undefined && profile !== candidate.profile) return false;
  if (name !== undefined && name !== candidate.name) return false;
  if (executable !== undefined && executable !== candidate.details.executable) return false;
  if (uid !== undefined && uid !== candidate.uid) return false;
  if (unit !== undefined && unit !== candidate.unit) return false;
  if (container !== undefined && !isContainer(container, candidate.container)) return false;
  if (pid === undefined) return true;
  return pid === candidate.tgid && bound?.startTicks === startTicksOf(candidate.startNs);
}

/**
 * What the kernel can tell by itself when such a process first touches the network; null where a term is beyond it, as
 * a part of the match would hold others. An app is taken for an executable of that name, which it mostly is: where a
 * profile, a unit or a container says otherwise, the agent corrects it at its next poll.
 */
export function toEarlyMatch(match: Match): EarlyMatch | null {
  const { app, name, executable, uid, ...others } = match;
  if (Object.keys(others).length > 0 || app?.includes('/')) return null;
  // All that keeps the host reachable runs as root: the agent looks first whether it is protected.
  if (uid === 0 && !isExplicit(match)) return null;
  return {
    ...(app === undefined ? {} : { executableName: app }),
    ...(name === undefined ? {} : { name }),
    ...(executable === undefined ? {} : { executable }),
    ...(uid === undefined ? {} : { uid }),
  };
}

/**
 * Whether it names a program rather than all that a user runs. Who names a program means whatever it relays; else only
 * what is relayed for third parties is held, and declared services go on.
 */
export function isExplicit({ uid: _uid, ...named }: Match): boolean {
  return Object.keys(named).length > 0;
}

function isContainer(wanted: string, container: string | null): boolean {
  if (container === null) return false;
  return (
    container === wanted || (/^[0-9a-f]+$/.test(wanted) && wanted.length >= SHORT_ID && container.startsWith(wanted))
  );
}
