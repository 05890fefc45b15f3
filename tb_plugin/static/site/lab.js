// Answers the questions to the lesion lab in the browser itself, as the server's process would: see
// http_api.md. Pure.

import { crossEntropy, DenseNetwork, fromHalf, largest, softmax } from "../numbers/dense_network.js";
import { histogramCounts, linspace } from "./binning.js";
import { bytesOf, floatsOf } from "./bytes.js";
import { pictureOf } from "./png.js";
import { invalid, refusal } from "./refusals.js";

// As in the server's lab.
const N_EXTREME = 8;
const N_BINS = 30;
const MOST_CHOSEN = 20;
// Time of one lesion beyond which no random orders are offered: the page computes a few hundred.
const LONGEST_LESION_MS = 80;
const TRIED = 50; // images on which this time is measured
const SLICE_MS = 20; // of work, after which the page may draw

/**
 * @typedef {object} Stored  the file of a network
 * @property {string} sha256
 * @property {{name: string, units: number, relu: boolean, kernel: string, bias: string}[]} layers
 *     the kernel in half precision, the bias in single
 * @property {Record<string, Asked>} asked  on which images it may be asked: "", perhaps "training"
 *
 * @typedef {object} Asked
 * @property {string} images  the file of the images
 * @property {number[]} labels @property {number[]} truth @property {string[]} classes
 * @property {string} source
 *
 * @typedef {object} StoredImages
 * @property {number[]} shape  of one image @property {string} sha256
 * @property {string} pixels  uint8, if `scaled`, else float32 @property {boolean} scaled
 */

/** The networks of a copy. Each is computed once, when it is first asked. */
export class BrowserLab {
  /** @param {(name: string) => Promise<any>} read @param {Record<string, string>} files  of each model */
  constructor(read, files) {
    this.read = read;
    this.files = files;
    this.open = /** @type {Map<string, Promise<OpenNetwork>>} */ (new Map());
  }

  /** @param {Record<string, any>} question
   * @param {AbortSignal | null} [signal]  ends long work: nobody waits for the answer any more
   * @returns {Promise<any>} */
  async ask(question, signal) {
    if (question.do === "cancel") return { cancelled: false };
    if (!Object.hasOwn(this.files, question.model))
      throw refusal("not_found", "There is no such model in this copy.");
    const images = question.images ?? "";
    const key = JSON.stringify([question.model, images]);
    if (!this.open.has(key)) {
      const opening = this.opened(this.files[question.model], images);
      opening.catch(() => this.open.delete(key)); // another try may succeed
      this.open.set(key, opening);
    }
    const network = await /** @type {Promise<OpenNetwork>} */ (this.open.get(key));
    if ((question.sha256 ?? network.sha256) !== network.sha256)
      throw refusal("model_changed", "Another network is in the place of this one. Open it again.");
    const breathe = breathing(() => signal?.throwIfAborted());
    return { ...(await answerOf(network, question, breathe)), sha256: network.sha256 };
  }

  /** @param {string} file @param {string} images  "training", or "" */
  async opened(file, images) {
    const stored = /** @type {Stored} */ (await this.read(file));
    const asked = stored.asked[images] ?? stored.asked[""];
    const network = new OpenNetwork(stored, asked, await this.read(asked.images));
    network.intact = await network.accuracy([], breathing());
    return network;
  }
}

/** @param {OpenNetwork} network @param {Record<string, any>} question
 * @param {() => Promise<void>} breathe  between two pieces of long work */
function answerOf(network, question, breathe) {
  if (question.do === "open") return network.describe();
  if (question.do === "outputs") return network.outputs(network.deleted(question.lesions), question.image);
  if (question.do === "accuracy") return network.accuracy(network.deleted(question.lesions), breathe);
  if (question.do === "rank") return network.rank(question.by, breathe);
  if (question.do === "unit") return network.unit(question.layer, question.unit);
  if (question.do === "order") return network.order(question.seed, question.counts, breathe);
  throw invalid("this copy's lab has no such question");
}

class OpenNetwork {
  /** @param {Stored} stored @param {Asked} asked @param {StoredImages} images */
  constructor(stored, asked, images) {
    this.sha256 = stored.sha256;
    this.asked = asked;
    this.shape = images.shape;
    this.imagesSha256 = images.sha256;
    this.pixels = images.scaled ? Float32Array.from(bytesOf(images.pixels), (byte) => byte / 255) : floatsOf(images.pixels);
    const layers = stored.layers.map(({ kernel, bias, ...layer }) => ({
      ...layer,
      kernel: fromHalf(bytesOf(kernel)),
      bias: floatsOf(bias),
    }));
    this.network = new DenseNetwork(layers, this.pixels);
    this.labels = asked.labels;
    this.n = asked.classes.map((_, c) => this.labels.filter((label) => label === c).length);
    this.chosen = oneOfEach(asked.truth, MOST_CHOSEN);
    this.right = this.labels.map((label, i) => largest(this.network.intact[i].outputs) === label);
    this.intact = /** @type {any} */ (null); // its accuracy
    this.ms = this.lesionMs();
  }

