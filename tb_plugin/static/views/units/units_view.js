// Selectivity vs importance: a point for each unit, a line for each layer, rank correlations in a
// table. Units in a box or a lasso are listed; a click on a point opens the unit inspector.

import { inside, niceExtent, paddedExtent, span } from "../../numbers/geometry.js";
import {
  columnNames,
  formatFraction,
  formatInterval,
  formatNumber,
  plural,
  sharedPhrases,
} from "../../numbers/labels.js";
import { relate, scaled } from "../../numbers/relations.js";
import { dataRemarks } from "../../numbers/remarks.js";
import { fittingScale, scaleOf } from "../../numbers/scales.js";
import { axesOf, axisColumns } from "../../numbers/unit_table.js";
import { readOutline, writeOutline } from "../../page/outline.js";
import { ChartFrame } from "../../parts/chart_frame.js";
import { dropDown, segmented, stepSlider } from "../../parts/controls.js";
import { el, fill } from "../../parts/dom.js";
import { Table } from "../../parts/table.js";
import {
  chosenTable,
  loadTable,
  noTable,
  showTableRuns,
  tablesOf,
  unitTables,
} from "../../parts/unit_tables.js";
import { unitsOption } from "./units_chart.js";
import { rhoWords, statisticsColumns, unitColumns } from "./units_tables.js";

/**
 * @typedef {import("../../page/model.js").Model} Model
 * @typedef {ReturnType<typeof relate>} Related
 */

export class UnitsView {
  /** @param {import("../../parts/chart_frame.js").Context} context */
  constructor(context) {
    this.context = context;
    this.table = /** @type {import("../../numbers/types.js").UnitTable | null} */ (null);
    this.series = /** @type {import("../../numbers/types.js").Series | undefined} */ (undefined);
    this.headers = /** @type {import("../../numbers/types.js").TableHeader[]} */ ([]);
    this.frame = new ChartFrame(context, {
      name: "selectivity_vs_importance",
      title: "Selectivity vs importance",
      renderer: "canvas",
      dragMode: () => /** @type {any} */ (context.model()?.state.drag ?? "zoom"),
      onOutline: (outline) => context.set({ outline: writeOutline(outline) }),
    });
    this.frame.chart.on("legendselectchanged", (event) => this.rememberLayers(event.selected));
    this.frame.chart.on("click", (event) => this.clicked(event));
    this.statistics = new Table({ sortBy: "", caption: "Rank correlation by layer" });
    this.selection = el("section", { class: "selection", hidden: true });
    this.selected = new Table({ sortBy: "", caption: "Selected units" });
    this.sortedBy = ""; // the quantity that the selected units were sorted by
    this.frame.details.append(this.selection, this.statistics.element);
    this.controls = this.makeControls();
    this.element = this.frame.element;
  }

  makeControls() {
    const { set } = this.context;
    const axisChanged = (/** @type {Partial<import("../../page/state.js").State>} */ change) => {
      this.frame.zoomTo(null);
      set({ ...change, outline: "" });
    };
    const tag = dropDown("Table", (unitTag) => set({ unitTag }));
    const x = dropDown("Across", (unitX) => axisChanged({ unitX }));
    const y = dropDown("Up", (unitY) => axisChanged({ unitY }));
    const marks = segmented(
      "Show",
      [
        ["points", "points"],
        ["density", "density"],
      ],
      (marks) => set({ marks }),
    );
    const drag = segmented(
      "Drag to",
      [
        ["zoom", "zoom"],
        ["box", "select a box"],
        ["lasso", "lasso"],
      ],
      (drag) => set({ drag }),
    );
    const scale = segmented(
      "Scale",
      [
        ["linear", "linear"],
        ["symlog", "symlog"],
        ["rank", "rank"],
      ],
      (scale) => axisChanged({ scale }),
    );
    const silent = segmented(
      "Silent units",
      [
        ["keep", "keep"],
        ["omit", "leave out"],
      ],
      (silent) => set({ silent }),
    );
    const step = stepSlider((unitStep) => set({ unitStep }));
    const all = { tag, x, y, scale, marks, drag, silent, step };
    this.frame.controls.append(...Object.values(all).map((c) => c.element));
    return all;
  }

