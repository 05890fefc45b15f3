// The lesion lab: a saved network drawn unit by unit. The user deletes units and sees the answers
// at once.
//
// Every request contains the whole lesion, so undo, links and several windows cannot disagree. An
// answer to an older lesion is dropped.

import {
  formatFraction,
  namedFact,
  naturalOrder,
  plural,
  tellingFacts,
} from "../../numbers/labels.js";
import { pairedChange, wilson } from "../../numbers/statistics.js";
import { fetchLabModels, LabClient } from "../../page/api.js";
import { readLesions, writeLesions } from "../../page/lesion_codec.js";
import { axis, categoryAxis, frame as chartBasics, legend, tooltip } from "../../parts/axes.js";
import { ChartFrame } from "../../parts/chart_frame.js";
import { el, fill } from "../../parts/dom.js";
import { NetworkGrid } from "./network_grid.js";

const PAUSE_MS = 60; // delay of requests while the user drags over units
const UNDO_STEPS = 100;
const PATIENCE_MS = 1500; // after this time the user is offered to cancel

/** @typedef {import("../../page/model.js").Model} Model */

export class LabView {
  /** @param {import("../../parts/chart_frame.js").Context} context */
  constructor(context) {
    this.context = context;
    this.client = new LabClient();
    this.ranker = new LabClient("-rank");
    this.listing = /** @type {import("../../numbers/types.js").LabListing | null} */ (null);
    this.opened = /** @type {import("../../numbers/types.js").LabModel | null} */ (null);
    this.openedId = "";
    this.drawnLesions = "";
    this.undo = /** @type {string[]} */ ([]);
    this.rankings = /** @type {Record<string, [number, number][]>} */ ({});
    this.ranking = false; // units are being ranked
    this.seq = 0;
    this.timer = 0;
    this.patience = /** @type {ReturnType<typeof setTimeout> | undefined} */ (undefined);
    this.outputs = /** @type {import("../../numbers/types.js").LabOutputs | null} */ (null);
    this.intactOutputs = /** @type {import("../../numbers/types.js").LabOutputs | null} */ (null);
    this.accuracy = /** @type {import("../../numbers/types.js").LabAccuracy | null} */ (null);
    this.accuracyOf = ""; // the lesions of the accuracy shown
    this.trouble = /** @type {{text: string, retry: () => void} | null} */ (null);
    this.message = el("div", { class: "lab-message", role: "status" });
    this.status = el("p", { class: "lab-status", role: "status", "aria-live": "polite" });
    this.busy = el("div", { class: "busy", hidden: true, "aria-hidden": "true" });
    this.cancel = el(
      "button",
      { class: "text-button", type: "button", hidden: true, on: { click: () => this.letBe() } },
      "Do not wait",
    );
    this.images = el("div", { class: "lab-images", role: "group", "aria-label": "Images" });
    this.answer = el("div", { class: "lab-answer" });
    this.tools = this.makeTools();
    this.grid = new NetworkGrid((deleted) => this.setLesions(writeLesions(deleted)));
    this.classes = new ChartFrame(this.context, {
      name: "accuracy_by_class",
      title: "Accuracy by class",
    });
    this.subtitle = el("p", { class: "subtitle" });
    this.work = el(
      "div",
      { hidden: true },
      this.images,
      this.tools.element,
      el("div", { class: "lab-state" }, this.busy, this.status, this.cancel),
      el("div", { class: "lab-columns" }, this.grid.element, this.answer),
    );
    this.classes.element.classList.add("small");
    this.classes.element.hidden = true;
    const title = el("div", {}, el("h2", {}, "Lesion lab"), this.subtitle);
    const head = el("header", { class: "card-head" }, title);
    const card = { class: "card", "aria-label": "Lesion lab" };
    const keydown = (/** @type {KeyboardEvent} */ event) => {
      const typing = /** @type {Element} */ (event.target).matches("input");
      if (event.key !== "z" || !(event.ctrlKey || event.metaKey) || typing) return;
      event.preventDefault();
      this.undoLast();
    };
    this.element = el(
      "div",
      { class: "stack", on: { keydown } },
      el("section", card, head, this.message, this.work),
      this.classes.element,
    );
  }

