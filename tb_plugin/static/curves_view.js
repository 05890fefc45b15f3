// Accuracy vs ablation: a curve a run, and the area under each in a table.

import { fetchCurves } from "./api.js";
import { Card } from "./card.js";
import { Chart } from "./chart.js";
import { dropDown, segmented, stepSlider } from "./controls.js";
import { curvesOption } from "./curves_chart.js";
import { el } from "./dom.js";
import {
  compareFacts,
  curveSettings,
  factPhrase,
  formatFraction,
  formatNumber,
  legendLabels,
  naturalOrder,
  plural,
  seriesLabels,
  splitAdjective,
} from "./labels.js";
import { matcher } from "./state.js";
import { Table } from "./table.js";
import { MARKS, rampColour, runColour } from "./theme.js";
import { curveAreas, relativeToIntact, summarizeOrderings } from "./transforms.js";
import { dataRemarks, Loader } from "./view_support.js";
import { attachZoom } from "./zoom.js";

const MANY_CURVES = 20;
const TOOLTIP_ROWS = 14;

/**
 * @typedef {object} Model
 * @property {import("./types.js").Index} index
 * @property {import("./state.js").State} state
 * @property {typeof import("./theme.js").LIGHT} theme
 * @property {string[]} allRuns  in TensorBoard's order
 * @property {number} version  counts reloads of the data
 *
 * @typedef {object} Item  a curve with all that is shown of it
 * @property {import("./types.js").Series} series
 * @property {import("./types.js").Curve} curve
 * @property {string} label
 * @property {string} colour
 * @property {number[]} x
 * @property {(number | null)[][]} rows
 * @property {ReturnType<typeof summarizeOrderings>} summary
 * @property {ReturnType<typeof curveAreas>} areas
 */

export class CurvesView {
  /** @param {any} echarts @param {(changes: Partial<import("./state.js").State>) => void} set
   * @param {import("./run_list.js").RunList} runList */
  constructor(echarts, set, runList) {
    this.model = /** @type {Model | null} */ (null);
    this.set = set;
    this.runList = runList;
    this.zoom = /** @type {import("./types.js").Window} */ ({});
    this.loader = new Loader();
    this.curves = /** @type {import("./types.js").Curve[]} */ ([]);
    this.series = /** @type {import("./types.js").Series[]} */ ([]);
    this.legendTitle = "";
    this.card = new Card({
      title: "Accuracy vs ablation",
      fileName: "accuracy_vs_ablation",
      onReset: () => this.zoomTo(null),
      onTable: () => set({ table: this.model?.state.table === "table" ? "chart" : "table" }),
    });
    this.chart = new Chart(echarts, this.card.chartHost, "svg");
    attachZoom(this.card.chartHost, this.chart, (window) => this.zoomTo(window));
    this.areas = new Table({
      sortBy: "normalized AUC",
      descending: true,
      caption: "Area under each curve",
    });
    this.card.details.append(this.areas.element);
    this.controls = this.makeControls();
    this.element = this.card.element;
  }

  makeControls() {
    const { set } = this;
    const variant = dropDown("Curve", (variant) => set({ variant }));
    const x = segmented(
      "Units ablated",
      [
        ["fraction", "fraction"],
        ["count", "count"],
      ],
      (x) => {
        delete this.zoom.x;
        set({ x });
      },
    );
    const y = segmented(
      "Accuracy",
      [
        ["raw", "raw"],
        ["relative", "relative to intact"],
      ],
      (y) => {
        delete this.zoom.y;
        set({ y });
      },
    );
    const band = segmented(
      "Band over orderings",
      [
        ["sd", "± s.d."],
        ["range", "min–max"],
        ["each", "each"],
        ["none", "none"],
      ],
      (band) => set({ band }),
    );
    const colour = dropDown("Colour", (colour) => set({ colour }));
    const step = stepSlider((step) => set({ step }));
    const all = { variant, x, y, band, colour, step };
    this.card.controls.append(...Object.values(all).map((c) => c.element));
    return all;
  }

