// The lesion lab: a saved network drawn unit by unit. The user deletes units and sees the answers
// at once.

import { formatFraction, plural } from "../../numbers/labels.js";
import { pairedChange, wilson } from "../../numbers/statistics.js";
import { SERVER } from "../../page/lab_answers.js";
import { writeLesions } from "../../page/lesion_codec.js";
import { ChartFrame } from "../../parts/chart_frame.js";
import { el, fill } from "../../parts/dom.js";
import { classesOption } from "./lab_chart.js";
import { modelEntries, namedModels } from "./lab_models.js";
import { LabSession } from "./lab_session.js";
import { NetworkGrid } from "./network_grid.js";

const PATIENCE_MS = 1500; // after this time the user is offered to cancel

/** @typedef {import("../../page/model.js").Model} Model */

export class LabView {
  /** @param {import("../../parts/chart_frame.js").Context} context
   * @param {import("../../page/lab_answers.js").LabAnswers} [answers]  where the answers come from */
  constructor(context, answers = SERVER) {
    this.context = context;
    this.answers = answers;
    const page = {
      say: (/** @type {string} */ text, /** @type {any} */ retry) => this.say(text, retry),
      show: () => this.show(/** @type {Model} */ (context.model())),
      answered: (/** @type {"outputs" | "evaluated"} */ what, /** @type {string} */ lesions) =>
        this.answered(what, lesions),
      wait: (/** @type {boolean} */ begins) => this.wait(begins),
      reopen: () => this.reopen(),
    };
    this.session = new LabSession(context, page, answers);
    this.built = /** @type {import("../../numbers/types.js").LabModel | null} */ (null); // the grid's
    this.listing = /** @type {import("../../numbers/types.js").LabListing | null} */ (null);
    this.patience = /** @type {ReturnType<typeof setTimeout> | undefined} */ (undefined);
    this.message = el("div", { class: "lab-message", role: "status" });
    this.status = el("p", { class: "lab-status", role: "status", "aria-live": "polite" });
    this.busy = el("div", { class: "busy", hidden: true, "aria-hidden": "true" });
    this.cancel = el(
      "button",
      { class: "text-button", type: "button", hidden: true, on: { click: () => this.session.letBe() } },
      "Do not wait",
    );
    this.images = el("div", { class: "lab-images", role: "group", "aria-label": "Images" });
    this.answer = el("div", { class: "lab-answer" });
    this.tools = this.makeTools();
    this.grid = new NetworkGrid((deleted) => this.session.setLesions(writeLesions(deleted)));
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
      this.session.undoLast();
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
    const undo = button("Undo", () => this.session.undoLast());
    const reset = button("Restore all", () => this.session.setLesions(""));
    const selective = button("most selective", () => this.session.deleteRanked("class_selectivity", k()));
    const important = button("most important", () => this.session.deleteRanked("importance", k()));
    const random = button("random", () => this.session.deleteRandom(k()));
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
      this.answers.models().then(
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
    if (chosen.id !== this.session.openedId) this.session.open(chosen);
    else if (this.session.opened) this.show(model);
  }

  /** @param {Model} model */
  show({ state }) {
    const { session } = this;
    const opened = /** @type {import("../../numbers/types.js").LabModel} */ (session.opened);
    if (this.built !== opened) this.grid.build(opened.layers);
    this.built = opened;
    this.message.hidden = true;
    this.work.hidden = false;
    this.classes.element.hidden = false;
    this.subtitle.textContent = `${this.nameOfModel()} · sha256 ${opened.sha256.slice(0, 12)} · ${opened.source} · accuracy on ${plural(opened.n_images, "image")}`;
    const deleted = session.deleted(state.lesions);
    this.grid.show(deleted, (session.outputs ?? session.intactOutputs)?.activity ?? []);
    this.tools.undo.disabled = !session.undo.length;
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
    session.follow();
  }

  /** @param {"outputs" | "evaluated"} what @param {string} lesions */
  answered(what, lesions) {
    this.element.dataset[what] = lesions;
    this.show(/** @type {Model} */ (this.context.model()));
  }

  /** Shows that the lab is at work; after some time, offers to cancel.
   * @param {boolean} begins */
  wait(begins) {
    clearTimeout(this.patience);
    this.cancel.hidden = true;
    this.busy.hidden = !begins;
    if (begins) this.patience = setTimeout(() => (this.cancel.hidden = false), PATIENCE_MS);
  }

  /** Another network was saved in place of this one: nothing on the page is valid any more. */
  reopen() {
    this.session.forget();
    this.update(/** @type {Model} */ (this.context.model()));
  }

  nameOfModel() {
    return this.listing?.models.find((m) => m.id === this.session.openedId)?.name ?? "";
  }

  /** @param {import("../../page/state.js").State} state */
  showImages(state) {
    const { images, classes } = /** @type {import("../../numbers/types.js").LabModel} */ (this.session.opened);
    const chosen = this.session.image(state);
    const focused = this.images.contains(document.activeElement);
    const answers = (this.session.outputs ?? this.session.intactOutputs)?.probabilities ?? [];
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

  /** Class probabilities of the chosen image, intact and now.
   * @param {import("../../page/state.js").State} state */
  showAnswer(state) {
    const { images, classes } = /** @type {import("../../numbers/types.js").LabModel} */ (this.session.opened);
    const i = this.session.image(state);
    const before = this.session.intactOutputs?.probabilities[i] ?? [];
    const now = this.session.outputs?.probabilities[i] ?? before;
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
    const { intact } = /** @type {import("../../numbers/types.js").LabModel} */ (this.session.opened);
    const now = this.session.accuracy ?? intact;
    const units = deleted.flat();
    const gone = units.filter(Boolean).length;
    const { change, interval } = pairedChange(sum(now.n_lost), sum(now.n_gained), sum(now.n));
    const deletedWords = `${gone.toLocaleString("en")} of ${plural(units.length, "unit")} deleted`;
    const pending = this.session.accuracyOf !== lesions;
    const { trouble } = this.session;
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
    const { intact, classes } = /** @type {import("../../numbers/types.js").LabModel} */ (this.session.opened);
    const { theme } = /** @type {Model} */ (this.context.model());
    const now = this.session.accuracy ?? intact;
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
