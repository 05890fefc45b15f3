// The bench of the lab: one or two open networks under one lesion, with all that changes it and all
// that it changes. It knows of networks, not of where they come from.

import { firstOf, isFirstOf, randomOrder } from "../../numbers/random_order.js";
import { readLesions, writeLesions } from "../../page/lesion_codec.js";
import { segmented } from "../../parts/controls.js";
import { button, el, fill, textButton } from "../../parts/dom.js";
import { showAnswer } from "./lab_answer.js";
import { showChips } from "./lab_chips.js";
import { LabClasses } from "./lab_classes.js";
import { LabCurves } from "./lab_curves.js";
import { LabImages } from "./lab_images.js";
import { showScores } from "./lab_scores.js";
import { LabTools } from "./lab_tools.js";
import { accuracyWords, changes, deletedWords, largest } from "./lab_words.js";
import { LesionSlider } from "./lesion_slider.js";
import { NetworkGrid, isSmall } from "./network_grid.js";
import { UnitCard } from "./unit_card.js";

const PATIENCE_MS = 1500; // after this time the user is offered to cancel

/**
 * @typedef {import("./lab_network.js").LabNetwork} LabNetwork
 * @typedef {import("../../page/lab_answers.js").Lesion} Lesion
 *
 * @typedef {object} Asked  what the bench leaves to its view
 * @property {(lesions: string) => void} keep  this lesion is the one of the open networks
 * @property {() => void} undo
 * @property {() => boolean} canUndo
 * @property {(network: LabNetwork, place: [number, number]) => void} inspect
 */

export class LabBench {
  /** @param {import("../../parts/chart_frame.js").Context} context @param {Asked} asked */
  constructor(context, asked) {
    this.context = context;
    this.asked = asked;
    this.networks = /** @type {LabNetwork[]} */ ([]);
    this.live = /** @type {Lesion | null} */ (null); // while the user drags
    this.auto = 0; // the image shown where none was chosen
    this.orders = /** @type {Map<string, number[]>} */ (new Map());
    this.patience = /** @type {ReturnType<typeof setTimeout> | undefined} */ (undefined);
    this.soon = 0;
    this.long = false; // the work takes longer than usual
    this.rankings = 0; // that were asked for
    this.ranking = false; // because the user asked for it
    this.built = /** @type {import("../../numbers/types.js").LabModel[]} */ ([]);
    this.panels = /** @type {{element: HTMLElement, grid: NetworkGrid, input: HTMLImageElement, answer: HTMLElement}[]} */ ([]);
    this.scores = el("div", { class: "scores" });
    this.slider = new LesionSlider({
      move: (k, live) => this.move(k, live),
      reorder: () => this.reorder(),
    });
    this.status = el("p", { class: "lab-status", role: "status", "aria-live": "polite" });
    this.busy = el("div", { class: "busy", hidden: true, "aria-hidden": "true" });
    const letBe = () => this.networks.forEach((network) => network.letBe());
    this.cancel = textButton("Do not wait", letBe);
    this.cancel.hidden = true;
    this.head = el(
      "section",
      { class: "card lab-now", "aria-label": "Accuracy" },
      this.scores,
      this.slider.element,
      el("div", { class: "lab-state" }, this.busy, this.status, this.cancel),
    );
    this.images = new LabImages((image) => context.set({ image }));
    this.chips = el("div", { class: "lab-chips", role: "group", "aria-label": "Deleted units" });
    this.tint = segmented(
      "Shade",
      [
        ["activity", "activity"],
        ["change", "what changed"],
      ],
      (tint) => context.set({ tint }),
    );
    this.legend = el("p", { class: "tint-legend" });
    this.tools = new LabTools({
      random: (k) => this.deleteRandom(k),
      ranked: (by, k, of) => this.deleteRanked(by, k, of),
      undo: () => this.asked.undo(),
      reset: () => this.keep(this.none()),
    });
    this.grids = el("div", { class: "lab-networks" });
    this.card = new UnitCard();
    this.curves = new LabCurves(context);
    this.classes = new LabClasses(context);
    const shades = el("div", { class: "lab-tint" }, this.tint.element, this.legend);
    this.work = el(
      "div",
      {},
      this.images.element,
      el("div", { class: "lab-row" }, this.tools.element, shades),
      el("div", { class: "lab-row" }, this.tools.undo, this.tools.reset, this.chips),
    );
    this.drawn = el("section", { class: "card lab-drawn", "aria-label": "Units" }, this.grids, this.card.element);
    document.addEventListener("keydown", (event) => event.key === "Escape" && this.card.hide());
  }

