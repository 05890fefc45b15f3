// A tour of the lab: four cards of text, each with a lesion prepared. The address holds all of it.

import { el, fill } from "../../parts/dom.js";

/** What a card deletes: a share of the units in the slider's order, or the highest of a ranking.
 * @typedef {{share: number} | {by: string, share: number}} Prepared
 * @typedef {{title: string, text: string, lesion: Prepared}} Stop */

/** @type {Stop[]} */
export const STOPS = [
  {
    title: "Two ways to be right",
    text: "One network learned the true labels of these images. The other had to learn shuffled labels, which it can only know by heart. Nothing is deleted yet: compare the two accuracies above.",
    lesion: { share: 0 },
  },
  {
    title: "Delete units at random",
    text: "A third of the units of each network is gone, the same ones in both. Drag the slider, or press Play: the network that learned by heart falls first, as it leans on more single units.",
    lesion: { share: 1 / 3 },
  },
  {
    title: "Delete the selective units",
    text: "Now a tenth of the units is gone: those that answer to one class most clearly. Are they what the network stands on? Compare the dots with the bands, which random deletions of as many units leave.",
    lesion: { by: "class_selectivity", share: 0.1 },
  },
  {
    title: "Delete the important units",
    text: "As many units, but those whose loss hurts most when each is deleted alone. This lesion shows what a dot below its band looks like. Go on by yourself: click units, or the name of a layer.",
    lesion: { by: "importance", share: 0.1 },
  },
];

export class LabTour {
  /** @param {(stop: number) => void} onGo  0 ends the tour */
  constructor(onGo) {
    this.onGo = onGo;
    this.element = el("aside", { class: "lab-tour", "aria-label": "Tour", hidden: true });
    this.shown = 0;
  }

  /** @param {number} stop  from 1; 0: no card */
  show(stop) {
    this.element.hidden = !(stop >= 1 && stop <= STOPS.length);
    if (this.element.hidden || this.shown === stop) return;
    this.shown = stop;
    const { title, text } = STOPS[stop - 1];
    const button = (/** @type {string} */ label, /** @type {number} */ to, kind = "button") =>
      el("button", { class: kind, type: "button", on: { click: () => this.onGo(to) } }, label);
    const last = stop === STOPS.length;
    fill(
      this.element,
      el("div", {}, el("h3", {}, `${stop} of ${STOPS.length} · ${title}`), el("p", { "aria-live": "polite" }, text)),
      stop > 1 && button("Back", stop - 1),
      last ? button("Done", 0) : button("Next", stop + 1),
      !last && button("End the tour", 0, "text-button"),
    );
  }
}
