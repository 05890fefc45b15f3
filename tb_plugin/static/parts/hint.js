// One line above each view that tells a newcomer what the view shows and where to click. The
// browser remembers that the line was closed.

import { el, textButton } from "./dom.js";

const CLOSED = "single_directions.hints_closed";

const HINTS = /** @type {Record<string, string>} */ ({
  curves:
    "Each line is a network that loses more and more of its units. The longer it stays up, the less it relies on single ones. Untick networks in the list, drag over the chart to zoom.",
  units:
    "Each dot is a unit: how much it prefers one class, and how much the network misses it. Click a dot to inspect the unit; choose “select a box” to list many.",
  unit: "What drives one unit, and what the network loses without it. Begin with “A selective and a confusing unit”.",
  noise:
    "Each line is a network under growing noise on all its units. The further to the right it falls, the less it relies on any direction.",
  distributions:
    "How a quantity is spread over the units of each layer. Choose the quantity; networks ticked in the list are laid over each other.",
  training:
    "Above, loss and AUC while a network learns. Below, a dot a network: AUC against how well it generalizes. Tick one alone to see its own checkpoints.",
  lab: "Each square is a unit. Drag “fraction deleted” or press Play, click a unit or drag over many: the answers follow at once. Two networks lose the same units; which one falls first?",
});

export class Hint {
  /** @param {() => void} openGuide */
  constructor(openGuide) {
    this.text = el("p", {});
    this.closed = wereClosed();
    this.view = "";
    this.element = el(
      "aside",
      { class: "hint", hidden: true, "aria-label": "Hint" },
      this.text,
      textButton("Read the guide", openGuide),
      textButton("Close hints", () => this.close(true)),
    );
    /** Brings closed hints back. */
    this.opener = textButton("Show hints", () => this.close(false));
    this.opener.classList.add("show-hints");
  }

  /** @param {string} view */
  show(view) {
    this.view = view;
    this.text.textContent = HINTS[view] ?? "";
    this.element.hidden = !(view in HINTS) || this.closed;
    this.opener.hidden = !(view in HINTS) || !this.closed;
  }

  /** @param {boolean} closed */
  close(closed) {
    this.closed = closed;
    this.show(this.view);
    // The button that was pressed is gone: the keyboard goes on where hints can be had again.
    (closed ? this.opener : this.element.querySelector("button"))?.focus();
    try {
      if (closed) localStorage.setItem(CLOSED, "yes");
      else localStorage.removeItem(CLOSED);
    } catch {
      // Without storage, each page begins with hints.
    }
  }
}

function wereClosed() {
  try {
    return localStorage.getItem(CLOSED) !== null;
  } catch {
    return false;
  }
}
