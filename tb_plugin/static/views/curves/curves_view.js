// Accuracy against ablated units or against noise: a curve for each run, and a table of their
// summaries.

import { curveAreas, halfway, relativeToIntact, summarizeOrderings } from "../../numbers/curves.js";
import { span } from "../../numbers/geometry.js";
import {
  compareFacts,
  formatFraction,
  formatNumber,
  legendLabels,
  naturalOrder,
  plural,
  seriesLabels,
  sharedPhrases,
  splitAdjective,
} from "../../numbers/labels.js";
import { dataRemarks } from "../../numbers/remarks.js";
import { runsChosen, runsMatching } from "../../numbers/runs.js";
import { chooseSettings, COMPARE, CURVE_SETTINGS, settingPhrases } from "../../numbers/settings.js";
import { fetchCurves } from "../../page/api.js";
import { colouredBy, seriesColours } from "../../page/colours.js";
import { MARKS } from "../../page/theme.js";
import { ChartFrame } from "../../parts/chart_frame.js";
import { dropDown, segmented, stepSlider } from "../../parts/controls.js";
import { el, swatch } from "../../parts/dom.js";
import { SettingControls } from "../../parts/setting_controls.js";
import { Table } from "../../parts/table.js";
import { curvesOption } from "./curves_chart.js";

const MANY_CURVES = 20;
const TOOLTIP_ROWS = 14;

/**
 * @typedef {import("../../page/model.js").Model} Model
 *
 * @typedef {object} Subject  the x axis of the curves: ablation or noise
 * @property {"curve" | "noise"} kind
 * @property {string} name  of downloads and of the zoom in the address
 * @property {string} title
 * @property {string[]} settings
 * @property {string} rows  what one row of a curve is
 * @property {string} empty
 *
 * @typedef {object} Item  a curve with all that is shown of it
 * @property {import("../../numbers/types.js").Series} series
 * @property {import("../../numbers/types.js").Curve} curve
 * @property {string} label
 * @property {string} colour
 * @property {number[]} x
 * @property {(number | null)[][]} rows
 * @property {ReturnType<typeof summarizeOrderings>} summary
 * @property {ReturnType<typeof curveAreas>} areas
 * @property {number} half  x at which the accuracy has fallen by half
 */

export const ABLATION = /** @type {Subject} */ ({
  kind: "curve",
  name: "accuracy_vs_ablation",
  title: "Accuracy vs ablation",
  settings: CURVE_SETTINGS,
  rows: "ordering",
  empty:
    "No ablation curves in this log directory. Write them with tb_plugin.summary.ablation_curve.",
});

export const NOISE = /** @type {Subject} */ ({
  kind: "noise",
  name: "accuracy_vs_noise",
  title: "Accuracy vs noise",
  settings: ["split", "per", "layers", "score"],
  rows: "draw",
  empty: "No noise curves in this log directory. Write them with tb_plugin.summary.noise_curve.",
});

export class CurvesView {
  /** @param {import("../../parts/chart_frame.js").Context} context @param {Subject} subject */
  constructor(context, subject) {
    this.context = context;
    this.subject = subject;
    this.ablation = subject.kind === "curve";
    this.curves = /** @type {import("../../numbers/types.js").Curve[]} */ ([]);
    this.series = /** @type {import("../../numbers/types.js").Series[]} */ ([]);
    this.offered = /** @type {import("../../numbers/types.js").Series[]} */ ([]);
    this.choices = /** @type {import("../../numbers/settings.js").Choice[]} */ ([]);
    this.legendTitle = "";
    this.frame = new ChartFrame(context, { name: subject.name, title: subject.title });
    this.totals = new Table({
      sortBy: this.ablation ? "normalized AUC" : "noise at half accuracy",
      descending: true,
      caption: this.ablation ? "Area under each curve" : "How much noise each network bears",
    });
    this.frame.details.append(this.totals.element);
    this.controls = this.makeControls();
    this.element = this.frame.element;
  }