  // ------------------------------------------------------------------------------- the lesion

  get sizes() {
    return this.networks[0]?.sizes ?? [];
  }

  none() {
    return this.sizes.map((size) => new Array(size).fill(false));
  }

  /** @returns {import("../../page/state.js").State} */
  get state() {
    return this.context.model().state;
  }

  /** @returns {Lesion} */
  get lesion() {
    return this.live ?? readLesions(this.state.lesions, this.sizes);
  }

  /** The slider's order of all units. */
  get order() {
    const n = this.sizes.reduce((sum, size) => sum + size, 0);
    const key = `${n} ${this.state.seed}`;
    if (!this.orders.has(key)) this.orders = new Map([[key, randomOrder(n, this.state.seed)]]);
    return this.orders.get(key) ?? [];
  }

  /** The lesion as it is while the user drags: it is answered, but not yet in the address.
   * @param {Lesion} lesion */
  drag(lesion) {
    this.live = lesion.map((units) => [...units]);
    this.showSoon();
  }

  /** @param {Lesion} lesion */
  keep(lesion) {
    this.live = null;
    this.asked.keep(writeLesions(lesion));
    this.show();
  }

  /** @param {number} k @param {boolean} live */
  move(k, live) {
    const lesion = firstOf(this.sizes, this.order, k);
    if (live) this.drag(lesion);
    else this.keep(lesion);
  }

  /** The same number of units in another order. */
  reorder() {
    const k = this.lesion.flat().filter(Boolean).length;
    this.context.set({ seed: this.state.seed + 1 });
    if (k) this.move(k, false);
  }

  /** @param {number} k */
  deleteRandom(k) {
    const deleted = this.lesion.map((units) => [...units]);
    const left = deleted.flatMap((units, layer) =>
      units.flatMap((gone, unit) => (gone ? [] : [/** @type {[number, number]} */ ([layer, unit])])),
    );
    for (let i = 0; i < k && left.length; i++) {
      const [[layer, unit]] = left.splice(Math.floor(Math.random() * left.length), 1);
      deleted[layer][unit] = true;
    }
    this.keep(deleted);
  }

  /** The first k units of a network's ranking that are not deleted.
   * @param {string} by @param {number} k @param {number} [of]  which network
   * @param {boolean} [alone]  in place of what is deleted */
  async deleteRanked(by, k, of = 0, alone = false) {
    const turn = ++this.rankings; // a later wish takes the place of this one
    const network = this.networks[of] ?? this.networks[0];
    const before = this.state.lesions;
    const newer = () =>
      turn !== this.rankings || !this.networks.includes(network) || this.state.lesions !== before;
    try {
      this.ranking = true;
      this.wait();
      await network.ranking(by);
    } catch (error) {
      const failure = /** @type {Error & {code?: string}} */ (error);
      if (failure.code === "model_changed") network.told.reopen();
      else if (!newer() && failure.name !== "AbortError")
        network.admit(failure.message, () => this.deleteRanked(by, k, of, alone));
      return;
    } finally {
      if (turn === this.rankings) this.ranking = false;
      this.wait();
    }
    if (newer()) return;
    const deleted = alone ? this.none() : this.lesion.map((units) => [...units]);
    const left = network.rankings[by].units.filter(([layer, unit]) => !deleted[layer][unit]);
    for (const [layer, unit] of left.slice(0, k)) deleted[layer][unit] = true;
    this.keep(deleted);
  }

