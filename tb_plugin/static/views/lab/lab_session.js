// The lab's conversation with the server: which model is open, what the lesions in the address do
// to it, and the lesions that can be undone. What is new is told to the page.
//
// Every request contains the whole lesion, so undo, links and several windows cannot disagree. An
// answer to an older lesion is dropped.

import { readLesions, writeLesions } from "../../page/lesion_codec.js";

const PAUSE_MS = 60; // delay of requests while the user drags over units
const UNDO_STEPS = 100;

/**
 * @typedef {import("../../page/state.js").State} State
 * @typedef {import("../../numbers/types.js").LabOutputs} LabOutputs
 * @typedef {import("../../numbers/types.js").LabAccuracy} LabAccuracy
 *
 * @typedef {object} Page  who is told
 * @property {(text: string, retry?: () => void) => void} say  there is no open model to show
 * @property {() => void} show  something has changed
 * @property {(what: "outputs" | "evaluated", lesions: string) => void} answered  show the answer
 *     to these lesions
 * @property {(begins: boolean) => void} wait  the lab is at work, or no longer
 * @property {() => void} reopen  another network was saved in place of the open one
 */

export class LabSession {
  /** @param {import("../../parts/chart_frame.js").Context} context @param {Page} page
   * @param {import("../../page/lab_answers.js").LabAnswers} answers */
  constructor(context, page, answers) {
    this.context = context;
    this.page = page;
    this.answers = answers;
    this.source = this.ranker = answers.source("", "");
    this.opened = /** @type {import("../../numbers/types.js").LabModel | null} */ (null);
    this.openedId = "";
    this.requested = ""; // the last lesions and image that were asked about
    this.undo = /** @type {string[]} */ ([]);
    this.rankings = /** @type {Record<string, [number, number][]>} */ ({});
    this.ranking = false; // units are being ranked
    this.seq = 0; // a newer lesion or a cancel increases it
    this.timer = 0;
    this.outputs = /** @type {LabOutputs | null} */ (null);
    this.intactOutputs = /** @type {LabOutputs | null} */ (null);
    this.accuracy = /** @type {LabAccuracy | null} */ (null);
    this.accuracyOf = ""; // the lesions of the accuracy shown
    this.trouble = /** @type {{text: string, retry: () => void} | null} */ (null);
  }

  /** @param {{id: string, name: string}} chosen */
  async open(chosen) {
    this.openedId = chosen.id;
    this.opened = this.outputs = this.intactOutputs = this.accuracy = null;
    this.undo = [];
    this.rankings = {};
    this.page.say(
      `Opening ${chosen.name}. The first model takes a while: TensorFlow is started for it.`,
    );
    const source = (this.source = this.answers.source(chosen.id, ""));
    this.ranker = source.part("-rank");
    try {
      const opened = await source.open();
      if (chosen.id !== this.openedId) return;
      const outputs = await source.answers([], 0);
      if (chosen.id !== this.openedId) return;
      this.opened = opened;
      this.intactOutputs = outputs;
      this.accuracy = opened.intact;
      this.accuracyOf = "";
    } catch (error) {
      if (chosen.id === this.openedId)
        this.page.say(/** @type {Error} */ (error).message, () => this.open(chosen));
      return;
    }
    this.requested = "\0"; // differs from any text, so the first lesion is requested
    this.page.show();
  }

  /** Nothing that is known of the open model is valid any more. */
  forget() {
    this.openedId = "";
  }

  /** Asks about the lesions and the image of the state soon, unless they were asked about. */
  follow() {
    const state = this.state();
    const wanted = JSON.stringify([state.lesions, this.image(state)]);
    if (wanted === this.requested) return;
    this.requested = wanted;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.evaluate(), PAUSE_MS);
  }

  /** Requests the answers on the chosen images, then the accuracy on all images. */
  async evaluate() {
    const state = this.state();
    const seq = ++this.seq;
    const text = state.lesions; // the state may change before the answer comes
    const lesion = this.deleted(text);
    this.trouble = null;
    this.page.wait(true);
    if (this.ranking) this.ranker.cancel(); // this lesion is newer
    try {
      const outputs = await this.source.answers(lesion, this.image(state));
      if (seq !== this.seq) return;
      this.outputs = outputs;
      this.page.answered("outputs", text);
      this.page.wait(true);
      const accuracy = await this.source.accuracy(lesion);
      if (seq !== this.seq) return;
      this.accuracy = accuracy;
      this.accuracyOf = text;
      this.page.wait(false);
      this.page.answered("evaluated", text);
    } catch (error) {
      const failure = /** @type {Error & {code?: string}} */ (error);
      if (seq !== this.seq) return;
      this.page.wait(false);
      if (failure.code === "model_changed") return this.page.reopen();
      this.admit(failure.message, () => this.evaluate());
    }
  }

  /** Ends the work; the page stays as it is. */
  letBe() {
    this.seq++;
    this.source.cancel();
    this.ranker.cancel();
    this.page.wait(false);
    this.admit("You did not wait for the answer.", () => this.evaluate());
  }

  /** Tells that the page is not up to date, and why.
   * @param {string} text @param {() => void} retry */
  admit(text, retry) {
    this.trouble = { text, retry };
    this.page.show();
  }

  state() {
    const model = this.context.model();
    return /** @type {import("../../page/model.js").Model} */ (model).state;
  }

  /** @param {State} state  contains the place of the chosen image */
  image(state) {
    const last = (this.opened?.images.length ?? 1) - 1;
    return Math.min(Math.max(0, state.image), last);
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
    const deleted = this.deleted(this.state().lesions);
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
    const seq = this.seq;
    try {
      this.page.wait(true);
      this.ranking = true;
      this.rankings[by] ??= (await this.ranker.rank(by)).units;
    } catch (error) {
      const failure = /** @type {Error & {code?: string}} */ (error);
      if (failure.code === "model_changed") this.page.reopen();
      else if (seq === this.seq) this.admit(failure.message, () => this.deleteRanked(by, k));
      return;
    } finally {
      this.ranking = false;
      if (seq === this.seq) this.page.wait(false);
    }
    if (model !== this.openedId || seq !== this.seq) return;
    const deleted = this.deleted(this.context.model()?.state.lesions ?? "");
    const left = this.rankings[by].filter(([layer, unit]) => !deleted[layer][unit]);
    for (const [layer, unit] of left.slice(0, k)) deleted[layer][unit] = true;
    this.setLesions(writeLesions(deleted));
  }

  /** @param {string} text @returns {boolean[][]}  per layer, per unit */
  deleted(text) {
    return readLesions(text, this.opened?.layers.map((layer) => layer.units) ?? []);
  }
}