  makeControls() {
    const { set } = this.context;
    const without = (/** @type {"x" | "y"} */ axis) => {
      const { [axis]: _, ...zoom } = this.frame.zoom;
      this.frame.zoomTo(zoom);
    };
    const settings = new SettingControls(this.subject.settings, set);
    const x = segmented(
      "Units ablated",
      [
        ["fraction", "fraction"],
        ["count", "count"],
      ],
      (x) => (without("x"), set({ x })),
    );
    const y = segmented(
      "Accuracy",
      [
        ["raw", "raw"],
        ["relative", "relative to intact"],
      ],
      (y) => (without("y"), set({ y })),
    );
    const band = segmented(
      `Band over ${this.subject.rows}s`,
      [
        ["sd", "± s.d."],
        ["quantiles", "10–90 %"],
        ["range", "min–max"],
        ["each", "each"],
        ["none", "none"],
      ],
      (band) => set({ band }),
    );
    const colour = dropDown("Colour", (colour) => set({ colour }));
    const step = stepSlider((step) => set({ step }));
    x.element.hidden = !this.ablation;
    const others = [x, y, band, colour, step].map((c) => c.element);
    this.frame.controls.append(...settings.elements, ...others);
    return { settings, x, y, band, colour, step };
  }

  /** @param {Model} model */
  update(model) {
    const { index, state } = model;
    const everywhere = index.series.filter((s) => s.kind === this.subject.kind);
    const curves = this.context.runList.narrow(everywhere, state);
    // The default settings follow from the runs that match the filter.
    const matching = runsChosen(curves, { ...state, off: [] });
    const { series, choices } = chooseSettings(curves, this.subject.settings, state, matching);
    this.choices = choices;
    const offered = sortByLabel(series);
    this.offered = runsMatching(offered, state);
    this.showRuns(offered, curves, model);
    const chosen = runsChosen(offered, state);
    this.showControls(model);
    if (!curves.length) return this.say(this.subject.empty);
    if (!chosen.length)
      return this.say(`No run is chosen. Tick one in the list, or change the filter.`);
    this.series = chosen;
    const key = JSON.stringify([model.version, state.step, chosen.map((s) => [s.run, s.tag])]);
    this.frame.load(
      key,
      () => fetchCurves(chosen, state.step),
      (curves) => (this.curves = curves),
      () => this.draw(),
    );
  }

  draw() {
    const { state, index } = /** @type {Model} */ (this.context.model());
    const readable = this.curves.filter((c) => !c.error);
    const broken = this.curves.filter((c) => c.error);
    const { items, problems } = this.items(readable);
    const mostSteps = Math.max(0, ...readable.map((c) => c.steps.length));
    // If each run has one step only, there is no step to choose, even if the steps differ.
    const steps = mostSteps > 1 ? readable.flatMap((c) => c.steps) : [];
    this.controls.step.set([...new Set(steps)].sort((a, b) => a - b), state.step);
    const remarks = dataRemarks(index, "single_directions", mostSteps);
    for (const { run, tag, error } of broken) remarks.push(`Not shown: ${run}, ${tag}: ${error}.`);
    remarks.push(...problems);
    if (items.length > MANY_CURVES)
      remarks.push(
        `${items.length} curves at once are hard to tell apart; choose a folder or filter them at the left.`,
      );
    if (!items.length) {
      this.say("None of the chosen curves can be shown.");
      return this.frame.card.remark(remarks);
    }
    this.showTotals(items);
    this.frame.show({
      option: this.option(items),
      count: items.length,
      subtitle: this.describeAll(items),
      remarks,
      ...this.numbers(items),
    });
  }

  /** @param {import("../../numbers/types.js").Curve[]} curves
   * @returns {{items: Item[], problems: string[]}} */
  items(curves) {
    const { state, theme, allRuns } = /** @type {Model} */ (this.context.model());
    const key = (/** @type {{run: string, tag: string}} */ s) => JSON.stringify([s.run, s.tag]);
    const seriesOf = new Map(this.series.map((s) => [key(s), s]));
    const known = curves.filter((c) => seriesOf.has(key(c)));
    const series = known.map((c) => /** @type {any} */ (seriesOf.get(key(c))));
    const { labels, title } = legendLabels(series);
    this.legendTitle = title;
    const colours = seriesColours(series, this.colour(state), theme, allRuns, this.offered);
    const items = [];
    const problems = [];
    for (const [i, curve] of known.entries()) {
      try {
        const nUnits = series[i].meta.n_units;
        const fraction = this.ablation && state.x === "fraction";
        const rows = state.y === "relative" ? this.relative(curve) : curve.rows;
        const summary = summarizeOrderings(rows);
        items.push({
          series: series[i],
          curve,
          label: labels[i],
          colour: colours[i],
          x: fraction ? curve.x.map((count) => count / nUnits) : curve.x,
          rows,
          summary,
          areas: curveAreas(curve.x, curve.rows, nUnits),
          half: halfway(curve.x, summary.mean),
        });
      } catch (error) {
        problems.push(`Not shown: ${labels[i]}: ${/** @type {Error} */ (error).message}.`);
      }
    }
    return { items, problems };
  }