  makeTools() {
    const count = el("input", { type: "number", min: 1, value: 10, "aria-label": "How many units" });
    const button = (/** @type {string} */ text, /** @type {() => void} */ click) =>
      el("button", { class: "button", type: "button", on: { click } }, text);
    const k = () => Math.max(1, Math.floor(Number(count.value)) || 1);
    const undo = button("Undo", () => this.undoLast());
    const reset = button("Restore all", () => this.setLesions(""));
    const selective = button("most selective", () => this.deleteRanked("class_selectivity", k()));
    const important = button("most important", () => this.deleteRanked("importance", k()));
    const random = button("random", () => this.deleteRandom(k()));
    const element = el(
      "div",
      { class: "lab-tools", role: "toolbar", "aria-label": "Lesions" },
      el("span", {}, "Delete"),
      count,
      random,
      selective,
      important,
      el("span", { class: "gap" }),
      undo,
      reset,
    );
    return { element, undo, reset, important };
  }

  /** @param {Model} model */
  update(model) {
    if (!this.listing) {
      this.say("Looking for models …");
      fetchLabModels().then(
        (listing) => {
          this.listing = listing;
          this.update(/** @type {Model} */ (this.context.model()));
        },
        (error) => this.say(error.message, () => this.update(model)),
      );
      return;
    }
    const { models, enabled, reason } = this.listing;
    const named = namedModels(models, model.index.series);
    const narrowed = new Set(this.context.runList.narrow(named, model.state).map((m) => m.id));
    const offered = models.filter((m) => narrowed.has(m.id));
    const entries = modelEntries(offered, named);
    const first = this.context.runList.filtered(entries, model.state)[0] ?? entries[0];
    const byId = (/** @type {string | undefined} */ id) => models.find((m) => m.id === id);
    const chosen = byId(model.state.model) ?? byId(first?.run) ?? models[0];
    const choose = (/** @type {string} */ id) =>
      this.context.set({ model: id, lesions: "", image: -1 });
    this.context.runList.showChoices(entries, model.state, chosen?.id ?? "", "model", choose);
    this.context.runList.showOthers([]);
    if (!enabled) return this.say(reason);
    if (!chosen) return this.say("There is no .keras file in the folder of models.");
    if (chosen.id !== this.openedId) return this.open(chosen);
    if (this.opened) this.show(model);
  }

  /** @param {{id: string, name: string}} chosen */
  async open(chosen) {
    this.openedId = chosen.id;
    this.opened = this.outputs = this.intactOutputs = this.accuracy = null;
    this.undo = [];
    this.rankings = {};
    this.say(`Opening ${chosen.name}. The first model takes a while: TensorFlow is started for it.`);
    try {
      const opened = await this.client.ask({ do: "open", model: chosen.id });
      if (chosen.id !== this.openedId) return;
      const intact = await this.client.ask({ do: "outputs", model: chosen.id, lesions: {}, image: 0 });
      if (chosen.id !== this.openedId) return;
      this.opened = opened;
      this.intactOutputs = intact;
      this.accuracy = opened.intact;
      this.accuracyOf = "";
      this.grid.build(opened.layers);
    } catch (error) {
      if (chosen.id === this.openedId)
        this.say(/** @type {Error} */ (error).message, () => this.open(chosen));
      return;
    }
    this.drawnLesions = "\0"; // differs from any text, so the first lesion is requested
    this.show(/** @type {Model} */ (this.context.model()));
  }

