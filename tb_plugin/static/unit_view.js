// The unit inspector: what one unit responds to and what its ablation does; two units beside each
// other. Pictures and the spread of activations come from the lab, where it has the model.

import { fetchLabModels, fetchUnit, LabClient } from "./api.js";
import {
  axis,
  categoryAxis,
  frame as chartBasics,
  histogramTooltip,
  legend,
  tooltip,
} from "./axes.js";
import { ChartFrame } from "./chart_frame.js";
import { el, fill } from "./dom.js";
import { columnNames, compareFacts, factPhrase, formatNumber } from "./labels.js";
import { relate } from "./relations.js";
import { writeLesions } from "./state.js";
import { Table } from "./table.js";
import {
  histogramOutline,
  nearest,
  niceExtent,
  samePart,
  selectiveAndConfusing,
  silentUnits,
} from "./transforms.js";
import { chosenTable, loadTable, noTable, showTableRuns, unitTables } from "./unit_tables.js";
import { axesOf } from "./units_view.js";
import { Loader } from "./view_support.js";

const NEIGHBOURS = 6;
const MOST_UNITS = 4;
const SMALLEST_DROP = 0.01; // on the axis, or rounding errors would fill it

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
        const retry = () => this.update(/** @type {Model} */ (this.context.model()));
        const button = el("button", { class: "button", on: { click: retry } }, "Retry");
        this.note.textContent = "";
        fill(this.heading, el("p", { role: "alert" }, error.message), button);
      },
    );
    if (!started && this.table) this.draw();
  }

  draw() {
    const { state } = /** @type {Model} */ (this.context.model());
    const table = /** @type {import("./types.js").UnitTable} */ (this.table);
    const facts = compareFacts([this.series?.meta.facts ?? {}]).shared.map(factPhrase);
    this.note.textContent = facts.join(" · ");
    const asked = state.inspect.map(Number).filter((row) => row >= 0 && row < table.n);
    const rows = asked.length ? asked.slice(0, MOST_UNITS) : [selectiveAndConfusing(table)[0]];
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
      const row = nearestRow(table, Number(layer.value), Number(unit.value));
      unit.value = String(table.unit[row]);
      inspect([row, ...rows.slice(1)]);
    };
    layer.addEventListener("change", go);
    unit.addEventListener("change", go);
    const button = (/** @type {string} */ text, /** @type {() => void} */ click) =>
      el("button", { class: "button", type: "button", on: { click } }, text);
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

