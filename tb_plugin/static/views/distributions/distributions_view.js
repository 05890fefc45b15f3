// The distribution of selectivity, mutual information or another quantity over units, in a panel
// for each layer or for all layers together, with runs overlaid (paper section 3.4, Figs. 6 and
// A2).

import { niceExtent } from "../../numbers/geometry.js";
import { histogramOutline, pooledCounts } from "../../numbers/histogram.js";
import {
  briefTitle,
  columnNames,
  compareFacts,
  formatNumber,
  legendLabels,
  plural,
  seriesLabels,
  sharedPhrases,
} from "../../numbers/labels.js";
import { dataRemarks } from "../../numbers/remarks.js";
import { runsChosen, runsMatching } from "../../numbers/runs.js";
import { fetchDistributions } from "../../page/api.js";
import { colouredBy, seriesColours } from "../../page/colours.js";
import { axis, frame as chartBasics, histogramTooltip, legend } from "../../parts/axes.js";
import { ChartFrame } from "../../parts/chart_frame.js";
import { dropDown, segmented, stepSlider } from "../../parts/controls.js";
import { el, swatch } from "../../parts/dom.js";
import { Table } from "../../parts/table.js";
import { unitTables } from "../../parts/unit_tables.js";

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
// Heights in pixels. TOP: above the first panel. PANEL: a panel with name and numbers, its frame,
// its name. BOTTOM: names of the lowest axes.
const TOP = 44;
const PANEL = { height: 218, frame: 150, name: 24 };
const BOTTOM = 34;
// Line styles of networks with the same colour.
const DASHES = ["solid", "dashed", "dotted"];

/** @typedef {import("../../page/model.js").Model} Model */

export class DistributionsView {
  /** @param {import("../../parts/chart_frame.js").Context} context */
  constructor(context) {
    this.context = context;
    this.found = /** @type {import("../../numbers/types.js").Distributions} */ ({ edges: [], tables: [] });
    this.offered = /** @type {import("../../numbers/types.js").Series[]} */ ([]);
    this.series = /** @type {import("../../numbers/types.js").Series[]} */ ([]);
    this.frame = new ChartFrame(context, { name: "distributions", title: "Distribution over units" });
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
    const by = colouredBy(this.offered, state.colour);
    const colours = seriesColours(tables, by, model.theme, model.allRuns, this.offered);
    const entries = new Map();
    tables.forEach((s, i) => {
      entries.set(s.run, { run: s.run, label: labels[i], colour: colours[i] });
    });
    this.context.runList.showMany([...entries.values()], state);
    const measured = new Set(everywhere.map((s) => s.run));
    this.context.runList.showOthers(index.runs.filter((run) => !measured.has(run)));
    this.column.set(
      COLUMNS.map((name) => [name, columnNames(name).short]),
      state.column,
    );
    this.pool.set(state.pool);
    const { differing } = compareFacts(this.offered.map((s) => s.meta.facts));
    this.colour.set(
      [["run", "TensorBoard's run colours"], ...differing.map((n) => /** @type {any} */ ([n, `by ${n}`]))],
      differing.includes(by) ? by : "run",
    );
    this.series = runsChosen(tables, state);
    if (!tables.length)
      return this.say(
        "No unit tables in this log directory. Write them with tb_plugin.summary.unit_table.",
      );
    if (!this.series.length)
      return this.say("No run is chosen. Tick one in the list, or change the filter.");
    this.frame.load(
      JSON.stringify([
        model.version,
        state.column,
        state.unitStep,
        this.series.map((s) => [s.run, s.tag]),
      ]),
      () => fetchDistributions(this.series, state.column, state.unitStep),
      (found) => (this.found = found),
      () => this.draw(),
    );
  }

  draw() {
    const { state, index } = /** @type {Model} */ (this.context.model());
    const items = this.items();
    if (!items.length)
      return this.say(`${columnNames(state.column).short} was not measured in the chosen runs.`);
    const steps = new Set(items.flatMap((item) => item.table.steps));
    this.step.set(
      [...steps].sort((a, b) => a - b),
      state.unitStep,
    );
    const panels = state.pool === "all" ? ["all layers"] : panelNames(items);
    const shown = panels.slice(0, MOST_PANELS);
    const mostSteps = Math.max(...items.map((item) => item.table.steps.length));
    const remarks = dataRemarks(index, "single_directions_units", mostSteps);
    if (panels.length > shown.length)
      remarks.push(`The first ${shown.length} of ${panels.length} layers are drawn; the table has all.`);
    const missing = this.found.tables.filter((t) => t.error);
    if (missing.length)
      remarks.push(`Not shown: ${plural(missing.length, "table")}. The first: ${missing[0].run}: ${missing[0].error}.`);
    const shared = sharedPhrases(items.map((i) => i.series));
    this.showMeans(items);
    const rows = Math.ceil(shown.length / 2);
    this.frame.card.chartHost.style.height = `${TOP + rows * panelHeight(shown.length) + BOTTOM}px`;
    this.frame.show({
      option: this.option(items, shown),
      count: items.length,
      subtitle: ["triangles: means", "silent units are counted", ...shared].join(" · "),
      remarks,
      ...this.numbers(items),
    });
  }

  /** The tables that could be read, with labels and colours. */
  items() {
    const { state, theme, allRuns } = /** @type {Model} */ (this.context.model());
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
    const by = colouredBy(this.offered, state.colour);
    const colours = seriesColours(series, by, theme, allRuns, this.offered);
    return both.map((b, i) => {
      const alike = colours.slice(0, i).filter((colour) => colour === colours[i]).length;
      return { ...b, label: labels[i], colour: colours[i], dash: DASHES[alike % DASHES.length] };
    });
  }

