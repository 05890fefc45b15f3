// The views that a figure was made for, as its runs say in the fact "views". Pure.

/** Name of the fact: views in the order of the figure's pictures, each with the quantities on its
 * axes, such as "units class_selectivity weight_norm; distributions class_selectivity". */
export const VIEWS = "views";

// The inspector shows the units of a table, as the plot of all units does.
const ALIKE = /** @type {Record<string, string>} */ ({ unit: "units" });

/** The quantities that a figure has on the axes of a view; null if it was not made for that view.
 * @param {Record<string, string>} facts  of one of its runs @param {string} view
 * @returns {{place: number, axes: string[]} | null} place: 0 for its first picture */
export function figureView(facts, view) {
  const wanted = ALIKE[view] ?? view;
  const pictures = (facts[VIEWS] ?? "").split(";").map((text) => text.trim().split(/\s+/));
  const place = pictures.findIndex(([name]) => name === wanted);
  return place < 0 ? null : { place, axes: pictures[place].slice(1) };
}
