import type { Builder } from '@grafana/grafana-foundation-sdk/cog';
import {
  type Dashboard,
  DashboardBuilder,
  DashboardCursorSync,
  DatasourceVariableBuilder,
  type Panel,
  QueryVariableBuilder,
  RowBuilder,
  type VariableOption,
  VariableRefresh,
  VariableSort,
} from '@grafana/grafana-foundation-sdk/dashboard';
import { health } from './health-row.ts';
import { books, now, relay, traffic } from './ledger-rows.ts';
import { datasource } from './panels.ts';

const ALL: VariableOption = { selected: true, text: ['All'], value: ['$__all'] };

function variable(name: string, label: string, description: string, query: string): QueryVariableBuilder {
  return new QueryVariableBuilder(name)
    .label(label)
    .description(description)
    .datasource(datasource)
    .query({ query, refId: `${name}-variable` })
    .refresh(VariableRefresh.OnTimeRangeChanged)
    .sort(VariableSort.AlphabeticalCaseInsensitiveAsc)
    .multi(true)
    .includeAll(true)
    .current(ALL);
}

/** The dashboard, in the classic schema: any data source and any Grafana that reads it will do. */
export function makeDashboard(): Dashboard {
  const rows: [title: string, panels: Builder<Panel>[]][] = [
    ['Now', now],
    ['Traffic', traffic],
    ['Relay', relay],
    ['Books', books],
    ['Agent', health],
  ];
  const builder = new DashboardBuilder('Relayledger')
    .uid('relayledger')
    .description('Who moves the bytes of a host, for whom, and whether the books balance.')
    .tags(['relayledger'])
    .timezone('browser')
    .time({ from: 'now-1h', to: 'now' })
    .refresh('30s')
    .tooltip(DashboardCursorSync.Crosshair)
    .annotations([])
    .withVariable(new DatasourceVariableBuilder('datasource').label('Data source').type('prometheus'))
    // Hosts are named one by one, also under All: families such as process_cpu_seconds_total are not ours alone.
    .withVariable(variable('instance', 'Host', 'Agents', 'label_values(relayledger_build_info, instance)'))
    .withVariable(
      variable(
        'app',
        'App',
        'Profile, unit, container or executable',
        'label_values(relayledger_process_wire_bytes_total{instance=~"$instance"}, app)',
      ).allValue('.*'),
    );
  for (const [title, panels] of rows) {
    builder.withRow(new RowBuilder(title));
    for (const panel of panels) builder.withPanel(panel);
  }
  const dashboard = builder.build();
  for (const [index, panel] of (dashboard.panels ?? []).entries()) panel.id = index + 1;
  return dashboard;
}

/** As it is committed. */
export function writeDashboard(): string {
  return `${JSON.stringify(makeDashboard(), null, 2)}\n`;
}