  /** Small multiples, two across. @param {ReturnType<DistributionsView["items"]>} items
   * @param {string[]} panels */
  option(items, panels) {
    const { state, theme } = /** @type {Model} */ (this.context.model());
    const { edges } = this.found;
    const across = panels.length > 1 ? 2 : 1;
    const height = panelHeight(panels.length);
    const top = (/** @type {number} */ i) => TOP + Math.floor(i / across) * height;
    const sides = (/** @type {number} */ i) =>
      across === 1
        ? { left: 64, right: 24 }
        : i % 2
          ? { left: "54%", right: 24 }
          : { left: 64, right: "50%" };
    const place = (/** @type {number} */ i) => ({
      ...sides(i),
      top: top(i) + PANEL.name,
      height: height - (PANEL.height - PANEL.frame),
    });
    const zoom = this.frame.zoom;
    const extent = /** @type {[number, number]} */ ([edges[0], edges[edges.length - 1]]);
    const bottom = (/** @type {number} */ i) => i >= panels.length - across;
    const lines = panels.flatMap((panel, at) => shareLines(items, state.pool, panel, at));
    // One scale for all panels, so that they can be compared.
    const shares = niceExtent([0, Math.max(0.05, ...lines.flatMap((line) => line.heights))]);
    return {
      ...chartBasics(theme, `Distribution of ${columnNames(state.column).short} over units, ${plural(items.length, "run")}.`),
      title: panels.map((text, i) => ({
        text,
        left: sides(i).left,
        top: top(i),
        padding: 0,
        textStyle: { color: theme.text, fontSize: 12.5, fontWeight: 500 },
      })),
      legend: legend(theme, { left: 58, right: 16, data: items.map((i) => i.label), selectedMode: false }),
      grid: panels.map((_, i) => place(i)),
      tooltip: histogramTooltip(
        theme,
        edges,
        "share of units",
        (grid) =>
          lines
            .filter(({ at }) => at === grid)
            .map(({ item: { label, colour }, heights }) => ({ label, colour, heights })),
        (grid) => panels[grid],
      ),
      xAxis: panels.map((_, i) => ({
        ...axis(theme, bottom(i) ? briefTitle(state.column) : "", extent, zoom.x, {
          nameGap: 26,
          splitLine: { show: false },
        }),
        gridIndex: i,
      })),
      yAxis: panels.map((_, i) => ({
        ...axis(theme, i % across ? "" : "Share of units", shares, zoom.y, {
          nameGap: 42,
          splitNumber: 3,
          // The panel at the left has the same scale, and narrow windows lack room for both.
          ...(i % across ? { axisLabel: { show: false } } : {}),
        }),
        gridIndex: i,
      })),
      series: lines.map(({ item, at, heights }) => ({
        name: item.label,
        type: "line",
        xAxisIndex: at,
        yAxisIndex: at,
        data: histogramOutline(edges, heights),
        symbol: "none",
        lineStyle: { width: 2, color: item.colour, type: item.dash },
        itemStyle: { color: item.colour },
        areaStyle: { color: item.colour, opacity: 0.1 },
      })).concat(lines.map(({ item, at, mean }) => meanTick(mean, shares[1], item.colour, at))),
    };
  }

  /** @param {ReturnType<DistributionsView["items"]>} items */
  showMeans(items) {
    const rows = items.flatMap((item) => item.table.layers.map((layer) => ({ item, layer })));
    const number = (/** @type {string} */ label, /** @type {(l: any) => number} */ value) => ({
      label,
      numeric: true,
      value: (/** @type {any} */ r) => value(r.layer) ?? null,
      show: (/** @type {any} */ r) => formatNumber(value(r.layer)),
    });
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

  /** Every bin, for CSV and the table. @param {ReturnType<DistributionsView["items"]>} items */
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
        { label: "from", numeric: true, value: (r) => edges[r.bin], show: (r) => formatNumber(edges[r.bin]) },
        { label: "to", numeric: true, value: (r) => edges[r.bin + 1], show: (r) => formatNumber(edges[r.bin + 1]) },
        { label: "units", numeric: true, value: (r) => r.count },
      ]),
    };
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

/** Share of each run's units in each bin of a panel, for the runs that have the layer.
 * @param {ReturnType<DistributionsView["items"]>} items @param {string} pool
 * @param {string} panel @param {number} at  the panel's place */
function shareLines(items, pool, panel, at) {
  return items.flatMap((item) => {
    const { counts, n, mean } = pooledCounts(item.table.layers, pool === "all" ? null : panel);
    return n ? [{ item, at, mean, heights: counts.map((count) => count / n) }] : [];
  });
}

/** A triangle at the top of a panel that points at the mean.
 * @param {number} mean @param {number} top  of the vertical axis @param {string} colour
 * @param {number} at  the panel's place @returns {any} */
function meanTick(mean, top, colour, at) {
  return {
    type: "scatter",
    xAxisIndex: at,
    yAxisIndex: at,
    silent: true,
    clip: false,
    symbol: "path://M0,0L10,0L5,9Z",
    symbolSize: [11, 9],
    symbolOffset: [0, -5],
    itemStyle: { color: colour, opacity: 1 },
    tooltip: { show: false },
    z: 5,
    data: Number.isNaN(mean) ? [] : [[mean, top]],
  };
}

/** Height of a panel in pixels; a single panel is as high as two. @param {number} count */
function panelHeight(count) {
  return count > 1 ? PANEL.height : 2 * PANEL.height;
}
