// What the curves say at the pointer: each curve's mean and s.d., the best first.

import { formatFraction, formatNumber } from "../../numbers/labels.js";
import { el, swatch } from "../../parts/dom.js";

const TOOLTIP_ROWS = 14;

/** @param {import("./subjects.js").Subject} subject @param {import("./subjects.js").Item[]} items
 * @param {string} title  of what tells the curves apart
 * @param {import("../../page/state.js").State} state
 * @param {number} x @param {{id: string, index: number}[]} rows  a curve and a point each */
export function curvesTooltip(subject, items, title, state, x, rows) {
  const found = rows
    .map(({ id, index }) => ({ item: items[Number(id)], index }))
    .sort((a, b) => b.item.summary.mean[b.index] - a.item.summary.mean[a.index]);
  const places = new Set(found.map(({ item, index }) => subject.placeOf(item, index)));
  // If curves have their points at different x, each row gives its x.
  const differ = places.size > 1;
  const head = differ ? `Near ${formatNumber(x, 3)}` : subject.headline([...places][0], x, state);
  const lines = found
    .slice(0, TOOLTIP_ROWS)
    .map(({ item, index }) =>
      el(
        "tr",
        {},
        el("td", {}, swatch(item.colour), item.label),
        el("td", { class: "number" }, formatFraction(item.summary.mean[index])),
        el("td", { class: "number faint" }, `± ${formatFraction(item.summary.sd[index])}`),
        differ && el("td", { class: "number faint" }, subject.placeOf(item, index)),
      ),
    );
  const more = found.length - lines.length;
  const heads = el(
    "tr",
    {},
    el("th", {}, title || "run"),
    el("th", {}, "mean"),
    el("th", {}, "s.d."),
    differ && el("th", {}, subject.place),
  );
  return el(
    "div",
    { class: "tooltip" },
    el("strong", {}, head),
    el("table", {}, heads, ...lines),
    more > 0 && el("p", {}, `and ${more} more`),
  );
}
