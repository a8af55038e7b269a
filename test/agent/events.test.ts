import t from 'tap';
import { Events } from '../../agent/events.ts';
import type { AgentEvent } from '../../agent/readings.ts';

t.test('every listener hears every event once, in order, with numbers that rise', async (t) => {
  const events = new Events();
  const heard: AgentEvent[][] = [[], []];
  for (const list of heard) events.subscribe((event) => list.push(event));
  events.publish('one', { a: 1 });
  events.publish('two', {});
  t.same(heard[0], heard[1]);
  t.match(heard[0], [
    { id: 1, type: 'one', data: { a: 1 }, at: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/ },
    { id: 2, type: 'two', data: {} },
  ]);
});

t.test('who has left hears nothing, and leaving twice harms nobody', async (t) => {
  const events = new Events();
  const heard: string[] = [];
  const leave = events.subscribe(({ type }) => heard.push(`a ${type}`));
  events.subscribe(({ type }) => heard.push(`b ${type}`));
  t.equal(events.subscribers, 2);
  leave();
  leave();
  t.equal(events.subscribers, 1);
  events.publish('x', {});
  t.same(heard, ['b x']);
});

t.test('a listener that throws is let go, and the others hear on', async (t) => {
  const events = new Events();
  const heard: string[] = [];
  events.subscribe(() => {
    throw new Error('the client has gone');
  });
  events.subscribe(({ type }) => heard.push(type));
  t.doesNotThrow(() => events.publish('one', {}));
  events.publish('two', {});
  t.same(heard, ['one', 'two']);
  t.equal(events.subscribers, 1);
});

t.test('a listener may leave from within', async (t) => {
  const events = new Events();
  const heard: string[] = [];
  const leave = events.subscribe(({ type }) => {
    heard.push(`once ${type}`);
    leave();
  });
  events.subscribe(({ type }) => heard.push(type));
  events.publish('one', {});
  events.publish('two', {});
  t.same(heard, ['once one', 'one', 'two']);
});
