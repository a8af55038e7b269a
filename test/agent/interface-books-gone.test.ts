import t from 'tap';
import { type BooksHarness, ipBytes, makeBooks, nothing, PACKET } from './fake-books.ts';
import { type Device, type FakeNamespaces, keyOf, makeDevice } from './fake-interfaces.ts';

/** Books with two interfaces whose lines share a place, each on a CPU of its own; a packet has passed each. */
function makeNeighbours(): BooksHarness & { goes: Device; busy: Device } {
  const harness = makeBooks();
  const { kernel, namespaces, books } = harness;
  const goes = makeDevice({ ifindex: 2, name: 'goes' });
  const busy = makeDevice({ ifindex: 2 + 256, name: 'busy' });
  for (const device of [goes, busy]) namespaces.set(device);
  kernel.pass(goes, 'rx', { ...PACKET, cpu: 0 });
  kernel.pass(busy, 'rx', { ...PACKET, cpu: 1 });
  books.begin();
  return { ...harness, goes, busy };
}

t.test('what passed an interface that is gone stays in the sum, across a restart too', async (t) => {
  for (const [title, leave] of [
    ['the interface is gone', (namespaces: FakeNamespaces, device: Device) => namespaces.remove(device)],
    ['its namespace is gone', (namespaces: FakeNamespaces) => void namespaces.there.delete(100)],
    [
      'its namespace’s inode is another’s',
      (namespaces: FakeNamespaces) => {
        namespaces.there.delete(100);
        namespaces.set(makeDevice({ cookie: 99n }));
      },
    ],
  ] as const) {
    const { kernel, namespaces, books, restart, closed } = makeBooks();
    const stays = makeDevice({ netns: 200, cookie: 2n, name: 'stays' });
    const goes = makeDevice({ name: 'goes' });
    for (const device of [stays, goes]) {
      namespaces.set(device);
      for (const cpu of [0, 1]) kernel.pass(device, 'rx', { ...PACKET, cpu });
    }
    books.begin();
    books.forgetGone();
    t.equal(closed.size, 0, `${title}: nobody yet`);
    t.equal(ipBytes(books), 4000, title);
    leave(namespaces, goes);
    t.equal(ipBytes(books), 4000, `${title}: before it is noticed`);
    for (let round = 0; round < 3; round++) {
      books.forgetGone();
      t.equal(ipBytes(books), 4000, `${title}: round ${round}`);
      t.equal(ipBytes(restart()), 4000, `${title}: round ${round}, after a restart`);
    }
    t.notOk(kernel.holds(goes), `${title}: its lines are free`);
    t.equal(kernel.names.lookup(keyOf(goes)), undefined);
    t.equal(kernel.baselines.lookup(keyOf(goes)), undefined);
    t.ok(kernel.holds(stays));
    kernel.pass(stays, 'rx', PACKET);
    t.equal(ipBytes(books), 5000);
  }
});

/** Kills the agent at its n-th write to the disk or the kernel, before it is done; what to call to mend it. */
function killAt(n: number, { kernel, closed }: BooksHarness): () => void {
  let writes = 0;
  const step = (): void => {
    if (++writes === n) throw new Error('killed');
  };
  kernel.onWrite = step;
  const patched: Partial<Record<'delete' | 'set', unknown>>[] = [];
  const before = <T extends object>(target: T, method: 'delete' | 'set'): void => {
    const original = (target as Record<string, (...values: unknown[]) => unknown>)[method];
    Object.assign(target, {
      [method]: (...values: unknown[]) => {
        step();
        return original?.apply(target, values);
      },
    });
    patched.push(target);
  };
  before(closed, 'set');
  before(kernel.names, 'delete');
  before(kernel.baselines, 'delete');
  return () => {
    kernel.onWrite = nothing;
    for (const target of patched)
      for (const method of ['delete', 'set'] as const) Reflect.deleteProperty(target, method);
  };
}

t.test('a crash at any step of closing an interface neither loses nor doubles what passed it', async (t) => {
  const goes = makeDevice();
  for (let step = 1, wasKilled = true; wasKilled; step++) {
    const harness = makeBooks();
    const { kernel, namespaces, books, restart, closed } = harness;
    namespaces.set(goes);
    for (const cpu of [0, 1]) kernel.pass(goes, 'rx', { ...PACKET, cpu });
    books.begin();
    namespaces.remove(goes);
    const mend = killAt(step, harness);
    try {
      books.forgetGone();
      wasKilled = false;
    } catch (error) {
      t.match(error, { message: 'killed' });
    }
    mend();
    const next = restart();
    t.equal(ipBytes(next), 2000, `killed at step ${step}`);
    for (let round = 0; round < 2; round++) {
      next.forgetGone();
      t.equal(ipBytes(next), 2000, `step ${step}, after another try`);
      t.equal(ipBytes(restart()), 2000, `step ${step}, after another start`);
    }
    t.notOk(kernel.holds(goes));
    t.equal(kernel.names.size, 0, `step ${step}: nothing of it is left in the kernel`);
    t.equal(kernel.baselines.size, 0);
    t.match(
      [...closed.values()].map((each) => JSON.parse(each)),
      [{ rx: { ipBytes: 2000 }, inKernel: null }],
    );
    if (!wasKilled) t.equal(step, 6, 'five writes were broken one after the other');
  }
});

