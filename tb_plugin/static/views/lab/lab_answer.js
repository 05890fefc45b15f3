// What a network answers to the chosen image: a bar a class, with a tick for the intact network.

import { formatFraction } from "../../numbers/labels.js";
import { el, fill } from "../../parts/dom.js";

/** @param {Element} host @param {import("./lab_network.js").LabNetwork} network
 * @param {number} i  the image */
export function showAnswer(host, network, i) {
  const { opened, intact, outputs } = network;
  const { images, classes } = /** @type {import("../../numbers/types.js").LabModel} */ (opened);
  const { label, truth } = images[i];
  const before = intact.get(0)?.probabilities[i] ?? [];
  const now = outputs?.probabilities[i] ?? before;
  const bars = classes.map((name, c) =>
    el(
      "li",
      { class: c === label ? "true" : "" },
      el("span", { class: "name" }, name),
      el(
        "span",
        { class: "probability", title: `${formatFraction(now[c])}, intact ${formatFraction(before[c])}` },
        el("span", { class: "now", style: `width:${(100 * now[c]).toFixed(1)}%` }),
        el("span", { class: "before", style: `left:${(100 * before[c]).toFixed(1)}%` }),
      ),
      el("span", { class: "number" }, formatFraction(now[c], 2)),
    ),
  );
  fill(
    host,
    el("h3", {}, "What it answers"),
    el("ul", {}, ...bars),
    el(
      "p",
      { class: "faint" },
      label !== truth && `This ${classes[truth]} was learned as ${classes[label]}: its label was shuffled. `,
      "Bar: probability now. Tick: with the intact network.",
    ),
  );
}