  // ------------------------------------------------------------------------------- the page

  /** A network has news: several at once are shown together. */
  showSoon() {
    if (this.soon) return;
    this.soon = requestAnimationFrame(() => {
      this.soon = 0;
      this.show();
    });
  }

  /** @param {LabNetwork[]} networks  all open, of the same layers */
  use(networks) {
    if (networks.some((network, i) => network !== this.networks[i]) || networks.length !== this.networks.length) {
      this.live = null;
      this.auto = 0;
      this.slider.stop();
    }
    this.networks = networks;
    this.show();
  }

  show() {
    const { networks } = this;
    if (!networks.length || networks.some(({ opened }) => !opened)) return;
    this.build();
    const { state, lesion } = this;
    const live = this.live !== null;
    const text = live ? writeLesions(lesion) : state.lesions;
    const gone = lesion.flat().filter(Boolean).length;
    if (!live) this.auto = this.mostChanged();
    const last = (networks[0].opened?.images.length ?? 1) - 1;
    const image = state.image < 0 ? this.auto : Math.min(state.image, last);
    for (const network of networks) network.follow(text, lesion, image, live);
    if (!live) this.curves.note(networks, text, gone);
    showScores(this.scores, networks, text, gone);
    this.slider.show(networks[0].nUnits, gone, isFirstOf(lesion, this.order), state.seed);
    this.showTools(state, gone);
    this.images.show(networks, image, !live);
    const layers = networks[0].opened?.layers.map(({ name }) => name) ?? [];
    if (!live) showChips(this.chips, lesion, layers, (restored) => this.keep(restored));
    this.showNetworks(lesion, image, gone, state);
    if (!live) this.showStatus(text, gone);
    this.curves.show(networks, text, live, (lesion) => this.counted(lesion));
    if (!live) this.classes.show(networks);
    if (!live) this.card.refresh();
    this.wait();
    const answered = (/** @type {"outputsOf" | "accuracyOf"} */ what) => networks.every((network) => network[what] === text);
    if (answered("outputsOf")) this.head.dataset.outputs = text;
    if (answered("accuracyOf") && !live) this.head.dataset.evaluated = text;
    else delete this.head.dataset.evaluated;
  }

  /** Makes the panels anew if other networks are open. */
  build() {
    const opened = this.networks.map((network) => /** @type {import("../../numbers/types.js").LabModel} */ (network.opened));
    if (opened.length === this.built.length && opened.every((one, i) => one === this.built[i])) return;
    this.built = opened;
    this.images.begin(opened[0]);
    this.curves.forget();
    this.card.hide();
    delete this.head.dataset.outputs;
    const several = opened.length > 1;
    this.panels = this.networks.map((network, i) => {
      const grid = new NetworkGrid({
        onPaint: (deleted) => this.drag(deleted),
        onChange: (deleted) => this.keep(deleted),
        onRest: (cell, place) => {
          if (!cell || this.live) return this.card.hide();
          this.card.show(cell, network, place, this.lesion[place[0]][place[1]]);
        },
        onInspect: (place) => this.asked.inspect(network, place),
      });
      grid.build(opened[i].layers, several);
      const input = el("img", { class: "lab-input", alt: "" });
      const answer = el("div", { class: "lab-answer" });
      const element = el(
        "section",
        { class: `lab-network of-${i}${isSmall(opened[i].layers) ? " flow" : ""}`, "aria-label": network.name },
        several && el("h3", { class: "network-name" }, el("span", { class: `mark of-${i}` }), network.name),
        el("div", { class: "lab-columns" }, input, grid.element, answer),
      );
      return { element, grid, input, answer };
    });
    fill(this.grids, ...this.panels.map(({ element }) => element));
    this.tools.offer(this.networks.map(({ name }) => name));
  }