  /** @param {Model} model */
  update(model) {
    this.model = model;
    const { index, state } = model;
    const curves = index.series.filter((s) => s.kind === "curve");
    const variants = settingsByFrequency(curves);
    const variant = variants.includes(state.variant) ? state.variant : variants[0];
    const offered = sortByLabel(curves.filter((s) => curveSettings(s.meta) === variant));
    this.showRuns(offered, model);
    const chosen = this.chosen(offered, state);
    this.showControls(chosen, variants, variant, model);
    if (!curves.length)
      return this.say(
        "No ablation curves in this log directory. Write them with tb_plugin.summary.ablation_curve.",
      );
    if (!chosen.length)
      return this.say(`No run is chosen. Tick one in the list, or change the filter.`);
    this.load(chosen, model);
  }

  /** @param {import("./types.js").Series[]} offered @param {import("./state.js").State} state */
  chosen(offered, state) {
    const matches = matcher(state.filter) ?? (() => true);
    const off = new Set(state.off);
    const labels = seriesLabels(offered);
    return offered.filter((s, i) => !off.has(s.run) && (matches(s.run) || matches(labels[i])));
  }

  /** @param {import("./types.js").Series[]} chosen @param {Model} model */
  load(chosen, model) {
    const key = JSON.stringify([
      model.version,
      model.state.step,
      chosen.map((s) => [s.run, s.tag]),
    ]);
    this.series = chosen;
    const started = this.loader.load(
      key,
      () => fetchCurves(chosen, model.state.step),
      (curves) => {
        this.curves = curves;
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
    const readable = this.curves.filter((c) => !c.error);
    const broken = this.curves.filter((c) => c.error);
    const { items, problems } = this.items(readable);
    this.controls.step.set(
      [...new Set(readable.flatMap((c) => c.steps))].sort((a, b) => a - b),
      state.step,
    );
    const remarks = dataRemarks(
      index,
      "single_directions",
      Math.max(0, ...readable.map((c) => c.steps.length)),
    );
    for (const { run, tag, error } of broken) remarks.push(`Not shown: ${run}, ${tag}: ${error}.`);
    remarks.push(...problems);
    if (items.length > MANY_CURVES)
      remarks.push(
        `${items.length} curves at once are hard to tell apart; the filter at the left can narrow them down.`,
      );
    this.card.remark(remarks);
    if (!items.length) return this.say("None of the chosen curves can be shown.");
    this.card.say(null);
    this.card.subtitle.textContent = this.describeAll(items);
    this.showNumbers(items);
    const option = this.option(items);
    this.card.save = async (type) => {
      const still = { ...option, backgroundColor: theme.surface };
      if (type === "png") return this.chart.png(still);
      return new Blob([this.chart.svg(still)], { type: "image/svg+xml" });
    };
    this.chart.draw(option);
    this.card.chartHost.dataset.drawn = String(items.length);
  }

  /** @param {import("./types.js").Curve[]} curves
   * @returns {{items: Item[], problems: string[]}} */
  items(curves) {
    const { state, theme, allRuns } = /** @type {Model} */ (this.model);
    const seriesOf = new Map(this.series.map((s) => [JSON.stringify([s.run, s.tag]), s]));
    const known = curves.filter((c) => seriesOf.has(JSON.stringify([c.run, c.tag])));
    const series = known.map(
      (c) => /** @type {any} */ (seriesOf.get(JSON.stringify([c.run, c.tag]))),
    );
    const { labels, title } = legendLabels(series);
    this.legendTitle = title;
    const colours = curveColours(series, state.colour, theme, allRuns);
    const items = [];
    const problems = [];
    for (const [i, curve] of known.entries()) {
      try {
        const nUnits = series[i].meta.n_units;
        const rows = state.y === "relative" ? relativeToIntact(curve.x, curve.rows) : curve.rows;
        const x = state.x === "fraction" ? curve.x.map((count) => count / nUnits) : curve.x;
        items.push({
          series: series[i],
          curve,
          label: labels[i],
          colour: colours[i],
          x,
          rows,
          summary: summarizeOrderings(rows),
          areas: curveAreas(curve.x, curve.rows, nUnits),
        });
      } catch (error) {
        problems.push(`Not shown: ${labels[i]}: ${/** @type {Error} */ (error).message}.`);
      }
    }
    return { items, problems };
  }

  /** @param {Item[]} items */
  option(items) {
    const { state, theme } = /** @type {Model} */ (this.model);
    const units = [...new Set(items.map((i) => i.series.meta.n_units))];
    const of = units.length === 1 ? ` of ${units[0].toLocaleString("en")}` : "";
    const meta = items[0].series.meta;
    const what = meta.score === "accuracy" ? "accuracy" : meta.score;
    const best = items.reduce((a, b) => (b.areas.normalized > a.areas.normalized ? b : a));
    return curvesOption({
      curves: items.map((item, i) => ({ ...item, mark: MARKS[i % MARKS.length] })),
      legendTitle: this.legendTitle,
      xTitle:
        state.x === "fraction" ? `Units ablated (fraction${of})` : `Units ablated (count${of})`,
      yTitle:
        state.y === "relative"
          ? `Accuracy relative to the intact network`
          : `${splitAdjective(meta.split)} ${what} (fraction correct)`,
      xExtent: [0, state.x === "fraction" ? 1 : Math.max(...units)],
      band: state.band,
      relative: state.y === "relative",
      zoom: this.zoom,
      theme,
      describe: (x, rows) => this.tooltip(items, x, rows),
      spoken: `Accuracy as units are ablated, ${plural(items.length, "curve")}. Largest normalized area: ${best.label}, ${formatFraction(best.areas.normalized)}. The table below lists all areas.`,
    });
  }

  /** @param {Item[]} items @param {number} x @param {{id: string, index: number}[]} rows */
  tooltip(items, x, rows) {
    const { state } = /** @type {Model} */ (this.model);
    const found = rows
      .map(({ id, index }) => ({ item: items[Number(id)], index }))
      .sort((a, b) => b.item.summary.mean[b.index] - a.item.summary.mean[a.index]);
    const counts = new Set(
      found.map(
        ({ item, index }) =>
          `${item.curve.x[index].toLocaleString("en")} of ${item.series.meta.n_units.toLocaleString("en")}`,
      ),
    );
    const share = state.x === "fraction" ? ` (${(100 * x).toFixed(1)} %)` : "";
    // Curves may have their points at different places; then each row says where.
    const head =
      counts.size === 1
        ? `${[...counts][0]} units ablated${share}`
        : `Near ${formatNumber(x)}${share} units ablated`;
    const lines = found
      .slice(0, TOOLTIP_ROWS)
      .map(({ item, index }) =>
        el(
          "tr",
          {},
          el("td", {}, swatch(item.colour), item.label),
          el("td", { class: "number" }, formatFraction(item.summary.mean[index])),
          el("td", { class: "number faint" }, `± ${formatFraction(item.summary.sd[index])}`),
          counts.size > 1 &&
            el(
              "td",
              { class: "number faint" },
              `${item.curve.x[index].toLocaleString("en")} of ${item.series.meta.n_units.toLocaleString("en")}`,
            ),
        ),
      );
    const more = found.length - lines.length;
    const title = el(
      "tr",
      {},
      el("th", {}, this.legendTitle || "run"),
      el("th", {}, "mean"),
      el("th", {}, "s.d."),
      counts.size > 1 && el("th", {}, "ablated"),
    );
    return el(
      "div",
      { class: "tooltip" },
      el("strong", {}, head),
      el("table", {}, title, ...lines),
      more > 0 && el("p", {}, `and ${more} more`),
    );
  }

  /** @param {Item[]} items */
  showNumbers(items) {
    const { state } = /** @type {Model} */ (this.model);
    const longest = Math.max(
      0.001,
      ...items.map((i) => i.areas.normalized).filter(Number.isFinite),
    );
    /** @type {import("./types.js").Column[]} */
    const areaColumns = [
      {
        label: this.legendTitle || "run",
        value: (i) => i.label,
        show: (i) => el("span", { class: "named" }, swatch(i.colour), i.label),
      },
      {
        label: "normalized AUC",
        numeric: true,
        value: (i) => i.areas.normalized,
        show: (i) => bar(i, longest),
      },
      {
        label: "s.d.",
        numeric: true,
        value: (i) => i.areas.normalizedSd,
        show: (i) => formatFraction(i.areas.normalizedSd),
      },
      {
        label: "AUC",
        numeric: true,
        value: (i) => i.areas.auc,
        show: (i) => formatFraction(i.areas.auc),
      },
      {
        label: "intact accuracy",
        numeric: true,
        value: (i) => i.areas.intact,
        show: (i) => formatFraction(i.areas.intact),
      },
      { label: "orderings", numeric: true, value: (i) => i.rows.length },
      {
        label: "units",
        numeric: true,
        value: (i) => i.series.meta.n_units,
        show: (i) => formatNumber(i.series.meta.n_units),
      },
      {
        label: "step",
        numeric: true,
        value: (i) => i.curve.step,
        show: (i) => formatNumber(i.curve.step),
      },
    ];
    this.areas.show(areaColumns, items);
    const points = items.flatMap((item) => item.curve.x.map((count, j) => ({ item, j, count })));
    const relative = state.y === "relative" ? " (relative)" : "";
    const summary = (/** @type {"mean" | "sd" | "low" | "high"} */ key) => (/** @type {any} */ p) =>
      p.item.summary[key][p.j];
    const shown = (/** @type {"mean" | "sd" | "low" | "high"} */ key) => (/** @type {any} */ p) =>
      formatFraction(p.item.summary[key][p.j], 4);
    /** @type {import("./types.js").Column[]} */
    const columns = [
      { label: "label", value: (p) => p.item.label },
      { label: "run", value: (p) => p.item.series.run },
      { label: "tag", value: (p) => p.item.series.tag },
      { label: "step", numeric: true, value: (p) => p.item.curve.step },
      { label: "units ablated", numeric: true, value: (p) => p.count },
      {
        label: "fraction ablated",
        numeric: true,
        value: (p) => p.count / p.item.series.meta.n_units,
        show: (p) => formatFraction(p.count / p.item.series.meta.n_units, 4),
      },
      {
        label: `mean accuracy${relative}`,
        numeric: true,
        value: summary("mean"),
        show: shown("mean"),
      },
      { label: "s.d.", numeric: true, value: summary("sd"), show: shown("sd") },
      { label: "min", numeric: true, value: summary("low"), show: shown("low") },
      { label: "max", numeric: true, value: summary("high"), show: shown("high") },
      { label: "orderings", numeric: true, value: (p) => p.item.rows.length },
    ];
    this.card.setData(columns, points, state.table === "table");
  }

  /** @param {import("./types.js").Series[]} offered @param {Model} model */
  showRuns(offered, model) {
    const labels = seriesLabels(offered);
    const colours = curveColours(offered, model.state.colour, model.theme, model.allRuns);
    const entries = new Map();
    offered.forEach((s, i) => {
      if (!entries.has(s.run))
        entries.set(s.run, { run: s.run, label: labels[i], colour: colours[i] });
    });
    this.runList.showMany([...entries.values()], model.state);
    this.runList.showOthers(model.index.runs.filter((run) => !entries.has(run)));
  }

  /** @param {import("./types.js").Series[]} chosen @param {string[]} variants
   * @param {string} variant @param {Model} model */
  showControls(chosen, variants, variant, { state }) {
    this.controls.variant.set(
      variants.map((v) => [v, v]),
      variant,
    );
    this.controls.variant.element.hidden = variants.length < 2;
    this.controls.x.set(state.x);
    this.controls.y.set(state.y);
    this.controls.band.set(state.band);
    const { differing } = compareFacts(chosen.map((s) => s.meta.facts));
    const byFact = /** @type {[string, string][]} */ (
      differing.map((name) => [name, `by ${name}`])
    );
    this.controls.colour.set(
      [["run", "TensorBoard's run colours"], ...byFact],
      differing.includes(state.colour) ? state.colour : "run",
    );
    this.controls.colour.element.hidden = !differing.length;
  }

  /** @param {Item[]} items  what all curves have in common */
  describeAll(items) {
    const metas = items.map((i) => i.series.meta);
    const { shared } = compareFacts(metas.map((m) => m.facts));
    const orderings = [...new Set(items.map((i) => i.rows.length))];
    const count =
      orderings.length === 1
        ? plural(orderings[0], "ordering")
        : `${Math.min(...orderings)} to ${Math.max(...orderings)} orderings`;
    return [curveSettings(metas[0]), count, ...shared.map(factPhrase)].join(" · ");
  }

  /** @param {string} text */
  say(text) {
    this.loader.forget();
    this.loader.turn++;
    this.card.busy.hidden = true;
    this.card.subtitle.textContent = "";
    this.areas.show([], []);
    this.card.setData([], [], false);
    this.card.say(text);
  }

  /** @param {import("./types.js").Window | null} window */
  zoomTo(window) {
    this.zoom = window ? { ...this.zoom, ...window } : {};
    if (this.card.rows.length) this.draw();
  }
}

/** What curves there are, as phrases, the one that most runs have first.
 * @param {import("./types.js").Series[]} curves @returns {string[]} */
function settingsByFrequency(curves) {
  const count = new Map();
  for (const { meta } of curves) {
    count.set(curveSettings(meta), (count.get(curveSettings(meta)) ?? 0) + 1);
  }
  return [...count.keys()].sort((a, b) => count.get(b) - count.get(a) || naturalOrder(a, b));
}

/** @param {import("./types.js").Series[]} series */
function sortByLabel(series) {
  const labels = seriesLabels(series);
  const order = series.map((_, i) => i).sort((a, b) => naturalOrder(labels[a], labels[b]));
  return order.map((i) => series[i]);
}

/** By run, or by the value of a fact: a ramp if its values are numbers.
 * @param {import("./types.js").Series[]} series @param {string} by
 * @param {typeof import("./theme.js").LIGHT} theme @param {string[]} allRuns */
function curveColours(series, by, theme, allRuns) {
  const values = [...new Set(series.map((s) => s.meta.facts[by]))];
  if (by === "run" || values.length < 2) return series.map((s) => runColour(s.run, allRuns, theme));
  const numbers = values.map(Number);
  if (numbers.every(Number.isFinite)) {
    const [low, high] = [Math.min(...numbers), Math.max(...numbers)];
    return series.map((s) => rampColour((Number(s.meta.facts[by]) - low) / (high - low), theme));
  }
  return series.map((s) => theme.layers[values.indexOf(s.meta.facts[by]) % theme.layers.length]);
}

/** @param {string} colour */
function swatch(colour) {
  return el("span", { class: "swatch", style: `background:${colour}` });
}

/** @param {Item} item @param {number} longest */
function bar(item, longest) {
  const share = Math.max(0, (100 * item.areas.normalized) / longest) || 0;
  const fillStyle = `width:${share.toFixed(1)}%;background:${item.colour}`;
  return el(
    "span",
    { class: "bar-cell" },
    el("span", { class: "bar" }, el("span", { style: fillStyle })),
    el("span", {}, formatFraction(item.areas.normalized)),
  );
}
