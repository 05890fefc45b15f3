// Accuracy against ablated units or against noise: a curve for each run, and a table of their
// summaries.

import { curveAreas, halfway, summarizeOrderings } from "../../numbers/curves.js";
import { figureView } from "../../numbers/figure_views.js";
import {
  compareFacts,
  legendLabels,
  naturalOrder,
  plural,
  seriesLabels,
  sharedPhrases,
  splitAdjective,
} from "../../numbers/labels.js";
import { dataRemarks } from "../../numbers/remarks.js";
import { runsChosen, runsMatching } from "../../numbers/runs.js";
import { joined, seedGroups, settled } from "../../numbers/seeds.js";
import { chooseSettings, COMPARE, settingPhrases } from "../../numbers/settings.js";
import { fetchCurves } from "../../page/api.js";
import { colouredBy, pointedAt, seriesColours, seriesDashes } from "../../page/colours.js";
import { MARKS } from "../../page/theme.js";
import { ChartFrame } from "../../parts/chart_frame.js";
import { dropDown, segmented, stepSlider } from "../../parts/controls.js";
import { SettingControls } from "../../parts/setting_controls.js";
import { Table } from "../../parts/table.js";
import { curvesOption } from "./curves_chart.js";
import { everyPoint, totalColumns } from "./curves_tables.js";
import { curvesTooltip } from "./curves_tooltip.js";

const MANY_CURVES = 20;
// What the sweeps of a figure may differ in by design.
const COMPARED = /** @type {const} */ (["order", "fill"]);
// More curves than this are drawn with seeds together, unless the user asks for each.
const FEW_CURVES = 8;

/**
 * @typedef {import("../../page/model.js").Model} Model
 * @typedef {import("./subjects.js").Item} Item
 */

export class CurvesView {
  /** @param {import("../../parts/chart_frame.js").Context} context
   * @param {import("./subjects.js").Subject} subject */
  constructor(context, subject) {
    this.context = context;
    this.subject = subject;
    this.curves = /** @type {import("../../numbers/types.js").Curve[]} */ ([]);
    this.series = /** @type {import("../../numbers/types.js").Series[]} */ ([]);
    this.offered = /** @type {import("../../numbers/types.js").Series[]} */ ([]);
    this.choices = /** @type {import("../../numbers/settings.js").Choice[]} */ ([]);
    this.legendTitle = "";
    this.frame = new ChartFrame(context, { name: subject.name, title: subject.title });
    this.totals = new Table({
      sortBy: subject.total.label,
      descending: true,
      caption: subject.total.caption,
    });
    this.frame.details.append(this.totals.element);
    this.controls = this.makeControls();
    this.element = this.frame.element;
  }

