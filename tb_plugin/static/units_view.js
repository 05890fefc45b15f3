// Selectivity vs importance: a point a unit, a line a layer, rank correlations in a table.

import { fetchTable, fetchTableSteps } from "./api.js";
import { Card } from "./card.js";
import { Chart } from "./chart.js";
import { dropDown, segmented, stepSlider } from "./controls.js";
import { el } from "./dom.js";
import {
  columnNames,
  factPhrase,
  formatFraction,
  formatNumber,
  naturalOrder,
  plural,
  seriesLabels,
} from "./labels.js";
import { Table } from "./table.js";
import { niceExtent, paddedExtent, relate, silentUnits } from "./transforms.js";
import { unitsOption } from "./units_chart.js";
import { dataRemarks, Loader } from "./view_support.js";
import { attachZoom } from "./zoom.js";

/** @typedef {import("./curves_view.js").Model} Model */

export class UnitsView {
  /** @param {any} echarts @param {(changes: Partial<import("./state.js").State>) => void} set
   * @param {import("./run_list.js").RunList} runList */
  constructor(echarts, set, runList) {
    this.model = /** @type {Model | null} */ (null);
    this.set = set;
    this.runList = runList;
    this.zoom = /** @type {import("./types.js").Window} */ ({});
    this.loader = new Loader();
    this.table = /** @type {import("./types.js").UnitTable | null} */ (null);
    this.series = /** @type {import("./types.js").Series | undefined} */ (undefined);
    this.headers = /** @type {import("./types.js").TableHeader[]} */ ([]);
    this.card = new Card({
      title: "Selectivity vs importance",
      fileName: "selectivity_vs_importance",
      onReset: () => this.zoomTo(null),
      onTable: () => set({ table: this.model?.state.table === "table" ? "chart" : "table" }),
    });
    this.chart = new Chart(echarts, this.card.chartHost, "canvas");
    this.chart.on("legendselectchanged", (event) => this.rememberLayers(event.selected));
    attachZoom(this.card.chartHost, this.chart, (window) => this.zoomTo(window));
    this.statistics = new Table({ sortBy: "", caption: "Rank correlation by layer" });
    this.card.details.append(this.statistics.element);
    this.controls = this.makeControls();
    this.element = this.card.element;
  }

  makeControls() {
    const { set } = this;
    const tag = dropDown("Table", (unitTag) => set({ unitTag }));
    const x = dropDown("Across", (unitX) => {
      this.zoom = {};
      set({ unitX });
    });
    const y = dropDown("Up", (unitY) => {
      this.zoom = {};
      set({ unitY });
    });
    const silent = segmented(
      "Silent units",
      [
        ["keep", "keep"],
        ["omit", "leave out"],
      ],
      (silent) => set({ silent }),
    );
    const step = stepSlider((unitStep) => set({ unitStep }));
    const all = { tag, x, y, silent, step };
    this.card.controls.append(...Object.values(all).map((c) => c.element));
    return all;
  }

  /** @param {Model} model */
  update(model) {
    this.model = model;
    const { index, state } = model;
    const tables = index.series.filter((s) => s.kind === "units");
    const series = this.chosen(tables, state);
    this.showRuns(tables, series, model);
    this.controls.silent.set(state.silent);
    if (!series)
      return this.say(
        "No unit tables in this log directory. Write them with tb_plugin.summary.unit_table.",
      );
    const tags = tables
      .filter((s) => s.run === series.run)
      .map((s) => s.tag)
      .sort(naturalOrder);
    this.controls.tag.set(
      tags.map((t) => [t, t]),
      series.tag,
    );
    this.controls.tag.element.hidden = tags.length < 2;
    this.load(series, model);
  }

  /** @param {import("./types.js").Series[]} tables @param {import("./state.js").State} state
   * @returns {import("./types.js").Series | undefined} */
  chosen(tables, state) {
    const labels = seriesLabels(tables);
    const sorted = tables
      .map((s, i) => ({ s, label: labels[i] }))
      .sort((a, b) => naturalOrder(a.label, b.label))
      .map(({ s }) => s);
    const ofRun = sorted.filter((s) => s.run === state.unitRun);
    return ofRun.find((s) => s.tag === state.unitTag) ?? ofRun[0] ?? sorted[0];
  }