  /** Values divided by the intact accuracy; for noise, by the accuracy at the smallest scale.
   * @param {import("../../numbers/types.js").Curve} curve */
  relative(curve) {
    return relativeToIntact(this.ablation ? curve.x : [0, ...curve.x.slice(1)], curve.rows);
  }

  /** @param {Item[]} items */
  option(items) {
    const { state, theme } = /** @type {Model} */ (this.context.model());
    const units = [...new Set(items.map((i) => i.series.meta.n_units))];
    const relativeTo = this.ablation ? "to the intact network" : "to the least noise";
    const best = items.reduce((a, b) => (this.total(b) > this.total(a) ? b : a));
    const what = this.ablation ? "as units are ablated" : "under noise on all units";
    return curvesOption({
      curves: items.map((item, i) => ({ ...item, mark: MARKS[i % MARKS.length] })),
      legendTitle: this.legendTitle,
      xTitle: this.xTitle(units),
      yTitle:
        state.y === "relative" ? `Accuracy relative ${relativeTo}` : this.accuracyTitle(items),
      xExtent: this.xExtent(items, units),
      logarithmic: !this.ablation,
      band: state.band,
      relative: state.y === "relative",
      zoom: this.frame.zoom,
      theme,
      describe: (x, rows) => this.tooltip(items, x, rows),
      spoken: `Accuracy ${what}, ${plural(items.length, "curve")}. Most robust: ${best.label}. The table below lists all.`,
    });
  }

  /** How robust a network is. @param {Item} item */
  total(item) {
    return this.ablation ? item.areas.normalized : item.half;
  }

  /** @param {number[]} units  their numbers, each once */
  xTitle(units) {
    const { state } = /** @type {Model} */ (this.context.model());
    if (!this.ablation) return "Scale of the noise (standard deviations of each unit)";
    const of = units.length === 1 ? ` of ${units[0].toLocaleString("en")}` : "";
    return `Units ablated (${state.x === "fraction" ? "fraction" : "count"}${of})`;
  }

  /** @param {Item[]} items @param {number[]} units @returns {[number, number]} */
  xExtent(items, units) {
    const { state } = /** @type {Model} */ (this.context.model());
    if (this.ablation) return [0, state.x === "fraction" ? 1 : Math.max(...units)];
    const scales = items.flatMap((item) => item.x).filter((scale) => scale > 0);
    return span(scales);
  }

  /** @param {Item[]} items */
  accuracyTitle(items) {
    const splits = new Set(items.map((i) => splitAdjective(i.series.meta.split)));
    const scores = new Set(items.map((i) => String(i.series.meta.score)));
    const what = scores.size === 1 ? [...scores][0] : "accuracy";
    const text = splits.size === 1 ? `${[...splits][0]} ${what}` : what;
    return `${text.charAt(0).toUpperCase()}${text.slice(1)} (fraction correct)`;
  }

