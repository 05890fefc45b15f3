// The images that drive a unit most and least, and its weights, from the lab.

import { formatNumber } from "../../numbers/labels.js";
import { fetchLabModels, LabClient } from "../../page/api.js";
import { el } from "../../parts/dom.js";

/** Pictures of a unit, if the lab has the model that the run's fact "model" names.
 * @param {LabClient} client @param {string} wanted
 * @param {import("../../numbers/types.js").Unit} unit
 * @returns {Promise<Pictures | string>}  or why there are none
 *
 * @typedef {object} Pictures
 * @property {import("../../numbers/types.js").LabUnit} unit
 * @property {string[]} classes
 * @property {string} model
 * @property {number[]} sizes  units of each layer
 * @property {[number, number]} place  layer and unit */
export async function pictures(client, wanted, unit) {
  const { enabled, models, reason } = await fetchLabModels();
  if (!enabled) return `The images that drive this unit need the lab. ${reason}`;
  const model = models.find((m) => m.name === wanted || m.id === wanted);
  if (!model)
    return "The images that drive this unit are shown where the run's fact “model” names a model of the lab.";
  const { classes, layers } = await client.ask({ do: "open", model: model.id });
  const asked = { model: model.id, layer: unit.layer, unit: unit.unit };
  const found = await client.ask({ do: "unit", ...asked });
  const known = /** @type {{name: string, units: number}[]} */ (layers);
  const layer = known.findIndex(({ name }) => name === unit.layer);
  return { unit: found, classes, model: model.id, sizes: known.map(({ units }) => units), place: [layer, unit.unit] };
}

/** @param {Pictures | string} found
 * @param {import("../../numbers/types.js").Unit} unit */
export function pictureElements(found, unit) {
  if (typeof found === "string") return [el("p", { class: "faint" }, found)];
  const picture = (/** @type {{label: number, activation: number, png: string}} */ one) =>
    el(
      "figure",
      {},
      el("img", { src: `data:image/png;base64,${one.png}`, alt: found.classes[one.label] }),
      el("figcaption", {}, formatNumber(one.activation, 3)),
    );
  const { most, least, n_least: nLeast, n_images: nImages, averaged, weights } = found.unit;
  const how = averaged ? "; its activation is the mean over positions" : "";
  const tied = nLeast > least.length ? ` (${least.length} of ${nLeast.toLocaleString("en")} alike)` : "";
  return [
    el("h3", {}, `Images that drive it most, of ${nImages.toLocaleString("en")}${how}`),
    el("div", { class: "unit-images" }, ...most.map(picture)),
    el("h3", {}, `and least${tied}`),
    el("div", { class: "unit-images" }, ...least.map(picture)),
    weights && el("h3", {}, "Its weights, laid out as the image"),
    weights &&
      el("img", {
        class: "weights",
        src: `data:image/png;base64,${weights}`,
        alt: `incoming weights of unit ${unit.unit}`,
      }),
  ].filter(Boolean);
}
