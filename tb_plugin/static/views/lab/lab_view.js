// The lesion lab: saved networks drawn unit by unit. The user deletes units and sees the answers
// at once. This view chooses which networks are open; the bench does the rest.

import { plural } from "../../numbers/labels.js";
import { fetchTable, fetchTableSteps } from "../../page/api.js";
import { SERVER } from "../../page/lab_answers.js";
import { isOfAnother, readLesions, writeLesions } from "../../page/lesion_codec.js";
import { OPENING } from "../../page/server.js";
import { Copier } from "../../parts/clipboard.js";
import { dropDown } from "../../parts/controls.js";
import { button, el, fill, textButton } from "../../parts/dom.js";
import { LabBench } from "./lab_bench.js";
import { LabHistory } from "./lab_history.js";
import { ALONE, chosenModels, modelEntries, namedModels, namesOf, partnerOf } from "./lab_models.js";
import { LabNetwork } from "./lab_network.js";
import { LabTour, STOPS } from "./lab_tour.js";

/** @typedef {import("../../page/model.js").Model} Model */

export class LabView {
  /** @param {import("../../parts/chart_frame.js").Context} context
   * @param {import("../../page/lab_answers.js").LabAnswers} [answers]  where the answers come from */
  constructor(context, answers = SERVER) {
    this.context = context;
    this.answers = answers;
    this.listing = /** @type {import("../../numbers/types.js").LabListing | null} */ (null);
    this.named = /** @type {ReturnType<typeof namedModels>} */ ([]);
    this.networks = /** @type {LabNetwork[]} */ ([]);
    this.nOpened = 0; // networks, so far
    this.opened = ""; // which networks on which images
    this.history = new LabHistory();
    this.unlisted = /** @type {HTMLElement | null} */ (null); // the filter leaves nothing to choose
    this.remark = ""; // what became of a lesion that belongs to another network
    this.bench = new LabBench(context, {
      keep: (lesions) => this.keep(lesions),
      undo: () => this.undo(),
      canUndo: () => !this.history.empty,
      inspect: (network, place) => this.inspect(network, place),
    });
    this.tour = new LabTour((stop) => this.visit(stop));
    this.beside = dropDown("Beside it", (other) => this.context.set({ model: this.networks[0]?.id ?? "", other }));
    this.message = el("div", { class: "lab-message", role: "status" });
    this.notes = el("div", { class: "notes", role: "status" });
    this.subtitle = el("p", { class: "subtitle" });
    this.takeTour = textButton("Take the tour", () => this.visit(1));
    const copier = new Copier();
    const link = textButton("Copy link", () => copier.link());
    this.choices = el("div", { class: "lab-choices" }, this.beside.element, this.takeTour, link, copier.element);
    const head = el("header", { class: "card-head" }, el("div", {}, el("h2", {}, "Lesion lab"), this.subtitle), this.choices);
    const keydown = (/** @type {KeyboardEvent} */ event) => {
      const typing = /** @type {Element} */ (event.target).matches('input:not([type="range"])');
      if (event.key !== "z" || !(event.ctrlKey || event.metaKey) || typing) return;
      event.preventDefault();
      this.undo();
    };
    const { curves, classes, drawn } = this.bench;
    this.parts = [this.bench.head, this.bench.work, drawn, curves.element, classes.element];
    this.element = el(
      "div",
      { class: "stack lab", on: { keydown } },
      this.bench.head,
      el(
        "section",
        { class: "card lab-main", "aria-label": "Lesion lab" },
        head,
        this.tour.element,
        this.notes,
        this.message,
        this.bench.work,
      ),
      drawn,
      curves.element,
      classes.element,
    );
  }

