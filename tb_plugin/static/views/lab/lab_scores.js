// The accuracy of each open network, large, with a bar from intact to now: it stays in sight while
// the user works further down.

import { chanceWords } from "../../numbers/chance.js";
import { el, fill } from "../../parts/dom.js";
import { overall, percent, sum } from "./lab_words.js";

/** One tile a network. @param {Element} host
 * @param {import("./lab_network.js").LabNetwork[]} networks @param {string} text  the lesion
 * @param {number} gone  deleted units */
export function showScores(host, networks, text, gone) {
  fill(
    host,
    ...networks.map((network, i) => {
      const { opened, accuracy, accuracyOf, chance } = network;
      if (!opened || !accuracy) return null;
      const now = overall(accuracy).share;
      const before = overall(opened.intact).share;
      const waiting = accuracyOf !== text;
      return el(
        "div",
        { class: `score of-${i}${waiting ? " waiting" : ""}`, "data-model": network.id },
        el("span", { class: "score-name" }, networks.length > 1 && el("span", { class: `mark of-${i}` }), network.name),
        el("strong", { class: "score-number" }, percent(now)),
        el(
          "span",
          { class: "score-bar", title: `now ${percent(now)}, intact ${percent(before)}` },
          el("span", { class: "now", style: `width:${(100 * now).toFixed(1)}%` }),
          el("span", { class: "before", style: `left:${(100 * before).toFixed(1)}%` }),
        ),
        el("span", { class: "score-chance faint" }, chanceOf(opened, accuracy, chance, text, gone)),
      );
    }),
  );
}

/** How the lesion compares with random ones, as far as that is known.
 * @param {import("../../numbers/types.js").LabModel} opened
 * @param {import("../../numbers/types.js").LabAccuracy} accuracy
 * @param {{lesion: string, correct: number[]} | null} chance
 * @param {string} text @param {number} gone */
function chanceOf(opened, accuracy, chance, text, gone) {
  if (!gone) return "accuracy, intact";
  if (!opened.ordered) return "Random deletions take too long to compare with here.";
  if (chance?.lesion !== text) return "comparing with random deletions …";
  return chanceWords(sum(accuracy.n_correct), chance.correct).text;
}
