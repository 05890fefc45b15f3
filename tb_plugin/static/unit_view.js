// The unit inspector: what one unit responds to and what its ablation does; two units beside each
// other. Pictures and the spread of activations come from the lab, where it has the model.

import { askLab, fetchLabModels, fetchUnit } from "./api.js";
import { axis, frame as chartBasics, legend, tooltip } from "./axes.js";
import { ChartFrame } from "./chart_frame.js";
import { el, fill } from "./dom.js";
import { columnNames, factPhrase, formatFraction, formatNumber } from "./labels.js";
import { Table } from "./table.js";
import { nearest, relate, silentUnits } from "./transforms.js";
import { chosenTable, loadTable, showTableRuns } from "./unit_tables.js";
import { axesOf } from "./units_view.js";
import { Loader } from "./view_support.js";

const NEIGHBOURS = 6;
const MOST_UNITS = 4;

/** @typedef {import("./types.js").Model} Model */

export class UnitView {
  /** @param {import("./chart_frame.js").Context} context */
  constructor(context) {
    this.context = context;
    this.loader = new Loader();
    this.table = /** @type {import("./types.js").UnitTable | null} */ (null);
    this.header = /** @type {import("./types.js").TableHeader | null} */ (null);
    this.series = /** @type {import("./types.js").Series | undefined} */ (undefined);
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
    const tables = model.index.series.filter((s) => s.kind === "units");
    const series = chosenTable(tables, model.state);
    showTableRuns(this.context.runList, tables, series, model);
    this.series = series;
    if (!series) {
      this.note.textContent =
        "No unit tables in this log directory. Write them with tb_plugin.summary.unit_table.";
      return fill(this.heading);
    }
    const started = this.loader.load(
      JSON.stringify([model.version, series.run, series.tag, model.state.unitStep]),
      () => loadTable(series, model.state.unitStep),
      ({ header, table }) => {
        Object.assign(this, { header, table });
        this.draw();
      },
      (error) => (this.note.textContent = error.message),
    );
    if (!started && this.table) this.draw();
  }

  draw() {
    const { state } = /** @type {Model} */ (this.context.model());
    const table = /** @type {import("./types.js").UnitTable} */ (this.table);
    const facts = Object.entries(this.series?.meta.facts ?? {}).map(factPhrase);
    this.note.textContent = facts.join(" · ");
    const asked = state.inspect.map(Number).filter((row) => row >= 0 && row < table.n);
    const rows = asked.length ? asked.slice(0, MOST_UNITS) : [mostSelective(table)];
    fill(this.heading, ...this.choosers(table, rows));
    if (this.panels.length !== rows.length) {
      this.panels = rows.map((_, i) => new UnitPanel(this.context, i));
      fill(this.pair, ...this.panels.map((panel) => panel.element));
    }
    rows.forEach((row, i) => this.panels[i].update(this, row));
  }

  /** Buttons and boxes that choose units. @param {import("./types.js").UnitTable} table
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
      const row = findRow(table, Number(layer.value), Number(unit.value));
      if (row >= 0) inspect([row, ...rows.slice(1)]);
    };
    layer.addEventListener("change", go);
    unit.addEventListener("change", go);
    const button = (/** @type {string} */ text, /** @type {() => void} */ click) =>
      el("button", { class: "button", type: "button", on: { click } }, text);
    return [
      el("label", { class: "row" }, "Unit", layer, unit),
      button("A selective and a confusing unit", () =>
        inspect([mostSelective(table), leastSelective(table)]),
      ),
      rows.length > 1 && button("Only the first", () => inspect([rows[0]])),
      button("Back to the plot", () => this.context.set({ view: "units" })),
    ];
  }
}

/** One unit. */
class UnitPanel {
  /** @param {import("./chart_frame.js").Context} context @param {number} place */
  constructor(context, place) {
    this.context = context;
    this.loader = new Loader();
    this.pictures = new Loader();
    this.unit = /** @type {import("./types.js").Unit | null} */ (null);
    this.profile = new ChartFrame(context, { name: `unit_${place + 1}`, title: "Unit" });
    this.profile.element.classList.add("small");
    this.facts = el("div", { class: "unit-facts" });
    this.lab = el("div", {});
    this.neighbours = new Table({ sortBy: "", caption: "Neighbours in the plot" });
    this.profile.details.append(this.facts, this.lab, this.neighbours.element);
    this.element = this.profile.element;
  }

  /** @param {UnitView} view @param {number} row */
  update(view, row) {
    const { series, header } = view;
    if (!series || !header) return;
    this.profile.load(
      JSON.stringify([series.run, series.tag, header.step, row]),
      () => fetchUnit(series, header.step, row),
      (unit) => (this.unit = unit),
      () => this.draw(view, row),
    );
  }