  /** @param {Model} model */
  show({ state }) {
    const opened = /** @type {import("../../numbers/types.js").LabModel} */ (this.opened);
    this.message.hidden = true;
    this.work.hidden = false;
    this.classes.element.hidden = false;
    this.subtitle.textContent = `${this.nameOfModel()} · sha256 ${opened.sha256.slice(0, 12)} · ${opened.source} · accuracy on ${plural(opened.n_images, "image")}`;
    const deleted = this.deleted(state.lesions);
    this.grid.show(deleted, this.outputs?.activity ?? this.intactOutputs?.activity ?? []);
    this.tools.undo.disabled = !this.undo.length;
    this.tools.reset.disabled = !state.lesions;
    const rankable = opened.rankable.includes("importance");
    this.tools.important.disabled = !rankable;
    this.tools.important.title = rankable
      ? "those whose ablation raises the loss most"
      : "This network is too large to ablate every unit in turn here. Run a single_unit sweep on it: the lab takes its result.";
    this.showImages(state);
    this.showAnswer(state);
    this.showStatus(deleted, state.lesions);
    this.showClasses();
    const wanted = JSON.stringify([state.lesions, this.image(state)]);
    if (wanted === this.drawnLesions) return;
    this.drawnLesions = wanted;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.evaluate(), PAUSE_MS);
  }

  /** Requests the answers on the chosen images, then the accuracy on all images. */
  async evaluate() {
    const { state } = /** @type {Model} */ (this.context.model());
    const seq = ++this.seq;
    const text = state.lesions; // the state may change before the answer comes
    const question = { ...this.named(), lesions: this.byLayer(this.deleted(text)) };
    this.trouble = null;
    this.wait();
    if (this.ranking) this.ranker.cancel(); // this lesion is newer
    try {
      const outputs = await this.client.ask({ do: "outputs", ...question, image: this.image(state) });
      if (seq !== this.seq) return;
      this.outputs = outputs;
      this.element.dataset.outputs = text;
      this.show(/** @type {Model} */ (this.context.model()));
      this.wait();
      const accuracy = await this.client.ask({ do: "accuracy", ...question });
      if (seq !== this.seq) return;
      this.accuracy = accuracy;
      this.accuracyOf = text;
      this.element.dataset.evaluated = text;
      this.wait(false);
      this.show(/** @type {Model} */ (this.context.model()));
    } catch (error) {
      const failure = /** @type {Error & {code?: string}} */ (error);
      if (seq !== this.seq) return;
      this.wait(false);
      if (failure.code === "model_changed") return this.reopen();
      this.admit(failure.message, () => this.evaluate());
    }
  }

  /** Shows that the lab is at work; after some time, offers to cancel.
   * @param {boolean} [begins] */
  wait(begins = true) {
    clearTimeout(this.patience);
    this.cancel.hidden = true;
    this.busy.hidden = !begins;
    if (begins) this.patience = setTimeout(() => (this.cancel.hidden = false), PATIENCE_MS);
  }

  /** Ends the work; the page stays as it is. */
  letBe() {
    this.seq++;
    this.client.cancel();
    this.ranker.cancel();
    this.wait(false);
    this.admit("You did not wait for the answer.", () => this.evaluate());
  }

  /** Tells that the page is not up to date, and why.
   * @param {string} text @param {() => void} retry */
  admit(text, retry) {
    this.trouble = { text, retry };
    this.show(/** @type {Model} */ (this.context.model()));
  }

  /** The open model for a question: its id and the hash of its file. */
  named() {
    return { model: this.openedId, sha256: this.opened?.sha256 };
  }

  /** Another network was saved in place of this one: nothing on the page is valid any more. */
  reopen() {
    this.openedId = "";
    this.update(/** @type {Model} */ (this.context.model()));
  }

  // ------------------------------------------------------------------------------- lesions

  /** @param {string} text @param {boolean} [remember] */
  setLesions(text, remember = true) {
    const before = this.context.model()?.state.lesions ?? "";
    if (text === before) return;
    if (remember) this.undo = [...this.undo.slice(-UNDO_STEPS), before];
    this.context.set({ lesions: text });
  }

  undoLast() {
    const before = this.undo.pop();
    if (before !== undefined) this.setLesions(before, false);
  }

  /** @param {number} k */
  deleteRandom(k) {
    const { state } = /** @type {Model} */ (this.context.model());
    const deleted = this.deleted(state.lesions);
    const left = deleted.flatMap((units, layer) =>
      units.flatMap((gone, unit) => (gone ? [] : [/** @type {[number, number]} */ ([layer, unit])])),
    );
    for (let i = 0; i < k && left.length; i++) {
      const [[layer, unit]] = left.splice(Math.floor(Math.random() * left.length), 1);
      deleted[layer][unit] = true;
    }
    this.setLesions(writeLesions(deleted));
  }

  /** The first k units of a ranking that are not deleted. @param {string} by @param {number} k */
  async deleteRanked(by, k) {
    if (this.ranking) return; // it comes
    const model = this.openedId;
    const seq = this.seq; // a newer lesion or a cancel increases `this.seq`
    try {
      this.wait();
      this.ranking = true;
      this.rankings[by] ??= (await this.ranker.ask({ do: "rank", ...this.named(), by })).units;
    } catch (error) {
      const failure = /** @type {Error & {code?: string}} */ (error);
      if (failure.code === "model_changed") this.reopen();
      else if (seq === this.seq) this.admit(failure.message, () => this.deleteRanked(by, k));
      return;
    } finally {
      this.ranking = false;
      if (seq === this.seq) this.wait(false);
    }
    if (model !== this.openedId || seq !== this.seq) return;
    const deleted = this.deleted(this.context.model()?.state.lesions ?? "");
    const left = this.rankings[by].filter(([layer, unit]) => !deleted[layer][unit]);
    for (const [layer, unit] of left.slice(0, k)) deleted[layer][unit] = true;
    this.setLesions(writeLesions(deleted));
  }

  /** @param {string} text */
  deleted(text) {
    return readLesions(text, this.opened?.layers.map((layer) => layer.units) ?? []);
  }

  /** @param {boolean[][]} deleted @returns {Record<string, number[]>} */
  byLayer(deleted) {
    const lesions = /** @type {Record<string, number[]>} */ ({});
    deleted.forEach((units, i) => {
      const gone = units.flatMap((is, unit) => (is ? [unit] : []));
      if (gone.length) lesions[this.opened?.layers[i].name ?? ""] = gone;
    });
    return lesions;
  }

  // ------------------------------------------------------------------------------- what is seen

  /** @param {import("../../page/state.js").State} state  contains the place of the chosen image */
  image(state) {
    const last = (this.opened?.images.length ?? 1) - 1;
    return Math.min(Math.max(0, state.image), last);
  }

  nameOfModel() {
    return this.listing?.models.find((m) => m.id === this.openedId)?.name ?? "";
  }

  /** @param {import("../../page/state.js").State} state */
  showImages(state) {
    const { images, classes } = /** @type {import("../../numbers/types.js").LabModel} */ (this.opened);
    const chosen = this.image(state);
    const focused = this.images.contains(document.activeElement);
    const answers = (this.outputs ?? this.intactOutputs)?.probabilities ?? [];
    const buttons = images.map(({ label, png }, i) => {
      const guess = best(answers[i] ?? []);
      const right = guess === label;
      const spoken = `${classes[label]}, the network says ${classes[guess]}`;
      return el(
        "button",
        {
          class: `lab-image${right ? "" : " wrong"}`,
          type: "button",
          title: spoken,
          "aria-label": spoken,
          "aria-pressed": String(i === chosen),
          on: { click: () => this.context.set({ image: i }) },
        },
        el("img", { src: `data:image/png;base64,${png}`, alt: "" }),
        el("span", {}, `${right ? "✓" : "✗"} ${classes[guess] ?? ""}`),
      );
    });
    fill(this.images, ...buttons);
    if (focused) buttons[chosen]?.focus();
  }

  /** Class probabilities of the chosen image, intact and now. @param {import("../../page/state.js").State} state */
  showAnswer(state) {
    const { images, classes } = /** @type {import("../../numbers/types.js").LabModel} */ (this.opened);
    const i = this.image(state);
    const before = this.intactOutputs?.probabilities[i] ?? [];
    const now = this.outputs?.probabilities[i] ?? before;
    const bars = classes.map((name, c) =>
      el(
        "li",
        { class: c === images[i].label ? "true" : "" },
        el("span", { class: "name" }, name),
        el(
          "span",
          { class: "probability", title: `${formatFraction(now[c])}, intact ${formatFraction(before[c])}` },
          el("span", { class: "now", style: `width:${(100 * now[c]).toFixed(1)}%` }),
          el("span", { class: "before", style: `left:${(100 * before[c]).toFixed(1)}%` }),
        ),
        el("span", { class: "number" }, formatFraction(now[c], 2)),
      ),
    );
    fill(
      this.answer,
      el("h3", {}, "What it answers"),
      el("img", { src: `data:image/png;base64,${images[i].png}`, alt: `a ${classes[images[i].label]}` }),
      el("ul", {}, ...bars),
      el("p", { class: "faint" }, "Bar: probability now. Tick: with the intact network."),
    );
  }

  /** @param {boolean[][]} deleted @param {string} lesions  the same as text */
  showStatus(deleted, lesions) {
    const { intact } = /** @type {import("../../numbers/types.js").LabModel} */ (this.opened);
    const now = this.accuracy ?? intact;
    const units = deleted.flat();
    const gone = units.filter(Boolean).length;
    const { change, interval } = pairedChange(sum(now.n_lost), sum(now.n_gained), sum(now.n));
    const deletedWords = `${gone.toLocaleString("en")} of ${plural(units.length, "unit")} deleted`;
    const pending = this.accuracyOf !== lesions;
    const { trouble } = this;
    if (trouble)
      return fill(
        this.status,
        `Not up to date: ${trouble.text} `,
        el("button", { class: "button", on: { click: trouble.retry } }, "Retry"),
      );
    if (pending) return fill(this.status, el("strong", {}, deletedWords), " · accuracy …");
    fill(
      this.status,
      el("strong", {}, deletedWords),
      " · accuracy ",
      el("strong", {}, percent(overall(now).share)),
      ` [${overall(now).interval.map(percent).join(", ")}]`,
      gone > 0 && ` · ${points(change)} points [${interval.map(points).join(", ")}] against the intact ${percent(overall(intact).share)} on the same images`,
    );
  }

  showClasses() {
    const { intact, classes } = /** @type {import("../../numbers/types.js").LabModel} */ (this.opened);
    const { theme } = /** @type {Model} */ (this.context.model());
    const now = this.accuracy ?? intact;
    const rows = classes.map((name, c) => ({
      name,
      n: now.n[c],
      now: now.n_correct[c] / now.n[c],
      interval: wilson(now.n_correct[c], now.n[c]),
      paired: pairedChange(now.n_lost[c], now.n_gained[c], now.n[c]),
      before: intact.n_correct[c] / intact.n[c],
      beforeInterval: wilson(intact.n_correct[c], intact.n[c]),
    }));
    /** @param {string} label @param {(row: any) => number} value */
    const fraction = (label, value) => ({
      label,
      numeric: true,
      value,
      show: (/** @type {any} */ row) => formatFraction(value(row)),
    });
    this.classes.show({
      option: classesOption(rows, this.classes.zoom, theme),
      count: rows.length,
      subtitle: `lines: 95 % intervals (Wilson) over the images of each class; the table has those of the change, on the same images · mean loss ${formatFraction(now.loss)} nats, intact ${formatFraction(intact.loss)}`,
      columns: [
        { label: "class", value: (row) => row.name },
        { label: "images", numeric: true, value: (row) => row.n },
        fraction("accuracy", (row) => row.now),
        fraction("from", (row) => row.interval[0]),
        fraction("to", (row) => row.interval[1]),
        fraction("intact", (row) => row.before),
        fraction("change", (row) => row.paired.change),
        fraction("change from", (row) => row.paired.interval[0]),
        fraction("change to", (row) => row.paired.interval[1]),
      ],
      rows,
    });
  }

  /** @param {string} text @param {() => void} [retry] */
  say(text, retry) {
    this.work.hidden = true;
    this.classes.element.hidden = true;
    this.message.hidden = false;
    this.subtitle.textContent = "";
    fill(
      this.message,
      el("p", {}, text),
      retry && el("button", { class: "button", on: { click: retry } }, "Retry"),
    );
  }
}

