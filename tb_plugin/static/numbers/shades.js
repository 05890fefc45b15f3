// How units are shaded: by their activity, or by how it differs from that in the intact network.
// Pure.

import { span } from "./geometry.js";

/** @typedef {"silent" | "active" | "more" | "less"} Tint
 * @typedef {{tint: Tint, share: number}} Shade  share: per cent of the tint's full colour */

/** By activity: nothing for a silent unit, 12 for the layer's least active unit, 100 for the most
 * active one. Beginning at the least active unit separates feature maps, none of which is silent;
 * the square root separates weak units. @param {number[]} values  of one layer @returns {Shade[]} */
export function byActivity(values) {
  const [lowest, highest] = span(values);
  const low = Math.max(0, lowest);
  return values.map((value) => {
    if (!(value > 0)) return { tint: "silent", share: 0 };
    const place = highest > low ? (value - low) / (highest - low) : 1;
    return { tint: "active", share: Math.round(12 + 88 * Math.sqrt(place)) };
  });
}

/** By the difference from the intact network: 100 stands for the layer's most active intact unit.
 * @param {number[]} values  of one layer @param {number[]} before  in the intact network
 * @returns {Shade[]} */
export function byChange(values, before) {
  const most = Math.max(...before.map(Math.abs), 0);
  return values.map((value, i) => {
    const difference = value - before[i];
    const share = most > 0 ? Math.min(1, Math.abs(difference) / most) : 0;
    if (!(share > 0)) return { tint: "silent", share: 0 };
    return { tint: difference > 0 ? "more" : "less", share: Math.round(100 * Math.sqrt(share)) };
  });
}