  /** @param {import("./types.js").Series} series @param {Model} model */
  load(series, model) {
    const key = JSON.stringify([model.version, series.run, series.tag, model.state.unitStep]);
    this.series = series;
    const started = this.loader.load(
      key,
      () => loadTable(series, model.state.unitStep),
      ({ headers, table }) => {
        this.headers = headers;
        this.table = table;
        this.card.busy.hidden = true;
        this.draw();
      },
      (error) => {
        this.card.busy.hidden = true;
        const retry = () => this.model && this.update(this.model);
        this.card.say(error.message, { label: "Retry", run: retry });
      },
    );
    if (started) this.card.busy.hidden = false;
    else if (this.card.busy.hidden) this.draw();
  }

  draw() {
    const { state, theme, index } = /** @type {Model} */ (this.model);
    const table = /** @type {import("./types.js").UnitTable} */ (this.table);
    const columns = [...table.columns.keys()];
    const xName = columns.includes(state.unitX) ? state.unitX : columns[0];
    const yName = columns.includes(state.unitY)
      ? state.unitY
      : columns[Math.min(1, columns.length - 1)];
    const choices = /** @type {[string, string][]} */ (
      columns.map((c) => [c, columnNames(c).short])
    );
    this.controls.x.set(choices, xName);
    this.controls.y.set(choices, yName);
    this.controls.step.set(
      this.headers.map((h) => h.step),
      state.unitStep,
    );
    this.card.remark(dataRemarks(index, "single_directions_units", this.headers.length));
    const related = relate(table, xName, yName, state.silent === "omit");
    if (!related.all.rows.length)
      return this.say("No unit of this table has both quantities. Choose other axes.");
    this.card.say(null);
    this.card.subtitle.textContent = this.describeAll(related);
    this.showStatistics(related);
    this.showUnits(related, xName, yName);
    const option = this.option(related, xName, yName, false);
    this.card.save = async (type) => {
      const still = { ...this.option(related, xName, yName, true), backgroundColor: theme.surface };
      if (type === "png") return this.chart.png(still);
      return new Blob([this.chart.svg(still)], { type: "image/svg+xml" });
    };
    this.chart.draw(option);
    this.card.chartHost.dataset.drawn = String(related.all.rows.length);
  }

  /** @param {ReturnType<typeof relate>} related @param {string} xName @param {string} yName
   * @param {boolean} forExport */
  option(related, xName, yName, forExport) {
    const { state, theme } = /** @type {Model} */ (this.model);
    const extent = (/** @type {string} */ name, /** @type {Float64Array} */ values) =>
      name === "class_selectivity"
        ? /** @type {[number, number]} */ ([0, 1])
        : niceExtent(paddedExtent(values));
    return unitsOption({
      related,
      names: related.layers.map((g) => String(g.layer)),
      allName: this.allName(),
      xTitle: columnNames(xName).axis,
      yTitle: columnNames(yName).axis,
      xExtent: extent(xName, related.all.x),
      yExtent: extent(yName, related.all.y),
      hidden: state.layersOff,
      zoom: this.zoom,
      theme,
      describe: (layer, i) => this.tooltip(related.layers[layer].rows[i]),
      spoken: `${columnNames(yName).short} against ${columnNames(xName).short}, one point for each of ${plural(related.all.rows.length, "unit")}. Spearman correlation ${formatFraction(related.all.rho)}. The table below lists each layer.`,
      forExport,
    });
  }

  /** Never the name of a layer, which the legend could not tell from it. */
  allName() {
    let name = "all layers";
    while (this.table?.layers.includes(name)) name += "*";
    return name;
  }

  /** @param {number} row */
  tooltip(row) {
    const table = /** @type {import("./types.js").UnitTable} */ (this.table);
    const lines = [...table.columns].map(([name, values]) =>
      el(
        "tr",
        {},
        el("td", {}, columnNames(name).short),
        el("td", { class: "number" }, formatNumber(values[row], 6)),
      ),
    );
    const title = `${table.layers[table.layer[row]]}, unit ${table.unit[row]}`;
    return el("div", { class: "tooltip" }, el("strong", {}, title), el("table", {}, ...lines));
  }