  /** About how many milliseconds the accuracy under one lesion takes. */
  lesionMs() {
    const deleted = this.network.hidden.map(({ units }) => new Array(units).fill(false));
    deleted[0][0] = true;
    const tried = Math.min(TRIED, this.labels.length);
    let started = 0;
    // The first round is slow: the browser has not compiled the loops yet.
    for (let round = 0; round < 2; round++) {
      started = performance.now();
      for (let i = 0; i < tried; i++) this.network.answer(i, deleted);
    }
    return ((performance.now() - started) * this.labels.length) / tried;
  }

  describe() {
    const { classes, source, truth } = this.asked;
    return {
      layers: this.network.hidden.map(({ name, units }) => ({ name, units })),
      classes,
      source,
      n_images: this.labels.length,
      images: this.chosen.map((i) => ({ label: this.labels[i], truth: truth[i], png: this.png(i) })),
      images_sha256: this.imagesSha256,
      rankable: ["class_selectivity", "importance"],
      ordered: this.ms < LONGEST_LESION_MS,
      intact: this.intact,
    };
  }

  /** @param {boolean[][]} deleted @param {number} image */
  outputs(deleted, image) {
    if (!(image in this.chosen)) throw invalid("there is no such image");
    const started = performance.now();
    const answers = this.chosen.map((i) => this.network.answer(i, deleted));
    return {
      probabilities: answers.map(({ outputs }) => softmax(outputs).map(short)),
      activity: answers[image].activations.map((layer) => Array.from(layer, short)),
      ms: since(started),
    };
  }

  /** @param {boolean[][]} deleted @param {() => Promise<void>} breathe */
  async accuracy(deleted, breathe) {
    const started = performance.now();
    const none = this.asked.classes.map(() => 0);
    const [n_correct, n_lost, n_gained] = [[...none], [...none], [...none]];
    let loss = 0;
    for (const [i, label] of this.labels.entries()) {
      if (i % 16 === 0) await breathe();
      const { outputs } = this.network.answer(i, deleted);
      const right = largest(outputs) === label;
      loss += crossEntropy(outputs, label);
      if (right) n_correct[label]++;
      if (this.right[i] && !right) n_lost[label]++;
      if (right && !this.right[i]) n_gained[label]++;
    }
    loss = Math.round((1e6 * loss) / this.labels.length) / 1e6;
    return { n_correct, n_lost, n_gained, n: this.n, loss, ms: since(started) };
  }

  /** @param {number} seed @param {number[]} counts @param {() => Promise<void>} breathe */
  async order(seed, counts, breathe) {
    const all = this.network.hidden.flatMap(({ units }, layer) =>
      Array.from({ length: units }, (_, unit) => /** @type {[number, number]} */ ([layer, unit])),
    );
    shuffle(all, seed);
    const n_correct = [];
    for (const count of counts) {
      const deleted = this.network.hidden.map(({ units }) => new Array(units).fill(false));
      for (const [layer, unit] of all.slice(0, count)) deleted[layer][unit] = true;
      n_correct.push(sum((await this.accuracy(deleted, breathe)).n_correct));
    }
    return { n_correct, n: this.labels.length };
  }

  /** @param {string} by @param {() => Promise<void>} breathe */
  async rank(by, breathe) {
    if (by !== "class_selectivity" && by !== "importance")
      throw invalid("by must be one of class_selectivity, importance");
    const found = /** @type {{place: [number, number], value: number}[]} */ ([]);
    for (const [layer, { units }] of this.network.hidden.entries()) {
      for (let unit = 0; unit < units; unit++) {
        const value = by === "importance" ? this.importance(layer, unit) : this.selectivity(layer, unit);
        found.push({ place: [layer, unit], value });
        await breathe();
      }
    }
    found.sort((a, b) => b.value - a.value); // equals stay in their order
    return {
      units: found.map(({ place }) => place),
      values: found.map(({ value }) => short(value)),
      read_on: `${this.labels.length.toLocaleString("en")} images`,
    };
  }

  /** Rise of the loss when one unit is deleted. @param {number} layer @param {number} unit */
  importance(layer, unit) {
    let rise = 0;
    this.labels.forEach((label, i) => {
      const outputs = this.network.without(i, layer, unit);
      const before = this.network.intact[i].outputs;
      if (outputs !== before) rise += crossEntropy(outputs, label) - crossEntropy(before, label);
    });
    return rise / this.labels.length;
  }

  /** @param {number} layer @param {number} unit */
  selectivity(layer, unit) {
    const means = this.means(layer, unit).filter((mean) => mean !== null);
    const highest = Math.max(...means);
    const rest = (sum(means) - highest) / (means.length - 1);
    return highest + rest > 0 ? (highest - rest) / (highest + rest) : 0;
  }

  /** Mean activation for each class, null without images. @param {number} layer
   * @param {number} unit */
  means(layer, unit) {
    const sums = this.asked.classes.map(() => 0);
    this.labels.forEach((label, i) => (sums[label] += this.network.intact[i].activations[layer][unit]));
    return sums.map((total, c) => (this.n[c] ? total / this.n[c] : null));
  }

