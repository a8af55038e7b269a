import type { Cell } from './cell.ts';
import type { PathKind } from './paths.ts';

/** What the issue wants of a cell. */
export interface Wanted {
  ratio: readonly [least: number, most: number];
  firstSecond?: number;
  jain?: number;
  retransmitted?: number;
}

export interface Planned {
  cell: Cell;
  wanted: Wanted;
}

const KILOBIT = 1000;
const MEGABIT = 1000 * KILOBIT;
const base = {
  path: 'veth',
  kind: 'tcp',
  flows: 1,
  bitsPerSecond: 10 * MEGABIT,
  congestion: 'cubic',
  direction: 'sent',
} as const;
const exact = { firstSecond: 1.5, jain: 0.95, retransmitted: 0.001 } as const;

/** 0.97 to 1.03 where a flow's share is 10 KB/s or more. */
function sentBand(bitsPerSecond: number, flows: number): readonly [number, number] {
  return bitsPerSecond / 8 / flows >= 10_000 ? [0.97, 1.03] : [0.94, 1.06];
}

function grid(path: PathKind): Planned[] {
  return [1, 8, 64].flatMap((flows) =>
    [1, 10, 100].flatMap((megabits) =>
      (['cubic', 'bbr'] as const).map((congestion) => {
        const bitsPerSecond = megabits * MEGABIT;
        const cell = { ...base, path, flows, bitsPerSecond, congestion };
        return { cell, wanted: { ...exact, ratio: sentBand(bitsPerSecond, flows) } };
      }),
    ),
  );
}

function plan(wanted: Wanted, cells: readonly Partial<Cell>[]): Planned[] {
  return cells.map((changes) => ({ cell: { ...base, ...changes }, wanted }));
}

const wide: Wanted = { ratio: [0.93, 1.05] };

/** By the name that `--only` takes. */
export const GROUPS: Readonly<Record<string, readonly Planned[]>> = {
  veth: grid('veth'),
  delayed: grid('delayed'),
  wide: plan({ ...wide, ...exact }, [
    { path: 'loopback', flows: 1 },
    { path: 'loopback', flows: 8 },
    { path: 'loopback', flows: 64, bitsPerSecond: 100 * MEGABIT },
    { bitsPerSecond: 64 * KILOBIT },
    { flows: 8, bitsPerSecond: 64 * KILOBIT, congestion: 'bbr' },
    { bitsPerSecond: 1000 * MEGABIT },
    { flows: 8, bitsPerSecond: 1000 * MEGABIT, congestion: 'bbr' },
    { flows: 256 },
    { flows: 256, congestion: 'bbr', bitsPerSecond: 100 * MEGABIT },
  ]),
  churn: plan(wide, [
    { kind: 'churn', flows: 8 },
    { kind: 'churn', flows: 8, bitsPerSecond: MEGABIT },
    { kind: 'churn', flows: 64, path: 'delayed' },
  ]),
  udp: plan({ ratio: [0.98, 1.02] }, [
    { kind: 'udp' },
    { kind: 'udp', flows: 8 },
    { kind: 'udp', bitsPerSecond: 64 * KILOBIT },
    { kind: 'udp', bitsPerSecond: 100 * MEGABIT },
    { kind: 'udp', path: 'loopback' },
    { kind: 'udp', direction: 'received' },
    { kind: 'udp', direction: 'received', bitsPerSecond: 64 * KILOBIT },
    { kind: 'udp', direction: 'received', path: 'loopback' },
  ]),
  received: plan({ ratio: [0.95, 1.05] }, [
    { direction: 'received', path: 'delayed' },
    { direction: 'received', path: 'delayed', flows: 8 },
    { direction: 'received', path: 'delayed', bitsPerSecond: 100 * MEGABIT },
    { direction: 'received', path: 'delayed', flows: 8, bitsPerSecond: 100 * MEGABIT, congestion: 'bbr' },
    { direction: 'received' },
    { direction: 'received', flows: 8, congestion: 'bbr' },
    { direction: 'received', bitsPerSecond: 100 * MEGABIT },
  ]),
  late: [
    ...plan({ ...exact, ratio: [0.97, 1.03] }, [
      { flows: 64, attachesLate: true },
      { flows: 64, attachesLate: true, congestion: 'bbr' },
      { flows: 64, attachesLate: true, path: 'delayed' },
      { flows: 64, attachesLate: true, path: 'delayed', congestion: 'bbr' },
    ]),
    ...plan({ ...wide, ...exact }, [
      { flows: 8, attachesLate: true, path: 'loopback' },
      { flows: 64, attachesLate: true, path: 'loopback', bitsPerSecond: 100 * MEGABIT },
    ]),
  ],
  compare: ([1, 8, 64] as const).flatMap((flows) =>
    (['ours', 'dropping', 'tbf', 'nftables'] as const).map((by) => ({
      cell: { ...base, flows, by },
      wanted: { ratio: [0, 9] },
    })),
  ),
};

export function describeCell({
  path,
  kind,
  flows,
  bitsPerSecond,
  congestion,
  direction,
  attachesLate,
  by,
}: Cell): string {
  const rate = bitsPerSecond >= MEGABIT ? `${bitsPerSecond / MEGABIT} Mbit/s` : `${bitsPerSecond / KILOBIT} kbit/s`;
  const what = kind === 'udp' ? 'UDP' : kind === 'churn' ? `${congestion}, 20 KB each` : congestion;
  const notes = `${attachesLate ? ', running before' : ''}${by && by !== 'ours' ? `, by ${by}` : ''}`;
  return `${path}, ${flows} x ${what}, ${rate} ${direction}${notes}`;
}
