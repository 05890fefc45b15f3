// One open network of the lab: what it answers under the lesion on the page, how many images it
// gets right, and how random lesions of as many units compare. What is new is told to the page.
// There is no page in here, and the answers may come from anywhere (`page/lab_answers.js`).
//
// While the user drags, lesions come faster than answers. The newest one is asked about every
// PAUSE_MS at most; a question that takes longer than PATIENT_MS is given up for it.

import { bandCounts } from "../../numbers/chance.js";

export const PAUSE_MS = 60;
const PATIENT_MS = 150;
const BAND_ORDERS = 10; // random orders of the band
const BAND_STEPS = 12;
const RANDOM = 20; // random lesions that a lesion is compared with
const IDLE_MS = 400; // after this time without a new lesion, random orders are read

/**
 * @typedef {import("../../page/lab_answers.js").Lesion} Lesion
 * @typedef {import("../../numbers/types.js").LabOutputs} LabOutputs
 * @typedef {import("../../numbers/types.js").LabAccuracy} LabAccuracy
 * @typedef {import("../../numbers/types.js").LabModel} LabModel
 *
 * @typedef {object} Told  who is told
 * @property {() => void} changed  something is new
 * @property {() => void} reopen  another network was saved in place of this one
 */

export class LabNetwork {
  /** @param {import("../../page/lab_answers.js").LabSource} source @param {string} name
   * @param {Told} told */
  constructor(source, name, told) {
    this.source = source;
    this.name = name;
    this.told = told;
    this.ranker = source.part("-rank");
    this.looker = source.part("-look");
    this.opened = /** @type {LabModel | null} */ (null);
    this.failure = /** @type {Error | null} */ (null); // why it could not be opened
    this.outputs = /** @type {LabOutputs | null} */ (null);
    this.outputsOf = ""; // the lesion of the answers shown
    this.image = 0; // the image of the activity shown
    this.accuracy = /** @type {LabAccuracy | null} */ (null);
    this.accuracyOf = "";
    this.intact = /** @type {Map<number, LabOutputs>} */ (new Map()); // by image
    this.trouble = /** @type {{text: string, retry: () => void} | null} */ (null);
    this.working = false;
    this.rankings = /** @type {Record<string, import("../../numbers/types.js").LabRanking>} */ ({});
    this.counts = /** @type {number[]} */ ([]); // of units, of the band
    this.orders = /** @type {number[][]} */ ([]); // accuracies at these, one row an order
    /** Random lesions of as many units as one lesion. @type {{lesion: string, correct: number[]} | null} */
    this.chance = null;
    this.wanted = { text: "", lesion: /** @type {Lesion} */ ([]), image: 0, live: false };
    this.started = -Infinity; // when the last question was asked
    this.turn = 0; // a newer lesion or a cancel increases it
    this.timer = /** @type {ReturnType<typeof setTimeout> | undefined} */ (undefined);
    this.idle = /** @type {ReturnType<typeof setTimeout> | undefined} */ (undefined);
    this.reading = false; // random orders, and what is known of single units
    this.closed = false;
  }

  get id() {
    return this.source.model;
  }

  get sizes() {
    return this.opened?.layers.map(({ units }) => units) ?? [];
  }

  get nUnits() {
    return this.sizes.reduce((sum, size) => sum + size, 0);
  }

  async open() {
    try {
      const opened = await this.source.open();
      const outputs = await this.source.answers([], 0);
      if (this.closed) return;
      this.opened = opened;
      this.intact.set(0, outputs);
      this.outputs = outputs;
      this.accuracy = opened.intact;
      this.counts = bandCounts(this.nUnits, BAND_STEPS);
    } catch (error) {
      if (this.closed) return;
      this.failure = /** @type {Error} */ (error);
    }
    this.told.changed();
    this.restSoon();
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
    clearTimeout(this.idle);
    this.turn++;
    for (const part of [this.source, this.ranker, this.looker]) part.cancel();
  }

  /** Asks about a lesion and an image soon, unless that was done.
   * @param {string} text  of the lesion @param {Lesion} lesion
   * @param {number} image @param {boolean} live  the user still drags */
  follow(text, lesion, image, live) {
    const { wanted } = this;
    const same = wanted.text === text && wanted.image === image && wanted.lesion.length;
    this.wanted = { text, lesion, image, live };
    if (same) return;
    this.trouble = null;
    clearTimeout(this.idle);
    this.askSoon();
  }

