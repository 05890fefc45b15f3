// What is known of one unit, beside the pointer: its activity, selectivity, importance, and the
// images that drive it most.

import { formatNumber, plural } from "../../numbers/labels.js";
import { el, fill } from "../../parts/dom.js";

const MOST_IMAGES = 4;
const GAP = 10; // pixels between the unit and its card

export class UnitCard {
  constructor() {
    this.element = el("div", { class: "unit-card", role: "tooltip", id: "unit-card", hidden: true });
    this.cell = /** @type {HTMLElement | null} */ (null);
    this.again = () => {}; // fills the card once more
    this.known = /** @type {Map<string, import("../../numbers/types.js").LabUnit>} */ (new Map());
  }

  hide() {
    this.element.hidden = true;
    this.cell?.removeAttribute("aria-describedby");
    this.cell = null;
  }

  /** @param {HTMLElement} cell @param {import("./lab_network.js").LabNetwork} network
   * @param {[number, number]} place @param {boolean} gone */
  async show(cell, network, place, gone) {
    this.hide();
    this.cell = cell;
    const [layer, unit] = place;
    const { name } = /** @type {import("../../numbers/types.js").LabModel} */ (network.opened).layers[layer];
    const key = JSON.stringify([network.id, network.opened?.sha256, name, unit]);
    this.again = () => this.fill(network, place, name, gone, this.known.get(key));
    this.again();
    cell.setAttribute("aria-describedby", "unit-card");
    if (this.known.has(key) || network.working) return;
    try {
      this.known.set(key, await network.looker.unit(name, unit));
    } catch {
      return; // the card does without images
    }
    if (this.cell === cell) this.again();
  }

  /** Something is known now that was not. */
  refresh() {
    if (this.cell) this.again();
  }

  /** @param {import("./lab_network.js").LabNetwork} network @param {[number, number]} place
   * @param {string} name  of the layer @param {boolean} gone
   * @param {import("../../numbers/types.js").LabUnit} [found] */
  fill(network, [layer, unit], name, gone, found) {
    const { outputs, intact, image } = network;
    const classes = network.opened?.classes ?? [];
    const now = outputs?.activity[layer]?.[unit] ?? NaN;
    const before = intact.get(image)?.activity[layer]?.[unit] ?? NaN;
    fill(
      this.element,
      el("strong", {}, `${name}, unit ${unit}${gone ? ", deleted" : ""}`),
      el(
        "dl",
        {},
        ...row("activity on this image", gone ? `0, intact ${formatNumber(before, 3)}` : now === before ? formatNumber(now, 3) : `${formatNumber(now, 3)}, intact ${formatNumber(before, 3)}`),
        ...row("class selectivity", ranked(network, "class_selectivity", layer, unit)),
        ...row("importance (nats)", ranked(network, "importance", layer, unit)),
        ...(found ? row("most active for", classes[found.favourite] ?? "") : []),
      ),
      el("div", { class: "unit-card-images" }, ...(found ? found.most.slice(0, MOST_IMAGES) : []).map(({ png, label }) => el("img", { src: `data:image/png;base64,${png}`, alt: classes[label] ?? "" }))),
      el("span", { class: "faint" }, `Click ${gone ? "restores" : "deletes"}, Alt and click or “i” inspects`),
    );
    this.element.hidden = false;
    this.put();
  }

  /** Beside the unit, within the window. */
  put() {
    const cell = this.cell?.getBoundingClientRect();
    if (!cell) return;
    const { width, height } = this.element.getBoundingClientRect();
    const right = cell.right + GAP + width < innerWidth;
    const x = right ? cell.right + GAP : Math.max(4, cell.left - GAP - width);
    const y = Math.min(Math.max(4, cell.top - 20), innerHeight - height - 4);
    this.element.style.transform = `translate(${Math.round(x)}px, ${Math.round(y)}px)`;
  }
}

/** @param {string} name @param {string} value */
function row(name, value) {
  return [el("dt", {}, name), el("dd", {}, value)];
}

/** A unit's value and its place among all units, if they have been ranked by it.
 * @param {import("./lab_network.js").LabNetwork} network @param {string} by
 * @param {number} layer @param {number} unit */
function ranked(network, by, layer, unit) {
  const ranking = network.rankings[by];
  if (!ranking) return network.opened?.rankable.includes(by) ? "not yet read" : "–";
  const place = ranking.units.findIndex(([l, u]) => l === layer && u === unit);
  return `${formatNumber(ranking.values[place], 3)} (${place + 1}. of ${plural(ranking.units.length, "unit")})`;
}