  /** The image whose answer changes most under the lesion. */
  mostChanged() {
    return largest(
      changes(
        this.networks.map(({ intact, outputs }) => {
          const before = intact.get(0)?.probabilities ?? [];
          return { before, now: outputs?.probabilities ?? before };
        }),
      ),
    );
  }

  /** @param {import("../../page/state.js").State} state @param {number} gone */
  showTools(state, gone) {
    this.tools.show({
      undo: this.asked.canUndo(),
      reset: gone > 0,
      important: this.networks.every(({ opened }) => opened?.rankable.includes("importance")),
    });
    this.tint.set(this.tintOf(state, gone));
  }

  /** @param {import("../../page/state.js").State} state @param {number} gone */
  tintOf(state, gone) {
    return state.tint || (gone ? "change" : "activity");
  }

  /** @param {Lesion} lesion @param {number} image @param {number} gone
   * @param {import("../../page/state.js").State} state */
  showNetworks(lesion, image, gone, state) {
    const change = this.tintOf(state, gone) === "change";
    this.panels.forEach(({ grid, input, answer }, i) => {
      const network = this.networks[i];
      const { images, classes } = /** @type {import("../../numbers/types.js").LabModel} */ (network.opened);
      // Activity is of one image: until that of the chosen one has come, both are of the one before.
      const before = network.intact.get(network.image)?.activity ?? [];
      grid.show(lesion, network.outputs?.activity ?? before, before, change);
      const { png, truth } = images[image];
      input.src = `data:image/png;base64,${png}`;
      input.alt = `a ${classes[truth]}`;
      showAnswer(answer, network, image);
    });
    fill(
      this.legend,
      ...(change
        ? [el("span", { class: "ramp change" }), "less · as active as intact · more"]
        : [el("span", { class: "ramp" }), "silent on this image · most active"]),
    );
  }

  /** @param {string} text @param {number} gone */
  showStatus(text, gone) {
    const { networks } = this;
    const words = el("strong", {}, deletedWords(gone, networks[0].nUnits));
    const troubled = networks.find(({ trouble }) => trouble);
    if (troubled?.trouble) {
      const { text: why, retry } = troubled.trouble;
      return fill(this.status, `Not up to date: ${why} `, button("Retry", retry));
    }
    if (networks.some(({ accuracyOf }) => accuracyOf !== text)) {
      const longer = this.long && " This takes longer than usual: if TensorFlow has to start again, about 10 s.";
      return fill(this.status, words, " · accuracy …", longer);
    }
    const parts = networks.map(({ name, accuracy, opened }) => {
      const { intact } = /** @type {import("../../numbers/types.js").LabModel} */ (opened);
      const several = networks.length > 1;
      const said = accuracyWords(accuracy ?? intact, intact, gone > 0, several);
      return several ? `${name}: ${said}` : said;
    });
    fill(this.status, words, " · ", parts.join(" · "));
  }

  /** Shows whether the lab is at work; after some time, offers to cancel. */
  wait() {
    const working = this.ranking || this.networks.some((network) => network.working);
    if (working === !this.busy.hidden) return;
    clearTimeout(this.patience);
    this.busy.hidden = !working;
    this.cancel.hidden = true;
    this.long = false;
    for (const part of [this.work, this.drawn]) part.classList.remove("late");
    if (!working) return;
    this.patience = setTimeout(() => {
      this.cancel.hidden = false;
      this.long = true;
      for (const part of [this.work, this.drawn]) part.classList.add("late");
      this.show();
    }, PATIENCE_MS);
  }

  /** How many units a lesion deletes. @param {string} text */
  counted(text) {
    return readLesions(text, this.sizes).flat().filter(Boolean).length;
  }
}
