// Loss or accuracy along training beside the area under the ablation curve (paper Fig. 4a), and
// this area against test loss or accuracy: over runs (Figs. 3b and 4c) or along one run's training
// (Fig. 4b).

import { numeric } from "../../numbers/columns.js";
import { span } from "../../numbers/geometry.js";
import { formatFraction, formatInterval, formatNumber } from "../../numbers/labels.js";
import { FEWEST, rankCorrelation } from "../../numbers/rank_correlation.js";
import { dataRemarks, scalarRemarks } from "../../numbers/remarks.js";
import { matcher } from "../../numbers/runs.js";
import { chooseSettings, COMPARE, CURVE_SETTINGS, settingPhrases } from "../../numbers/settings.js";
import { fetchTrainings } from "../../page/api.js";
import { colouredBy, pointedAt, seriesColours } from "../../page/colours.js";
import { ChartFrame } from "../../parts/chart_frame.js";
import { segmented } from "../../parts/controls.js";
import { el } from "../../parts/dom.js";
import { SettingControls } from "../../parts/setting_controls.js";
import { areasOption } from "./areas_chart.js";
import { overOption } from "./training_chart.js";
import {
  AGAINST,
  areaDots,
  areaPoints,
  AREAS,
  labelled,
  points,
  relabel,
} from "./training_points.js";

const MANY_RUNS = 8; // the lines of more runs are hard to tell apart

/**
 * @typedef {import("../../page/model.js").Model} Model
 * @typedef {import("./training_points.js").Item} Item
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
    const everywhere = index.runs.map((run) => ({
      run,
      description: described.get(run),
      facts: facts.get(run),
    }));
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
    const ticked = ours.filter(({ run }) => !state.off.includes(run));
    const by = colouredBy(ticked.length > 1 ? ticked : ours, state.colour);
    const colours = seriesColours(described, by, theme, allRuns, ours);
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
    const { state } = this.context.model();
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

  /** Another run of the list is pointed at. */
  point() {
    for (const frame of [this.over, this.areas]) frame.point();
  }

  /** @param {Item[]} all */
  drawOver(all) {
    const { state, theme, index } = this.context.model();
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
      remarks.push(`${items.length} runs at once are hard to tell apart; untick some in the list.`);
    const option = (/** @type {Item[]} */ drawn) => overOption(drawn, names, state, this.over.zoom, theme);
    this.over.show({
      option: option(items),
      pointed: (run) => pointedAt(items, ({ training }) => training.run === run, option),
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
        numeric("step", (r) => r.step),
        numeric("value", (r) => r.value, formatNumber),
      ],
    });
  }

  /** The curves of the areas, in words. */
  curveWords() {
    const { state } = this.context.model();
    return [AREAS[state.area], ...settingPhrases(this.choices)].join(", ");
  }

  /** @param {Item[]} items */
  drawAreas(items) {
    const { state, theme } = this.context.model();
    const measured = Object.keys(AGAINST).find((name) => areaDots(items, name).dots.length > 1);
    const against = state.against || measured || "test_loss";
    const title = AGAINST[against];
    const { dots, alone } = areaDots(items, against);
    this.against.set(against);
    if (dots.length < 2)
      return this.areas.say(
        `Two runs or more with an ablation curve and ${title.toLowerCase()} are needed, or one with several checkpoints.`,
      );
    const over = alone ? "checkpoints of one run" : "runs, each at its last checkpoint";
    const option = (/** @type {import("./areas_chart.js").Dot[]} */ drawn) =>
      areasOption(drawn, title, AREAS[state.area], this.areas.zoom, theme);
    const colours = dots.map((dot) => ({ dot, colour: dot.item.colour }));
    this.areas.show({
      option: option(dots),
      pointed: (run) =>
        pointedAt(colours, ({ dot }) => dot.item.training.run === run, (drawn) =>
          option(drawn.map(({ dot, colour }) => ({ ...dot, item: { ...dot.item, colour } }))),
        ),
      count: dots.length,
      subtitle: `${correlationWords(dots, over)} · ${this.curveWords()}`,
      rows: dots,
      columns: [
        { label: "run", value: (d) => d.item.training.run },
        numeric("step", (d) => d.step),
        numeric(against.replace("_", " "), (d) => d.x, formatNumber),
        numeric(AREAS[state.area], (d) => d.y, formatFraction),
      ],
    });
  }
}

/** The rank correlation of those dots whose network has learned anything, and how many have not.
 * @param {import("./areas_chart.js").Dot[]} dots @param {string} over  what the dots are */
function correlationWords(dots, over) {
  const compared = dots.filter((d) => d.learned);
  const x = Float64Array.from(compared, (d) => d.x);
  const y = Float64Array.from(compared, (d) => d.y);
  const { rho, interval } = rankCorrelation(x, y);
  const few = compared.length < FEWEST ? " (too few for an interval)" : formatInterval(interval);
  const left = dots.length - compared.length;
  const out = left ? ` · ${left} at chance, hollow and not counted` : "";
  return `Spearman ρ = ${formatFraction(rho)}${few} over ${compared.length} ${over}${out}`;
}
