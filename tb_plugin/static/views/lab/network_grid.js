// A network drawn layer by layer, each unit a cell shaded by its activity. A click, a drag, Space
// or Enter deletes or restores units, and the name of a layer all of its units. Arrow keys move
// between units; with Shift they repeat the last action on the units that they pass. Alt and a
// click, or "i", open the inspector.
//
// A small network is drawn as a network: its layers stand from left to right, with lines between.

import { byActivity, byChange } from "../../numbers/shades.js";
import { el, fill } from "../../parts/dom.js";

// A network is small up to so many layers and units.
const SMALL_LAYERS = 4;
const SMALL_UNITS = 1100;
const HOVER_MS = 150; // the pointer rests so long before a unit's card is shown

/**
 * @typedef {object} Done  what the user does
 * @property {(deleted: boolean[][]) => void} onPaint  a drag has passed one more unit
 * @property {(deleted: boolean[][]) => void} onChange  the lesion is as wanted
 * @property {(cell: HTMLElement | null, place: [number, number]) => void} onRest  the pointer or the
 *     focus rests on a unit; null: no longer
 * @property {(place: [number, number]) => void} onInspect
 */

/** Whether a network is drawn from left to right. @param {{units: number}[]} layers */
export function isSmall(layers) {
  const units = layers.reduce((sum, layer) => sum + layer.units, 0);
  return layers.length <= SMALL_LAYERS && units <= SMALL_UNITS;
}

export class NetworkGrid {
  /** @param {Done} done */
  constructor(done) {
    this.done = done;
    this.resting = /** @type {ReturnType<typeof setTimeout> | undefined} */ (undefined);
    this.deleted = /** @type {boolean[][]} */ ([]);
    this.cells = /** @type {HTMLElement[][]} */ ([]);
    this.heads = /** @type {HTMLElement[]} */ ([]);
    this.names = /** @type {HTMLElement[]} */ ([]);
    /** The state (deleted or not) that a drag gives to each unit it passes; null without a drag. */
    this.painting = /** @type {boolean | null} */ (null);
    /** The last unit that the drag passed. @type {[number, number]} */
    this.painted = [0, 0];
    this.element = el("div", {
      class: "network",
      on: {
        pointerdown: (/** @type {PointerEvent} */ event) => this.begin(event),
        pointermove: (/** @type {PointerEvent} */ event) => this.pass(event),
        keydown: (/** @type {KeyboardEvent} */ event) => this.key(event),
        pointerover: (/** @type {PointerEvent} */ event) => this.rest(event.target),
        pointerleave: () => this.rest(null),
        focusin: (/** @type {FocusEvent} */ event) => this.rest(event.target),
        focusout: () => this.rest(null),
      },
    });
    window.addEventListener("pointerup", () => this.end());
    window.addEventListener("pointercancel", () => this.end());
  }

  /** @param {{name: string, units: number}[]} layers
   * @param {boolean} compact  there is another network beside this one */
  build(layers, compact) {
    const units = layers.reduce((sum, layer) => sum + layer.units, 0);
    const flows = isSmall(layers);
    // Small networks get large cells.
    const size = flows
      ? units > 600 ? (compact ? 7 : 10) : units > 60 ? (compact ? 11 : 17) : 22
      : units > 1500 ? 12 : units > 400 ? 16 : 22;
    this.element.style.setProperty("--cell", `${size}px`);
    this.element.classList.toggle("flow", flows);
    this.deleted = layers.map(({ units }) => new Array(units).fill(false));
    this.heads = layers.map(() => el("p", { class: "faint" }));
    this.cells = layers.map(({ name, units }, layer) =>
      Array.from({ length: units }, (_, unit) =>
        el("span", {
          class: "unit",
          role: "checkbox",
          "data-layer": layer,
          "data-unit": unit,
          "aria-label": `${name}, unit ${unit}`,
          "aria-checked": "true",
          tabindex: unit === 0 ? 0 : -1,
        }),
      ),
    );
    this.names = layers.map(({ name }, layer) =>
      el(
        "button",
        {
          class: "layer-name",
          type: "button",
          title: `Delete or restore all units of ${name}`,
          on: { click: () => this.toggleLayer(layer) },
        },
        name,
      ),
    );
    const columns = (/** @type {number} */ n) => (flows ? `--columns:${Math.ceil(Math.sqrt(n))}` : "");
    const sections = layers.map(({ name, units }, i) =>
      el(
        "section",
        { class: "layer" },
        el("div", { class: "layer-head" }, el("h3", {}, this.names[i]), this.heads[i]),
        el("div", { class: "units", role: "group", "aria-label": name, style: columns(units) }, ...this.cells[i]),
      ),
    );
    // Lines lead from the image into the first layer, and from the last one to the answers.
    const parts = flows ? [wires(), ...sections.flatMap((section) => [section, wires()])] : sections;
    fill(this.element, ...parts);
  }