  makeControls() {
    const { set } = this.context;
    const without = (/** @type {"x" | "y"} */ axis) => {
      const { [axis]: _, ...zoom } = this.frame.zoom;
      this.frame.zoomAll(new Map([[this.frame.name, zoom]]));
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
    const seeds = segmented(
      "Seeds",
      [
        ["apart", "each"],
        ["together", "together"],
      ],
      (seeds) => set({ seeds }),
    );
    const step = stepSlider((step) => set({ step }));
    x.element.hidden = !this.subject.counts;
    seeds.element.hidden = true; // until it is known whether curves differ only in their seed
    const others = [x, y, band, seeds, colour, step].map((c) => c.element);
    this.frame.controls.append(...settings.elements, ...others);
    return { settings, x, y, band, seeds, colour, step };
  }

  /** @param {Model} model */
  update(model) {
    const { index, state } = model;
    const everywhere = index.series.filter((s) => s.kind === this.subject.kind);
    const curves = this.context.runList.narrow(everywhere, state);
    // The default settings follow from the runs that match the filter.
    const matching = runsChosen(curves, { ...state, off: [] });
    const { series, choices } = chooseSettings(curves, this.subject.settings, asked(state, curves), matching);
    this.choices = choices;
    const offered = sortByLabel(series);
    this.offered = runsMatching(offered, state);
    const chosen = runsChosen(offered, state);
    this.series = chosen;
    this.showRuns(offered, curves, model);
    this.showControls(model);
    if (!curves.length) return this.say(this.subject.empty);
    if (!chosen.length)
      return this.say(`No run is chosen. Tick one in the list, or change the filter.`);
    const key = JSON.stringify([model.version, state.step, chosen.map((s) => [s.run, s.tag])]);
    this.frame.load(
      key,
      () => fetchCurves(chosen, state.step),
      (curves) => (this.curves = curves),
      () => this.draw(),
    );
  }

  draw() {
    const { state, index } = this.context.model();
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
        `${items.length} curves at once are hard to tell apart; choose a folder or filter them in the list.`,
      );
    if (!items.length) {
      this.say("None of the chosen curves can be shown.");
      return this.frame.card.remark(remarks);
    }
    this.totals.show(totalColumns(this.subject, items, this.legendTitle), items);
    this.frame.show({
      option: this.option(items),
      pointed: (run) => pointedAt(items, ({ runs }) => runs.includes(run), (drawn) => this.option(drawn)),
      count: items.length,
      subtitle: this.describeAll(items),
      remarks,
      ...everyPoint(this.subject, items, state.y === "relative"),
    });
  }

