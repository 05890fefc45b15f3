// What "Delete it in the lesion lab" does to the lesion that stands there. Pure.

import { plural } from "../../numbers/labels.js";
import { readLesions, writeLesions } from "../../page/lesion_codec.js";

/**
 * @param {{model: string, other: string, lesions: string}} state
 * @param {string} model  of the unit
 * @param {number[]} sizes  units of each of its layers
 * @param {[number, number]} place  layer and unit
 * @returns {{changes: {model: string, other: string, lesions: string}, words: string}} what the address
 *     is to hold, and what becomes of the units that are deleted there now; "" where there are none
 */
export function deletedToo(state, model, sizes, [layer, unit]) {
  const open = [state.model, state.other].includes(model);
  const lesion = readLesions(open ? state.lesions : "", sizes);
  const before = lesion.flat().filter(Boolean).length;
  const there = lesion[layer][unit];
  lesion[layer][unit] = true;
  const pair = open ? { model: state.model, other: state.other } : { model, other: "" };
  const changes = { ...pair, lesions: writeLesions(lesion) };
  if (there) return { changes, words: "It is deleted there already." };
  if (before) return { changes, words: `It joins the ${plural(before, "unit")} deleted there.` };
  const lost = state.lesions && !open;
  return {
    changes,
    words: lost ? "It takes the place of another network's lesion there; Undo brings that back." : "",
  };
}
