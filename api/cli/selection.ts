import { ApiError } from '../errors.ts';

interface Named {
  pid: number;
  name: string;
  app: string;
}

/** Which rows an argument of the command line means. */
export type Selection = { pid: number } | { name: string };

/** `pid:4711` or `4711` is a pid, anything else a name. */
export function parseSelection(argument: string): Selection {
  const pid = /^(?:pid:)?([0-9]+)$/.exec(argument)?.[1];
  if (pid === undefined) {
    if (argument.startsWith('pid:')) throw new ApiError('usage', `"${argument}" is not a pid: write pid:4711`);
    return { name: argument };
  }
  return { pid: Number(pid) };
}

/**
 * The rows whose app or process name is exactly the name; where there are none, those that have it as a part, as
 * `netstat | grep` would find them. Only for reading: what acts on a process takes exact names.
 */
export function selectRows<Row extends Named>(rows: readonly Row[], selection: Selection | undefined): Row[] {
  if (selection === undefined) return [...rows];
  if ('pid' in selection) return rows.filter((row) => row.pid === selection.pid);
  const { name } = selection;
  const exact = rows.filter((row) => row.app === name || row.name === name);
  if (exact.length > 0) return exact;
  const part = name.toLowerCase();
  return rows.filter((row) => row.app.toLowerCase().includes(part) || row.name.toLowerCase().includes(part));
}
