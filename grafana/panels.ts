import { PanelBuilder as BarGauge } from '@grafana/grafana-foundation-sdk/bargauge';
import type { Builder } from '@grafana/grafana-foundation-sdk/cog';
import {
  BarGaugeDisplayMode,
  BigValueColorMode,
  BigValueGraphMode,
  LegendDisplayMode,
  LegendPlacement,
  ReduceDataOptionsBuilder,
  SortOrder,
  StackingConfigBuilder,
  StackingMode,
  TableSortByFieldStateBuilder,
  TooltipDisplayMode,
  VizLegendOptionsBuilder,
  VizOrientation,
  VizTooltipOptionsBuilder,
} from '@grafana/grafana-foundation-sdk/common';
import {
  FieldColorBuilder,
  FieldColorModeId,
  MappingType,
  type Panel,
  type Threshold,
  ThresholdsConfigBuilder,
  ThresholdsMode,
  type ValueMapping,
} from '@grafana/grafana-foundation-sdk/dashboard';
import { DataqueryBuilder, PromQueryFormat } from '@grafana/grafana-foundation-sdk/prometheus';
import { PanelBuilder as Stat } from '@grafana/grafana-foundation-sdk/stat';
import { PanelBuilder as StateTimeline } from '@grafana/grafana-foundation-sdk/statetimeline';
import { PanelBuilder as Table } from '@grafana/grafana-foundation-sdk/table';
import { PanelBuilder as TimeSeries } from '@grafana/grafana-foundation-sdk/timeseries';

/** Of Grafana's units those in use: all SI, as the command line prints sizes. */
export type Unit = 'Bps' | 'decbytes' | 'pps' | 'percentunit' | 'short' | 's' | 'none';

export interface Query {
  expr: string;
  legend: string;
}

export interface PanelSpec {
  title: string;
  /** What the panel shows and what to do about it. */
  description: string;
  unit: Unit;
  /** Of 24 columns. */
  width: number;
  queries: Query[];
  /** Where the colour turns, from the lowest. */
  thresholds?: Threshold[];
  mappings?: ValueMapping[];
  /** In place of the panel where the queries give nothing. */
  empty?: string;
}

export interface GraphSpec extends PanelSpec {
  stacked?: boolean;
  /** Draws what is named `sent` below the axis. */
  mirrored?: boolean;
}

export interface TableSpec extends PanelSpec {
  /** Titles by the field's name: a label, or `Value #A` for the first query. In the order of the columns. */
  columns: Record<string, string>;
  sortBy: string;
  /** The column that shows a state, and its states; the others have the panel's unit. */
  state?: { column: string; mappings: ValueMapping[] };
}

export const datasource: { type: string; uid: string } = { type: 'prometheus', uid: '$datasource' };

export const greenUntil = (...steps: [value: number, color: string][]): Threshold[] => [
  { value: null, color: 'green' },
  ...steps.map(([value, color]) => ({ value, color })),
];

export const states = (options: Record<string, { text: string; color: string }>): ValueMapping[] => [
  { type: MappingType.ValueToText, options },
];

function target({ expr, legend }: Query, index: number): DataqueryBuilder {
  const refId = String.fromCharCode(65 + index);
  return new DataqueryBuilder().datasource(datasource).refId(refId).expr(expr).legendFormat(legend).range();
}

const HEIGHT = 8;

/** Lines over time. */
export function graph(spec: GraphSpec): Builder<Panel> {
  const legend = new VizLegendOptionsBuilder()
    .displayMode(LegendDisplayMode.Table)
    .placement(LegendPlacement.Bottom)
    .showLegend(true)
    .calcs(['lastNotNull', 'max'])
    .sortBy('Last *')
    .sortDesc(true);
  const panel = new TimeSeries()
    .lineWidth(1)
    .fillOpacity(spec.stacked ? 30 : 10)
    .legend(legend)
    .tooltip(new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Multi).sort(SortOrder.Descending).hideZeros(true))
    .colorScheme(new FieldColorBuilder().mode(FieldColorModeId.PaletteClassicByName));
  if (spec.stacked) panel.stacking(new StackingConfigBuilder().mode(StackingMode.Normal).group('A'));
  if (spec.mirrored) {
    panel.axisCenteredZero(true);
    panel.overrideByRegexp('/ sent$/', [{ id: 'custom.transform', value: 'negative-Y' }]);
  }
  return finish(panel.targets(spec.queries.map(target)), spec, HEIGHT);
}

