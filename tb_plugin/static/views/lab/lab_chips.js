// The deleted units as chips; a click restores.

import { plural } from "../../numbers/labels.js";
import { el, fill } from "../../parts/dom.js";
import { runsOf } from "./lab_words.js";

const MOST_CHIPS = 16;

/** @param {Element} host @param {boolean[][]} lesion @param {string[]} layers  their names
 * @param {(lesion: boolean[][]) => void} onChange */
export function showChips(host, lesion, layers, onChange) {
  const runs = runsOf(lesion);
  const restore = (/** @type {{layer: number, from: number, to: number}} */ { layer, from, to }) =>
    onChange(lesion.map((units, i) => units.map((gone, unit) => gone && !(i === layer && unit >= from && unit <= to))));
  const shown = runs.slice(0, MOST_CHIPS);
  const rest = runs.slice(MOST_CHIPS).reduce((sum, { from, to }) => sum + to - from + 1, 0);
  const focused = host.contains(document.activeElement);
  const children = shown.map((run, i) => {
    const units = run.from === run.to ? String(run.from) : `${run.from}–${run.to}`;
    const of = `${layers[run.layer]} ${units}`;
    const first = i === 0 || shown[i - 1].layer !== run.layer;
    return [
      first && el("span", { class: "faint" }, layers[run.layer]),
      el(
        "button",
        { class: "chip", type: "button", title: `Restore ${of}`, "aria-label": `Restore ${of}`, on: { click: () => restore(run) } },
        units,
      ),
    ];
  });
  fill(host, ...children.flat(), rest > 0 && el("span", { class: "faint" }, `and ${plural(rest, "unit")} more`));
  if (focused) /** @type {HTMLElement | null} */ (host.querySelector("button"))?.focus();
}