  /** @param {Model} model */
  update(model) {
    if (!this.listing) {
      this.say("Looking for models …");
      this.answers.models().then(
        (listing) => {
          this.listing = listing;
          this.update(this.context.model());
        },
        (error) => this.say(error.message, { label: "Retry", run: () => this.update(model) }),
      );
      return;
    }
    const { state } = model;
    const { models, enabled, reason } = this.listing;
    this.named = namedModels(models, model.index.series);
    const narrowed = new Set(this.context.runList.narrow(this.named, state).map((m) => m.id));
    const offered = models.filter((m) => narrowed.has(m.id));
    const entries = modelEntries(offered, this.named);
    const listed = this.context.runList.filtered(entries, state);
    const shown = (listed.length ? listed : entries).map(({ run }) => run);
    const clear = () => this.context.set({ filter: "" });
    this.unlisted = listed.length
      ? null
      : el(
          "p",
          { class: "note" },
          "No network matches the filter; the open one stays. ",
          textButton("Clear the filter", clear),
        );
    const { first, second, missing } = chosenModels(
      state,
      models,
      this.named,
      shown,
      this.networks.map(({ id }) => id),
    );
    const choose = (/** @type {string} */ id) =>
      this.context.set({ model: id, other: state.other === ALONE ? ALONE : "", lesions: "", image: -1 });
    this.context.runList.showChoices(entries, state, first, "model", choose);
    this.context.runList.showOthers([]);
    if (!enabled) return this.say(reason);
    if (missing) {
      const run = () => this.context.set({ model: "", other: "", lesions: "", image: -1 });
      return this.say(`The network “${missing}” of this link is not in the folder of models.`, {
        label: "Open another",
        run,
      });
    }
    if (!first) return this.say("There is no .keras file in the folder of models.");
    if (state.lesions && !state.model) {
      this.remark = "The link said which units are deleted, but not of which network: none are.";
      return this.context.set({ lesions: "" });
    }
    this.showBeside(first, second);
    this.history.note({ model: first, other: second || ALONE, lesions: state.lesions });
    this.open(first, second);
    this.show();
  }

  /** Opens the networks, unless they are open. @param {string} first @param {string} second */
  open(first, second) {
    const ids = second && second !== first ? [first, second] : [first];
    const corrupted = (/** @type {string} */ id) =>
      this.named.some((one) => one.id === id && Number(one.facts["label corruption"] ?? 0) > 0);
    // One of shuffled labels can be asked on nothing but its training images: then both are.
    const images = ids.length > 1 && ids.some(corrupted) ? "training" : "";
    const wanted = JSON.stringify([ids, images]);
    if (wanted === this.opened) return;
    this.opened = wanted;
    for (const network of this.networks) network.close();
    const names = namesOf(ids, this.named);
    this.networks = ids.map((id, i) => {
      const name = names[i] || id;
      // A part of its own: what the networks before were asked is cancelled in their names.
      const source = this.answers.source(id, images, `-${this.nOpened++}`);
      return new LabNetwork(source, name, { changed: () => this.changed(), reopen: () => this.reopen() });
    });
    for (const network of this.networks) network.open();
  }

  /** A network has news. */
  changed() {
    if (this.bench.networks === this.networks) return this.bench.showSoon();
    this.show();
  }

  /** Another network was saved in place of this one: nothing on the page is valid any more. */
  reopen() {
    this.opened = "";
    this.update(this.context.model());
  }

  show() {
    const { networks } = this;
    const failed = networks.find(({ failure }) => failure);
    if (failed) {
      const run = () => this.reopen();
      return this.say(failed.failure?.message ?? "", { label: "Retry", run });
    }
    if (networks.some(({ opened }) => !opened)) {
      const names = networks.map(({ name }) => name).join(" and ");
      return this.say(`Opening ${names}. ${OPENING}`);
    }
    const [first, second] = networks;
    const { state } = this.context.model();
    if (isOfAnother(state.lesions, first.sizes)) {
      this.remark = "The lesion named units that this network does not have: they were left out.";
      const lesions = writeLesions(readLesions(state.lesions, first.sizes));
      this.history.correct({ model: first.id, other: second ? second.id : ALONE, lesions });
      return this.context.set({ model: first.id, lesions });
    }
    const fit = !second || JSON.stringify(second.opened?.layers) === JSON.stringify(first.opened?.layers);
    this.message.hidden = true;
    this.choices.hidden = false;
    for (const part of this.parts) part.hidden = false;
    this.element.classList.toggle("two", Boolean(second) && fit);
    const used = fit ? networks : [first];
    if (this.bench.networks.length !== used.length || used.some((network, i) => network !== this.bench.networks[i]))
      this.bench.use(fit ? networks : used);
    else this.bench.show();
    this.showHead(used, fit);
    // The tour tells of a network of true labels beside one of shuffled ones.
    const told = used.length > 1 && partnerOf(first.id, this.named) === second.id;
    this.takeTour.hidden = !told;
    this.tour.show(told ? state.tour : 0);
  }

