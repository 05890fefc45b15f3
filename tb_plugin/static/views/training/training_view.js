// Loss or accuracy along training beside the area under the ablation curve (paper Fig. 4a), and
// this area against test loss or accuracy: over runs (Figs. 3b and 4c) or along one run's training
// (Fig. 4b).

import { niceExtent, paddedExtent, samePart, span } from "../../numbers/geometry.js";
import {
  formatFraction,
  formatInterval,
  formatNumber,
  namedFact,
  plural,
  shorten,
  tellingFacts,
} from "../../numbers/labels.js";
import { rankCorrelation } from "../../numbers/rank_correlation.js";
import { dataRemarks, scalarRemarks } from "../../numbers/remarks.js";
import { matcher } from "../../numbers/runs.js";
import { chooseSettings, COMPARE, CURVE_SETTINGS, settingPhrases } from "../../numbers/settings.js";
import { leastSquares } from "../../numbers/statistics.js";
import { fetchTrainings } from "../../page/api.js";
import { colouredBy, seriesColours } from "../../page/colours.js";
import { MARKS } from "../../page/theme.js";
import { axis, frame as chartBasics, legend, tooltip } from "../../parts/axes.js";
import { ChartFrame } from "../../parts/chart_frame.js";
import { segmented } from "../../parts/controls.js";
import { el, swatch } from "../../parts/dom.js";
import { SettingControls } from "../../parts/setting_controls.js";

const MANY_RUNS = 8; // the lines of more runs are hard to tell apart
const TOOLTIP_ROWS = 14;

const AREAS = /** @type {Record<string, string>} */ ({
  auc: "AUC",
  normalized: "Normalized AUC",
});
const AGAINST = /** @type {Record<string, string>} */ ({
  test_loss: "Test loss (nats)",
  test_accuracy: "Test accuracy (fraction correct)",
  gap: "Generalization error (training − test accuracy)",
});

/**
 * @typedef {import("../../page/model.js").Model} Model
 * @typedef {object} Item
 * @property {import("../../numbers/types.js").Training} training
 * @property {string} label
 * @property {string} colour
 * @property {Record<string, string>} facts
 * @property {[number, number][]} areas  under its ablation curve, by step
 */

export class TrainingView {
  /** @param {import("../../parts/chart_frame.js").Context} context */
  constructor(context) {
    this.context = context;
    this.trainings = /** @type {import("../../numbers/types.js").Training[]} */ ([]);
    this.runs = /** @type {Map<string, {label: string, facts: Record<string, string>}>} */ (new Map());
    this.colours = /** @type {Map<string, string>} */ (new Map());
    this.over = new ChartFrame(context, { name: "training", title: "Over training" });
    this.areas = new ChartFrame(context, { name: "auc_vs_test", title: "AUC against generalization" });
    const { set } = context;
    this.progress = segmented(
      "Show",
      [
        ["loss", "loss"],
        ["accuracy", "accuracy"],
      ],
      (progress) => {
        this.over.zoomTo(null);
        set({ progress });
      },
    );
    this.area = segmented(
      "Area under the curve",
      [
        ["auc", "AUC"],
        ["normalized", "normalized"],
      ],
      (area) => {
        this.areas.zoomTo(null);
        set({ area });
      },
    );
    this.against = segmented(
      "Against",
      [
        ["test_loss", "test loss"],
        ["test_accuracy", "test accuracy"],
        ["gap", "generalization error"],
      ],
      (against) => {
        this.areas.zoomTo(null);
        set({ against });
      },
    );
    this.settings = new SettingControls(CURVE_SETTINGS, set);
    this.choices = /** @type {import("../../numbers/settings.js").Choice[]} */ ([]);
    this.tags = /** @type {Map<string, string>} */ (new Map()); // tag of each run's curve
    this.over.controls.append(this.progress.element, this.area.element, ...this.settings.elements);
    this.areas.controls.append(this.against.element);
    for (const frame of [this.over, this.areas]) frame.element.classList.add("half");
    this.element = el("div", { class: "stack" }, this.over.element, this.areas.element);
  }