/** One number: with its course behind it, or coloured by its thresholds. */
export function number(spec: PanelSpec): Builder<Panel> {
  const panel = new Stat().reduceOptions(new ReduceDataOptionsBuilder().calcs(['lastNotNull']));
  if (spec.thresholds) {
    panel.colorMode(BigValueColorMode.Background).graphMode(BigValueGraphMode.None);
    panel.targets(spec.queries.map((query, index) => target(query, index).instant()));
  } else {
    panel.colorMode(BigValueColorMode.Value).graphMode(BigValueGraphMode.Area).targets(spec.queries.map(target));
  }
  return finish(panel, spec, 4);
}

/** What is largest now, as bars. */
export function bars(spec: PanelSpec): Builder<Panel> {
  const panel = new BarGauge()
    .orientation(VizOrientation.Horizontal)
    .displayMode(BarGaugeDisplayMode.Basic)
    .showUnfilled(false)
    .min(0)
    .reduceOptions(new ReduceDataOptionsBuilder().calcs(['lastNotNull']))
    .targets(spec.queries.map((query, index) => target(query, index).instant()));
  return finish(panel, spec, HEIGHT);
}

/** The queries' values now side by side, one row for each set of labels. */
export function table(spec: TableSpec): Builder<Panel> {
  const names = Object.keys(spec.columns);
  const targets = spec.queries.map((query, index) => target(query, index).instant().format(PromQueryFormat.Table));
  const panel = new Table()
    .targets(targets)
    .withTransformation({ id: 'merge', options: {} })
    .withTransformation({ id: 'filterFieldsByName', options: { include: { names } } })
    .withTransformation({
      id: 'organize',
      options: {
        excludeByName: {},
        indexByName: Object.fromEntries(names.map((name, index) => [name, index])),
        renameByName: spec.columns,
      },
    })
    .sortBy([new TableSortByFieldStateBuilder().displayName(spec.sortBy).desc(true)]);
  if (spec.state) {
    panel.overrideByName(spec.state.column, [
      { id: 'unit', value: 'none' },
      { id: 'mappings', value: spec.state.mappings },
      { id: 'custom.cellOptions', value: { type: 'color-text' } },
    ]);
  }
  return finish(panel, spec, HEIGHT);
}

/** A bar for each series, coloured by its state over time. */
export function timeline(spec: PanelSpec): Builder<Panel> {
  const panel = new StateTimeline()
    .mergeValues(true)
    .colorScheme(new FieldColorBuilder().mode(FieldColorModeId.Thresholds))
    .legend(
      new VizLegendOptionsBuilder()
        .displayMode(LegendDisplayMode.List)
        .placement(LegendPlacement.Bottom)
        .showLegend(true),
    )
    .targets(spec.queries.map(target));
  return finish(panel, spec, HEIGHT);
}

function finish(
  panel: TimeSeries | Stat | BarGauge | Table | StateTimeline,
  spec: PanelSpec,
  height: number,
): Builder<Panel> {
  panel
    .title(spec.title)
    .description(spec.description)
    .datasource(datasource)
    .unit(spec.unit)
    .span(spec.width)
    .height(height);
  if (spec.empty) panel.noValue(spec.empty);
  if (spec.mappings) panel.mappings(spec.mappings);
  if (spec.thresholds) {
    panel.thresholds(new ThresholdsConfigBuilder().mode(ThresholdsMode.Absolute).steps(spec.thresholds));
  }
  return panel;
}
