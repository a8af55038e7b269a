import t from 'tap';
import type { PolicyCounters } from '../../../agent/policies/enforcer.ts';
import { Held } from '../../../agent/policies/held.ts';
import { readPolicy } from '../../../agent/policies/validate.ts';

const NOW = Date.UTC(2026, 10, 22, 5);
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

t.test('what was held back a minute ago is not said to be held now where the clock is set back', async (t) => {
  const policy = readPolicy({ match: { app: 'skype' }, rate: { bytesPerSecond: 4096 } }, NOW);
  const times = { createdAtMs: NOW, changedAtMs: NOW };
  const held = new Held({ name: 'skype', policy, ...times, bound: null, spared: [], forced: false }, 'api');
  const counters: PolicyCounters = {
    passedBytes: { rx: 0, tx: 0 },
    throttledBytes: { rx: 0, tx: 0 },
    droppedPackets: [],
    refusedCalls: 0,
    activeFlows: 0,
    quotaUsedBytes: 0,
    quotaExhausted: false,
    quotaEndsAtMs: null,
    lastHeldBackNs: 100e9,
  };
  held.watch(counters, NOW, 100_000_000_000n);
  t.match(held, { heldSinceMs: NOW, lastHeldMs: NOW });
  held.watch(counters, NOW - HOUR + MINUTE, 160_000_000_000n);
  t.match(held, { heldSinceMs: null, lastHeldMs: NOW - HOUR });
});