  /** @param {ReturnType<typeof relate>} related */
  showStatistics(related) {
    const { theme } = /** @type {Model} */ (this.model);
    const groups = related.layers.length > 1 ? [...related.layers, related.all] : related.layers;
    const colour = (/** @type {any} */ g) =>
      g.layer === null ? theme.all : theme.layers[related.layers.indexOf(g) % theme.layers.length];
    const name = (/** @type {any} */ g) => g.layer ?? this.allName();
    this.statistics.show(
      [
        {
          label: "layer",
          value: name,
          show: (g) =>
            el(
              "span",
              { class: "named" },
              el("span", { class: "swatch", style: `background:${colour(g)}` }),
              name(g),
            ),
        },
        {
          label: "Spearman ρ",
          numeric: true,
          value: (g) => g.rho,
          show: (g) => formatFraction(g.rho),
        },
        {
          label: "units in ρ (n)",
          numeric: true,
          value: (g) => g.rows.length,
          show: (g) => formatNumber(g.rows.length),
        },
        {
          label: "silent units",
          numeric: true,
          value: (g) => g.silent,
          show: (g) => formatNumber(g.silent),
        },
        {
          label: "slope of the line",
          numeric: true,
          value: (g) => g.line?.slope ?? null,
          show: (g) => formatNumber(g.line?.slope),
        },
      ],
      groups,
    );
  }

  /** @param {ReturnType<typeof relate>} related @param {string} xName @param {string} yName */
  showUnits(related, xName, yName) {
    const { state } = /** @type {Model} */ (this.model);
    const table = /** @type {import("./types.js").UnitTable} */ (this.table);
    const silent = silentUnits(table);
    const others = [...table.columns.keys()].filter((c) => c !== xName && c !== yName);
    const measured = [...new Set([xName, yName]), ...others].map((name) => {
      const values = /** @type {Float32Array} */ (table.columns.get(name));
      return {
        label: columnNames(name).short,
        numeric: true,
        value: (/** @type {number} */ i) => values[i],
        show: (/** @type {number} */ i) => formatNumber(values[i], 6),
      };
    });
    this.card.setData(
      [
        { label: "layer", value: (i) => table.layers[table.layer[i]] },
        { label: "unit", numeric: true, value: (i) => table.unit[i] },
        ...measured,
        { label: "silent", value: (i) => (silent[i] ? "yes" : "no") },
      ],
      related.all.rows,
      state.table === "table",
    );
  }

  /** @param {import("./types.js").Series[]} tables
   * @param {import("./types.js").Series | undefined} series @param {Model} model */
  showRuns(tables, series, model) {
    const labels = seriesLabels(tables);
    const entries = new Map();
    tables.forEach((s, i) => {
      // No swatch: colour stands for layers here.
      if (!entries.has(s.run)) entries.set(s.run, { run: s.run, label: labels[i], colour: "" });
    });
    const sorted = [...entries.values()].sort((a, b) => naturalOrder(a.label, b.label));
    this.runList.showOne(sorted, model.state, series?.run ?? "");
    this.runList.showOthers(model.index.runs.filter((run) => !entries.has(run)));
  }

  /** @param {ReturnType<typeof relate>} related */
  describeAll(related) {
    const { n } = /** @type {import("./types.js").UnitTable} */ (this.table);
    const facts = Object.entries(this.series?.meta.facts ?? {}).map(factPhrase);
    const drawn = related.all.rows.length;
    const units = drawn === n ? [] : [`${plural(n, "unit")} in all`];
    const silent = related.all.silent ? [`${related.all.silent} silent`] : [];
    const rho = `Spearman ρ = ${formatFraction(related.all.rho)} over ${plural(drawn, "unit")}`;
    return [rho, ...units, ...silent, ...facts].join(" · ");
  }

  /** @param {Record<string, boolean>} selected */
  rememberLayers(selected) {
    this.set({ layersOff: Object.keys(selected).filter((name) => !selected[name]) });
  }

  /** @param {string} text */
  say(text) {
    this.loader.forget();
    this.loader.turn++;
    this.card.busy.hidden = true;
    this.card.subtitle.textContent = "";
    this.statistics.show([], []);
    this.card.setData([], [], false);
    this.card.say(text);
  }

  /** @param {import("./types.js").Window | null} window */
  zoomTo(window) {
    this.zoom = window ? { ...this.zoom, ...window } : {};
    if (this.card.rows.length) this.draw();
  }
}

/** The table at the latest step not after the one asked for; -1: the last.
 * @param {import("./types.js").Series} series @param {number} step */
async function loadTable(series, step) {
  const headers = await fetchTableSteps(series);
  const earlier = headers.filter((h) => step < 0 || h.step <= step);
  const header = earlier[earlier.length - 1] ?? headers[0];
  if (header.error)
    throw new Error(`The unit table at step ${header.step} cannot be read: ${header.error}.`);
  return { headers, table: await fetchTable(series, header) };
}
