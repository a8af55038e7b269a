/**
 * A strict reader of what `/metrics` answers: Prometheus' text format 0.0.4, or OpenMetrics 1.0. It refuses what a
 * lenient scraper would pass over, and throws with the line that is wrong.
 */

export interface Sample {
  name: string;
  labels: Record<string, string>;
  value: number;
}

export interface Family {
  type: string;
  help: string;
  samples: Sample[];
}

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const NUMBER = /^(?:[+-]?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|Inf(?:inity)?)|NaN)$/i;

/** Suffixes that samples of a family may have. */
const SUFFIXES: Readonly<Record<string, { text: string[]; openMetrics: string[] }>> = {
  counter: { text: [''], openMetrics: ['_total', '_created'] },
  gauge: { text: [''], openMetrics: [''] },
  histogram: { text: ['_bucket', '_sum', '_count'], openMetrics: ['_bucket', '_sum', '_count', '_created'] },
};

export function parseExposition(text: string, openMetrics: boolean): Map<string, Family> {
  if (!text.endsWith('\n')) throw new Error('the last line does not end');
  const lines = text.slice(0, -1).split('\n');
  if (openMetrics && lines.pop() !== '# EOF') throw new Error('no # EOF at the end');
  const families = new Map<string, Family>();
  const series = new Set<string>();
  let current: { name: string; family: Family } | undefined;
  for (const line of lines) {
    const fail = (reason: string): Error => new Error(`${reason}: ${line}`);
    if (line === '') {
      if (openMetrics) throw fail('an empty line');
      continue;
    }
    const [, keyword, name = '', rest = ''] = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line) ?? [];
    if (keyword === 'HELP') {
      if (!NAME.test(name)) throw fail('not a name');
      if (families.has(name)) throw fail('a family in two parts');
      current = {
        name,
        family: { type: '', help: unescapeText(rest, openMetrics ? '\\n"' : '\\n', fail), samples: [] },
      };
      families.set(name, current.family);
    } else if (keyword === 'TYPE') {
      if (current?.name !== name || current.family.type !== '') throw fail('a TYPE without its HELP');
      if (!SUFFIXES[rest]) throw fail('an unknown type');
      if (openMetrics && rest === 'counter' && name.endsWith('_total')) throw fail('a counter family named _total');
      current.family.type = rest;
    } else if (line.startsWith('#')) {
      throw fail('a comment');
    } else {
      if (!current || current.family.type === '') throw fail('a sample without a family');
      const sample = parseSample(line, fail);
      const suffixes = SUFFIXES[current.family.type]?.[openMetrics ? 'openMetrics' : 'text'] ?? [];
      const { name } = current;
      if (!suffixes.some((suffix) => sample.name === name + suffix)) throw fail(`not of the family ${name}`);
      const labels = Object.entries(sample.labels).sort(([a], [b]) => (a < b ? -1 : 1));
      const id = JSON.stringify([sample.name, labels]);
      if (series.has(id)) throw fail('a series twice');
      series.add(id);
      if (current.family.type === 'counter' && !(sample.value >= 0)) throw fail('a counter below zero');
      current.family.samples.push(sample);
    }
  }
  for (const [name, { type }] of families) if (type === '') throw new Error(`${name} has no TYPE`);
  return families;
}

function parseSample(line: string, fail: (reason: string) => Error): Sample {
  const [, name = '', braces, value = ''] = /^([^\s{]+)(\{.*\})? (\S+)$/s.exec(line) ?? [];
  if (!NAME.test(name)) throw fail('not a sample');
  if (!NUMBER.test(value)) throw fail('not a number');
  const labels: Record<string, string> = {};
  let rest = braces?.slice(1, -1) ?? '';
  while (rest !== '') {
    const [whole = '', label = '', quoted = ''] =
      /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"(?:,(?=.)|$)/s.exec(rest) ?? [];
    if (whole === '') throw fail('not a label');
    if (Object.hasOwn(labels, label)) throw fail('a label twice');
    labels[label] = unescapeText(quoted, '\\n"', fail);
    rest = rest.slice(whole.length);
  }
  return { name, labels, value: Number(value.replace(/Inf(?:inity)?$/i, 'Infinity')) };
}

/** @param escapable what may stand behind a backslash; where that has a quote, a quote must be escaped */
function unescapeText(text: string, escapable: string, fail: (reason: string) => Error): string {
  if (escapable.includes('"') && /(?:^|[^\\])(?:\\\\)*"/.test(text)) throw fail('a quote that is not escaped');
  return text.replace(/\\(.?)/g, (_, c: string) => {
    if (c === '' || !escapable.includes(c)) throw fail(`a wrong escape \\${c}`);
    return c === 'n' ? '\n' : c;
  });
}