  /** @param {Model} model */
  update(model) {
    const { index, state } = model;
    // Runs without this plugin's data count too: another program may have written the losses of a
    // training.
    const facts = new Map(index.series.map((s) => [s.run, s.meta.facts]));
    const described = new Map(index.series.map((s) => [s.run, s.description]));
    const everywhere = index.runs.map((run) => ({ run, description: described.get(run) }));
    const names = this.context.runList.narrow(everywhere, state).map(({ run }) => run);
    this.runs = labelled(names, facts);
    this.colourRuns(names, model);
    const entries = names.map((run) => ({
      run,
      label: this.runs.get(run)?.label ?? run,
      colour: this.colours.get(run) ?? "",
    }));
    this.context.runList.showMany(entries, state);
    this.context.runList.showOthers(this.without());
    this.chooseCurves(names, model);
    this.progress.set(state.progress);
    this.area.set(state.area);
    const matches = matcher(state.filter) ?? (() => true);
    const off = new Set(state.off);
    const chosen = entries.filter((e) => !off.has(e.run) && (matches(e.run) || matches(e.label)));
    if (!chosen.length) {
      for (const frame of [this.over, this.areas]) frame.say("No run is chosen.");
      return;
    }
    const runs = chosen.map((e) => e.run);
    this.over.load(
      JSON.stringify([model.version, runs]),
      () => fetchTrainings(runs),
      (trainings) => (this.trainings = trainings),
      () => this.draw(),
    );
  }

  /** Colours as in the other views: by the setting in which the runs differ, if there is one.
   * @param {string[]} runs @param {Model} model */
  colourRuns(runs, { index, state, theme, allRuns }) {
    const known = new Set(index.series.map((s) => s.run));
    const described = runs.map((run) => ({ run, meta: { facts: this.runs.get(run)?.facts ?? {} } }));
    const matches = matcher(state.filter) ?? (() => true);
    const ours = described.filter(
      ({ run }) => known.has(run) && (matches(run) || matches(this.runs.get(run)?.label ?? run)),
    );
    const colours = seriesColours(described, colouredBy(ours, state.colour), theme, allRuns, ours);
    this.colours = new Map(runs.map((run, i) => [run, colours[i]]));
  }

  /** Requested runs without data for this view. */
  without() {
    return this.trainings
      .filter(({ scalars, curves }) => !curves.length && !Object.keys(scalars).length)
      .map(({ run }) => run);
  }

  /** Chooses the ablation curve of each run whose area is shown: the curve with the settings chosen
   * here or for the curves; the first if there are several.
   * @param {string[]} runs @param {Model} model */
  chooseCurves(runs, { index, state }) {
    const narrowed = new Set(runs);
    const curves = index.series.filter((s) => s.kind === "curve" && narrowed.has(s.run));
    const single = Object.fromEntries(
      CURVE_SETTINGS.map((name) => {
        const asked = /** @type {any} */ (state)[name];
        return [name, asked === COMPARE ? "" : asked];
      }),
    );
    const { series, choices } = chooseSettings(curves, CURVE_SETTINGS, single);
    this.choices = choices;
    this.settings.show(choices, false);
    this.tags = new Map(series.toReversed().map((s) => [s.run, s.tag]));
  }

  draw() {
    const { state } = /** @type {Model} */ (this.context.model());
    this.context.runList.showOthers(this.without());
    const items = this.trainings.map((training) => ({
      training,
      areas: areaPoints(training, this.tags.get(training.run), state.area),
      label: this.runs.get(training.run)?.label ?? training.run,
      colour: this.colours.get(training.run) ?? "",
      facts: this.runs.get(training.run)?.facts ?? {},
    }));
    this.drawOver(items);
    this.drawAreas(items);
  }

