import t from 'tap';
import { nothingSeen, type Seen } from '../../agent/device-figures.ts';
import {
  type Amount,
  COUNTED_REASONS,
  type KernelRowInput,
  kernelRow,
  mergeDirections,
} from '../../agent/kernel-row.ts';
import { RlUnattributed } from '../../bpf/layouts.ts';

const NOTHING: Amount = { bytes: 0, packets: 0 };

function makeTotals(
  override: Partial<Record<keyof typeof RlUnattributed, [rx: Amount, tx: Amount]>> = {},
): KernelRowInput['totals'] {
  const unattributed = Array.from({ length: RlUnattributed.unattributed }, (): readonly Amount[] => [NOTHING, NOTHING]);
  for (const [reason, amounts] of Object.entries(override)) {
    unattributed[RlUnattributed[reason as keyof typeof RlUnattributed]] = amounts;
  }
  return { unattributed };
}

/** The device hooks' figures, standing still while they are read. */
function still(override: Partial<Seen> = {}): KernelRowInput['seen'] {
  const seen = { ...nothingSeen(), ...override };
  return { before: seen, after: seen };
}

function makeInput(override: Partial<KernelRowInput> = {}): KernelRowInput {
  return {
    direction: 'rx',
    seen: still(),
    seenSent: still(),
    processesBytes: 0,
    processesPackets: 0,
    totals: makeTotals(),
    noSocket: NOTHING,
    ...override,
  };
}

function sumOf(rows: Map<string, Amount>): Amount {
  let bytes = 0;
  let packets = 0;
  for (const amount of rows.values()) {
    bytes += amount.bytes;
    packets += amount.packets;
  }
  return { bytes, packets };
}

t.test('the reasons add up to the interfaces less the processes', async (t) => {
  const amounts: [Amount, Amount] = [
    { bytes: 40, packets: 1 },
    { bytes: 80, packets: 2 },
  ];
  for (const { title, input, noSocket } of [
    { title: 'nothing at all', input: {}, noSocket: 0 },
    {
      title: 'processes alone',
      input: { seen: still({ ipBytes: 1000, ipPackets: 9 }), processesBytes: 1000, processesPackets: 9 },
      noSocket: 0,
    },
    { title: 'no processes', input: { seen: still({ ipBytes: 1000, ipPackets: 9 }) }, noSocket: 1000 },
    { title: 'ARP', input: { seen: still({ nonIpBytes: 28, nonIpPackets: 1 }) }, noSocket: 0 },
    {
      title: 'everything, received',
      input: {
        seen: still({ ipBytes: 10_000, ipPackets: 100, nonIpBytes: 56, nonIpPackets: 2 }),
        seenSent: still({ forwardedBytes: 500, forwardedPackets: 5 }),
        processesBytes: 7000,
        processesPackets: 70,
        totals: makeTotals({ kernelSocket: amounts, unclaimed: amounts, late: amounts, tableFull: amounts }),
      },
      noSocket: 10_000 - 7000 - 500 - 4 * 40,
    },
    {
      title: 'everything, sent',
      input: {
        direction: 'tx' as const,
        seen: still({ ipBytes: 10_000, ipPackets: 100 }),
        seenSent: still({ forwardedBytes: 500, forwardedPackets: 5 }),
        processesBytes: 7000,
        processesPackets: 70,
        totals: makeTotals({ kernelSocket: amounts, late: amounts }),
      },
      noSocket: 10_000 - 7000 - 500 - 2 * 80,
    },
    {
      title: 'what was dropped before a device had it',
      input: {
        direction: 'tx' as const,
        seen: still({ ipBytes: 1000, ipPackets: 10 }),
        processesBytes: 700,
        processesPackets: 7,
        totals: makeTotals({
          kernelSocket: [NOTHING, { bytes: 400, packets: 4 }],
          unsent: [
            { bytes: 9999, packets: 99 },
            { bytes: 150, packets: 2 },
          ],
        }),
      },
      noSocket: 1000 - 700 - (400 - 150),
    },
    {
      title: 'after an earlier reading that could tell more',
      input: {
        seen: still({ ipBytes: 1000, ipPackets: 10 }),
        processesBytes: 700,
        processesPackets: 7,
        noSocket: { bytes: 250, packets: 2 },
      },
      noSocket: 300,
    },
  ]) {
    const whole = makeInput(input);
    const { rows, seenBytes } = kernelRow(whole);
    const { after } = whole.seen;
    t.equal(rows.get('no_socket')?.bytes, noSocket, title);
    t.equal(sumOf(rows).bytes + whole.processesBytes, after.ipBytes + after.nonIpBytes, `${title}: bytes`);
    t.equal(sumOf(rows).packets + whole.processesPackets, after.ipPackets + after.nonIpPackets, `${title}: packets`);
    t.equal(seenBytes, after.ipBytes + after.nonIpBytes, title);
  }
});

t.test('each direction has its own figures', async (t) => {
  const totals = makeTotals({
    late: [
      { bytes: 1, packets: 1 },
      { bytes: 2, packets: 2 },
    ],
  });
  t.same(kernelRow(makeInput({ totals })).rows.get('late'), { bytes: 1, packets: 1 });
  t.same(kernelRow(makeInput({ totals, direction: 'tx' })).rows.get('late'), { bytes: 2, packets: 2 });
});