  /** @param {import("../../numbers/types.js").Curve[]} curves
   * @returns {{items: Item[], problems: string[]}} */
  items(curves) {
    const { state, theme, allRuns } = this.context.model();
    const key = (/** @type {{run: string, tag: string}} */ s) => JSON.stringify([s.run, s.tag]);
    const seriesOf = new Map(this.series.map((s) => [key(s), s]));
    const read = curves.filter((c) => seriesOf.has(key(c)));
    const each = read.map((c) => /** @type {import("../../numbers/types.js").Series} */ (seriesOf.get(key(c))));
    const { known, series, runs } = this.pooled(read, each);
    const { labels, title } = legendLabels(series);
    this.legendTitle = title;
    const by = this.colour(state);
    const colours = seriesColours(series, by, theme, allRuns, this.offered);
    const dashes = seriesDashes(series, by);
    const items = [];
    const problems = [];
    for (const [i, curve] of known.entries()) {
      try {
        const nUnits = series[i].meta.n_units;
        const rows = state.y === "relative" ? this.subject.relative(curve) : curve.rows;
        const summary = summarizeOrderings(rows);
        items.push({
          series: series[i],
          runs: runs[i],
          curve,
          label: labels[i],
          colour: colours[i],
          dash: dashes[i],
          x: this.subject.x(curve, nUnits, state),
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

  /** The curves with their series; those that differ only in the seed as one, if that is asked for.
   * @param {import("../../numbers/types.js").Curve[]} curves
   * @param {import("../../numbers/types.js").Series[]} series */
  pooled(curves, series) {
    const { state } = this.context.model();
    const groups = seedGroups(series);
    this.controls.seeds.element.hidden = groups.length === series.length;
    const together = state.seeds ? state.seeds === "together" : series.length > FEW_CURVES;
    this.controls.seeds.set(together ? "together" : "apart");
    const places = together ? groups : series.map((_, i) => [i]);
    const joint = places.flatMap((group) => {
      const curve = joined(group.map((i) => curves[i]));
      if (!curve || group.length === 1)
        return group.map((i) => ({ curve: curves[i], series: series[i], runs: [series[i].run] }));
      const [first] = group;
      const runs = group.map((i) => series[i].run);
      const run = runs.join(" + ");
      const meta = /** @type {any} */ ({ ...series[first].meta, facts: settled(series[first].meta.facts) });
      return [{ curve, series: { ...series[first], run, meta }, runs }];
    });
    return {
      known: joint.map((one) => one.curve),
      series: joint.map((one) => one.series),
      runs: joint.map((one) => one.runs),
    };
  }

  /** @param {Item[]} items */
  option(items) {
    const { state, theme } = this.context.model();
    const units = [...new Set(items.map((i) => i.series.meta.n_units))];
    const { total, what, intact, logarithmic, xTitle, xExtent } = this.subject;
    const ranked = items.filter((item) => !Number.isNaN(total.value(item)));
    const best = ranked.sort((a, b) => total.value(b) - total.value(a))[0];
    const name = best && [this.legendTitle, best.label].filter(Boolean).join(" ");
    return curvesOption({
      curves: items.map((item, i) => ({ ...item, mark: MARKS[i % MARKS.length] })),
      legendTitle: this.legendTitle,
      xTitle: xTitle(units, state),
      yTitle: state.y === "relative" ? `Accuracy relative ${intact}` : this.accuracyTitle(items),
      xExtent: xExtent(items, units, state),
      logarithmic,
      band: state.band,
      relative: state.y === "relative",
      zoom: this.frame.zoom,
      theme,
      describe: (x, rows) =>
        curvesTooltip(this.subject, items, this.legendTitle, state, x, rows),
      spoken: `Accuracy ${what}, ${plural(items.length, "curve")}.${name ? ` Most robust: ${name}.` : ""} The table below lists all.`,
    });
  }

  /** @param {Item[]} items */
  accuracyTitle(items) {
    const splits = new Set(items.map((i) => splitAdjective(i.series.meta.split)));
    const scores = new Set(items.map((i) => String(i.series.meta.score)));
    const what = scores.size === 1 ? [...scores][0] : "accuracy";
    const text = splits.size === 1 ? `${[...splits][0]} ${what}` : what;
    return `${text.charAt(0).toUpperCase()}${text.slice(1)} (fraction correct)`;
  }

  /** What colours stand for. @param {import("../../page/state.js").State} state */
  colour(state) {
    const compared = this.choices.find((choice) => choice.chosen === COMPARE);
    // Runs that are not ticked are compared with nothing.
    const among = this.series.length > 1 ? this.series : this.offered;
    return colouredBy(among, state.colour || (compared?.title.toLowerCase() ?? ""));
  }

  /** @param {import("../../numbers/types.js").Series[]} offered
   * @param {import("../../numbers/types.js").Series[]} curves
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
    const steps = new Set(items.map((i) => i.curve.step));
    const [step] = steps;
    const at = steps.size === 1 && step > 0 ? [`step ${step.toLocaleString("en")}`] : [];
    return [...settingPhrases(this.choices), range, ...at, ...sharedPhrases(items.map((i) => i.series))].join(" · ");
  }

  /** Another run of the list is pointed at. */
  point() {
    this.frame.point();
  }

  /** @param {string} text */
  say(text) {
    this.totals.show([], []);
    this.controls.seeds.element.hidden = true;
    this.frame.say(text);
  }
}

/** The settings that the user chose; for a figure that compares its sweeps, all values of the first
 * setting in which they differ, unless the user chose otherwise.
 * @param {import("../../page/state.js").State} state
 * @param {import("../../numbers/types.js").Series[]} curves @returns {Record<string, any>} */
function asked(state, curves) {
  const compares = curves.every(({ meta }) => figureView(meta.facts, "curves")?.axes.includes("sweep"));
  const differing = COMPARED.find((name) => new Set(curves.map(({ meta }) => meta[name])).size > 1);
  if (!compares || !differing || state[differing]) return state;
  return { ...state, [differing]: COMPARE };
}

/** @param {import("../../numbers/types.js").Series[]} series */
function sortByLabel(series) {
  const labels = seriesLabels(series);
  const order = series.map((_, i) => i).sort((a, b) => naturalOrder(labels[a], labels[b]));
  return order.map((i) => series[i]);
}