  /** @param {Item[]} all */
  drawOver(all) {
    const { state, theme, index } = /** @type {Model} */ (this.context.model());
    const names = [state.progress, `test_${state.progress}`];
    const items = all.filter((i) => names.some((name) => i.training.scalars[name]));
    relabel(items);
    if (!items.length)
      return this.over.say(
        `No training/${state.progress} in the chosen runs. Write it with tb_plugin.summary.training_scalar.`,
      );
    const rows = items.flatMap((item) => [
      ...names.flatMap((name) => points(item, name)),
      ...item.areas.map(([step, value]) => ({ item, name: AREAS[state.area], step, value })),
    ]);
    const steps = (/** @type {{steps: number[]}[]} */ series) => span(series.map((s) => s.steps.length))[1];
    const remarks = [
      ...dataRemarks(index, "single_directions", steps(items.flatMap((i) => i.training.curves))),
      ...scalarRemarks(index, steps(items.flatMap((i) => Object.values(i.training.scalars)))),
    ];
    if (items.length > MANY_RUNS)
      remarks.push(`${items.length} runs at once are hard to tell apart; untick some at the left.`);
    this.over.show({
      option: overOption(items, names, state, this.over.zoom, theme),
      count: items.length,
      subtitle: [
        "solid: training",
        ...(items.some((i) => i.training.scalars[names[1]]) ? ["dashed: test"] : []),
        ...(items.some((i) => i.areas.length) ? [`dotted with marks, right axis: ${this.curveWords()}`] : []),
      ].join(" · "),
      remarks,
      rows,
      columns: [
        { label: "run", value: (r) => r.item.training.run },
        { label: "quantity", value: (r) => r.name },
        { label: "step", numeric: true, value: (r) => r.step },
        { label: "value", numeric: true, value: (r) => r.value, show: (r) => formatNumber(r.value) },
      ],
    });
  }

  /** The curves of the areas, in words. */
  curveWords() {
    const { state } = /** @type {Model} */ (this.context.model());
    return [AREAS[state.area], ...settingPhrases(this.choices)].join(", ");
  }

  /** @param {Item[]} items */
  drawAreas(items) {
    const { state, theme } = /** @type {Model} */ (this.context.model());
    const measured = Object.keys(AGAINST).find((name) => areaDots(items, name).dots.length > 1);
    const against = state.against || measured || "test_loss";
    const title = AGAINST[against];
    const { dots, alone } = areaDots(items, against);
    this.against.set(against);
    if (dots.length < 2)
      return this.areas.say(
        `Two runs or more with an ablation curve and ${title.toLowerCase()} are needed, or one with several checkpoints.`,
      );
    const x = dots.map((d) => d.x);
    const y = dots.map((d) => d.y);
    const { rho, interval } = rankCorrelation(Float64Array.from(x), Float64Array.from(y));
    const over = alone ? "checkpoints of one run" : "runs, each at its last checkpoint";
    this.areas.show({
      option: areasOption(dots, title, AREAS[state.area], this.areas.zoom, theme),
      count: dots.length,
      subtitle: `Spearman ρ = ${formatFraction(rho)}${formatInterval(interval)} over ${dots.length} ${over} · ${this.curveWords()}`,
      rows: dots,
      columns: [
        { label: "run", value: (d) => d.item.training.run },
        { label: "step", numeric: true, value: (d) => d.step },
        { label: against.replace("_", " "), numeric: true, value: (d) => d.x, show: (d) => formatNumber(d.x) },
        { label: AREAS[state.area], numeric: true, value: (d) => d.y, show: (d) => formatFraction(d.y) },
      ],
    });
  }
}

/** Short names for runs, by the facts that tell them apart.
 * @param {string[]} runs @param {Map<string, Record<string, string>>} facts */
function labelled(runs, facts) {
  const known = runs.filter((run) => facts.has(run));
  const telling = tellingFacts(known.map((run) => facts.get(run) ?? {}));
  const label = (/** @type {string} */ run) =>
    telling
      .filter((name) => facts.get(run)?.[name] !== undefined)
      .map((name) => namedFact(name, facts.get(run)?.[name] ?? ""))
      .join(", ") || run;
  const labels = runs.map(label);
  return new Map(
    runs.map((run, i) => {
      const unique = labels.indexOf(labels[i]) === labels.lastIndexOf(labels[i]);
      return [run, { label: unique ? labels[i] : run, facts: facts.get(run) ?? {} }];
    }),
  );
}

/** Shorter labels if fewer runs have to be told apart. @param {Item[]} items */
function relabel(items) {
  const facts = new Map(items.map((item) => [item.training.run, item.facts]));
  const labels = labelled([...facts.keys()], facts);
  for (const item of items) item.label = labels.get(item.training.run)?.label ?? item.label;
}

/** @param {Item} item @param {string} name */
function points(item, name) {
  const found = item.training.scalars[name];
  return (found?.steps ?? []).map((step, i) => ({ item, name, step, value: found.values[i] }));
}

/** Area under one of the run's ablation curves, by step.
 * @param {import("../../numbers/types.js").Training} training
 * @param {string | undefined} tag @param {string} area @returns {[number, number][]} */