t.test('packets dropped before a device had them are taken off the kernel’s own sockets, not below zero', async (t) => {
  for (const [sent, unsent, expected] of [
    [1000, 0, 1000],
    [1000, 400, 600],
    [1000, 1000, 0],
    [1000, 1400, 0],
  ] as const) {
    const kernelSocket = { bytes: sent, packets: sent / 100 };
    const totals = makeTotals({
      kernelSocket: [NOTHING, kernelSocket],
      unsent: [NOTHING, { bytes: unsent, packets: unsent / 100 }],
    });
    const { rows } = kernelRow(makeInput({ direction: 'tx', totals }));
    t.same(rows.get('kernel_socket'), { bytes: expected, packets: expected / 100 });
    t.same(totals.unattributed[RlUnattributed.kernelSocket]?.[1], kernelSocket, 'the reading itself is left alone');
  }
});

t.test('every reason but the one that falls is a counter’s', async (t) => {
  const { rows } = kernelRow(makeInput());
  t.same([...rows.keys()].filter((reason) => reason !== 'unclaimed').sort(), [...COUNTED_REASONS].sort());
  t.ok(rows.has('unclaimed'));
});

t.test('what was forwarded is the same figure in both directions', async (t) => {
  const seenSent = still({ forwardedBytes: 500, forwardedPackets: 5 });
  const seen = still({ ipBytes: 500, ipPackets: 5 });
  for (const direction of ['rx', 'tx'] as const) {
    const { rows } = kernelRow(makeInput({ direction, seen, seenSent }));
    t.same(rows.get('forwarded'), { bytes: 500, packets: 5 });
    t.same(rows.get('no_socket'), NOTHING);
  }
});

t.test('no row is ever below zero, however far the processes are ahead', async (t) => {
  for (const [ip, processes, noSocket] of [
    [0, 1, 0],
    [999, 1000, 0],
    [1000, 1e12, 0],
    [1000, 1000, 50],
    [1000, 2000, 50],
  ] as const) {
    const { rows } = kernelRow(
      makeInput({
        seen: still({ ipBytes: ip, ipPackets: ip }),
        processesBytes: processes,
        processesPackets: processes,
        noSocket: { bytes: noSocket, packets: noSocket },
      }),
    );
    for (const [reason, { bytes, packets }] of rows)
      t.ok(bytes >= 0 && packets >= 0, `${reason}: ${bytes}, ${packets}`);
    t.same(rows.get('no_socket'), { bytes: noSocket, packets: noSocket }, 'and what was told once is not taken back');
  }
});

t.test('while packets pass, only what was surely no process’s is called so', async (t) => {
  const seen = {
    before: { ...nothingSeen(), ipBytes: 1000, ipPackets: 10 },
    after: { ...nothingSeen(), ipBytes: 1600, ipPackets: 16 },
  };
  for (const { title, processesBytes, noSocket, seenBytes } of [
    { title: 'less than had passed before', processesBytes: 900, noSocket: 100, seenBytes: 1000 },
    { title: 'as much as before', processesBytes: 1000, noSocket: 0, seenBytes: 1000 },
    { title: 'in between', processesBytes: 1300, noSocket: 0, seenBytes: 1300 },
    { title: 'as much as after', processesBytes: 1600, noSocket: 0, seenBytes: 1600 },
    { title: 'more than can be', processesBytes: 1700, noSocket: 0, seenBytes: 1600 },
  ]) {
    const row = kernelRow(makeInput({ seen, processesBytes, processesPackets: processesBytes / 100 }));
    t.equal(row.rows.get('no_socket')?.bytes, noSocket, title);
    t.equal(row.seenBytes, seenBytes, title);
  }
});

t.test('what was counted at sockets and no device hook can have seen is told', async (t) => {
  const seen = still({ ipBytes: 1000, ipPackets: 10 });
  const more = kernelRow(makeInput({ seen, processesBytes: 1700, processesPackets: 12 }));
  t.same(more.unseen, { bytes: 700, packets: 2 });
  const less = kernelRow(makeInput({ seen, processesBytes: 300, processesPackets: 3 }));
  t.same(less.unseen, { bytes: 0, packets: 0 });
});

t.test('directions stand side by side, and reasons that never occurred are left out', async (t) => {
  const rx = new Map([
    ['late', { bytes: 5, packets: 1 }],
    ['never', NOTHING],
  ]);
  const tx = new Map([
    ['never', NOTHING],
    ['forwarded', { bytes: 7, packets: 2 }],
    ['late', { bytes: 6, packets: 1 }],
  ]);
  t.same(mergeDirections(rx, tx), [
    { reason: 'late', receivedBytes: 5, receivedPackets: 1, sentBytes: 6, sentPackets: 1 },
    { reason: 'forwarded', receivedBytes: 0, receivedPackets: 0, sentBytes: 7, sentPackets: 2 },
  ]);
});

t.test('a reason that has bytes is shown, also where its packets could not be told', async (t) => {
  const rows = new Map([['no_socket', { bytes: 40, packets: 0 }]]);
  t.match(mergeDirections(rows, new Map()), [{ reason: 'no_socket', receivedBytes: 40, sentBytes: 0 }]);
  t.match(mergeDirections(new Map(), rows), [{ reason: 'no_socket', receivedBytes: 0, sentBytes: 40 }]);
});
