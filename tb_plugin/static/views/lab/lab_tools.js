// The buttons that delete units: some at random, or those that rank highest; Undo and Restore.

import { button, el, fill } from "../../parts/dom.js";

/**
 * @typedef {object} Wishes  what the buttons ask for
 * @property {(k: number) => void} random
 * @property {(by: string, k: number, of: number) => void} ranked  of the network at that place
 * @property {() => void} undo
 * @property {() => void} reset
 */

export class LabTools {
  /** @param {Wishes} wishes */
  constructor({ random, ranked, undo, reset }) {
    const count = el("input", { type: "number", min: 1, value: 10, "aria-label": "How many units" });
    const k = () => Math.max(1, Math.floor(Number(count.value)) || 1);
    this.of = el("select", { "aria-label": "Most selective or important in" });
    const highest = (/** @type {string} */ by) => () => ranked(by, k(), Number(this.of.value) || 0);
    this.undo = button("Undo", undo);
    this.reset = button("Restore all", reset);
    this.important = button("most important", highest("importance"));
    this.element = el(
      "div",
      { class: "lab-tools", role: "toolbar", "aria-label": "Lesions" },
      el("span", {}, "Delete"),
      count,
      button("random", () => random(k())),
      button("most selective", highest("class_selectivity")),
      this.important,
      this.of,
    );
  }

  /** Which networks can be meant by the highest. @param {string[]} names */
  offer(names) {
    this.of.hidden = names.length < 2;
    fill(this.of, ...names.map((name, i) => el("option", { value: i }, `in ${name}`)));
  }

  /** @param {{undo: boolean, reset: boolean, important: boolean}} able */
  show({ undo, reset, important }) {
    this.undo.disabled = !undo;
    this.reset.disabled = !reset;
    this.important.disabled = !important;
    this.important.title = important
      ? "those whose ablation raises the loss most"
      : "This network is too large to ablate every unit in turn here. Run a single_unit sweep on it: the lab takes its result.";
  }
}