  /** @param {Model} model */
  update(model) {
    const { index, state } = model;
    const tables = this.context.runList.narrow(unitTables(index), state);
    const series = chosenTable(tables, state);
    showTableRuns(this.context.runList, tables, series, model);
    this.controls.silent.set(state.silent);
    this.controls.marks.set(state.marks);
    this.controls.drag.set(state.drag);
    if (!series) return this.say(noTable(tables));
    const tags = tablesOf(tables, series.run);
    this.controls.tag.set(
      tags.map((t) => [t, t]),
      series.tag,
    );
    this.controls.tag.element.hidden = tags.length < 2;
    this.series = series;
    this.frame.load(
      JSON.stringify([model.version, series.run, series.tag, state.unitStep]),
      () => loadTable(series, state.unitStep),
      ({ headers, table }) => Object.assign(this, { headers, table }),
      () => this.draw(),
    );
  }

  draw() {
    const { state, index } = /** @type {Model} */ (this.context.model());
    const table = /** @type {import("../../numbers/types.js").UnitTable} */ (this.table);
    const { xName, yName } = axesOf(table, state, this.series?.meta.facts);
    const choices = /** @type {[string, string][]} */ (
      axisColumns(table.columns.keys()).map((c) => [c, columnNames(c).short])
    );
    this.controls.x.set(choices, xName);
    this.controls.y.set(choices, yName);
    this.controls.step.set(
      this.headers.map((h) => h.step),
      state.unitStep,
    );
    const related = relate(table, xName, yName, state.silent === "omit", state.layersOff);
    if (!related.layers.some((layer) => layer.rows.length))
      return this.say("No unit of this table has both quantities. Choose other axes.");
    const outline = readOutline(state.outline);
    const up = related.layers.flatMap((group) => [...group.y]);
    const scale = scaleOf(state.scale || fittingScale(up), up);
    this.controls.scale.set(scale.kind);
    const drawn = scaled(related, scale);
    const within = outline.length ? inside(drawn.all.x, drawn.all.y, outline) : [];
    this.showSelection(related, within, xName, yName);
    this.showStatistics(related);
    const option = (/** @type {boolean} */ forExport) =>
      this.option(drawn, scale, xName, yName, within, forExport);
    this.frame.show({
      option: option(false),
      still: option(true),
      count: related.all.rows.length,
      subtitle:
        (state.marks === "density" ? "the stronger the colour of a cell, the more units · " : "") +
        this.describeAll(related),
      remarks: dataRemarks(index, "single_directions_units", this.headers.length),
      columns: this.unitColumns(xName, yName),
      rows: related.all.rows,
    });
  }

  /** @param {Related} related  on the scale @param {import("../../numbers/scales.js").Scale} scale
   * @param {string} xName @param {string} yName
   * @param {number[]} within  places of selected points @param {boolean} forExport */
  option(related, scale, xName, yName, within, forExport) {
    const { state, theme } = /** @type {Model} */ (this.context.model());
    // The extent covers all layers, so hiding one does not move the others.
    const extent = (/** @type {string} */ name, /** @type {"x" | "y"} */ axis) =>
      axis === "y" && scale.kind === "rank"
        ? niceExtent([0, related.layers.reduce((sum, group) => sum + group.y.length, 0)])
        : measuredExtent(name, axis);
    const measuredExtent = (/** @type {string} */ name, /** @type {"x" | "y"} */ axis) =>
      name === "class_selectivity" && (axis === "x" || scale.kind === "linear")
        ? /** @type {[number, number]} */ ([0, 1])
        : niceExtent(paddedExtent(related.layers.flatMap((g) => (g.x.length ? span(g[axis]) : []))));
    return unitsOption({
      related,
      names: related.layers.map((g) => String(g.layer)),
      allName: this.allName(),
      pooledName: this.pooledName(related),
      xTitle: columnNames(xName).axis,
      yTitle: scale.title(columnNames(yName).axis),
      scale,
      xExtent: extent(xName, "x"),
      yExtent: extent(yName, "y"),
      hidden: state.layersOff,
      zoom: this.frame.zoom,
      theme,
      asDensity: state.marks === "density",
      selected: within,
      describe: (layer, i) => this.tooltip(related.layers[layer].rows[i]),
      spoken: `${columnNames(yName).short} against ${columnNames(xName).short}, one point for each of ${plural(related.all.rows.length, "unit")}. Spearman correlation ${formatFraction(related.all.rho)}. The table below lists each layer.`,
      forExport,
    });
  }

  /** The name of the pooled line; never the name of a layer, which the legend could not
   * distinguish. */
  allName() {
    let name = "all layers";
    while (this.table?.layers.includes(name)) name += "*";
    return name;
  }