  askSoon() {
    clearTimeout(this.timer);
    const since = performance.now() - this.started;
    const wait = this.working ? PATIENT_MS - since : PAUSE_MS - since;
    this.timer = setTimeout(() => this.ask(), Math.max(0, wait));
  }

  /** Asks for the answers on the images shown, then for the accuracy on all images. */
  async ask() {
    const { text, lesion, image } = this.wanted;
    const turn = ++this.turn;
    this.started = performance.now();
    this.working = true;
    this.trouble = null;
    this.told.changed();
    const newer = () => turn !== this.turn;
    try {
      let before = this.intact.get(image);
      if (!before) {
        before = await this.source.answers([], image);
        if (newer()) return;
        this.intact.set(image, before);
      }
      const none = !lesion.some((units) => units.includes(true));
      const outputs = none ? before : await this.source.answers(lesion, image);
      if (newer()) return;
      Object.assign(this, { outputs, outputsOf: text, image });
      this.told.changed();
      if (newer()) return;
      if (this.accuracyOf !== text) {
        const intact = /** @type {LabModel} */ (this.opened).intact;
        const accuracy = none ? intact : await this.source.accuracy(lesion);
        if (newer()) return;
        Object.assign(this, { accuracy, accuracyOf: text });
      }
      this.working = false;
      if (this.wanted.text !== text || this.wanted.image !== image) this.askSoon();
      this.told.changed();
      this.restSoon();
    } catch (error) {
      const failure = /** @type {Error & {code?: string}} */ (error);
      if (newer()) return;
      this.working = false;
      if (failure.code === "model_changed") return this.told.reopen();
      this.admit(failure.message, () => this.askAgain());
    }
  }

  askAgain() {
    this.trouble = null;
    this.told.changed();
    return this.ask();
  }

  /** Ends the work; the page stays as it is. */
  letBe() {
    this.turn++;
    this.working = false;
    for (const part of [this.source, this.ranker]) part.cancel();
    this.admit("You did not wait for the answer.", () => this.askAgain());
  }

  /** Tells that the page is not up to date, and why.
   * @param {string} text @param {() => void} retry */
  admit(text, retry) {
    this.trouble = { text, retry };
    this.told.changed();
  }

  /** All units, the highest first. @param {string} by
   * @returns {Promise<import("../../numbers/types.js").LabRanking>} */
  async ranking(by) {
    this.rankings[by] ??= await this.ranker.rank(by);
    return this.rankings[by];
  }

  // ------------------------------------------------------------------------- random lesions

  restSoon() {
    clearTimeout(this.idle);
    if (!this.opened?.ordered || this.closed) return;
    this.idle = setTimeout(() => this.readOrders(), IDLE_MS);
  }

  /** While nobody asks for anything: reads random lesions of as many units as are deleted, then the
   * band, then what is known of single units. A newer lesion ends it, as it is the newer question of
   * the same part of the page. */
  async readOrders() {
    const { turn } = this;
    const { text, lesion } = this.wanted;
    const over = () => turn !== this.turn || this.closed || this.working || this.wanted.live;
    if (over() || this.reading) return;
    try {
      this.reading = true;
      const k = lesion.flat().filter(Boolean).length;
      const correct = [];
      // Orders of their own: the band is no part of what the lesion is compared with.
      while (!over() && k && this.chance?.lesion !== text && correct.length < RANDOM)
        correct.push((await this.source.order(BAND_ORDERS + correct.length, [k])).n_correct[0]);
      if (correct.length === RANDOM) {
        this.chance = { lesion: text, correct };
        this.told.changed();
      }
      while (!over() && this.orders.length < BAND_ORDERS) {
        const { n_correct, n } = await this.source.order(this.orders.length, this.counts);
        this.orders = [...this.orders, n_correct.map((right) => right / n)];
        this.told.changed();
      }
      for (const by of this.opened?.rankable ?? [])
        if (!over()) this.rankings[by] ??= await this.source.rank(by);
      this.told.changed();
    } catch {
      // A newer lesion ended this, or the lab is gone, which the next lesion will tell.
    } finally {
      this.reading = false;
      if (turn !== this.turn) this.restSoon();
    }
  }
}