  /** @param {string} name @param {number} unit */
  unit(name, unit) {
    const layer = this.layerNumber(name);
    if (!(unit >= 0 && unit < this.network.hidden[layer].units)) throw invalid(`${name} has no unit ${unit}`);
    const activation = this.network.intact.map(({ activations }) => activations[layer][unit]);
    const low = Math.min(0, ...activation);
    const high = Math.max(...activation);
    const edges = linspace(low, high > low ? high : low + 1, N_BINS);
    const seen = this.asked.classes.map(() => 0);
    const placeInClass = this.labels.map((label) => seen[label]++);
    const places = activation.map((_, i) => i);
    const most = [...places].sort((a, b) => activation[b] - activation[a]);
    // Most units are silent on many images: of equals, one of each class before a second of any.
    const least = [...places].sort((a, b) => activation[a] - activation[b] || placeInClass[a] - placeInClass[b]);
    const pictured = (/** @type {number} */ i) => ({ label: this.labels[i], activation: short(activation[i]), png: this.png(i) });
    const ofClass = this.asked.classes.map((_, c) => activation.filter((_, i) => this.labels[i] === c));
    const lowest = Math.min(...activation);
    return {
      edges: edges.map(short),
      counts: ofClass.map((part) => histogramCounts(part.filter((value) => value !== 0), edges)),
      silent: ofClass.map((part) => part.filter((value) => value === 0).length),
      favourite: largest(this.means(layer, unit).map((mean) => mean ?? -Infinity)),
      most: most.slice(0, N_EXTREME).map(pictured),
      least: least.slice(0, N_EXTREME).map(pictured),
      n_images: this.labels.length,
      averaged: false,
      n_least: activation.filter((value) => value === lowest).length,
      weights: layer === 0 ? this.weights(unit) : null,
    };
  }

  /** Incoming weights of a unit of the first layer, laid out as the image. @param {number} unit */
  weights(unit) {
    const { kernel, units } = this.network.layers[0];
    const own = Array.from({ length: kernel.length / units }, (_, i) => kernel[i * units + unit]);
    return this.shape.length > 1 ? this.picture(own) : null;
  }

  /** @param {number} image */
  png(image) {
    const size = this.pixels.length / this.labels.length;
    return this.picture(this.pixels.subarray(image * size, (image + 1) * size));
  }

  /** A vector is one line; channels other than one or three are averaged.
   * @param {ArrayLike<number>} values */
  picture(values) {
    const [height, width, channels] = this.shape.length === 1 ? [1, this.shape[0], 1] : [...this.shape, 1];
    if (channels === 1 || channels === 3) return pictureOf(values, height, width, channels);
    const grey = Array.from({ length: height * width }, (_, i) =>
      sum(Array.from({ length: channels }, (_, c) => values[i * channels + c])),
    );
    return pictureOf(grey, height, width, 1);
  }

  /** @param {string} name */
  layerNumber(name) {
    const place = this.network.hidden.findIndex((layer) => layer.name === name);
    if (place < 0) throw invalid("the model has no such layer with a mask");
    return place;
  }

  /** @param {Record<string, number[]>} lesions @returns {boolean[][]} */
  deleted(lesions) {
    const deleted = this.network.hidden.map(({ units }) => new Array(units).fill(false));
    for (const [name, units] of Object.entries(lesions)) {
      const layer = deleted[this.layerNumber(name)];
      for (const unit of units) {
        if (!(unit in layer)) throw invalid(`${name} has ${layer.length} units, counted from 0`);
        layer[unit] = true;
      }
    }
    return deleted;
  }
}

/** Places of about n images, the same number of each class as far as there are so many.
 * @param {number[]} labels @param {number} n */
export function oneOfEach(labels, n) {
  const each = Math.max(1, Math.floor(n / new Set(labels).size));
  const seen = new Map();
  return labels.flatMap((label, i) => {
    seen.set(label, (seen.get(label) ?? 0) + 1);
    return seen.get(label) <= each ? [i] : [];
  });
}

/** Fisher and Yates's shuffle, by a small generator (a linear congruential one, modulo 2 ** 32, with
 * the constants of Numerical Recipes). @param {any[]} items @param {number} seed */
function shuffle(items, seed) {
  let state = (Math.imul(seed, 2654435761) + 1) >>> 0;
  for (let i = items.length - 1; i > 0; i--) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const j = Math.floor((state / 2 ** 32) * (i + 1));
    [items[i], items[j]] = [items[j], items[i]];
  }
}

/** A function that pauses now and then, so that the page can draw and take a click.
 * @param {() => void} [check]  called after each pause; may throw, to end the work */
function breathing(check = () => {}) {
  let last = performance.now();
  return async () => {
    if (performance.now() - last < SLICE_MS) return;
    await new Promise((resolve) => setTimeout(resolve, 0));
    last = performance.now();
    check();
  };
}

/** Five significant digits are finer than a screen. @param {number} value */
function short(value) {
  return Number(value.toPrecision(5));
}

/** @param {number[]} values */
function sum(values) {
  return values.reduce((a, b) => a + b, 0);
}

/** @param {number} started */
function since(started) {
  return Math.round(10 * (performance.now() - started)) / 10;
}
