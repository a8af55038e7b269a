import t from 'tap';
import { exportedFamilies } from './exported-families.ts';
import { dashboardExpressions, type Expression, readExpression, ruleExpressions, rules } from './expressions.ts';

/** Put on by Prometheus. */
const TARGET_LABELS = ['job', 'instance'];

const families = await exportedFamilies();
families.set('up', new Set());
for (const { record } of rules()) {
  // Its labels are those it is summed by; readExpression checks them where they are written.
  if (record) families.set(record, new Set());
}
const anyLabel = new Set([...TARGET_LABELS, ...[...families.values()].flatMap((labels) => [...labels])]);

t.test('the checks below see what is wrong', async (t) => {
  t.throws(() => readExpression('sum by (app (x)'), 'what does not parse');
  t.match(readExpression('sum by (app) (rate(a_total{b="c",d=~"e"}[5m])) / on (f) g'), {
    selectors: [
      { family: 'a_total', labels: ['b', 'd'] },
      { family: 'g', labels: [] },
    ],
    groupLabels: ['app', 'f'],
  });
  t.strictSame(problemsOf({ where: '', expr: 'up + sum by (a) (b_total{c="d"})', legendLabels: ['e'] }), [
    'there is no b_total',
    'b_total has no label c',
    'nothing has a label a',
    'nothing has a label e',
  ]);
  t.ok(families.get('relayledger_unattributed_bytes_total')?.has('reason'), 'the sample has labels');
});

function problemsOf({ expr, legendLabels }: Expression): string[] {
  const { selectors, groupLabels } = readExpression(expr);
  const problems = selectors.length === 0 ? ['selects nothing'] : [];
  for (const { family, labels } of selectors) {
    const known = families.get(family);
    if (!known) problems.push(`there is no ${family}`);
    for (const label of labels) {
      if (!known?.has(label) && !TARGET_LABELS.includes(label)) problems.push(`${family} has no label ${label}`);
    }
  }
  for (const label of [...groupLabels, ...legendLabels]) {
    if (!anyLabel.has(label)) problems.push(`nothing has a label ${label}`);
  }
  return problems;
}

for (const [what, expressions] of [
  ['dashboard', dashboardExpressions()],
  ['rules', ruleExpressions()],
] as const) {
  t.test(`${what}: every expression parses and asks only for what is exported`, async (t) => {
    t.not(expressions.length, 0);
    for (const expression of expressions) t.strictSame(problemsOf(expression), [], expression.where);
  });
}
