import t from 'tap';
import { EvenClock, toIso, toWallMs } from '../../agent/wall-time.ts';
import { FakeClock } from './fake-clock.ts';

t.test('a time since boot is on the wall clock where it was, however late either clock is read', async (t) => {
  for (const delays of [[], [300], [0, 300], [0, 0, 300], [300, 300, 300], [50, 0, 7, 20, 0, 0]]) {
    const clock = new FakeClock();
    const startNs = clock.bootNs() - 5_000_000_000n;
    const expected = clock.nowMs() - 5000;
    let calls = 0;
    const delay = (): void => clock.advance(delays[calls++] ?? 0);
    const slow = {
      nowMs: () => {
        delay();
        return clock.nowMs();
      },
      bootNs: () => {
        delay();
        return clock.bootNs();
      },
    };
    t.equal(toWallMs(slow, startNs), expected, JSON.stringify(delays));
  }
});

t.test('where there is never time to read both at once, the closest pair counts', async (t) => {
  const clock = new FakeClock();
  const startNs = clock.bootNs();
  const expected = clock.nowMs();
  let calls = 0;
  const nowMs = (): number => {
    clock.advance(calls++ === 3 ? 2 : 100);
    return clock.nowMs();
  };
  const found = toWallMs({ nowMs, bootNs: () => clock.bootNs() }, startNs);
  t.ok(Math.abs(found - expected) <= 1, `${found - expected} ms off`);
});

t.test('the even clock goes on where the wall clock is set, and tells its moments as that one does now', async (t) => {
  const clock = new FakeClock();
  const even = new EvenClock(clock);
  const begun = clock.nowMs();
  t.equal(even.nowMs(), begun);
  clock.advance(1000);
  t.equal(even.nowMs(), begun + 1000);
  t.equal(even.onWall(toIso(begun)), toIso(begun));
  for (const hours of [-1, 1, 24 * 365]) {
    clock.setWall(begun + 1000 + hours * 3_600_000);
    t.equal(even.nowMs(), begun + 1000);
    t.equal(even.onWall(toIso(begun)), toIso(begun + hours * 3_600_000), `${hours}`);
    clock.wallMs += 3;
    t.equal(even.onWall(toIso(begun)), toIso(begun + hours * 3_600_000), 'no moment moves by what reading takes');
  }
});