/** Intact and lesioned accuracy of each class, side by side, with their intervals.
 * @param {any[]} rows @param {import("../../numbers/types.js").Window} zoom
 * @param {typeof import("../../page/theme.js").LIGHT} theme */
function classesOption(rows, zoom, theme) {
  const names = ["intact", "with the lesion"];
  const colours = [theme.line, theme.layers[0]];
  const bars = (/** @type {number} */ i, /** @type {string} */ key) => ({
    name: names[i],
    type: "bar",
    data: rows.map((row) => row[key]),
    itemStyle: { color: colours[i] },
    barGap: "10%",
    barCategoryGap: "35%",
  });
  const whiskers = (/** @type {number} */ side, /** @type {string} */ key) => ({
    type: "custom",
    silent: true,
    z: 5,
    tooltip: { show: false },
    data: rows.map((row, i) => [i, ...row[key]]),
    renderItem: (/** @type {any} */ _, /** @type {any} */ api) => {
      const width = api.size([1, 0])[0];
      const [x, low] = api.coord([api.value(0), api.value(1)]);
      const [, high] = api.coord([api.value(0), api.value(2)]);
      const at = x + side * width * 0.17;
      const style = { stroke: theme.text, lineWidth: 1.5 };
      return { type: "line", shape: { x1: at, y1: low, x2: at, y2: high }, style };
    },
  });
  return {
    ...chartBasics(theme, "Accuracy of each class, intact and with the lesion."),
    legend: legend(theme, { left: 66, data: names, selectedMode: false }),
    tooltip: tooltip(theme, {
      trigger: "axis",
      axisPointer: { type: "shadow" },
      valueFormatter: (/** @type {number} */ v) => formatFraction(v),
    }),
    xAxis: categoryAxis(theme, "Class", rows.map((row) => row.name), zoom.x),
    yAxis: axis(theme, "Accuracy (fraction correct)", [0, 1], zoom.y, { nameGap: 46 }),
    series: [
      bars(0, "before"),
      bars(1, "now"),
      whiskers(-1, "beforeInterval"),
      whiskers(1, "interval"),
    ],
  };
}