/** One unit. */
class UnitPanel {
  /** @param {import("./chart_frame.js").Context} context @param {number} place */
  constructor(context, place) {
    this.context = context;
    this.client = new LabClient(`-${place}`); // panels wait for each other
    this.pictures = new Loader();
    this.unit = /** @type {import("./types.js").Unit | null} */ (null);
    this.found = /** @type {Awaited<ReturnType<typeof pictures>> | null} */ (null);
    this.profile = new ChartFrame(context, { name: `unit_${place + 1}`, title: "Unit" });
    this.profile.element.classList.add("small");
    this.facts = el("div", { class: "unit-facts" });
    this.lab = el("div", {});
    this.neighbours = new Table({ sortBy: "", caption: "Neighbours in the plot" });
    this.profile.details.append(this.facts, this.lab, this.neighbours.element);
    this.activity = new ChartFrame(context, {
      name: `activity_${place + 1}`,
      title: "How active it is",
    });
    this.activity.element.classList.add("small");
    this.activity.element.hidden = true;
    this.element = el("div", { class: "stack" }, this.profile.element, this.activity.element);
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
      el("span", { class: "faint number" }, "percentile in its layer"),
      ...Object.entries(unit.values).flatMap(([name, { value, below }]) => [
        el("span", {}, columnNames(name).short),
        el("span", { class: "number" }, formatNumber(value)),
        el("span", { class: "number" }, below === null ? "–" : (100 * below).toFixed(0)),
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
    const started = this.pictures.load(
      key,
      () => pictures(this.client, wanted, unit),
      (found) => {
        this.found = found;
        fill(this.lab, ...pictureElements(found, unit), this.labButton(found));
        this.showActivity(unit);
      },
      (error) => {
        this.found = null;
        const retry = () => this.showPictures(view, unit);
        fill(
          this.lab,
          el("p", {}, error.message),
          el("button", { class: "button", on: { click: retry } }, "Ask the lab again"),
        );
        this.showActivity(unit);
      },
    );
    if (started) fill(this.lab, el("p", { class: "faint" }, "Asking the lab for images …"));
    else this.showActivity(unit);
  }

  /** Leads to the lab, with this unit deleted. @param {Awaited<ReturnType<typeof pictures>>} found */
  labButton(found) {
    if (typeof found === "string") return null;
    const { model, lesion } = found;
    const go = () => this.context.set({ view: "lab", model, lesions: lesion, image: -1 });
    return el("button", { class: "button", on: { click: go } }, "Delete it in the lesion lab");
  }

  /** How its activation is spread over the images, for its favourite class and the others.
   * @param {import("./types.js").Unit} unit */
  showActivity(unit) {
    const { found } = this;
    this.activity.element.hidden = !found || typeof found === "string";
    if (!found || typeof found === "string") return;
    const { theme } = /** @type {Model} */ (this.context.model());
    const { edges, favourite } = found.unit;
    const others = found.classes.map((_, c) => c).filter((c) => c !== favourite);
    const groups = [
      together(found.unit, `class ${found.classes[favourite]}`, [favourite]),
      together(found.unit, "the other classes", others),
    ];
    const said = groups.map(({ name, still, n }) => `${percent(still / Math.max(1, n))} of ${name}`);
    this.activity.show({
      option: activityOption(edges, groups, this.activity.zoom, theme),
      count: groups.length,
      subtitle: `silent on ${said.join(" and ")}; the curves are of the images on which ${unit.layer}, unit ${unit.unit} is active`,
      rows: edges.slice(1).map((_, bin) => bin),
      columns: [
        { label: "from", numeric: true, value: (b) => edges[b], show: (b) => formatNumber(edges[b]) },
        {
          label: "to",
          numeric: true,
          value: (b) => edges[b + 1],
          show: (b) => formatNumber(edges[b + 1]),
        },
        ...groups.map(({ name, totals }) => ({
          label: `images of ${name}`,
          numeric: true,
          value: (/** @type {number} */ b) => totals[b],
        })),
      ],
    });
  }
}

/** Pictures of a unit, if the lab has its model: the one that the run's fact "model" names.
 * @param {LabClient} client @param {string} wanted @param {import("./types.js").Unit} unit
 * @returns {Promise<{unit: import("./types.js").LabUnit, classes: string[], model: string,
 *     lesion: string} | string>} */
async function pictures(client, wanted, unit) {
  const { enabled, models, reason } = await fetchLabModels();
  if (!enabled) return `The images that drive this unit need the lab. ${reason}`;
  const model = models.find((m) => m.name === wanted || m.id === wanted);
  if (!model)
    return "The images that drive this unit are shown where the run's fact “model” names a model of the lab.";
  const { classes, layers } = await client.ask({ do: "open", model: model.id });
  const asked = { model: model.id, layer: unit.layer, unit: unit.unit };
  const found = await client.ask({ do: "unit", ...asked });
  const alone = layers.map((/** @type {{name: string, units: number}} */ { name, units }) =>
    Array.from({ length: units }, (_, i) => name === unit.layer && i === unit.unit),
  );
  return { unit: found, classes, model: model.id, lesion: writeLesions(alone) };
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
  const { most, least, n_least: nLeast, n_images: nImages, averaged, weights } = found.unit;
  const how = averaged ? "; its activation is the mean over positions" : "";
  const tied = nLeast > least.length ? ` (${least.length} of ${nLeast.toLocaleString("en")} alike)` : "";
  return [
    el("h3", {}, `Images that drive it most, of ${nImages.toLocaleString("en")}${how}`),
    el("div", { class: "unit-images" }, ...most.map(picture)),
    el("h3", {}, `and least${tied}`),
    el("div", { class: "unit-images" }, ...least.map(picture)),
    weights && el("h3", {}, "Its weights, laid out as the image"),
    weights &&
      el("img", {
        class: "weights",
        src: `data:image/png;base64,${weights}`,
        alt: `incoming weights of unit ${unit.unit}`,
      }),
  ].filter(Boolean);
}

/** The images of several classes: how many in each bin, silent, in all.
 * @param {import("./types.js").LabUnit} unit @param {string} name @param {number[]} classes */
function together({ edges, counts, silent }, name, classes) {
  const totals = edges.slice(1).map((_, bin) => sum(classes.map((c) => counts[c][bin])));
  const still = sum(classes.map((c) => silent[c]));
  return { name, totals, still, n: still + sum(totals) };
}

/** Share of each group's images in each bin.
 * @param {number[]} edges @param {{name: string, totals: number[], n: number}[]} groups
 * @param {import("./types.js").Window} zoom @param {typeof import("./theme.js").LIGHT} theme */
function activityOption(edges, groups, zoom, theme) {
  const shares = groups.map(({ totals, n }) => totals.map((count) => count / Math.max(1, n)));
  const highest = Math.max(0.01, ...shares.flat());
  const extent = /** @type {[number, number]} */ ([edges[0], edges[edges.length - 1]]);
  const colours = [theme.layers[1], theme.layers[0]];
  const names = groups.map((g) => g.name);
  return {
    ...chartBasics(theme, "Distribution of the unit's activation over images."),
    legend: legend(theme, { left: 66, data: names, selectedMode: false }),
    tooltip: histogramTooltip(theme, edges, "share of images", () =>
      names.map((label, i) => ({ label, colour: colours[i], heights: shares[i] })),
    ),
    xAxis: axis(theme, "Activation", extent, zoom.x, { nameGap: 34, splitLine: { show: false } }),
    yAxis: axis(theme, "Share of the images", niceExtent([0, highest]), zoom.y, { nameGap: 46 }),
    series: groups.map(({ name }, i) => ({
      name,
      type: "line",
      data: histogramOutline(edges, shares[i]),
      symbol: "none",
      clip: true,
      lineStyle: { width: 2, color: colours[i], type: i ? "solid" : "dashed" },
      itemStyle: { color: colours[i] },
      areaStyle: { color: colours[i], opacity: 0.12 },
    })),
  };
}

/** @param {number[]} values */
function sum(values) {
  return values.reduce((total, value) => total + value, 0);
}

/** @param {number} share */
function percent(share) {
  return `${Math.round(100 * share)} %`;
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
  const highest = (/** @type {"mean" | "drop"} */ key) => Math.max(...rows.map((row) => row[key] ?? 0));
  const lowest = Math.min(...rows.map((row) => row.drop ?? 0), 0);
  const tick = (/** @type {number} */ v, /** @type {number} */ least) =>
    v < least ? "" : formatNumber(v, 2);
  const value = (
    /** @type {string} */ title,
    /** @type {[number, number]} */ extent,
    /** @type {[number, number] | undefined} */ part,
    /** @type {number} */ least,
    /** @type {object} */ more = {},
  ) => ({
    ...axis(theme, title, extent, part, { nameGap: 48, ...more }),
    axisLabel: {
      color: theme.muted,
      fontSize: 12,
      showMinLabel: extent[0] === 0,
      formatter: (/** @type {number} */ v) => tick(v, least),
    },
  });
  // Both zeros lie at the same height.
  const drops = niceExtent([lowest, Math.max(highest("drop"), SMALLEST_DROP)]);
  const [, top] = niceExtent([0, highest("mean") || 1]);
  const means = /** @type {[number, number]} */ ([(drops[0] / drops[1]) * top, top]);
  return {
    ...chartBasics(theme, "Mean activation and accuracy drop of each class."),
    grid: { left: 66, right: 72, top: 40, bottom: 58 },
    legend: legend(theme, { left: 60, data: names, selectedMode: false }),
    tooltip: tooltip(theme, {
      trigger: "axis",
      axisPointer: { type: "shadow" },
      valueFormatter: (/** @type {number} */ v) => formatNumber(v),
    }),
    xAxis: categoryAxis(theme, "Class", rows.map((row) => row.name), zoom.x),
    yAxis: [
      value("Mean activation", means, zoom.y, Math.min(0, ...rows.map((row) => row.mean ?? 0))),
      value("Accuracy drop (fraction)", drops, zoom.y && samePart(zoom.y, means, drops), -1, {
        position: "right",
        splitLine: { show: false },
      }),
    ],
    series: [bars(0, "mean"), bars(1, "drop")],
  };
}

/** The unit of that number, or the one nearest to it that the layer has.
 * @param {import("./types.js").UnitTable} table @param {number} layer @param {number} unit */
function nearestRow(table, layer, unit) {
  const rows = Array.from({ length: table.n }, (_, i) => i).filter((i) => table.layer[i] === layer);
  const away = (/** @type {number} */ row) => Math.abs(table.unit[row] - unit);
  return rows.reduce((best, row) => (away(row) < away(best) ? row : best));
}
