// The chart of lesions on the curve of random orders: the present one and those before it, for each
// open network.

import { bandOf } from "../../numbers/chance.js";
import { numeric } from "../../numbers/columns.js";
import { formatFraction, plural } from "../../numbers/labels.js";
import { ChartFrame } from "../../parts/chart_frame.js";
import { lesionCurvesOption } from "./lab_chart.js";
import { overall } from "./lab_words.js";

const EVERY_MS = 150; // at most as often, while the user drags
const TRAIL = 40; // earlier lesions that stay as dots

/** @typedef {import("./lab_network.js").LabNetwork} LabNetwork */

export class LabCurves {
  /** @param {import("../../parts/chart_frame.js").Context} context */
  constructor(context) {
    this.context = context;
    this.trails = /** @type {Map<string, {text: string, k: number, accuracy: number}[]>} */ (new Map());
    this.seen = ""; // what the chart shows
    this.drawnAt = -Infinity;
    this.frame = new ChartFrame(context, { name: "lesion_on_the_curve", title: "Among random deletions" });
    this.element = this.frame.element;
    this.element.classList.add("small", "lab-curve");
  }

  /** Other networks are open. */
  forget() {
    this.seen = "";
  }

  /** Keeps each lesion that was evaluated as a dot. @param {LabNetwork[]} networks
   * @param {string} text  of the lesion @param {number} gone */
  note(networks, text, gone) {
    for (const network of networks) {
      const { accuracy, accuracyOf } = network;
      const trail = this.trailOf(network);
      if (!accuracy || accuracyOf !== text || trail.at(-1)?.text === text) continue;
      const dot = { text, k: gone, accuracy: overall(accuracy).share };
      this.trails.set(keyOf(network), [...trail.slice(-TRAIL), dot]);
    }
  }

  /** @param {LabNetwork} network */
  trailOf(network) {
    return this.trails.get(keyOf(network)) ?? [];
  }

  /** @param {LabNetwork[]} networks @param {string} text  of the lesion
   * @param {boolean} live  the user drags: the accuracy is of a moment ago, and has its own place
   * @param {(lesion: string) => number} counted  how many units a lesion deletes */
  show(networks, text, live, counted) {
    const { theme, state } = this.context.model();
    // Drawing takes longer than all else: while the user drags, only what is new is drawn.
    const known = networks.map(({ id, orders, accuracyOf }) => [id, orders.length, accuracyOf]);
    const seen = JSON.stringify([known, text === networks[0].accuracyOf, state.zoom, state.tables, theme.surface]);
    if (seen === this.seen) return;
    if (live && performance.now() - this.drawnAt < EVERY_MS) return;
    this.seen = seen;
    this.drawnAt = performance.now();
    const drawn = networks.map((network) => {
      const { name, nUnits, counts, orders, accuracy, accuracyOf } = network;
      const trail = this.trailOf(network).filter((dot) => dot.text !== text);
      const told = accuracy && (accuracyOf === text || live);
      const now = told ? { k: counted(accuracyOf), accuracy: overall(accuracy).share } : null;
      return { name: name || "this network", nUnits, band: bandOf(counts, orders), trail, now, orders: orders.length };
    });
    const read = Math.min(...drawn.map(({ orders }) => orders));
    const rows = drawn.flatMap(({ name, nUnits, band, now }) => [
      ...band.map(({ k, low, mean, high }) => ({ name, what: "random orders", share: k / nUnits, low, mean, high })),
      ...(now ? [{ name, what: "this lesion", share: now.k / nUnits, low: now.accuracy, mean: now.accuracy, high: now.accuracy }] : []),
    ]);
    const fraction = (/** @type {string} */ label, /** @type {(row: any) => number} */ value) =>
      numeric(label, value, formatFraction);
    this.element.dataset.orders = String(read);
    const able = networks.every(({ opened }) => opened?.ordered);
    this.frame.show({
      option: lesionCurvesOption(drawn, this.frame.zoom, theme),
      count: rows.length,
      subtitle: able
        ? `band: lowest to highest of ${plural(read, "random order")}, line: their mean; large dot: this lesion, small ones: earlier; all on the same images`
        : "Random orders of all units take too long to read here; dots: this lesion and earlier ones",
      columns: [
        { label: "network", value: (row) => row.name },
        { label: "what", value: (row) => row.what },
        fraction("fraction deleted", (row) => row.share),
        fraction("lowest", (row) => row.low),
        fraction("mean", (row) => row.mean),
        fraction("highest", (row) => row.high),
      ],
      rows,
    });
  }
}

/** The same network on the same images. @param {LabNetwork} network */
function keyOf({ id, opened }) {
  return `${id} ${opened?.sha256} ${opened?.images_sha256}`;
}
