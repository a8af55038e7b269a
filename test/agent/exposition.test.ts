import t from 'tap';
import { Exposition, label } from '../../agent/exposition.ts';
import { parseExposition } from './parse-exposition.ts';

t.test('the parser of these tests refuses what is wrong', async (t) => {
  const good = '# HELP a_total x\n# TYPE a_total counter\na_total{l="v"} 1\n';
  t.same(parseExposition(good, false).get('a_total')?.samples, [{ name: 'a_total', labels: { l: 'v' }, value: 1 }]);
  for (const [title, text, openMetrics] of [
    ['no last newline', good.slice(0, -1), false],
    ['no end mark', good, true],
    ['an end mark in the text format', `${good}# EOF\n`, false],
    ['two end marks', '# HELP a x\n# TYPE a gauge\n# EOF\n# EOF\n', true],
    ['a counter family named _total', `${good}# EOF\n`, true],
    ['a family in two parts', good + good, false],
    ['a sample of another family', `${good}b 1\n`, false],
    ['a sample twice', `${good}a_total{l="v"} 2\n`, false],
    ['a bare quote', '# HELP a x\n# TYPE a gauge\na{l="v"w"} 1\n', false],
    ['an unknown escape', '# HELP a x\n# TYPE a gauge\na{l="\\t"} 1\n', false],
    ['a label twice', '# HELP a x\n# TYPE a gauge\na{l="1",l="2"} 1\n', false],
    ['a comma too many', '# HELP a x\n# TYPE a gauge\na{l="1",} 1\n', false],
    ['no value', '# HELP a x\n# TYPE a gauge\na\n', false],
    ['undefined', '# HELP a x\n# TYPE a gauge\na undefined\n', false],
    ['a quote in a help of OpenMetrics', '# HELP a "x"\n# TYPE a gauge\n# EOF\n', true],
    ['an empty line in OpenMetrics', '# HELP a x\n\n# TYPE a gauge\n# EOF\n', true],
  ] as const) {
    t.throws(() => parseExposition(text, openMetrics), title);
  }
});

t.test('labels come back as they went in', async (t) => {
  for (const value of [
    'plain',
    '',
    'a "quoted" word',
    'C:\\path\\n',
    'line one\nline two',
    '\\',
    '\\"',
    '"\\\n"\\\\',
    '{a="b",c="d"} 1',
    'naïve 日本 🦊',
    '# EOF',
    '\ttab\r',
  ]) {
    const out = new Exposition(false);
    out.family('x', 'gauge', 'help');
    out.sample('x', `${label('app', value)},${label('other', value)}`, 1);
    const labels = parseExposition(out.end(), false).get('x')?.samples[0]?.labels;
    t.same(labels, { app: value, other: value });
  }
});

t.test('help comes back as it went in, in both formats', async (t) => {
  for (const help of ['plain', 'two\nlines', 'a \\ backslash', 'a "quoted" word', '\\n "\n"']) {
    for (const openMetrics of [false, true]) {
      const out = new Exposition(openMetrics);
      out.family('x', 'gauge', help);
      t.equal(parseExposition(out.end(), openMetrics).get('x')?.help, help);
    }
  }
});

t.test('a counter’s family goes without _total in OpenMetrics, its samples never', async (t) => {
  for (const [openMetrics, family] of [
    [false, 'bytes_total'],
    [true, 'bytes'],
  ] as const) {
    const out = new Exposition(openMetrics);
    out.family('bytes_total', 'counter', 'help');
    out.sample('bytes_total', '', 3);
    out.family('other_total_bytes', 'gauge', 'help');
    out.sample('other_total_bytes', '', 4);
    const families = parseExposition(out.end(), openMetrics);
    t.same([...families.keys()], [family, 'other_total_bytes']);
    t.match(families.get(family), { type: 'counter', samples: [{ name: 'bytes_total', labels: {}, value: 3 }] });
  }
});

t.test('numbers are exact', async (t) => {
  for (const value of [0, 1, 2 ** 53 - 1, 0.1, 1e21, 1e-7, -5, Infinity, -Infinity]) {
    const out = new Exposition(false);
    out.family('x', 'gauge', 'help');
    out.sample('x', '', value);
    t.equal(parseExposition(out.end(), false).get('x')?.samples[0]?.value, value);
  }
});

t.test('what another writer made is taken in, and the end mark stands once, at the end', async (t) => {
  const gauge = '# HELP a a_total of something\n# TYPE a gauge\na 1';
  const counter = '# HELP n_total x\n# TYPE n_total counter\nn_total 1';
  for (const [openMetrics, names] of [
    [false, ['b', 'a', 'n_total', 'c']],
    [true, ['b', 'a', 'n', 'c']],
  ] as const) {
    for (const text of [`${gauge}\n${counter}`, `${gauge}\n\n${counter}\n`, `\n${gauge}\n${counter}\n\n`]) {
      const out = new Exposition(openMetrics);
      out.family('b', 'gauge', 'help');
      out.append(text);
      out.family('c', 'gauge', 'help');
      const families = parseExposition(out.end(), openMetrics);
      t.same([...families.keys()], names);
      t.equal(families.get('a')?.help, 'a_total of something');
      t.equal(out.end().split('# EOF').length - 1, openMetrics ? 1 : 0);
    }
  }
});