  /** @param {UnitView} view @param {number} row */
  draw(view, row) {
    const { theme } = /** @type {Model} */ (this.context.model());
    const unit = /** @type {import("./types.js").Unit} */ (this.unit);
    const table = /** @type {import("./types.js").UnitTable} */ (view.table);
    this.profile.card.heading.textContent = `${unit.layer}, unit ${unit.unit}`;
    this.showFacts(unit);
    this.showNeighbours(view, row);
    this.showPictures(view, unit);
    const rows = unit.classes.map((name, c) => ({
      name,
      mean: unit.class_mean[c] ?? null,
      drop: unit.class_drop[c] ?? null,
    }));
    if (!rows.length) return this.profile.say("Nothing was stored for each class of this unit.");
    const silent = silentUnits(table)[row] ? " · silent on every image" : "";
    const selectivity = unit.values.class_selectivity?.value;
    this.profile.show({
      option: profileOption(rows, this.profile.zoom, theme),
      count: rows.length,
      subtitle: `class selectivity ${formatNumber(selectivity)}${silent}`,
      rows,
      columns: [
        { label: "class", value: (r) => r.name },
        { label: "mean activation", numeric: true, value: (r) => r.mean, show: (r) => formatNumber(r.mean) },
        { label: "accuracy drop", numeric: true, value: (r) => r.drop, show: (r) => formatNumber(r.drop) },
      ],
    });
  }

  /** @param {import("./types.js").Unit} unit */
  showFacts(unit) {
    fill(
      this.facts,
      el("span", { class: "faint" }, "quantity"),
      el("span", { class: "faint number" }, "value"),
      el("span", { class: "faint number" }, "above, of its layer"),
      ...Object.entries(unit.values).flatMap(([name, { value, below }]) => [
        el("span", {}, columnNames(name).short),
        el("span", { class: "number" }, formatNumber(value)),
        el("span", { class: "number" }, below === null ? "–" : `${(100 * below).toFixed(0)} %`),
      ]),
    );
  }

  /** @param {UnitView} view @param {number} row */
  showNeighbours(view, row) {
    const table = /** @type {import("./types.js").UnitTable} */ (view.table);
    const { state } = /** @type {Model} */ (this.context.model());
    const { xName, yName } = axesOf(table, state);
    const { all } = relate(table, xName, yName, false);
    const place = all.rows.indexOf(row);
    const near = place < 0 ? [] : nearest(all.x, all.y, place, NEIGHBOURS).map((i) => all.rows[i]);
    const number = (/** @type {string} */ name) => ({
      label: columnNames(name).short,
      numeric: true,
      value: (/** @type {number} */ r) => table.columns.get(name)?.[r] ?? null,
      show: (/** @type {number} */ r) => formatNumber(table.columns.get(name)?.[r]),
    });
    const name = (/** @type {number} */ r) => `${table.layers[table.layer[r]]}, ${table.unit[r]}`;
    const open = (/** @type {number} */ r) => () =>
      this.context.set({ inspect: [String(row), String(r)] });
    this.neighbours.show(
      [
        {
          label: "unit",
          value: name,
          show: (r) => el("button", { class: "text-button", on: { click: open(r) } }, name(r)),
        },
        number(xName),
        number(yName),
      ],
      near,
    );
  }

  /** @param {UnitView} view @param {import("./types.js").Unit} unit */
  showPictures(view, unit) {
    const wanted = view.series?.meta.facts.model ?? "";
    const key = JSON.stringify([view.series?.run, unit.layer, unit.unit]);
    this.pictures.load(
      key,
      () => pictures(wanted, unit),
      (found) => fill(this.lab, ...pictureElements(found, unit)),
      (error) => fill(this.lab, el("p", { class: "faint" }, error.message)),
    );
  }
}

/** Pictures of a unit, if the lab has its model: the one that the run's fact "model" names.
 * @param {string} wanted @param {import("./types.js").Unit} unit
 * @returns {Promise<{unit: import("./types.js").LabUnit, classes: string[]} | string>} */
async function pictures(wanted, unit) {
  const { enabled, models, reason } = await fetchLabModels();
  if (!enabled) return `The images that drive this unit need the lab. ${reason}`;
  const model = models.find((m) => m.name === wanted || m.id === wanted);
  if (!model)
    return "The images that drive this unit are shown where the run's fact “model” names a model of the lab.";
  const { classes } = await askLab({ do: "open", model: model.id });
  const found = await askLab({ do: "unit", model: model.id, layer: unit.layer, unit: unit.unit });
  return { unit: found, classes };
}

/** @param {Awaited<ReturnType<typeof pictures>>} found @param {import("./types.js").Unit} unit */
function pictureElements(found, unit) {
  if (typeof found === "string") return [el("p", { class: "faint" }, found)];
  const picture = (/** @type {{label: number, activation: number, png: string}} */ one) =>
    el(
      "figure",
      {},
      el("img", { src: `data:image/png;base64,${one.png}`, alt: found.classes[one.label] }),
      el("figcaption", {}, formatNumber(one.activation, 3)),
    );
  const { most, least, weights, counts, edges } = found.unit;
  return [
    el("h3", {}, "Images that drive it most"),
    el("div", { class: "unit-images" }, ...most.map(picture)),
    el("h3", {}, "and least"),
    el("div", { class: "unit-images" }, ...least.map(picture)),
    el("h3", {}, "How often it is how active"),
    histogram(counts, edges),
    weights && el("h3", {}, "Its weights, laid out as the image"),
    weights &&
      el("img", {
        class: "weights",
        src: `data:image/png;base64,${weights}`,
        alt: `incoming weights of unit ${unit.unit}`,
      }),
  ].filter(Boolean);
}

