// A network drawn layer by layer, each unit a cell shaded by its activity. A click, a drag, Space or
// Enter deletes units or restores them; arrow keys move within a layer.

import { el, fill } from "./dom.js";

export class NetworkGrid {
  /** @param {(deleted: boolean[][]) => void} onChange */
  constructor(onChange) {
    this.onChange = onChange;
    this.deleted = /** @type {boolean[][]} */ ([]);
    this.cells = /** @type {HTMLElement[][]} */ ([]);
    this.heads = /** @type {HTMLElement[]} */ ([]);
    this.layers = /** @type {{name: string, units: number}[]} */ ([]);
    /** What a drag does to each unit that it passes; null: there is no drag. */
    this.painting = /** @type {boolean | null} */ (null);
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

  /** @param {boolean[][]} deleted @param {number[][]} activity  of each unit, on the chosen image */
  show(deleted, activity) {
    if (this.painting !== null) return; // the pointer is ahead of what was asked
    this.deleted = deleted.map((units) => [...units]);
    this.cells.forEach((cells, layer) => {
      const values = activity[layer] ?? [];
      const highest = values.reduce((a, b) => Math.max(a, b), 1e-9);
      cells.forEach((cell, unit) => {
        this.mark(cell, deleted[layer][unit]);
        const share = Math.max(0, (values[unit] ?? 0) / highest);
        cell.style.setProperty("--activity", `${Math.round(100 * Math.sqrt(share))}%`);
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
    if (place) this.paint(...place);
  }

  end() {
    if (this.painting === null) return;
    this.painting = null;
    this.onChange(this.deleted);
  }

  /** @param {number} layer @param {number} unit */
  paint(layer, unit) {
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
    const row = this.perRow(layer);
    const last = this.cells[layer].length - 1;
    const next = /** @type {Record<string, number>} */ ({
      ArrowRight: unit + 1,
      ArrowLeft: unit - 1,
      ArrowDown: unit + row,
      ArrowUp: unit - row,
      Home: 0,
      End: last,
    })[event.key];
    if (next === undefined) return;
    event.preventDefault();
    this.focus(layer, Math.min(last, Math.max(0, next)));
  }

  /** Cells beside each other, as the window's width makes them. @param {number} layer */
  perRow(layer) {
    const cells = this.cells[layer];
    const below = cells.findIndex((cell) => cell.offsetTop > cells[0].offsetTop);
    return below < 0 ? cells.length : below;
  }

  /** Only the unit that has the focus is a stop of the Tab key.
   * @param {number} layer @param {number} unit */
  focus(layer, unit) {
    for (const cell of this.cells[layer]) if (cell.tabIndex === 0) cell.tabIndex = -1;
    this.cells[layer][unit].tabIndex = 0;
    this.cells[layer][unit].focus();
  }
}