/** @param {import("../../numbers/types.js").LabAccuracy} accuracy */
function overall({ n_correct, n }) {
  return { share: sum(n_correct) / sum(n), interval: wilson(sum(n_correct), sum(n)) };
}

/** @param {number[]} values */
function sum(values) {
  return values.reduce((a, b) => a + b, 0);
}

/** A share in percent, with its sign. @param {number} share */
function points(share) {
  return `${share < 0 ? "−" : "+"}${(100 * Math.abs(share)).toFixed(1)}`;
}

/** Place of the largest value. @param {number[]} values */
function best(values) {
  return values.indexOf(Math.max(...values));
}

/** @param {number} share */
function percent(share) {
  return `${(100 * share).toFixed(1)} %`;
}

/** Pairs of a model and a run that names it, and each model without such a run.
 * @param {import("../../numbers/types.js").LabListing["models"]} models
 * @param {import("../../numbers/types.js").Series[]} series */
function namedModels(models, series) {
  const runsOf = /** @type {Map<string, Map<string, import("../../numbers/types.js").Series>>} */ (new Map());
  for (const one of series) {
    const runs = runsOf.get(one.meta.facts.model) ?? new Map();
    runsOf.set(one.meta.facts.model, runs.set(one.run, one));
  }
  return models.flatMap(({ id, name }) => {
    const found = [...(runsOf.get(name) ?? runsOf.get(id) ?? new Map()).values()];
    if (!found.length) return [{ id, name, run: name.replaceAll("/", " "), facts: {}, description: "" }];
    return found.map(({ run, meta: { facts }, description }) => ({ id, name, run, facts, description }));
  });
}

/** Models for the list at the side, named by the facts that tell their runs apart.
 * @param {import("../../numbers/types.js").LabListing["models"]} models
 * @param {ReturnType<typeof namedModels>} named */
function modelEntries(models, named) {
  const first = models.map(({ id }) => named.find((one) => one.id === id));
  const facts = first.map((one) => ({ ...one?.facts, figure: "" })); // figures may share a network
  const telling = tellingFacts(facts);
  const entries = models.map(({ id, name }, i) => {
    const words = telling.filter((fact) => facts[i][fact]).map((fact) => namedFact(fact, facts[i][fact]));
    const also = named.filter((one) => one.id === id).map(({ run }) => run);
    return { run: id, label: words.join(", ") || name, colour: "", also };
  });
  return entries.sort((a, b) => naturalOrder(a.label, b.label));
}