  /** Name of the units taken together: of all layers, or of the layers that the legend shows.
   * @param {Related} related */
  pooledName({ layers }) {
    const { state } = /** @type {Model} */ (this.context.model());
    const hidden = layers.some(({ layer }) => state.layersOff.includes(String(layer)));
    return hidden ? "layers shown" : this.allName();
  }

  /** @param {number} row */
  tooltip(row) {
    const table = /** @type {import("../../numbers/types.js").UnitTable} */ (this.table);
    const lines = axisColumns(table.columns.keys()).map((name) =>
      el(
        "tr",
        {},
        el("td", {}, columnNames(name).short),
        el("td", { class: "number" }, formatNumber(table.columns.get(name)?.[row], 6)),
      ),
    );
    const title = `${table.layers[table.layer[row]]}, unit ${table.unit[row]}`;
    return el(
      "div",
      { class: "tooltip" },
      el("strong", {}, title),
      el("table", {}, ...lines),
      el("p", { class: "faint" }, "Click to inspect this unit"),
    );
  }

  /** @param {any} event  of ECharts, on a point */
  clicked(event) {
    const layer = /^points:(\d+)$/.exec(event.seriesId ?? "")?.[1];
    const { state } = /** @type {Model} */ (this.context.model());
    const table = this.table;
    if (layer === undefined || !table) return;
    const { xName, yName } = axesOf(table, state, this.series?.meta.facts);
    const group = relate(table, xName, yName, state.silent === "omit").layers[Number(layer)];
    this.context.set({ view: "unit", inspect: [String(group.rows[event.dataIndex])] });
  }

  /** A table of the units inside the outline. @param {Related} related
   * @param {number[]} within @param {string} xName @param {string} yName */
  showSelection(related, within, xName, yName) {
    const { state } = /** @type {Model} */ (this.context.model());
    this.selection.hidden = !state.outline;
    if (!state.outline) return;
    const rows = within.map((i) => related.all.rows[i]);
    // The user framed the highest or the lowest, so these come first until a heading is clicked.
    if (this.sortedBy !== yName)
      Object.assign(this.selected, { sortBy: columnNames(yName).short, descending: true });
    this.sortedBy = yName;
    this.selected.caption = `${plural(rows.length, "unit")} selected`;
    this.selected.show(this.unitColumns(xName, yName), rows);
    fill(
      this.selection,
      this.selected.element,
      el(
        "button",
        { class: "button", on: { click: () => this.context.set({ outline: "" }) } },
        "Clear the selection",
      ),
    );
  }

  /** @param {Related} related */
  showStatistics(related) {
    const { theme, state } = /** @type {Model} */ (this.context.model());
    const groups = related.layers.length > 1 ? [...related.layers, related.all] : related.layers;
    const columns = statisticsColumns(related, state.layersOff, this.pooledName(related), theme);
    this.statistics.show(columns, groups);
  }

  /** One row a unit, the two axes first. @param {string} xName @param {string} yName */
  unitColumns(xName, yName) {
    const table = /** @type {import("../../numbers/types.js").UnitTable} */ (this.table);
    return unitColumns(table, xName, yName, (row) => this.inspectButton(row));
  }

  /** @param {number} row */
  inspectButton(row) {
    const click = () => this.context.set({ view: "unit", inspect: [String(row)] });
    return el("button", { class: "text-button", type: "button", on: { click } }, "inspect");
  }

  /** Correlations within layers come first: pooled, they would mix relations within layers with
   * differences between layers. @param {Related} related */
  describeAll(related) {
    const { n } = /** @type {import("../../numbers/types.js").UnitTable} */ (this.table);
    const { state } = /** @type {Model} */ (this.context.model());
    const shown = related.layers.filter(({ layer }) => !state.layersOff.includes(String(layer)));
    const drawn = related.all.rows.length;
    const units = drawn === n ? plural(n, "unit") : `${drawn.toLocaleString("en")} of ${plural(n, "unit")}`;
    const silent = related.all.silent ? [`${related.all.silent} silent`] : [];
    const facts = sharedPhrases(this.series ? [this.series] : []);
    const together =
      shown.length > 1 ? [`together ${formatFraction(related.all.rho)}${formatInterval(related.all.interval)}`] : [];
    return [`Spearman ρ: ${rhoWords(shown)}`, ...together, units, ...silent, ...facts].join(" · ");
  }

  /** @param {Record<string, boolean>} selected */
  rememberLayers(selected) {
    this.context.set({ layersOff: Object.keys(selected).filter((name) => !selected[name]) });
  }

  /** @param {string} text */
  say(text) {
    this.statistics.show([], []);
    this.selection.hidden = true;
    this.frame.say(text);
  }
}
