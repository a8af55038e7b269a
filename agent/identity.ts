/** Who a process is to an administrator: its systemd unit, its container, its app. Pure: paths in, names out. */

export interface Placement {
  /** Such as `nginx.service` or `session-3.scope`; null outside systemd. */
  unit: string | null;
  /** 64 hexadecimal digits (Docker, containerd, CRI-O, Podman) or a machine's name (nspawn, LXC); null on the host. */
  container: string | null;
}

const CONTAINER_ID = /(?:^|[-/:])([0-9a-f]{64})(?:\.scope)?$/;
const MACHINE = /^(?:machine-(.+)\.scope|systemd-nspawn@(.+)\.service|lxc\.payload\.(.+))$/;
const UNIT = /\.(?:service|scope|socket|mount|swap)$/;

/** Units that a desktop or systemd-run makes anew at each launch, and units that only group a user's or the system's processes; their processes go by their executables. */
const GROUPING_UNIT =
  /^(?:session-.*\.scope|init\.scope|user@\d+\.service|user-runtime-dir@.*|.*\.slice|app-.*\.scope|app-.*@.*\.service|run-.*\.(?:scope|service)|vte-spawn-.*\.scope)$/;

/** @param path a cgroup's path from the root of its hierarchy, such as `/system.slice/nginx.service` */
export function placementOf(path: string): Placement {
  const parts = path.split('/').filter((part) => part !== '');
  let unit: string | null = null;
  let container: string | null = null;
  for (const [index, part] of parts.entries()) {
    const id = CONTAINER_ID.exec(part)?.[1];
    const machine = MACHINE.exec(part) ?? (part === 'lxc' && parts[index + 1] ? [part, parts[index + 1]] : null);
    if (id) container = id;
    else if (machine) container = unescapeUnit(machine.slice(1).find((name) => name !== undefined) ?? part);
    else if (UNIT.test(part)) unit = part;
  }
  return { unit, container };
}

export interface Identity {
  profile: string | null;
  unit: string | null;
  container: string | null;
  executable: string | null;
  name: string;
}

/**
 * What the totals are kept by: profile, unit, container or executable, the first that there is. A unit goes by its name
 * without the suffix, a container by the twelve digits that `docker ps` shows.
 */
export function appOf({ profile, unit, container, executable, name }: Identity): string {
  if (profile) return profile;
  if (container) return /^[0-9a-f]{64}$/.test(container) ? container.slice(0, 12) : container;
  if (unit && !GROUPING_UNIT.test(unit)) return unescapeUnit(unit.replace(UNIT, ''));
  if (executable) return executable.slice(executable.lastIndexOf('/') + 1);
  return name;
}

/** systemd writes bytes that a unit name can't hold as \xHH; several make a character of UTF-8. */
function unescapeUnit(name: string): string {
  return name.replace(/(?:\\x[0-9a-f]{2})+/g, (run) => Buffer.from(run.replaceAll('\\x', ''), 'hex').toString());
}