  /** @param {boolean[][]} deleted
   * @param {number[][]} activity  of each unit, on the chosen image
   * @param {number[][]} before  the same in the intact network
   * @param {boolean} change  whether to shade by the difference */
  show(deleted, activity, before, change) {
    // During a drag the cells show newer units than this update.
    if (this.painting === null) this.deleted = deleted.map((units) => [...units]);
    this.cells.forEach((cells, layer) => {
      const values = activity[layer] ?? [];
      const shades = change ? byChange(values, before[layer] ?? values) : byActivity(values);
      cells.forEach((cell, unit) => {
        this.mark(cell, this.deleted[layer][unit]);
        const { tint, share } = shades[unit] ?? { tint: "silent", share: 0 };
        const shade = `${tint} ${share}`;
        if (cell.dataset.shade === shade) return;
        cell.dataset.shade = shade;
        cell.dataset.tint = tint;
        cell.style.setProperty("--shade", `${share}%`);
      });
      const gone = this.deleted[layer].filter(Boolean).length;
      this.heads[layer].textContent =
        `${cells.length.toLocaleString("en")} units${gone ? `, ${gone.toLocaleString("en")} deleted` : ""}`;
      this.names[layer].setAttribute("aria-pressed", String(gone === cells.length));
    });
  }

  /** Deletes all units of a layer; restores them if all are deleted. @param {number} layer */
  toggleLayer(layer) {
    const all = this.deleted[layer].every(Boolean);
    this.deleted[layer].fill(!all);
    this.done.onChange(this.deleted);
  }

  /** @param {EventTarget | null} target */
  rest(target) {
    clearTimeout(this.resting);
    const cell = /** @type {HTMLElement | null} */ (/** @type {Element | null} */ (target)?.closest?.(".unit") ?? null);
    const place = this.placeOf(cell);
    if (!cell || !place || this.painting !== null) return this.done.onRest(null, [0, 0]);
    this.resting = setTimeout(() => this.done.onRest(cell, place), HOVER_MS);
  }

  /** @param {HTMLElement} cell @param {boolean} gone */
  mark(cell, gone) {
    if (cell.classList.contains("gone") === gone) return;
    cell.classList.toggle("gone", gone);
    cell.setAttribute("aria-checked", String(!gone));
  }

  /** @param {Element | null} target @returns {[number, number] | null} layer and unit */
  placeOf(target) {
    const cell = /** @type {HTMLElement | null} */ (target?.closest?.(".unit") ?? null);
    return cell ? [Number(cell.dataset.layer), Number(cell.dataset.unit)] : null;
  }

  /** @param {PointerEvent} event */
  begin(event) {
    const place = this.placeOf(/** @type {Element} */ (event.target));
    if (!place || event.button !== 0) return;
    event.preventDefault();
    if (event.altKey) return this.done.onInspect(place);
    const [layer, unit] = place;
    this.painting = !this.deleted[layer][unit];
    this.rest(null);
    this.focus(layer, unit);
    this.paint(layer, unit);
    this.done.onPaint(this.deleted);
  }

  /** @param {PointerEvent} event */
  pass(event) {
    if (this.painting === null) return;
    const place = this.placeOf(document.elementFromPoint(event.clientX, event.clientY));
    if (!place) return;
    // A quick pointer is reported at few places: the units between also belong to the drag.
    const [layer, unit] = place;
    const [lastLayer, lastUnit] = this.painted;
    for (const one of layer === lastLayer ? this.between(layer, lastUnit, unit) : [unit])
      this.paint(layer, one);
    this.done.onPaint(this.deleted);
  }

