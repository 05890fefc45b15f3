// Selectivity vs importance: a point for each unit, a line for each layer, rank correlations in a
// table. Units in a box or a lasso are listed; a click on a point opens the unit inspector.

import { fittingArrangement } from "../../numbers/arrangement.js";
import { inside } from "../../numbers/geometry.js";
import {
  briefTitle,
  columnNames,
  formatFraction,
  formatInterval,
  formatNumber,
  plural,
  sharedPhrases,
} from "../../numbers/labels.js";
import { relate } from "../../numbers/relations.js";
import { dataRemarks } from "../../numbers/remarks.js";
import { axesOf, axisColumns } from "../../numbers/unit_table.js";
import { readOutline, writeOutline } from "../../page/outline.js";
import { ChartFrame } from "../../parts/chart_frame.js";
import { dropDown, segmented, stepSlider } from "../../parts/controls.js";
import { button, el, fill, textButton } from "../../parts/dom.js";
import { acrossOnPaper, layoutOf } from "../../parts/small_multiples.js";
import { Table } from "../../parts/table.js";
import {
  chosenTable,
  loadTable,
  noTable,
  showTableRuns,
  tablesOf,
  unitTables,
} from "../../parts/unit_tables.js";
import { layerOf, unitsOption } from "./units_chart.js";
import { panelsOf } from "./units_panels.js";
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
      dragMode: () => /** @type {any} */ (context.model().state.drag),
      onOutline: (outline, grid) => this.outline(outline, grid),
      onFit: () => this.draw(),
      panelOf: (grid) => (this.apart ? (this.plots[grid]?.layers[0] ?? -1) : -1),
    });
    this.plots = /** @type {import("./units_chart.js").Panel[]} */ ([]);
    this.single = true; // all layers are in one plot
    this.apart = false; // each panel has axes of its own
    this.frame.chart.on("legendselectchanged", (event) => this.rememberLayers(event.selected));
    this.frame.chart.on("click", (event) => this.clicked(event));
    this.statistics = new Table({ sortBy: "", caption: "Rank correlation by layer" });
    this.selection = el("section", { class: "selection", hidden: true });
    this.selected = new Table({ sortBy: "", caption: "Selected units" });
    this.sortedBy = ""; // the quantity that the selected units were sorted by
    this.about = el("p", { class: "faint" });
    this.frame.details.append(this.selection, this.statistics.element, this.about);
    this.controls = this.makeControls();
    this.element = this.frame.element;
  }

  makeControls() {
    const { set } = this.context;
    const axisChanged = (/** @type {Partial<import("../../page/state.js").State>} */ change) => {
      this.frame.zoomTo(null);
      set({ ...change, outline: "", outlined: "" });
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
    const panels = segmented(
      "Layers",
      [
        ["one", "in one plot"],
        ["shared", "a panel each"],
        ["own", "own axes"],
      ],
      (panels) => axisChanged({ panels }),
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
    const all = { tag, x, y, panels, scale, marks, drag, silent, step };
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
    const { state, index } = this.context.model();
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
    const arrangement = /** @type {import("../../numbers/arrangement.js").Arrangement} */ (
      state.panels || fittingArrangement(related.layers)
    );
    this.apart = arrangement === "own";
    const { panels, drawn, single, kind, left } = panelsOf({
      related,
      arrangement,
      hidden: state.layersOff,
      kind: state.scale,
      xName,
      yName,
      zoomOf: (layer) => this.frame.zoomOf(this.apart ? layer : -1),
    });
    Object.assign(this, { plots: panels, single });
    this.controls.scale.set(kind);
    this.controls.panels.set(arrangement);
    this.controls.panels.element.hidden = related.layers.length < 2;
    const selected = this.within(drawn);
    this.showSelection(selected.flatMap((places, i) => places.map((j) => related.layers[i].rows[j])), xName, yName);
    this.showStatistics(related);
    const facts = sharedPhrases(this.series ? [this.series] : []);
    this.about.textContent = facts.length ? `This network: ${facts.join(" · ")}` : "";
    const layout = (/** @type {number} */ across) => (single ? null : layoutOf(panels.length, across));
    const [screen, paper] = [layout(this.frame.acrossOf(single ? 0 : panels.length)), layout(acrossOnPaper(panels.length))];
    const asked = { related: drawn, panels, selected };
    const remarks = dataRemarks(index, "single_directions_units", this.headers.length);
    if (left)
      remarks.push(`${left} more layers have no panel: hide others in the legend to see them; the table has all.`);
    this.frame.show({
      option: this.option(asked, screen, xName, yName, false),
      still: this.option(asked, paper, xName, yName, true),
      height: screen?.height,
      stillHeight: paper?.height,
      count: related.all.rows.length,
      subtitle: [
        state.marks === "density" && "the stronger the colour of a cell, the more units",
        !single && this.apart && "each panel has its own axes",
        this.describeAll(related, single),
      ]
        .filter(Boolean)
        .join(" · "),
      about: this.about.textContent ?? "",
      remarks,
      columns: this.unitColumns(xName, yName),
      rows: related.all.rows,
    });
  }

  /** Units of each layer inside the outline: of the layer in whose panel it was drawn, or of all that
   * are shown. @param {Related} drawn  on the scales of their plots @returns {number[][]} */
  within({ layers }) {
    const { state } = this.context.model();
    const outline = readOutline(state.outline);
    const looked = (/** @type {string} */ layer) =>
      !state.layersOff.includes(layer) && (!state.outlined || state.outlined === layer);
    return layers.map(({ layer, x, y }) =>
      outline.length && looked(String(layer)) ? inside(x, y, outline) : [],
    );
  }

  /** @param {[number, number][]} outline @param {number} grid  the panel in which it was drawn */
  outline(outline, grid) {
    const layers = this.plots[grid]?.layers ?? [];
    const outlined = this.single ? "" : (this.table?.layers[layers[0]] ?? "");
    this.context.set({ outline: writeOutline(outline), outlined });
  }

  /** @param {Pick<import("./units_chart.js").UnitsChart, "related" | "panels" | "selected">} asked
   * @param {import("../../parts/small_multiples.js").Layout | null} layout
   * @param {string} xName @param {string} yName @param {boolean} forExport */
  option({ related, panels, selected }, layout, xName, yName, forExport) {
    const { state, theme } = this.context.model();
    const rows = related.all.rows;
    // Panels are too narrow for what a quantity means.
    const titleOf = layout ? briefTitle : (/** @type {string} */ name) => columnNames(name).axis;
    return unitsOption({
      related,
      panels,
      layout,
      apart: this.apart,
      names: related.layers.map((g) => String(g.layer)),
      allName: this.allName(),
      pooledName: this.pooledName(related),
      xTitle: titleOf(xName),
      yTitle: yTitle(panels, titleOf(yName), layout !== null),
      hidden: state.layersOff,
      theme,
      asDensity: state.marks === "density",
      selected,
      describe: (layer, i) => this.tooltip(related.layers[layer].rows[i]),
      spoken: `${columnNames(yName).short} against ${columnNames(xName).short}, one point for each of ${plural(rows.length, "unit")}${layout ? `, a panel for each of ${panels.length} layers` : ""}. Spearman correlation ${formatFraction(related.all.rho)}. The table below lists each layer.`,
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
    const { state } = this.context.model();
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
    const layer = layerOf(event.seriesId);
    const { state } = this.context.model();
    const table = this.table;
    if (layer < 0 || !table) return;
    const { xName, yName } = axesOf(table, state, this.series?.meta.facts);
    const group = relate(table, xName, yName, state.silent === "omit").layers[layer];
    this.context.set({ view: "unit", inspect: [String(group.rows[event.dataIndex])] });
  }

  /** A table of the units inside the outline. @param {number[]} rows  of the unit table
   * @param {string} xName @param {string} yName */
  showSelection(rows, xName, yName) {
    const { state } = this.context.model();
    this.selection.hidden = !state.outline;
    if (!state.outline) return;
    // The user framed the highest or the lowest, so these come first until a heading is clicked.
    if (this.sortedBy !== yName)
      Object.assign(this.selected, { sortBy: columnNames(yName).short, descending: true });
    this.sortedBy = yName;
    this.selected.caption = `${plural(rows.length, "unit")} selected`;
    this.selected.show(this.unitColumns(xName, yName), rows);
    fill(
      this.selection,
      this.selected.element,
      button("Clear the selection", () => this.context.set({ outline: "", outlined: "" })),
    );
  }

  /** @param {Related} related */
  showStatistics(related) {
    const { theme, state } = this.context.model();
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
    return textButton("inspect", click);
  }

  /** Correlations within layers come first: pooled, they would mix relations within layers with
   * differences between layers. Panels have each layer's in their names.
   * @param {Related} related @param {boolean} single  all layers are in one plot */
  describeAll(related, single) {
    const { n } = /** @type {import("../../numbers/types.js").UnitTable} */ (this.table);
    const { state } = this.context.model();
    const shown = related.layers.filter(({ layer }) => !state.layersOff.includes(String(layer)));
    const drawn = related.all.rows.length;
    const units = drawn === n ? plural(n, "unit") : `${drawn.toLocaleString("en")} of ${plural(n, "unit")}`;
    const silent = related.all.silent ? [`${related.all.silent} silent`] : [];
    const together =
      shown.length > 1 ? [`together ${formatFraction(related.all.rho)}${formatInterval(related.all.interval)}`] : [];
    const each = single || shown.length < 2 ? [rhoWords(shown)] : [];
    return [`Spearman ρ: ${[...each, ...together].join(" · ")}`, units, ...silent].join(" · ");
  }

  /** @param {Record<string, boolean>} selected */
  rememberLayers(selected) {
    this.context.set({ layersOff: Object.keys(selected).filter((name) => !selected[name]) });
  }

  /** @param {string} text */
  say(text) {
    this.statistics.show([], []);
    this.about.textContent = "";
    this.selection.hidden = true;
    this.frame.say(text);
  }
}

/** The name of the upright axis; the short one of panels does not say how far a scale is linear, in
 * which they may differ. @param {import("./units_chart.js").Panel[]} panels @param {string} name
 * @param {boolean} brief */
function yTitle([{ scale }], name, brief) {
  return brief && scale.kind !== "linear" ? `${name}, ${scale.kind}` : scale.title(name);
}
