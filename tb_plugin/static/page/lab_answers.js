// Where the answers of the lesion lab come from. The views of the lab know these two objects and
// nothing of what stands behind them: here the server, which asks a real Keras model; a page
// without a server can compute the same answers itself.

import { fetchLabModels, LabClient } from "./api.js";

/**
 * @typedef {boolean[][]} Lesion  for each layer, for each unit: whether it is deleted
 *
 * @typedef {object} LabAnswers  the networks of a lab
 * @property {() => Promise<import("../numbers/types.js").LabListing>} models  which there are
 * @property {(model: string, images: LabImages, part?: string) => LabSource} source  one of them,
 *     by its id
 *
 * @typedef {"" | "training"} LabImages  "": the images that belong to the network; "training":
 *     those it was trained on, with the labels it learned, which are the same images for networks
 *     of one training set
 *
 * @typedef {object} LabSource  one network on its images. Every question contains the whole lesion,
 *     so answers never depend on what was asked before. A promise rejects with an Error whose
 *     message is a sentence for the user and whose `code` may be "superseded" (a newer question
 *     took the place) or "model_changed" (another network has this id now; `open` again).
 * @property {string} model  its id
 * @property {() => Promise<import("../numbers/types.js").LabModel>} open  layers, classes, the
 *     images shown, and the intact accuracy. To be asked first.
 * @property {(lesion: Lesion, image: number) => Promise<import("../numbers/types.js").LabOutputs>} answers
 *     class probabilities of the images shown, and the activity of every unit on one of them
 * @property {(lesion: Lesion) => Promise<import("../numbers/types.js").LabAccuracy>} accuracy  on
 *     all images
 * @property {(by: string) => Promise<import("../numbers/types.js").LabRanking>} rank  all units,
 *     the highest first; `by` is one of the model's `rankable`
 * @property {(layer: string, unit: number) => Promise<import("../numbers/types.js").LabUnit>} unit
 *     the images that drive a unit
 * @property {(seed: number, counts: number[]) => Promise<import("../numbers/types.js").LabOrder>} order
 *     accuracy with the first units of one random order deleted, which the seed decides; only if
 *     the model has `ordered`
 * @property {() => void} cancel  nobody waits for the last question any more
 * @property {(part: string) => LabSource} part  the same open network for another part of the page:
 *     only the newest question of each part counts, and parts wait for each other
 */

/** The lab of this TensorBoard. @type {LabAnswers} */
export const SERVER = {
  models: fetchLabModels,
  source: (model, images, part = "") => new ServerSource(model, images, part),
};

/** @implements {LabSource} */
class ServerSource {
  /** @param {string} model @param {LabImages} images @param {string} part
   * @param {{opened: import("../numbers/types.js").LabModel | null}} [known]  shared by all parts */
  constructor(model, images, part, known = { opened: null }) {
    this.model = model;
    this.images = images;
    this.name = part;
    this.client = new LabClient(part);
    this.known = known;
  }

  /** @param {string} name */
  part(name) {
    return new ServerSource(this.model, this.images, this.name + name, this.known);
  }

  async open() {
    this.known.opened = null;
    const opened = await this.ask({ do: "open" });
    this.known.opened = opened;
    return /** @type {import("../numbers/types.js").LabModel} */ (opened);
  }

  /** @param {Lesion} lesion @param {number} image */
  answers(lesion, image) {
    return this.ask({ do: "outputs", lesions: this.byLayer(lesion), image });
  }

  /** @param {Lesion} lesion */
  accuracy(lesion) {
    return this.ask({ do: "accuracy", lesions: this.byLayer(lesion) });
  }

  /** @param {string} by */
  rank(by) {
    return this.ask({ do: "rank", by });
  }

  /** @param {string} layer @param {number} unit */
  unit(layer, unit) {
    return this.ask({ do: "unit", layer, unit });
  }

  /** @param {number} seed @param {number[]} counts */
  order(seed, counts) {
    return this.ask({ do: "order", seed, counts });
  }

  cancel() {
    this.client.cancel();
  }

  /** @param {Record<string, any>} question @returns {Promise<any>} */
  ask(question) {
    const named = /** @type {Record<string, any> & {model: string}} */ ({ model: this.model });
    // The server refuses to answer for a file that took the place of the one opened.
    if (this.known.opened) named.sha256 = this.known.opened.sha256;
    if (this.images) named.images = this.images;
    return this.client.ask({ ...named, ...question });
  }

  /** @param {Lesion} lesion @returns {Record<string, number[]>} */
  byLayer(lesion) {
    const lesions = /** @type {Record<string, number[]>} */ ({});
    lesion.forEach((units, i) => {
      const gone = units.flatMap((is, unit) => (is ? [unit] : []));
      if (gone.length) lesions[this.known.opened?.layers[i].name ?? ""] = gone;
    });
    return lesions;
  }
}