  /** Units on the straight line from one cell to another. @param {number} layer
   * @param {number} from @param {number} to @returns {number[]} */
  between(layer, from, to) {
    const row = this.perRow(layer);
    const [y0, x0, y1, x1] = [from, to].flatMap((unit) => [Math.floor(unit / row), unit % row]);
    const steps = Math.max(Math.abs(x1 - x0), Math.abs(y1 - y0), 1);
    const way = Array.from({ length: steps + 1 }, (_, i) => {
      const [x, y] = [x0 + ((x1 - x0) * i) / steps, y0 + ((y1 - y0) * i) / steps];
      return Math.round(y) * row + Math.round(x);
    });
    return way.filter((unit) => unit < this.cells[layer].length); // the last row may be short
  }

  end() {
    if (this.painting === null) return;
    this.painting = null;
    this.done.onChange(this.deleted);
  }

  /** @param {number} layer @param {number} unit */
  paint(layer, unit) {
    this.painted = [layer, unit];
    this.deleted[layer][unit] = Boolean(this.painting);
    this.mark(this.cells[layer][unit], this.deleted[layer][unit]);
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const place = this.placeOf(/** @type {Element} */ (event.target));
    if (!place) return;
    const [layer, unit] = place;
    if (event.key === " " || event.key === "Enter") {
      event.preventDefault();
      this.deleted[layer][unit] = !this.deleted[layer][unit];
      this.mark(this.cells[layer][unit], this.deleted[layer][unit]);
      this.done.onChange(this.deleted);
      return;
    }
    if (event.key === "i") return this.done.onInspect(place);
    const next = this.moved(layer, unit, event.key);
    if (!next) return;
    event.preventDefault();
    this.focus(...next);
    if (!event.shiftKey) return;
    const gone = this.deleted[layer][unit];
    const passed = next[0] === layer ? range(unit, next[1]) : [next[1]];
    for (const one of passed) {
      this.deleted[next[0]][one] = gone;
      this.mark(this.cells[next[0]][one], gone);
    }
    this.done.onChange(this.deleted);
  }

  /** The unit that a key leads to; from the top or bottom row it is in the next layer.
   * @param {number} layer @param {number} unit @param {string} key
   * @returns {[number, number] | null} */
  moved(layer, unit, key) {
    const row = this.perRow(layer);
    const last = this.cells[layer].length - 1;
    const within = (/** @type {number} */ to) =>
      /** @type {[number, number]} */ ([layer, Math.min(last, Math.max(0, to))]);
    if (key === "ArrowRight") return within(unit + 1);
    if (key === "ArrowLeft") return within(unit - 1);
    if (key === "Home") return within(0);
    if (key === "End") return within(last);
    if (key === "ArrowDown") {
      const isLastRow = Math.floor(unit / row) === Math.floor(last / row);
      if (!isLastRow) return within(unit + row);
      return layer + 1 < this.cells.length ? [layer + 1, this.column(layer + 1, unit % row, 0)] : null;
    }
    if (key === "ArrowUp") {
      if (unit >= row) return within(unit - row);
      return layer > 0 ? [layer - 1, this.column(layer - 1, unit % row, Infinity)] : null;
    }
    return null;
  }

  /** The unit in a column of a layer's first or last row. @param {number} layer
   * @param {number} column @param {number} line  0, or Infinity for the last */
  column(layer, column, line) {
    const row = this.perRow(layer);
    const last = this.cells[layer].length - 1;
    return Math.min(last, Math.min(line, Math.floor(last / row)) * row + Math.min(column, row - 1));
  }

  /** Number of cells in a row, which follows from the window's width. @param {number} layer */
  perRow(layer) {
    const cells = this.cells[layer];
    const below = cells.findIndex((cell) => cell.offsetTop > cells[0].offsetTop);
    return below < 0 ? cells.length : below;
  }

  /** The Tab key stops only at the unit that has the focus.
   * @param {number} layer @param {number} unit */
  focus(layer, unit) {
    for (const cell of this.cells[layer]) if (cell.tabIndex === 0) cell.tabIndex = -1;
    this.cells[layer][unit].tabIndex = 0;
    this.cells[layer][unit].focus();
  }
}

/** Lines between two layers: each unit reads all units of the layer before. */
function wires() {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 10 100");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("class", "wires");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  const ends = [4, 27, 50, 73, 96];
  path.setAttribute("d", ends.flatMap((from) => ends.map((to) => `M0 ${from}L10 ${to}`)).join(""));
  svg.append(path);
  return svg;
}

/** @param {number} from @param {number} to  in either direction, both ends included */
function range(from, to) {
  const low = Math.min(from, to);
  return Array.from({ length: Math.abs(to - from) + 1 }, (_, i) => low + i);
}