function areaPoints({ curves }, tag, area) {
  const curve = curves.find((c) => c.tag === tag);
  const values = area === "normalized" ? curve?.normalized : curve?.auc;
  return (curve?.steps ?? []).map((step, i) => [step, values?.[i] ?? NaN]);
}

/** One dot for each run, at its last checkpoint; if only one run has dots, a dot for each
 * checkpoint.
 * @param {Item[]} items @param {string} against */
function areaDots(items, against) {
  const perRun = items.map((item) => scatterPoints(item, against)).filter((dots) => dots.length);
  const alone = perRun.length === 1;
  return { alone, dots: alone ? perRun[0] : perRun.map((dots) => dots[dots.length - 1]) };
}

/** Area against a quantity at each analysed step. The quantity is read at the nearest earlier step,
 * or from the fact of that name if a run has no scalars.
 * @param {Item} item @param {string} against */
function scatterPoints(item, against) {
  const at = (/** @type {string} */ name, /** @type {number} */ step) => {
    const found = item.training.scalars[name];
    if (!found) return Number(item.facts[name.replace("_", " ")] ?? NaN);
    const place = found.steps.findLastIndex((s) => s <= step);
    return place < 0 ? NaN : (found.values[place] ?? NaN);
  };
  return item.areas.flatMap(([step, y]) => {
    const accuracy = at("accuracy", step);
    const training = Number.isNaN(accuracy) ? at("training_accuracy", step) : accuracy;
    const x = against === "gap" ? training - at("test_accuracy", step) : at(against, step);
    return Number.isFinite(x) && Number.isFinite(y) ? [{ item, step, x, y }] : [];
  });
}

/** @param {Item[]} items @param {string[]} names
 * @param {{progress: string, area: string}} state
 * @param {import("../../numbers/types.js").Window} zoom @param {typeof import("../../page/theme.js").LIGHT} theme */
function overOption(items, names, { progress, area }, zoom, theme) {
  const [highest, lastStep] = furthest(items, names);
  const extent = /** @type {[number, number]} */ (
    progress === "loss" ? niceExtent([0, highest || 1]) : [0, 1]
  );
  const line = (/** @type {Item} */ item, /** @type {string} */ name, /** @type {string} */ type) => ({
    name: item.label,
    id: `${name}:${item.training.run}`,
    type: "line",
    data: points(item, name).map((p) => [p.step, p.value]),
    symbol: points(item, name).length === 1 ? "circle" : "none",
    lineStyle: { width: 2, color: item.colour, type },
    itemStyle: { color: item.colour },
    clip: true,
  });
  return {
    ...chartBasics(theme, `${progress} and area under the ablation curve over training, ${plural(items.length, "run")}.`),
    grid: { left: 72, right: 68, top: 48, bottom: 60 },
    legend: legend(theme, {
      left: 66,
      right: 16,
      selectedMode: false,
      data: items.map((i) => i.label),
      formatter: (/** @type {string} */ name) => shorten(name, 60),
    }),
    tooltip: tooltip(theme, {
      trigger: "axis",
      axisPointer: { type: "line", lineStyle: { color: theme.muted, type: "dashed" } },
      formatter: (/** @type {any[]} */ found) =>
        found.length ? moment(items, names, Number(found[0].axisValue)) : "",
    }),
    xAxis: axis(theme, "Training step (epoch)", [0, lastStep || 1], zoom.x, {
      nameGap: 34,
      splitLine: { show: false },
    }),
    yAxis: [
      axis(theme, progress === "loss" ? "Loss (nats)" : "Accuracy (fraction correct)", extent, zoom.y, { nameGap: 46 }),
      axis(theme, AREAS[area], [0, 1], zoom.y && samePart(zoom.y, extent, [0, 1]), {
        nameGap: 40,
        position: "right",
        splitLine: { show: false },
      }),
    ],
    series: items.flatMap((item, i) => [
      line(item, names[0], "solid"),
      line(item, names[1], "dashed"),
      {
        ...line(item, "auc", "dotted"),
        yAxisIndex: 1,
        data: item.areas,
        symbol: MARKS[i % MARKS.length],
        symbolSize: 8,
      },
    ]),
  };
}

/** The highest value and the last step of any run; gaps do not count.
 * @param {Item[]} items @param {string[]} names  of the scalars
 * @returns {[number, number]} */
