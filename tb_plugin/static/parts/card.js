// The frame around a chart: title, tools (reset, table, downloads), controls, chart, details.

import { toCsv } from "../numbers/csv.js";
import { Copier } from "./clipboard.js";
import { button, el, fill, icon } from "./dom.js";
import { Table } from "./table.js";

/**
 * @typedef {object} CardSettings
 * @property {string} title
 * @property {string} fileName  of downloads, without its ending
 * @property {() => void} onReset
 * @property {() => void} onTable
 */

export class Card {
  /** @param {CardSettings} settings */
  constructor(settings) {
    this.settings = settings;
    /** Of downloads, without its ending. */
    this.fileName = settings.fileName;
    this.heading = el("h2", {}, settings.title);
    this.subtitle = el("p", { class: "subtitle" });
    this.notes = el("div", { class: "notes" });
    this.controls = el("div", { class: "controls" });
    this.chartHost = el("div", {
      class: "chart",
      role: "group",
      "aria-roledescription": "chart",
      "aria-description": "Plus and minus zoom, arrow keys move, zero shows everything.",
    });
    this.data = new Table({ sortBy: "", caption: `${settings.title}: the numbers` });
    this.dataBox = el("div", { class: "data-table", hidden: true }, this.data.element);
    this.details = el("div", { class: "details" });
    this.message = el("div", { class: "message", role: "status", hidden: true });
    this.busy = el("div", { class: "busy", hidden: true, "aria-hidden": "true" });
    this.tableButton = tool("table", "Show as table", settings.onTable);
    this.copier = new Copier();
    this.columns = /** @type {import("../numbers/types.js").Column[]} */ ([]);
    this.rows = /** @type {any[]} */ ([]);
    /** Set by the view: saves the chart as "svg" or "png". */
    this.save = /** @type {((type: "svg" | "png") => Promise<Blob>) | null} */ (null);
    this.element = this.build();
  }

  build() {
    const download = (/** @type {string} */ type) => () => this.download(type);
    const tools = el(
      "div",
      { class: "tools", role: "toolbar", "aria-label": "Chart" },
      tool("reset", "Reset zoom (double-click)", this.settings.onReset),
      this.tableButton,
      tool("download", "Download the numbers as CSV", download("csv"), "CSV"),
      tool("download", "Download the chart as PNG", download("png"), "PNG"),
      tool("download", "Download the chart as SVG", download("svg"), "SVG"),
      tool("copy", "Copy the chart as a picture", () => this.copyPicture()),
      tool("link", "Copy a link to what this page shows", () => this.copier.link()),
      this.copier.element,
    );
    const heading = el("div", {}, this.heading, this.subtitle);
    return el(
      "section",
      { class: "card", "aria-label": this.settings.title },
      el("header", { class: "card-head" }, heading, tools),
      this.controls,
      this.notes,
      el("div", { class: "plot" }, this.busy, this.chartHost, this.dataBox, this.message),
      this.details,
    );
  }

  /** The numbers behind the chart, for the table and for CSV.
   * @param {import("../numbers/types.js").Column[]} columns @param {any[]} rows
   * @param {boolean} asTable */
  setData(columns, rows, asTable) {
    this.columns = columns;
    this.rows = rows;
    this.dataBox.hidden = !asTable;
    this.chartHost.hidden = asTable;
    this.tableButton.setAttribute("aria-pressed", String(asTable));
    if (asTable) this.data.show(columns, rows);
  }

  /** A sentence in place of the chart, with an action if given; null removes the sentence.
   * @param {string | null} text @param {{label: string, run: () => void}} [action] */
  say(text, action) {
    this.message.hidden = text === null;
    this.element.classList.toggle("stale", text !== null);
    if (text === null) return;
    fill(this.message, el("p", {}, text), action && button(action.label, action.run));
  }

  /** @param {string[]} sentences  remarks above the chart */
  remark(sentences) {
    fill(this.notes, ...sentences.map((text) => el("p", { class: "note" }, text)));
  }

  async copyPicture() {
    if (this.rows.length && this.save) await this.copier.picture(this.save("png"));
  }

  /** @param {string} type */
  async download(type) {
    if (!this.rows.length || !this.save) return;
    try {
      const blob =
        type === "csv"
          ? new Blob([toCsv(this.columns, this.rows)], { type: "text/csv" })
          : await this.save(/** @type {"svg" | "png"} */ (type));
      offer(blob, `${this.fileName}.${type}`);
    } catch (error) {
      this.remark([`Not saved: ${/** @type {Error} */ (error).message}`]);
    }
  }
}

/** @param {Parameters<typeof icon>[0]} name @param {string} title
 * @param {() => void} onClick @param {string} [text] */
function tool(name, title, onClick, text) {
  return el(
    "button",
    { class: "tool", type: "button", title, "aria-label": title, on: { click: onClick } },
    icon(name),
    text && el("span", {}, text),
  );
}

/** @param {Blob} blob @param {string} name */
function offer(blob, name) {
  const address = URL.createObjectURL(blob);
  el("a", { href: address, download: name }).click();
  // By then the browser has its own reference to the file.
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
