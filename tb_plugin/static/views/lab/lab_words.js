// Numbers and sentences of the lab. Pure.

import { plural } from "../../numbers/labels.js";
import { pairedChange, wilson } from "../../numbers/statistics.js";

/** @typedef {import("../../numbers/types.js").LabAccuracy} LabAccuracy
 * @typedef {import("../../numbers/types.js").LabModel} LabModel */

/** The share of correct images with its interval. @param {LabAccuracy} accuracy */
export function overall({ n_correct, n }) {
  return { share: sum(n_correct) / sum(n), interval: wilson(sum(n_correct), sum(n)) };
}

/** The change against the intact network, image by image. @param {LabAccuracy} accuracy */
export function changeOf({ n_lost, n_gained, n }) {
  return pairedChange(sum(n_lost), sum(n_gained), sum(n));
}

/** @param {number[]} values */
export function sum(values) {
  return values.reduce((a, b) => a + b, 0);
}

/** A share in percent, with its sign. @param {number} share */
export function points(share) {
  return `${share < 0 ? "−" : "+"}${(100 * Math.abs(share)).toFixed(1)}`;
}

/** @param {number} share */
export function percent(share) {
  return `${(100 * share).toFixed(1)} %`;
}

/** Place of the largest value. @param {number[]} values */
export function best(values) {
  return values.indexOf(Math.max(...values));
}

const BRIEF = 2; // letters of a short name

/** What a network says of an image, in words for eyes and for a screen reader.
 * @param {LabModel["images"][0]} image @param {string[]} classes
 * @param {number[]} before  probabilities of the intact network @param {number[]} now */
export function saidOf({ label, truth }, classes, before, now) {
  const [was, guess] = [best(before), best(now)];
  const right = guess === label;
  const flipped = was !== guess;
  const learned = label === truth ? "" : `learned as ${classes[label]}`;
  const mark = right ? "✓" : "✗";
  // Both answers stand in one line if their names are as short as digits.
  const brief = flipped && Math.max(classes[was].length, classes[guess].length) <= BRIEF;
  const seen = `${mark} ${brief ? `${classes[was]} → ` : ""}${classes[guess]}`;
  const former = flipped && !brief ? `was ${classes[was]}` : "";
  const spoken = `the network says ${classes[guess]}${flipped ? `, the intact one ${classes[was]}` : ""}`;
  return { right, flipped, learned, seen, former, spoken: learned ? `${learned}, ${spoken}` : spoken };
}

/** How much the answers to each image have changed: half the sum of the differences of the
 * probabilities, added up over networks. @param {{before: number[][], now: number[][]}[]} networks */
export function changes(networks) {
  const n = networks[0]?.before.length ?? 0;
  return Array.from({ length: n }, (_, i) =>
    sum(
      networks.map(({ before, now }) => sum(before[i].map((p, c) => Math.abs(now[i][c] - p))) / 2),
    ),
  );
}

/** The first place of the largest value, 0 if all are 0. @param {number[]} values */
export function largest(values) {
  const top = Math.max(0, ...values);
  return top > 0 ? values.indexOf(top) : 0;
}

/** Deleted units as runs: each is one chip. @param {boolean[][]} lesion
 * @returns {{layer: number, from: number, to: number}[]} */
export function runsOf(lesion) {
  return lesion.flatMap((units, layer) => {
    const runs = /** @type {{layer: number, from: number, to: number}[]} */ ([]);
    units.forEach((gone, unit) => {
      if (!gone) return;
      const last = runs.at(-1);
      if (last && last.to === unit - 1) last.to = unit;
      else runs.push({ layer, from: unit, to: unit });
    });
    return runs;
  });
}

/** @param {number} gone @param {number} all */
export function deletedWords(gone, all) {
  return `${gone.toLocaleString("en")} of ${plural(all, "unit")} deleted`;
}

/** The line of one network. @param {LabAccuracy} now @param {LabAccuracy} intact
 * @param {boolean} deleted  whether anything is @param {boolean} [brief] */
export function accuracyWords(now, intact, deleted, brief = false) {
  const { share, interval } = overall(now);
  const words = `accuracy ${percent(share)} [${interval.map(percent).join(", ")}]`;
  if (!deleted) return words;
  const { change, interval: ends } = changeOf(now);
  const moved = `${points(change)} points [${ends.map(points).join(", ")}]`;
  if (brief) return `${words}, ${moved}`;
  return `${words} · ${moved} against the intact ${percent(overall(intact).share)} on the same images`;
}
