// A table that a click on a heading sorts.

import { naturalOrder } from "../numbers/labels.js";
import { el, fill, textButton } from "./dom.js";

const ROWS_AT_FIRST = 200;

export class Table {
  /** @param {{sortBy: string, descending?: boolean, caption: string}} settings */
  constructor({ sortBy, descending = false, caption }) {
    this.caption = caption;
    this.sortBy = sortBy;
    this.descending = descending;
    this.limit = ROWS_AT_FIRST;
    this.columns = /** @type {import("../numbers/types.js").Column[]} */ ([]);
    this.rows = /** @type {any[]} */ ([]);
    this.element = el("div", {
      class: "table-box",
      tabindex: 0,
      role: "region",
      "aria-label": caption,
    });
  }

  /** @param {import("../numbers/types.js").Column[]} columns @param {any[]} rows */
  show(columns, rows) {
    this.columns = columns;
    this.rows = rows;
    this.draw();
  }

  draw() {
    const rows = this.sorted();
    const shown = rows.slice(0, this.limit);
    const more = rows.length - shown.length;
    fill(
      this.element,
      el(
        "table",
        {},
        el("caption", {}, this.caption),
        el("thead", {}, el("tr", {}, ...this.columns.map((column) => this.heading(column)))),
        el(
          "tbody",
          {},
          ...shown.map((row) => el("tr", {}, ...this.columns.map((c) => cell(c, row)))),
        ),
      ),
      more > 0 &&
        textButton(`Show all ${rows.length.toLocaleString("en")} rows`, () => this.showMore()),
    );
  }

  showMore() {
    this.limit = Infinity;
    this.draw();
  }

  /** @param {import("../numbers/types.js").Column} column */
  heading(column) {
    if (column.action) return el("td", { class: "action" });
    const sorted = column.label === this.sortBy;
    const direction = this.descending ? "descending" : "ascending";
    const button = el(
      "button",
      { on: { click: () => this.sort(column) } },
      column.label,
      el(
        "span",
        { class: "arrow", "aria-hidden": "true" },
        sorted ? (this.descending ? "↓" : "↑") : "",
      ),
    );
    return el(
      "th",
      { scope: "col", class: column.numeric && "number", "aria-sort": sorted ? direction : "none" },
      button,
    );
  }

  /** @param {import("../numbers/types.js").Column} column */
  sort(column) {
    this.descending = column.label === this.sortBy ? !this.descending : Boolean(column.numeric);
    this.sortBy = column.label;
    this.draw();
    const sorted = this.element.querySelector(
      '[aria-sort="ascending"] button, [aria-sort="descending"] button',
    );
    /** @type {HTMLElement | null} */ (sorted)?.focus();
  }

  sorted() {
    const column = this.columns.find((c) => c.label === this.sortBy);
    if (!column) return this.rows;
    const sign = this.descending ? -1 : 1;
    return [...this.rows].sort((a, b) => sign * compare(column.value(a), column.value(b), sign));
  }
}

/** Gaps (null, NaN) come last in both directions.
 * @param {any} a @param {any} b @param {number} sign */
function compare(a, b, sign) {
  const gapA = a === null || Number.isNaN(a);
  const gapB = b === null || Number.isNaN(b);
  if (gapA || gapB) return sign * (Number(gapA) - Number(gapB));
  return typeof a === "number" ? a - b : naturalOrder(a, b);
}

/** @param {import("../numbers/types.js").Column} column @param {any} row */
function cell(column, row) {
  const content = column.show ? column.show(row) : String(column.value(row) ?? "–");
  return el("td", { class: column.action ? "action" : column.numeric && "number" }, content);
}
