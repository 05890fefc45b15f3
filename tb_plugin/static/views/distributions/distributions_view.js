// The distribution of selectivity, mutual information or another quantity over units, in a panel
// for each layer or for all layers together, with runs overlaid (paper section 3.4, Figs. 6 and
// A2).

import { numeric } from "../../numbers/columns.js";
import {
  columnNames,
  compareFacts,
  formatNumber,
  legendLabels,
  plural,
  seriesLabels,
  sharedPhrases,
} from "../../numbers/labels.js";
import { figureView } from "../../numbers/figure_views.js";
import { dataRemarks } from "../../numbers/remarks.js";
import { runsChosen, runsMatching } from "../../numbers/runs.js";
import { fetchDistributions } from "../../page/api.js";
import { colouredBy, pointedAt, seriesColours, seriesDashes } from "../../page/colours.js";
import { ChartFrame } from "../../parts/chart_frame.js";
import { dropDown, segmented, stepSlider } from "../../parts/controls.js";
import { el, swatch } from "../../parts/dom.js";
import { acrossOnPaper, layoutOf } from "../../parts/small_multiples.js";
import { Table } from "../../parts/table.js";
import { unitTables } from "../../parts/unit_tables.js";
import { distributionsOption } from "./distributions_chart.js";

const COLUMNS = [
  "class_selectivity",
  "mutual_information",
  "importance",
  "accuracy_drop",
  "largest_class_drop",
  "mean_activation",
  "sparsity",
  "weight_norm",
];
const MOST_PANELS = 12;

/**
 * @typedef {import("../../page/model.js").Model} Model
 * @typedef {import("./distributions_chart.js").Item} Item
 */

export class DistributionsView {
  /** @param {import("../../parts/chart_frame.js").Context} context */
  constructor(context) {
    this.context = context;
    this.found = /** @type {import("../../numbers/types.js").Distributions} */ ({ edges: [], tables: [] });
    this.offered = /** @type {import("../../numbers/types.js").Series[]} */ ([]);
    this.series = /** @type {import("../../numbers/types.js").Series[]} */ ([]);
    this.legendTitle = "";
    this.frame = new ChartFrame(context, {
      name: "distributions",
      title: "Distribution over units",
      onFit: () => this.draw(),
    });
    const { set } = context;
    this.column = dropDown("Quantity", (column) => set({ column }));
    this.pool = segmented(
      "Layers",
      [
        ["layers", "each"],
        ["all", "together"],
      ],
      (pool) => set({ pool }),
    );
    this.colour = dropDown("Colour", (colour) => set({ colour }));
    this.step = stepSlider((unitStep) => set({ unitStep }));
    const controls = [this.column, this.pool, this.colour, this.step];
    this.frame.controls.append(...controls.map((control) => control.element));
    this.means = new Table({ sortBy: "", caption: "By layer" });
    this.frame.details.append(this.means.element);
    this.element = this.frame.element;
  }

  /** @param {Model} model */
  update(model) {
    const { index, state } = model;
    const everywhere = unitTables(index);
    const tables = this.context.runList.narrow(everywhere, state);
    const labels = seriesLabels(tables);
    this.offered = runsMatching(tables, state);
    this.series = runsChosen(tables, state);
    const by = colouredBy(this.compared(), state.colour);
    const colours = seriesColours(tables, by, model.theme, model.allRuns, this.offered);
    const entries = new Map();
    tables.forEach((s, i) => {
      entries.set(s.run, { run: s.run, label: labels[i], colour: colours[i] });
    });
    this.context.runList.showMany([...entries.values()], state);
    const measured = new Set(everywhere.map((s) => s.run));
    this.context.runList.showOthers(index.runs.filter((run) => !measured.has(run)));
    const column = this.quantity(state);
    this.column.set(
      COLUMNS.map((name) => [name, columnNames(name).short]),
      column,
    );
    this.pool.set(state.pool);
    const { differing } = compareFacts(this.offered.map((s) => s.meta.facts));
    this.colour.set(
      [["run", "TensorBoard's run colours"], ...differing.map((n) => /** @type {any} */ ([n, `by ${n}`]))],
      differing.includes(by) ? by : "run",
    );
    if (!tables.length)
      return this.say(
        "No unit tables in this log directory. Write them with tb_plugin.summary.unit_table.",
      );
    if (!this.series.length)
      return this.say("No run is chosen. Tick one in the list, or change the filter.");
    this.frame.load(
      JSON.stringify([
        model.version,
        column,
        state.unitStep,
        this.series.map((s) => [s.run, s.tag]),
      ]),
      () => fetchDistributions(this.series, column, state.unitStep),
      (found) => (this.found = found),
      () => this.draw(),
    );
  }