  /** @param {LabNetwork[]} networks @param {boolean} fit */
  showHead(networks, fit) {
    const opened = networks.map((network) => /** @type {import("../../numbers/types.js").LabModel} */ (network.opened));
    const sources = [...new Set(opened.map(({ source }) => source))];
    const files = opened.map(({ sha256 }, i) => `${this.fileName(networks[i].id)} · sha256 ${sha256.slice(0, 12)}`);
    this.subtitle.textContent = `${files.join(" · ")} · ${sources.at(-1)} · accuracy on ${plural(opened[0].n_images, "image")}`;
    const alike = opened.every(({ images_sha256: hash }) => hash === opened[0].images_sha256);
    const sentences = [
      !fit && "These two networks have different layers, so no lesion is the same in both: only the first is shown.",
      !alike && "These two networks are asked on different images: compare their accuracies with care.",
      this.remark,
    ].filter(Boolean);
    fill(this.notes, this.unlisted, ...sentences.map((text) => el("p", { class: "note" }, text)));
  }

  /** @param {string} id */
  fileName(id) {
    return this.listing?.models.find((m) => m.id === id)?.name ?? "";
  }

  /** The list of what can stand beside the first network. @param {string} first
   * @param {string} second */
  showBeside(first, second) {
    const others = (this.listing?.models ?? []).filter(({ id }) => id !== first);
    const entries = modelEntries(others, this.named);
    const choices = entries.map(({ run, label }) => /** @type {[string, string]} */ ([run, label]));
    this.beside.set([[ALONE, "no other network"], ...choices], second || ALONE);
  }

  // ------------------------------------------------------------------------------- what is done

  /** A lesion belongs to the networks that are open, so the address names both.
   * @param {string} lesions */
  keep(lesions) {
    const { state } = this.context.model();
    if (lesions === state.lesions) return;
    this.remark = "";
    const [first, second] = this.networks;
    this.context.set({ model: first.id, other: second ? second.id : ALONE, lesions });
  }

  undo() {
    const moment = this.history.undo();
    if (moment) this.context.set({ ...moment });
  }

  /** A card of the tour, with its lesion. @param {number} stop */
  async visit(stop) {
    const prepared = STOPS[stop - 1]?.lesion;
    this.context.set({ tour: stop });
    if (!prepared || !this.bench.networks.length) return;
    const [network] = this.bench.networks;
    const k = Math.round(prepared.share * network.nUnits);
    if (!("by" in prepared)) return this.bench.move(k, false);
    if (network.opened?.rankable.includes(prepared.by)) await this.bench.deleteRanked(prepared.by, k, 0, true);
  }

  /** Opens the inspector on a unit, if a run of the log directory has a table of the network.
   * @param {LabNetwork} network @param {[number, number]} place */
  async inspect(network, [layer, unit]) {
    const { index } = this.context.model();
    const name = this.fileName(network.id);
    const own = (/** @type {import("../../numbers/types.js").Series} */ one) =>
      one.kind === "units" && [name, network.id].includes(one.meta.facts.model);
    const layerName = network.opened?.layers[layer].name;
    try {
      for (const series of index.series.filter(own)) {
        const header = (await fetchTableSteps(series)).at(-1);
        if (!header || header.error) continue;
        const table = await fetchTable(series, header, header.columns.slice(0, 2)); // layer and unit
        const row = table.unit.findIndex((one, i) => one === unit && table.layers[table.layer[i]] === layerName);
        if (row < 0) continue;
        const { run, tag } = series;
        return this.context.set({ view: "unit", unitRun: run, unitTag: tag, unitStep: -1, inspect: [String(row)] });
      }
      this.remark = "No run in this log directory has a table of the units of this network to inspect.";
    } catch (error) {
      this.remark = /** @type {Error} */ (error).message;
    }
    this.show();
  }

  /** @param {string} text @param {{label: string, run: () => void}} [action] */
  say(text, action) {
    for (const part of this.parts) part.hidden = true;
    this.message.hidden = false;
    this.subtitle.textContent = "";
    this.choices.hidden = true;
    fill(this.message, el("p", {}, text), action && button(action.label, action.run));
  }
}
