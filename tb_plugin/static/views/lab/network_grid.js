// A network drawn layer by layer, each unit a cell shaded by its activity. A click, a drag, Space
// or Enter deletes or restores units. Arrow keys move between units; with Shift they repeat the
// last action on the units that they pass.

import { span } from "../../numbers/geometry.js";
import { el, fill } from "../../parts/dom.js";

export class NetworkGrid {
  /** @param {(deleted: boolean[][]) => void} onChange */
  constructor(onChange) {
    this.onChange = onChange;
    this.deleted = /** @type {boolean[][]} */ ([]);
    this.cells = /** @type {HTMLElement[][]} */ ([]);
    this.heads = /** @type {HTMLElement[]} */ ([]);
    this.layers = /** @type {{name: string, units: number}[]} */ ([]);
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
      },
    });
    window.addEventListener("pointerup", () => this.end());
    window.addEventListener("pointercancel", () => this.end());
  }

  /** @param {{name: string, units: number}[]} layers */
  build(layers) {
    this.layers = layers;
    // Small networks get large cells.
    const units = layers.reduce((sum, layer) => sum + layer.units, 0);
    this.element.style.setProperty("--cell", units > 1500 ? "12px" : units > 400 ? "16px" : "22px");
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
    fill(
      this.element,
      ...layers.map(({ name }, i) =>
        el(
          "section",
          { class: "layer" },
          el("div", { class: "layer-head" }, el("h3", {}, name), this.heads[i]),
          el("div", { class: "units", role: "group", "aria-label": name }, ...this.cells[i]),
        ),
      ),
    );
  }

  /** @param {boolean[][]} deleted
   * @param {number[][]} activity  of each unit, on the chosen image */
  show(deleted, activity) {
    if (this.painting !== null) return; // during a drag the page shows newer units than this update
    this.deleted = deleted.map((units) => [...units]);
    this.cells.forEach((cells, layer) => {
      const values = activity[layer] ?? [];
      const [lowest, highest] = span(values);
      cells.forEach((cell, unit) => {
        this.mark(cell, deleted[layer][unit]);
        cell.style.setProperty("--activity", `${shade(values[unit] ?? 0, lowest, highest)}%`);
        cell.title = `${this.layers[layer].name}, unit ${unit}: activity ${(values[unit] ?? 0).toPrecision(3)}${deleted[layer][unit] ? ", deleted" : ""}`;
      });
      const gone = deleted[layer].filter(Boolean).length;
      this.heads[layer].textContent =
        `${cells.length.toLocaleString("en")} units${gone ? `, ${gone.toLocaleString("en")} deleted` : ""}`;
    });
  }

  /** @param {HTMLElement} cell @param {boolean} gone */
  mark(cell, gone) {
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
    const [layer, unit] = place;
    this.painting = !this.deleted[layer][unit];
    this.focus(layer, unit);
    this.paint(layer, unit);
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
    this.onChange(this.deleted);
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
      this.onChange(this.deleted);
      return;
    }
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
    this.onChange(this.deleted);
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
      return layer > 0 ? [layer - 1, this.column(layer - 1, unit, Infinity)] : null;
    }
    return null;
  }

  /** The unit in a column of a layer's first or last row. @param {number} layer
   * @param {number} column @param {number} line  0, or Infinity for the last */
  column(layer, column, line) {
    const row = this.perRow(layer);
    const last = this.cells[layer].length - 1;
    return Math.min(last, Math.min(line, Math.floor(last / row)) * row + column);
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

/** Per cent of the full colour: 0 for a silent unit, 12 for the layer's least active unit, 100 for
 * the most active one. Beginning at the least active unit separates feature maps, none of which is
 * silent; the square root separates weak units.
 * @param {number} value @param {number} lowest @param {number} highest  of the layer */
function shade(value, lowest, highest) {
  if (!(value > 0)) return 0;
  const low = Math.max(0, lowest);
  const share = highest > low ? (value - low) / (highest - low) : 1;
  return Math.round(12 + 88 * Math.sqrt(share));
}

/** @param {number} from @param {number} to  in either direction, both ends included */
function range(from, to) {
  const low = Math.min(from, to);
  return Array.from({ length: Math.abs(to - from) + 1 }, (_, i) => low + i);
}
