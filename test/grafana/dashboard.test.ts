import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { makeDashboard, writeDashboard } from '../../grafana/dashboard.ts';

const panels = makeDashboard().panels ?? [];

t.test('the committed dashboard is what the generator gives', async (t) => {
  const path = join(import.meta.dirname, '../../grafana/dashboards/relayledger.json');
  t.ok(readFileSync(path, 'utf8') === writeDashboard(), 'run `npm run build:grafana` and commit the result');
});

t.test('every panel has an id of its own', async (t) => {
  t.equal(new Set(panels.map(({ id }) => id)).size, panels.length);
});

t.test('panels fill the grid without lying over each other', async (t) => {
  const cells = panels.flatMap(({ gridPos }) => {
    if (!gridPos) return [];
    const row = (y: number): string[] =>
      Array.from({ length: gridPos.w }, (_, x) => `${gridPos.x + x},${gridPos.y + y}`);
    return Array.from({ length: gridPos.h }, (_, y) => row(y)).flat();
  });
  const height = Math.max(...panels.map(({ gridPos }) => (gridPos?.y ?? 0) + (gridPos?.h ?? 0)));
  const grid = Array.from({ length: 24 * height }, (_, i) => `${i % 24},${Math.floor(i / 24)}`);
  t.strictSame(cells.sort(), grid.sort());
});

t.test('every panel says what to do, has a unit, and asks the chosen data source', async (t) => {
  for (const panel of panels) {
    if (!('targets' in panel)) continue;
    const { title, description, fieldConfig, targets } = panel;
    const target = { datasource: { uid: '$datasource' } };
    t.match(
      { title, description, unit: fieldConfig?.defaults?.unit, targets },
      { title: String, description: /\. .+\.$/, unit: String, targets: targets?.map(() => target) },
      title ?? '',
    );
  }
});
