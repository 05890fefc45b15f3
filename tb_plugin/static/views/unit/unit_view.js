// The unit inspector: chooses units of a table and shows them beside each other.

import { sharedPhrases } from "../../numbers/labels.js";
import { selectiveAndConfusing } from "../../numbers/unit_table.js";
import { button, el, fill } from "../../parts/dom.js";
import { Loader } from "../../parts/loader.js";
import {
  chosenTable,
  loadTable,
  noTable,
  showTableRuns,
  unitTables,
} from "../../parts/unit_tables.js";
import { UnitPanel } from "./unit_panel.js";

const MOST_UNITS = 4;

/** @typedef {import("../../page/model.js").Model} Model */

export class UnitView {
  /** @param {import("../../parts/chart_frame.js").Context} context */
  constructor(context) {
    this.context = context;
    this.loader = new Loader();
    this.table = /** @type {import("../../numbers/types.js").UnitTable | null} */ (null);
    this.header = /** @type {import("../../numbers/types.js").TableHeader | null} */ (null);
    this.series = /** @type {import("../../numbers/types.js").Series | undefined} */ (undefined);
    this.panels = /** @type {UnitPanel[]} */ ([]);
    this.heading = el("div", { class: "card-body row" });
    this.pair = el("div", { class: "pair" });
    this.note = el("p", { class: "subtitle" });
    this.element = el(
      "div",
      { class: "stack" },
      el(
        "section",
        { class: "card", "aria-label": "Unit inspector" },
        el("header", { class: "card-head" }, el("div", {}, el("h2", {}, "Unit inspector"), this.note)),
        this.heading,
      ),
      this.pair,
    );
  }

  /** @param {Model} model */
  update(model) {
    const tables = this.context.runList.narrow(unitTables(model.index), model.state);
    const series = chosenTable(tables, model.state);
    showTableRuns(this.context.runList, tables, series, model);
    this.series = series;
    if (!series) {
      this.table = null;
      this.loader.forget();
      this.panels = [];
      this.note.textContent = noTable(tables);
      fill(this.pair);
      return fill(this.heading);
    }
    const started = this.loader.load(
      JSON.stringify([model.version, series.run, series.tag, model.state.unitStep]),
      () => loadTable(series, model.state.unitStep),
      ({ header, table }) => {
        Object.assign(this, { header, table });
        this.draw();
      },
      (error) => {
        this.panels = [];
        fill(this.pair);
        const retry = () => this.update(this.context.model());
        this.note.textContent = "";
        fill(this.heading, el("p", { role: "alert" }, error.message), button("Retry", retry));
      },
    );
    if (!started && this.table) this.draw();
  }

  draw() {
    const { state } = this.context.model();
    const table = /** @type {import("../../numbers/types.js").UnitTable} */ (this.table);
    this.note.textContent = sharedPhrases(this.series ? [this.series] : []).join(" · ");
    const asked = state.inspect.map(Number).filter((row) => row >= 0 && row < table.n);
    const rows = asked.length ? asked.slice(0, MOST_UNITS) : [selectiveAndConfusing(table)[0]];
    fill(this.heading, ...this.choosers(table, rows));
    if (this.panels.length !== rows.length) {
      this.panels = rows.map((_, i) => new UnitPanel(this.context, i));
      fill(this.pair, ...this.panels.map((panel) => panel.element));
      this.pair.classList.toggle("alone", rows.length === 1);
    }
    rows.forEach((row, i) => this.panels[i].update(this, row));
  }

  /** Buttons and boxes that choose units. @param {import("../../numbers/types.js").UnitTable} table
   * @param {number[]} rows */
  choosers(table, rows) {
    const inspect = (/** @type {number[]} */ wanted) =>
      this.context.set({ inspect: wanted.map(String) });
    const layer = el(
      "select",
      { "aria-label": "Layer" },
      ...table.layers.map((name, i) => el("option", { value: i }, name)),
    );
    layer.value = String(table.layer[rows[0]]);
    const unit = el("input", {
      type: "number",
      min: 0,
      value: table.unit[rows[0]],
      "aria-label": "Unit",
      class: "unit-number",
    });
    const go = () => {
      const row = nearestRow(table, Number(layer.value), Number(unit.value));
      unit.value = String(table.unit[row]);
      inspect([row, ...rows.slice(1)]);
    };
    layer.addEventListener("change", go);
    unit.addEventListener("change", go);
    return [
      el("label", { class: "row" }, "Unit", layer, unit),
      button("A selective and a confusing unit", () =>
        inspect(selectiveAndConfusing(table)),
      ),
      rows.length > 1 && button("Only the first", () => inspect([rows[0]])),
      button("Back to the plot", () => this.context.set({ view: "units" })),
    ];
  }
}

/** The unit of that number, or the nearest number in the layer.
 * @param {import("../../numbers/types.js").UnitTable} table @param {number} layer
 * @param {number} unit */
function nearestRow(table, layer, unit) {
  const rows = Array.from({ length: table.n }, (_, i) => i).filter((i) => table.layer[i] === layer);
  const away = (/** @type {number} */ row) => Math.abs(table.unit[row] - unit);
  return rows.reduce((best, row) => (away(row) < away(best) ? row : best));
}