export function furthest(items, names) {
  const all = items.flatMap(({ training }) => names.flatMap((name) => training.scalars[name] ?? []));
  const highest = all.map(({ values }) => span(values.map((v) => v ?? -Infinity))[1]);
  const analysed = items.map(({ areas }) => areas.map(([step]) => step));
  const last = [...all.map(({ steps }) => steps), ...analysed].map((steps) => span(steps)[1]);
  return [Math.max(0, span(highest)[1]), Math.max(0, span(last)[1])];
}

/** Each run's last values up to a step.
 * @param {Item[]} items @param {string[]} names  of the scalars: training, test
 * @param {number} step */
function moment(items, names, step) {
  const last = (/** @type {[number, any][]} */ pairs) =>
    pairs.findLast(([at]) => at <= step)?.[1] ?? null;
  const rows = items.slice(0, TOOLTIP_ROWS).map((item) => {
    const scalars = names.map((name) => points(item, name).map((p) => [p.step, p.value]));
    const found = [...scalars, item.areas].map((pairs) => last(/** @type {any} */ (pairs)));
    const cells = found.map((value) => el("td", { class: "number" }, formatNumber(value)));
    return el("tr", {}, el("td", {}, swatch(item.colour), item.label), ...cells);
  });
  const heads = ["run", "training", "test", "AUC"].map((text) => el("th", {}, text));
  const more = items.length - rows.length;
  return el(
    "div",
    { class: "tooltip" },
    el("strong", {}, `Step ${formatNumber(step)}`),
    el("table", {}, el("tr", {}, ...heads), ...rows),
    more > 0 && el("p", {}, `and ${more} more`),
  );
}

/** An extent wider than the values, but not below 0 if no value is below 0.
 * @param {number[]} values */
function roundExtent(values) {
  const [low, high] = niceExtent(paddedExtent(values));
  return /** @type {[number, number]} */ ([span(values)[0] >= 0 ? Math.max(0, low) : low, high]);
}

/** @param {{item: Item, step: number, x: number, y: number}[]} dots @param {string} title
 * @param {string} area  name of the area
 * @param {import("../../numbers/types.js").Window} zoom @param {typeof import("../../page/theme.js").LIGHT} theme */
function areasOption(dots, title, area, zoom, theme) {
  const xExtent = roundExtent(dots.map((d) => d.x));
  const yExtent = roundExtent(dots.map((d) => d.y));
  const line = leastSquares(
    dots.map((d) => d.x),
    dots.map((d) => d.y),
  );
  return {
    ...chartBasics(theme, `Area under the ablation curve against ${title}, ${plural(dots.length, "point")}.`),
    grid: { left: 72, right: 24, top: 24, bottom: 60 },
    tooltip: tooltip(theme, {
      trigger: "item",
      formatter: (/** @type {any} */ at) => {
        const dot = dots[at.dataIndex];
        return dot ? spotlight(dot, title, area) : "";
      },
    }),
    xAxis: axis(theme, title, xExtent, zoom.x, { nameGap: 34 }),
    yAxis: axis(theme, `${area} of the ablation curve`, yExtent, zoom.y, { nameGap: 46 }),
    series: [
      {
        type: "scatter",
        symbolSize: 11,
        data: dots.map((d) => ({ value: [d.x, d.y], itemStyle: { color: d.item.colour } })),
        clip: true,
        z: 3,
      },
      line && {
        type: "line",
        data: span(dots.map((d) => d.x)).map((x) => [x, line.slope * x + line.intercept]),
        symbol: "none",
        silent: true,
        clip: true,
        lineStyle: { color: theme.all, type: "dashed", width: 2 },
        tooltip: { show: false },
      },
    ].filter(Boolean),
  };
}

/** @param {{item: Item, step: number, x: number, y: number}} dot @param {string} title
 * @param {string} area */
function spotlight(dot, title, area) {
  const row = (/** @type {string} */ name, /** @type {string} */ text) =>
    el("tr", {}, el("td", {}, name), el("td", { class: "number" }, text));
  return el(
    "div",
    { class: "tooltip" },
    el("strong", {}, dot.item.label),
    el(
      "table",
      {},
      row(area, formatFraction(dot.y)),
      row(title, formatNumber(dot.x)),
      row("step", formatNumber(dot.step)),
    ),
  );
}
