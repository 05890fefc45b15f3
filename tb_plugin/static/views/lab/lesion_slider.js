// The slider "fraction deleted": it deletes the first units of one random order, and Play deletes
// one more after the other.

import { button, el } from "../../parts/dom.js";

const PLAY_MS = 100; // from one unit to the next

/**
 * @typedef {object} Moved
 * @property {(k: number, live: boolean) => void} move  the first k units of the order are to be
 *     deleted; `live` while the user drags or the slider plays
 * @property {() => void} reorder  another random order is wanted
 */

export class LesionSlider {
  /** @param {Moved} moved */
  constructor(moved) {
    this.moved = moved;
    this.n = 0;
    this.at = 0;
    this.timer = /** @type {ReturnType<typeof setInterval> | undefined} */ (undefined);
    this.input = el("input", {
      type: "range",
      min: 0,
      step: 1,
      "aria-label": "Fraction deleted",
      on: {
        input: () => this.go(Number(this.input.value), true),
        change: () => this.go(Number(this.input.value), false),
      },
    });
    this.output = el("output", { class: "lab-fraction" });
    this.play = button("", () => this.toggle());
    this.order = el("button", {
      class: "text-button",
      type: "button",
      title: "Deletes as many units in another random order",
      on: { click: () => moved.reorder() },
    });
    this.element = el(
      "div",
      { class: "lesion-slider" },
      this.play,
      el("span", { "aria-hidden": "true" }, "fraction deleted"),
      this.input,
      this.output,
      this.order,
    );
  }

  /** @param {number} n  units in all @param {number} k  deleted
   * @param {boolean} ordered  whether they are the first of the order @param {number} seed */
  show(n, k, ordered, seed) {
    this.n = n;
    this.at = k;
    this.input.max = String(n);
    if (document.activeElement !== this.input || Number(this.input.value) !== k) this.input.value = String(k);
    const share = `${n ? Math.round((100 * k) / n) : 0} %`;
    const how = k && !ordered ? "chosen one by one" : `order ${seed + 1}`;
    this.output.textContent = share;
    this.input.setAttribute("aria-valuetext", `${share}, ${k} of ${n} units, ${how}`);
    this.input.classList.toggle("off-order", Boolean(k) && !ordered);
    this.order.textContent = `${how} · another`;
    this.sayPlay();
  }

  /** @param {number} k @param {boolean} live */
  go(k, live) {
    if (!live || k !== this.at) this.moved.move(k, live);
  }

  get still() {
    return window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  }

  sayPlay() {
    const playing = this.timer !== undefined;
    this.play.textContent = this.still ? "One more" : playing ? "Pause" : "Play";
    this.play.title = this.still
      ? "Deletes one more unit of the order; it does not run by itself, as your system asks for less motion"
      : "Deletes one more unit every 100 ms";
    this.play.disabled = !this.n;
  }

  toggle() {
    if (this.timer !== undefined) return this.stop();
    const from = this.at >= this.n ? 0 : this.at;
    if (this.still) return this.moved.move(Math.min(this.n, from + 1), false);
    let k = from;
    this.timer = setInterval(() => {
      k++;
      if (k > this.n || !this.element.isConnected) return this.stop();
      this.moved.move(k, true);
    }, PLAY_MS);
    this.sayPlay();
  }

  stop() {
    if (this.timer === undefined) return;
    clearInterval(this.timer);
    this.timer = undefined;
    this.moved.move(this.at, false);
    this.sayPlay();
  }
}
