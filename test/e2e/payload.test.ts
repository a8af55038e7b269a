import t from 'tap';
import { Agent } from './agent.ts';
import { buildPrograms } from './build.ts';
import { type Case, datagrams, endings, olderSockets, ownership, protocols, receiving, sending } from './cases.ts';
import { Hosts } from './hosts.ts';
import { patience } from './patience.ts';
import { Ground, type Outcome } from './run-case.ts';
import { payloadDifferences, unexpectedRows } from './truth.ts';

const chapters: [string, Case[]][] = [
  ['sending', sending],
  ['receiving', receiving],
  ['failures and endings', endings],
  ['datagrams', datagrams],
  ['protocols', protocols],
  ['ownership', ownership],
  ['sockets older than the accounting', olderSockets],
];

const limits = { timeout: patience(280_000) };

// All cases run first, one after another, and the agent's books are read once at the end: a byte that is charged to the
// wrong process, or comes late, shows in any order.
t.test('payload of each process is equal to what its own system calls returned', limits, async (t) => {
  await using hosts = await Hosts.make({ offloads: true });
  const ground = new Ground(hosts, await buildPrograms());
  const begun = await Promise.all(olderSockets.map(async (it) => ({ it, paused: await ground.begin(it) })));
  await using agent = await Agent.start();

  const outcomes = new Map<Case, Outcome | Error>();
  for (const { it, paused } of begun) outcomes.set(it, await paused.goOn().catch((error: Error) => error));
  for (const [, cases] of chapters) {
    for (const it of cases) {
      if (!outcomes.has(it)) outcomes.set(it, await ground.run(it).catch((error: Error) => error));
    }
  }
  const truths = [...outcomes.values()].flatMap((outcome) => (outcome instanceof Error ? [] : outcome.truths));
  const pids = new Set(truths.map(({ pid }) => pid));
  const netns = [hosts.client.netns, hosts.server.netns];
  const rows = await agent.settled((row) => pids.has(row.pid) || (row.netns !== null && netns.includes(row.netns)));

  for (const [chapter, cases] of chapters) {
    t.test(chapter, (t) => {
      for (const it of cases) {
        const outcome = outcomes.get(it);
        if (outcome === undefined || outcome instanceof Error) t.fail(`${it.title}: ${outcome?.message}`);
        else if (outcome.skipped !== undefined) t.pass(it.title, { skip: outcome.skipped });
        else t.same(payloadDifferences(outcome.truths, rows), [], it.title);
      }
      t.end();
    });
  }

  t.same(unexpectedRows(truths, rows, netns), [], 'nobody else is charged for any of it');
  const { lost } = await agent.status();
  // The ledger's flows and pairs are the whole machine's: others may fill its tables. No byte rests on them.
  const ofTheLedger = ['flow', 'pair', 'thread'];
  t.same(
    lost.filter(({ reason, count }) => count > 0 && !ofTheLedger.includes(reason)),
    [],
    'the agent lost no event',
  );
});
