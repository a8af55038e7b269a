import { readFileSync, readlinkSync } from 'node:fs';
import type { RlProcessDetails } from '../bpf/layouts.ts';
import { RL_PROCESS_DETAILS_OFFSET } from '../bpf/layouts.ts';

/** What is known of a process beside its counters. */
export interface ProcessDetails {
  executable: string | null;
  /** argv, joined by blanks; empty where it is not known. */
  command: string;
  /** Path from the root of the cgroup hierarchy; `/` where there is none. */
  cgroup: string;
  parentPid: number | null;
  netns: number | null;
  /** Pipes and FIFOs among its first file descriptors; modes: 1 reads, 2 writes. */
  fifos: { inode: number; modes: number }[];
}

export const UNKNOWN_DETAILS: ProcessDetails = {
  executable: null,
  command: '',
  cgroup: '/',
  parentPid: null,
  netns: null,
  fifos: [],
};

const COMMAND_CAPACITY: number = RL_PROCESS_DETAILS_OFFSET.cgroup - RL_PROCESS_DETAILS_OFFSET.command;
const DELETED = ' (deleted)';

/** Of `cut` in struct rl_process_details: the root's side of a path had no room. */
const CUT_EXECUTABLE = 1;
const CUT_CGROUP = 2;
const CUT = '…';

export function decodeDetails(details: RlProcessDetails): ProcessDetails {
  const executable = joinPath(details.executable, details.executableLength, details.cut & CUT_EXECUTABLE);
  return {
    executable: executable === '/' ? null : executable,
    command: decodeCommand(details.command, details.commandLength),
    cgroup: joinPath(details.cgroup, details.cgroupLength, details.cut & CUT_CGROUP),
    parentPid: details.parentTgid || null,
    netns: details.netns || null,
    fifos: details.fifos.slice(0, details.fifoCount).map(({ inode, modes }) => ({ inode, modes })),
  };
}

/**
 * Fills from /proc what the kernel's side could not read or had no room for; of a process that has ended, the leaf's
 * side of a path is what there is.
 * @param isShown asked after reading: whether that is what /proc showed
 */
export function completeDetails(details: ProcessDetails, pid: number, isShown: () => boolean): ProcessDetails {
  const isCut = details.command === '' || Buffer.byteLength(details.command) >= COMMAND_CAPACITY - 1;
  const command = isCut ? readCommand(pid) : details.command;
  const needsPath = details.executable === null || details.executable.startsWith(CUT);
  const executable = needsPath ? (readExecutable(pid) ?? details.executable) : details.executable;
  // On a host with cgroup v1 the cgroup2 hierarchy may hold everything in its root; systemd's own knows better.
  const needsCgroup = details.cgroup === '/' || details.cgroup.startsWith(CUT);
  const cgroup = needsCgroup ? (readCgroup(pid) ?? details.cgroup) : details.cgroup;
  if (!isShown()) return details; // what was read may be another process's
  return { ...details, command: command || details.command, executable, cgroup };
}

/** Components come from the leaf up, each with a NUL behind it; where the root's side is missing, … stands for it. */
function joinPath(bytes: Uint8Array, length: number, cut: number): string {
  const parts = Buffer.from(bytes.buffer, bytes.byteOffset, length).toString('utf8').split('\0');
  const path = parts.filter((part) => part !== '').reverse();
  return `${cut ? CUT : ''}/${path.join('/')}`;
}

function decodeCommand(bytes: Uint8Array, length: number): string {
  return joinArguments(Buffer.from(bytes.buffer, bytes.byteOffset, length).toString('utf8'));
}

/** A program may have overwritten its arguments (setproctitle) and left NULs at the end. */
function joinArguments(argv: string): string {
  return argv.replace(/\0+$/, '').replaceAll('\0', ' ');
}

function readCommand(pid: number): string {
  return joinArguments(readOr(`/proc/${pid}/cmdline`, ''));
}

function readExecutable(pid: number): string | null {
  try {
    const path = readlinkSync(`/proc/${pid}/exe`);
    return path.endsWith(DELETED) ? path.slice(0, -DELETED.length) : path;
  } catch {
    return null; // it has ended, or it is a kernel thread
  }
}

function readCgroup(pid: number): string | null {
  const lines = readOr(`/proc/${pid}/cgroup`, '').split('\n');
  const unified = lines.find((line) => line.startsWith('0::'))?.slice(3);
  const systemd = lines
    .find((line) => line.includes(':name=systemd:'))
    ?.split(':')
    .slice(2)
    .join(':');
  return (unified && unified !== '/' ? unified : systemd) ?? unified ?? null;
}

function readOr(path: string, otherwise: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return otherwise; // it has ended meanwhile
  }
}
