import { join } from 'node:path';
import type { Side } from '../../e2e/three-hosts.ts';

export interface Program {
  at: Side;
  /** `{dir}` stands for the scenario's own folder, here, in `files` and in `prepare`. */
  command: readonly string[];
  /** Waited for before the next program starts; the servers of `traffic` have it of themselves. */
  listens?: readonly ['tcp' | 'udp', number];
}

export type Pace = 'bulk' | 'call' | 'held';

/** A program under test on the middle host, and what drives it: data, so that adding one is adding an entry. */
export interface Scenario {
  name: string;
  relays: boolean;
  /** Shell commands, run in the scenario's folder before anything else. */
  prepare?: string;
  files?: Readonly<Record<string, string>>;
  /** Left running until the drivers have ended; started in this order. */
  programs: readonly Program[];
  /** Waited for before the drivers start; on the middle host unless it says otherwise. */
  listening?: readonly (readonly ['tcp' | 'udp', number, Side?])[];
  /** An address that the client must reach before the drivers start, through whatever tunnel is built. */
  reach?: string;
  /** The scenario is over when all of them have ended. */
  drivers: readonly Program[];
  /** Programs on the other hosts that relay too, by name. */
  alsoRelay?: readonly string[];
  /** What the issue allows of the bytes: 0.01 for one-to-one relays, 0.05 for the others. */
  tolerance?: number;
  /** What it is where the issue says how long it may take until the verdict. */
  pace?: Pace;
  /** `links`: UDP payload that crossed the middle host's links, for tunnels that pass datagrams on unopened. */
  truth?: 'ends' | 'links';
}

export const CLIENT = '198.51.100.2';
export const MIDDLE = '198.51.100.1';
export const MIDDLE_TO_SERVER = '203.0.113.1';
export const SERVER = '203.0.113.2';

/** The limits; it has none for relays that hold data, which are to be as soon as a call. */
export const DETECT_SECONDS: Readonly<Record<Pace, number>> = { bulk: 2, call: 6, held: 6 };

const TRAFFIC = join(import.meta.dirname, 'traffic/main.ts');
const node = [process.execPath, '--disable-warning=ExperimentalWarning'];

/** The command that runs an end of our traffic. */
export function traffic(end: string, options: object): string[] {
  return [...node, TRAFFIC, end, JSON.stringify(options)];
}

/** The command that runs one of our own programs; `.py` by Debian's Python, the others by this Node. */
export function ours(file: string, ...commandArguments: (string | number)[]): string[] {
  const path = join(import.meta.dirname, 'programs', file);
  return [...(file.endsWith('.py') ? ['/usr/bin/python3'] : node), path, ...commandArguments.map(String)];
}

export function isTraffic({ command }: Program): boolean {
  return command.includes(TRAFFIC);
}

export function at(side: Side, ...command: string[]): Program {
  const end = command.at(-2) ?? '';
  if (!end.endsWith('-server') || !command.includes(TRAFFIC)) return { at: side, command };
  const { port } = JSON.parse(command.at(-1) ?? '{}') as { port: number };
  return { at: side, command, listens: [end === 'call-server' ? 'udp' : 'tcp', port] };
}