  draw() {
    const { state, index, theme } = this.context.model();
    const items = this.items();
    if (!items.length)
      return this.say(`${columnNames(this.quantity(state)).short} was not measured in the chosen runs.`);
    const mostSteps = Math.max(...items.map((item) => item.table.steps.length));
    // If each run has one step only, there is no step to choose, even if the steps differ.
    const steps = new Set(mostSteps > 1 ? items.flatMap((item) => item.table.steps) : []);
    this.step.set(
      [...steps].sort((a, b) => a - b),
      state.unitStep,
    );
    const panels = state.pool === "all" ? ["all layers"] : panelNames(items);
    const shown = panels.slice(0, MOST_PANELS);
    const remarks = dataRemarks(index, "single_directions_units", mostSteps);
    if (panels.length > shown.length)
      remarks.push(`The first ${shown.length} of ${panels.length} layers are drawn; the table has all.`);
    const missing = this.found.tables.filter((t) => t.error);
    if (missing.length)
      remarks.push(`Not shown: ${plural(missing.length, "table")}. The first: ${missing[0].run}: ${missing[0].error}.`);
    const shared = sharedPhrases(items.map((i) => i.series));
    this.showMeans(items);
    const screen = layoutOf(shown.length, this.frame.acrossOf(shown.length));
    const paper = layoutOf(shown.length, acrossOnPaper(shown.length));
    const option = (/** @type {Item[]} */ drawn, /** @type {typeof screen} */ layout) =>
      distributionsOption({
        items: drawn,
        legendTitle: this.legendTitle,
        panels: shown,
        layout,
        edges: this.found.edges,
        column: this.quantity(state),
        pool: state.pool,
        zoom: this.frame.zoom,
        theme,
      });
    this.frame.show({
      option: option(items, screen),
      still: option(items, paper),
      height: screen.height,
      stillHeight: paper.height,
      pointed: (run) => pointedAt(items, ({ series }) => series.run === run, (drawn) => option(drawn, screen)),
      count: items.length,
      subtitle: ["triangles: means", "silent units are counted", ...shared].join(" · "),
      remarks,
      ...this.numbers(items),
    });
  }

  /** Runs that are compared: the ticked ones. */
  compared() {
    return this.series.length > 1 ? this.series : this.offered;
  }

  /** The quantity that the user chose, else the figure's. @param {import("../../page/state.js").State} state */
  quantity({ column }) {
    if (COLUMNS.includes(column)) return column;
    const [wanted] = figureView(this.series[0]?.meta.facts ?? {}, "distributions")?.axes ?? [];
    return COLUMNS.includes(wanted) ? wanted : COLUMNS[0];
  }

  /** The tables that could be read, with labels and colours. */
  items() {
    const { state, theme, allRuns } = this.context.model();
    const tables = this.found.tables.filter((t) => !t.error);
    const key = (/** @type {{run: string, tag: string}} */ s) => JSON.stringify([s.run, s.tag]);
    const known = new Map(this.series.map((s) => [key(s), s]));
    const both = tables.flatMap((table) => {
      const series = known.get(key(table));
      return series ? [{ table, series }] : [];
    });
    const series = both.map((b) => b.series);
    const { labels, title } = legendLabels(series);
    this.legendTitle = title;
    const by = colouredBy(this.compared(), state.colour);
    const colours = seriesColours(series, by, theme, allRuns, this.offered);
    const dashes = seriesDashes(series, by);
    return both.map((b, i) => ({ ...b, label: labels[i], colour: colours[i], dash: dashes[i] }));
  }

  /** @param {Item[]} items */
  showMeans(items) {
    const rows = items.flatMap((item) => item.table.layers.map((layer) => ({ item, layer })));
    const number = (/** @type {string} */ label, /** @type {(l: any) => number} */ value) =>
      numeric(label, (row) => value(row.layer) ?? null, formatNumber);
    this.means.show(
      [
        {
          label: this.legendTitle || "run",
          value: (r) => r.item.label,
          show: (r) => el("span", { class: "named" }, swatch(r.item.colour), r.item.label),
        },
        { label: "layer", value: (r) => r.layer.layer },
        number("units", (l) => l.n),
        number("mean", (l) => l.mean),
        number("5 %", (l) => l.quantiles?.[1]),
        number("median", (l) => l.quantiles?.[3]),
        number("95 %", (l) => l.quantiles?.[5]),
      ],
      rows,
    );
  }

  /** Every bin, for CSV and the table. @param {Item[]} items */
  numbers(items) {
    const { edges } = this.found;
    const rows = items.flatMap((item) =>
      item.table.layers.flatMap((layer) =>
        (layer.counts ?? []).map((count, bin) => ({ item, layer, bin, count })),
      ),
    );
    return {
      rows,
      columns: /** @type {import("../../numbers/types.js").Column[]} */ ([
        { label: "label", value: (r) => r.item.label },
        { label: "run", value: (r) => r.item.table.run },
        { label: "layer", value: (r) => r.layer.layer },
        numeric("from", (r) => edges[r.bin], formatNumber),
        numeric("to", (r) => edges[r.bin + 1], formatNumber),
        numeric("units", (r) => r.count),
      ]),
    };
  }

  /** Another run of the list is pointed at. */
  point() {
    this.frame.point();
  }

  /** @param {string} text */
  say(text) {
    this.means.show([], []);
    this.frame.say(text);
  }
}

/** Layers of all tables, in the order of the first table that has them.
 * @param {{table: {layers: {layer: string}[]}}[]} items */
function panelNames(items) {
  return [...new Set(items.flatMap((item) => item.table.layers.map((l) => l.layer)))];
}