  /** @param {Item[]} items @param {number} x @param {{id: string, index: number}[]} rows */
  tooltip(items, x, rows) {
    const found = rows
      .map(({ id, index }) => ({ item: items[Number(id)], index }))
      .sort((a, b) => b.item.summary.mean[b.index] - a.item.summary.mean[a.index]);
    const places = new Set(found.map(({ item, index }) => this.place(item, index)));
    // If curves have their points at different x, each row gives its x.
    const differ = places.size > 1;
    const head = differ ? `Near ${formatNumber(x, 3)}` : this.headline([...places][0], x);
    const lines = found
      .slice(0, TOOLTIP_ROWS)
      .map(({ item, index }) =>
        el(
          "tr",
          {},
          el("td", {}, swatch(item.colour), item.label),
          el("td", { class: "number" }, formatFraction(item.summary.mean[index])),
          el("td", { class: "number faint" }, `± ${formatFraction(item.summary.sd[index])}`),
          differ && el("td", { class: "number faint" }, this.place(item, index)),
        ),
      );
    const more = found.length - lines.length;
    const title = el(
      "tr",
      {},
      el("th", {}, this.legendTitle || "run"),
      el("th", {}, "mean"),
      el("th", {}, "s.d."),
      differ && el("th", {}, this.ablation ? "ablated" : "noise"),
    );
    return el(
      "div",
      { class: "tooltip" },
      el("strong", {}, head),
      el("table", {}, title, ...lines),
      more > 0 && el("p", {}, `and ${more} more`),
    );
  }

  /** The x of a point, in words. @param {Item} item @param {number} index */
  place({ curve, series }, index) {
    if (!this.ablation) return formatNumber(curve.x[index], 3);
    return `${curve.x[index].toLocaleString("en")} of ${series.meta.n_units.toLocaleString("en")}`;
  }

  /** @param {string} place @param {number} x */
  headline(place, x) {
    const { state } = /** @type {Model} */ (this.context.model());
    if (!this.ablation) return `Noise of ${place} standard deviations`;
    const share = state.x === "fraction" ? ` (${(100 * x).toFixed(1)} %)` : "";
    return `${place} units ablated${share}`;
  }

  /** @param {Item[]} items */
  showTotals(items) {
    const longest = Math.max(0.001, ...items.map((i) => this.total(i)).filter(Number.isFinite));
    const fraction = (/** @type {string} */ label, /** @type {(i: Item) => number} */ value) => ({
      label,
      numeric: true,
      value,
      show: (/** @type {Item} */ i) => formatFraction(value(i)),
    });
    const count = (/** @type {string} */ label, /** @type {(i: Item) => number} */ value) => ({
      label,
      numeric: true,
      value,
      show: (/** @type {Item} */ i) => formatNumber(value(i)),
    });
    const intact = (/** @type {Item} */ i) => i.areas.intact;
    const first = (/** @type {Item} */ i) => i.summary.mean[0];
    const summed = this.ablation
      ? [
          fraction("s.d.", (i) => i.areas.normalizedSd),
          fraction("AUC", (i) => i.areas.auc),
          fraction("intact accuracy", intact),
        ]
      : [fraction("accuracy at least noise", first)];
    this.totals.show(
      [
        {
          label: this.legendTitle || "run",
          value: (i) => i.label,
          show: (i) => el("span", { class: "named" }, swatch(i.colour), i.label),
        },
        {
          label: this.ablation ? "normalized AUC" : "noise at half accuracy",
          numeric: true,
          value: (i) => this.total(i),
          show: (i) => bar(this.total(i), longest, i.colour),
        },
        ...summed,
        count(`${this.subject.rows}s`, (i) => i.rows.length),
        count("units", (i) => i.series.meta.n_units),
        count("step", (i) => i.curve.step),
      ],
      items,
    );
  }

  /** Every point, for CSV and the table. @param {Item[]} items */
  numbers(items) {
    const { state } = /** @type {Model} */ (this.context.model());
    const rows = items.flatMap((item) => item.curve.x.map((count, j) => ({ item, j, count })));
    const relative = state.y === "relative" ? " (relative)" : "";
    const summary = (
      /** @type {string} */ label,
      /** @type {keyof ReturnType<typeof summarizeOrderings>} */ key,
    ) => ({
      label,
      numeric: true,
      value: (/** @type {any} */ p) => p.item.summary[key][p.j],
      show: (/** @type {any} */ p) => formatFraction(p.item.summary[key][p.j], 4),
    });
    const share = (/** @type {any} */ p) => p.count / p.item.series.meta.n_units;
    const places = this.ablation
      ? [
          { label: "units ablated", numeric: true, value: (/** @type {any} */ p) => p.count },
          {
            label: "fraction ablated",
            numeric: true,
            value: share,
            show: (/** @type {any} */ p) => formatFraction(share(p), 4),
          },
        ]
      : [
          {
            label: "noise scale",
            numeric: true,
            value: (/** @type {any} */ p) => p.count,
            show: (/** @type {any} */ p) => formatNumber(p.count),
          },
        ];
    /** @type {import("../../numbers/types.js").Column[]} */
    const columns = [
      { label: "label", value: (p) => p.item.label },
      { label: "run", value: (p) => p.item.series.run },
      { label: "tag", value: (p) => p.item.series.tag },
      { label: "step", numeric: true, value: (p) => p.item.curve.step },
      ...places,
      summary(`mean accuracy${relative}`, "mean"),
      summary("s.d.", "sd"),
      summary("10 %", "q10"),
      summary("90 %", "q90"),
      summary("min", "low"),
      summary("max", "high"),
      { label: `${this.subject.rows}s`, numeric: true, value: (p) => p.item.rows.length },
    ];
    return { columns, rows };
  }

