import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parser } from '@prometheus-io/lezer-promql';
import { parse } from 'yaml';
import { makeDashboard } from '../../grafana/dashboard.ts';

/** One PromQL expression and where it stands. */
export interface Expression {
  where: string;
  expr: string;
  /** Labels that its legend or its variable names. */
  legendLabels: string[];
}

export interface Selector {
  family: string;
  labels: string[];
}

interface Rule {
  record?: string;
  alert?: string;
  expr: string;
  annotations?: Record<string, string>;
}

const RULES = join(import.meta.dirname, '../../grafana/prometheus/relayledger.rules.yaml');

/** The windows that Grafana fills in; its other variables stand in strings. */
const fillIn = (expr: string): string => expr.replaceAll('$__rate_interval', '1m').replaceAll('$__range', '3600s');

const matches = (text: string, pattern: RegExp): string[] =>
  [...text.matchAll(pattern)].map(([, label]) => label ?? '');

export function rules(): Rule[] {
  const file: { groups: { rules: Rule[] }[] } = parse(readFileSync(RULES, 'utf8'));
  return file.groups.flatMap((group) => group.rules);
}

export function ruleExpressions(): Expression[] {
  return rules().map(({ record, alert, expr, annotations }) => ({
    where: record ?? alert ?? '',
    expr,
    legendLabels: matches(Object.values(annotations ?? {}).join(' '), /\$labels\.(\w+)/g),
  }));
}

export function dashboardExpressions(): Expression[] {
  const dashboard = makeDashboard();
  const panels = (dashboard.panels ?? []).flatMap((panel) => {
    const targets = ('targets' in panel ? (panel.targets ?? []) : []) as unknown as {
      expr: string;
      legendFormat: string;
    }[];
    return targets.map(({ expr, legendFormat }) => ({
      where: panel.title ?? '',
      expr: fillIn(expr),
      legendLabels: matches(legendFormat, /\{\{(\w+)\}\}/g),
    }));
  });
  const variables = (dashboard.templating?.list ?? []).flatMap(({ name, query }) => {
    const text = typeof query === 'object' ? String(query['query']) : '';
    const [, expr, label] = /^label_values\((.+), (\w+)\)$/.exec(text) ?? [];
    return expr && label ? [{ where: `variable ${name}`, expr, legendLabels: [label] }] : [];
  });
  return [...panels, ...variables];
}

/** What an expression selects, and the labels it groups by. Throws where it is no PromQL. */
export function readExpression(expr: string): { selectors: Selector[]; groupLabels: string[] } {
  const selectors: Selector[] = [];
  const groupLabels: string[] = [];
  const cursor = parser.configure({ strict: true }).parse(expr).cursor();
  let inGroup = false;
  do {
    const text = expr.slice(cursor.from, cursor.to);
    if (cursor.name === 'VectorSelector') selectors.push({ family: '', labels: [] });
    else if (cursor.name === 'GroupingLabels' || cursor.name === 'LabelMatchers') {
      inGroup = cursor.name === 'GroupingLabels';
    } else if (cursor.name === 'LabelName' && inGroup) groupLabels.push(text);
    else if (cursor.name === 'LabelName') selectors.at(-1)?.labels.push(text);
    else if (cursor.name === 'Identifier') {
      const selector = selectors.at(-1);
      if (selector?.family === '') selector.family = text;
    }
  } while (cursor.next());
  return { selectors, groupLabels };
}