t.test('an interface that is there is never taken for gone', async (t) => {
  const { kernel, namespaces, books, restart, closed } = makeBooks();
  books.begin();
  const late = makeDevice({ netns: 300, cookie: 3n });
  namespaces.set(late);
  kernel.pass(late, 'rx', PACKET);
  books.forgetGone();
  t.equal(closed.size, 0, 'a namespace that came after the accounting began');
  restart().forgetGone();
  t.equal(closed.size, 0, 'an agent that adopted the kernel’s side and was not asked for anything yet');
  t.ok(kernel.holds(late));
});

t.test('a namespace that cannot be read just now is asked again later', async (t) => {
  const { kernel, namespaces, books, closed } = makeBooks();
  const eth = makeDevice();
  namespaces.set(eth);
  kernel.pass(eth, 'rx', PACKET);
  books.begin();
  const { read } = namespaces;
  namespaces.read = () => undefined;
  books.forgetGone();
  t.equal(closed.size, 0);
  t.equal(ipBytes(books), 1000);
  t.same(books.read(nothing)[0]?.lines, [], 'without its own counters there is nothing to compare');
  namespaces.read = read;
  t.equal(books.read(nothing)[0]?.lines.length, 2);
});

t.test('lines that share their place with a busy interface on another CPU are left alone', async (t) => {
  const { kernel, namespaces, books, goes, busy } = makeNeighbours();
  namespaces.remove(goes);
  for (let round = 0; round < 2; round++) {
    books.forgetGone();
    t.equal(ipBytes(books), 2000);
    kernel.pass(busy, 'rx', { ...PACKET, cpu: 1 });
    t.equal(ipBytes(books), 3000);
    kernel.pass(busy, 'rx', { ...PACKET, ipBytes: -1000, cpu: 1 });
  }
  t.ok(kernel.holds(goes), 'it has to wait');
  t.equal(kernel.names.size, 2);
  namespaces.remove(busy);
  for (let round = 0; round < 2; round++) {
    books.forgetGone();
    t.equal(ipBytes(books), 2000);
  }
  t.notOk(kernel.holds(goes) || kernel.holds(busy), 'until the other one is gone');
  t.equal(kernel.names.size, 0);
});

t.test('an interface that comes back under its old index is accounted for again', async (t) => {
  const { kernel, namespaces, books, restart } = makeBooks();
  const eth = makeDevice();
  namespaces.set(eth, { rxBytes: 5000, rxPackets: 5 });
  books.begin();
  kernel.pass(eth, 'rx', PACKET);
  for (let visits = 1; visits < 4; visits++) {
    namespaces.remove(eth);
    books.forgetGone();
    t.equal(ipBytes(books), visits * 1000, `gone for the ${visits}. time`);
    t.equal(ipBytes(restart()), visits * 1000);
    namespaces.set(eth, { rxBytes: 1014, rxPackets: 1 });
    kernel.pass(eth, 'rx', PACKET);
    for (const each of [books, restart()]) {
      t.equal(ipBytes(each), (visits + 1) * 1000, 'there again');
      t.match(each.read(nothing), [{ lines: [{ interfaceBytes: 1014, seenBytes: 1014, errorBytes: 0 }, {}] }]);
      each.forgetGone();
      t.ok(kernel.holds(eth), 'and not taken for gone');
    }
  }
});

t.test('an interface that comes back before its lines could be cleared loses nothing', async (t) => {
  const { kernel, namespaces, books, restart, goes, busy } = makeNeighbours();
  namespaces.remove(goes);
  books.forgetGone();
  namespaces.set(goes);
  kernel.pass(goes, 'rx', { ...PACKET, cpu: 0 });
  t.equal(ipBytes(books), 3000, 'while it is there');
  namespaces.remove(goes);
  books.forgetGone();
  t.equal(ipBytes(books), 3000, 'and gone again');
  const next = restart();
  t.equal(ipBytes(next), 3000);
  namespaces.remove(busy);
  next.forgetGone();
  t.notOk(kernel.holds(goes) || kernel.holds(busy));
  t.equal(ipBytes(next), 3000, 'and no longer in the kernel');
});