  /** What colours stand for. @param {import("../../page/state.js").State} state */
  colour(state) {
    const compared = this.choices.find((choice) => choice.chosen === COMPARE);
    return colouredBy(this.offered, state.colour || (compared?.title.toLowerCase() ?? ""));
  }

  /** @param {import("../../numbers/types.js").Series[]} offered @param {import("../../numbers/types.js").Series[]} curves
   * @param {Model} model */
  showRuns(offered, curves, model) {
    // One entry for each run, named by its facts and not by compared settings.
    const known = new Map(model.index.series.map((s) => [s.run, s]));
    const names = [...new Set(offered.map((s) => s.run))];
    const runs = names.map((run) => /** @type {import("../../numbers/types.js").Series} */ (known.get(run)));
    const labels = seriesLabels(runs);
    const by = this.colour(model.state);
    const colours = seriesColours(runs, by, model.theme, model.allRuns, this.offered);
    const entries = new Map(
      names.map((run, i) => [run, { run, label: labels[i], colour: colours[i] }]),
    );
    this.context.runList.showMany([...entries.values()], model.state);
    const { index } = model;
    const drawn = new Set(index.series.flatMap((s) => (s.kind === this.subject.kind ? [s.run] : [])));
    const unlike = new Set(curves.flatMap((s) => (entries.has(s.run) ? [] : [s.run])));
    this.context.runList.showOthers(
      index.runs.filter((run) => !drawn.has(run)),
      [...unlike],
    );
  }

  /** @param {Model} model */
  showControls({ state }) {
    this.controls.settings.show(this.choices);
    this.controls.x.set(state.x);
    this.controls.y.set(state.y);
    this.controls.band.set(state.band);
    const { differing } = compareFacts(this.offered.map((s) => s.meta.facts));
    const byFact = /** @type {[string, string][]} */ (
      differing.map((name) => [name, `by ${name}`])
    );
    this.controls.colour.set(
      [["run", "TensorBoard's run colours"], ...byFact],
      differing.includes(this.colour(state)) ? this.colour(state) : "run",
    );
    this.controls.colour.element.hidden = !differing.length;
  }

  /** @param {Item[]} items  what all curves have in common */
  describeAll(items) {
    const counts = [...new Set(items.map((i) => i.rows.length))];
    const range =
      counts.length === 1
        ? plural(counts[0], this.subject.rows)
        : `${Math.min(...counts)} to ${Math.max(...counts)} ${this.subject.rows}s`;
    return [...settingPhrases(this.choices), range, ...sharedPhrases(items.map((i) => i.series))].join(" · ");
  }

  /** @param {string} text */
  say(text) {
    this.totals.show([], []);
    this.frame.say(text);
  }
}

/** @param {import("../../numbers/types.js").Series[]} series */
function sortByLabel(series) {
  const labels = seriesLabels(series);
  const order = series.map((_, i) => i).sort((a, b) => naturalOrder(labels[a], labels[b]));
  return order.map((i) => series[i]);
}

/** A number with a bar. @param {number} value @param {number} longest @param {string} colour */
function bar(value, longest, colour) {
  const share = Math.max(0, (100 * value) / longest) || 0;
  const fillStyle = `width:${share.toFixed(1)}%;background:${colour}`;
  return el(
    "span",
    { class: "bar-cell" },
    el("span", { class: "bar" }, el("span", { style: fillStyle })),
    el("span", {}, formatFraction(value)),
  );
}