/** All classes together, as bars of text height. @param {number[][]} counts @param {number[]} edges */
function histogram(counts, edges) {
  const totals = edges.slice(1).map((_, bin) => counts.reduce((sum, c) => sum + c[bin], 0));
  const highest = Math.max(...totals, 1);
  const spoken = `from ${formatNumber(edges[0], 3)} to ${formatNumber(edges[edges.length - 1], 3)}`;
  return el(
    "div",
    {},
    el(
      "div",
      { class: "histogram", role: "img", "aria-label": `Histogram of activations ${spoken}` },
      ...totals.map((n, i) =>
        el("span", {
          style: `height:${((100 * Math.log1p(n)) / Math.log1p(highest)).toFixed(1)}%`,
          title: `${formatNumber(edges[i], 3)} to ${formatNumber(edges[i + 1], 3)}: ${n} images`,
        }),
      ),
    ),
    el("p", { class: "faint" }, `activation ${spoken}; height: number of images, logarithmic`),
  );
}

/** Mean activation and accuracy drop of each class, on two axes.
 * @param {{name: string, mean: number | null, drop: number | null}[]} rows
 * @param {import("./types.js").Window} zoom @param {typeof import("./theme.js").LIGHT} theme */
function profileOption(rows, zoom, theme) {
  const names = ["mean activation", "accuracy drop when ablated"];
  const bars = (/** @type {number} */ i, /** @type {"mean" | "drop"} */ key) => ({
    name: names[i],
    type: "bar",
    yAxisIndex: i,
    data: rows.map((row) => row[key]),
    itemStyle: { color: theme.layers[i] },
    barGap: "0%",
    barCategoryGap: "30%",
  });
  const highest = (/** @type {"mean" | "drop"} */ key) =>
    Math.max(...rows.map((row) => row[key] ?? 0), 1e-6);
  const lowest = Math.min(...rows.map((row) => row.drop ?? 0), 0);
  const places = (/** @type {number} */ v) => formatNumber(v, 2);
  const value = (/** @type {string} */ title, /** @type {object} */ more) => ({
    ...axis(theme, title, [0, 1], zoom.y, { nameGap: 48, ...more }),
    axisLabel: { color: theme.muted, fontSize: 12, formatter: places },
  });
  // Both zeros lie at the same height.
  const below = lowest / highest("drop");
  return {
    ...chartBasics(theme, "Mean activation and accuracy drop of each class."),
    grid: { left: 66, right: 72, top: 40, bottom: 58 },
    legend: legend(theme, { left: 60, data: names, selectedMode: false }),
    tooltip: tooltip(theme, {
      trigger: "axis",
      axisPointer: { type: "shadow" },
      valueFormatter: (/** @type {number} */ v) => formatNumber(v),
    }),
    xAxis: {
      ...axis(theme, "", [0, 1], undefined, { splitLine: { show: false } }),
      type: "category",
      min: undefined,
      max: undefined,
      data: rows.map((row) => row.name),
      axisLabel: { color: theme.muted, interval: 0, rotate: rows.length > 6 ? 35 : 0 },
    },
    yAxis: [
      value("Mean activation", { min: below * highest("mean"), max: highest("mean") }),
      value("Accuracy drop (fraction)", {
        min: lowest,
        max: highest("drop"),
        position: "right",
        splitLine: { show: false },
      }),
    ],
    series: [bars(0, "mean"), bars(1, "drop")],
  };
}

/** @param {import("./types.js").UnitTable} table @param {number} layer @param {number} unit */
function findRow(table, layer, unit) {
  for (let i = 0; i < table.n; i++) if (table.layer[i] === layer && table.unit[i] === unit) return i;
  return -1;
}

/** Rows of units that are active at all, by class selectivity, the highest first.
 * @param {import("./types.js").UnitTable} table */
function bySelectivity(table) {
  const values = table.columns.get("class_selectivity") ?? [...table.columns.values()][0];
  const silent = silentUnits(table);
  return Array.from({ length: table.n }, (_, i) => i)
    .filter((i) => !silent[i] && !Number.isNaN(values[i]))
    .sort((a, b) => values[b] - values[a]);
}

/** @param {import("./types.js").UnitTable} table */
function mostSelective(table) {
  return bySelectivity(table)[0] ?? 0;
}

/** @param {import("./types.js").UnitTable} table */
function leastSelective(table) {
  return bySelectivity(table).at(-1) ?? 0;
}
