// Which numbers of a training are drawn: losses or accuracies, areas under ablation curves, and
// one dot for each run or checkpoint. Pure.

import { hasLearned } from "../../numbers/curves.js";
import { namedFact, tellingFacts } from "../../numbers/labels.js";

/**
 * @typedef {object} Item
 * @property {import("../../numbers/types.js").Training} training
 * @property {string} label
 * @property {string} colour
 * @property {Record<string, string>} facts
 * @property {[number, number, boolean][]} areas  step, area under its ablation curve, and whether
 *     the network had learned anything by then
 */

export const AREAS = /** @type {Record<string, string>} */ ({
  auc: "AUC",
  normalized: "Normalized AUC",
});
export const AGAINST = /** @type {Record<string, string>} */ ({
  test_loss: "Test loss (nats)",
  test_accuracy: "Test accuracy (fraction correct)",
  gap: "Generalization error (training − test accuracy)",
});

/** Short names for runs, by the facts that tell them apart.
 * @param {string[]} runs @param {Map<string, Record<string, string>>} facts */
export function labelled(runs, facts) {
  const known = runs.filter((run) => facts.has(run));
  const telling = tellingFacts(known.map((run) => facts.get(run) ?? {}));
  const label = (/** @type {string} */ run) =>
    telling
      .filter((name) => facts.get(run)?.[name] !== undefined)
      .map((name) => namedFact(name, facts.get(run)?.[name] ?? ""))
      .join(", ") || run;
  const labels = runs.map(label);
  return new Map(
    runs.map((run, i) => {
      const unique = labels.indexOf(labels[i]) === labels.lastIndexOf(labels[i]);
      return [run, { label: unique ? labels[i] : run, facts: facts.get(run) ?? {} }];
    }),
  );
}

/** Shorter labels if fewer runs have to be told apart. @param {Item[]} items */
export function relabel(items) {
  const facts = new Map(items.map((item) => [item.training.run, item.facts]));
  const labels = labelled([...facts.keys()], facts);
  for (const item of items) item.label = labels.get(item.training.run)?.label ?? item.label;
}

/** @param {Item} item @param {string} name */
export function points(item, name) {
  const found = item.training.scalars[name];
  return (found?.steps ?? []).map((step, i) => ({ item, name, step, value: found.values[i] }));
}

/** Area under one of the run's ablation curves, by step.
 * @param {import("../../numbers/types.js").Training} training
 * @param {string | undefined} tag @param {string} area @returns {Item["areas"]} */
export function areaPoints({ curves }, tag, area) {
  const curve = curves.find((c) => c.tag === tag);
  if (!curve) return [];
  const values = area === "normalized" ? curve.normalized : curve.auc;
  return curve.steps.map((step, i) => [
    step,
    values[i] ?? NaN,
    hasLearned(curve.intact[i], curve.floor[i]),
  ]);
}

/** One dot for each run, at its last checkpoint; if only one run has dots, a dot for each
 * checkpoint.
 * @param {Item[]} items @param {string} against */
export function areaDots(items, against) {
  const perRun = items.map((item) => scatterPoints(item, against)).filter((dots) => dots.length);
  const alone = perRun.length === 1;
  return { alone, dots: alone ? perRun[0] : perRun.map((dots) => dots[dots.length - 1]) };
}

/** Area against a quantity at each analysed step. The quantity is read at the nearest earlier step,
 * or from the fact of that name if a run has no scalars.
 * @param {Item} item @param {string} against */
function scatterPoints(item, against) {
  const at = (/** @type {string} */ name, /** @type {number} */ step) => {
    const found = item.training.scalars[name];
    if (!found) return Number(item.facts[name.replace("_", " ")] ?? NaN);
    const place = found.steps.findLastIndex((s) => s <= step);
    return place < 0 ? NaN : (found.values[place] ?? NaN);
  };
  return item.areas.flatMap(([step, y, learned]) => {
    const accuracy = at("accuracy", step);
    const training = Number.isNaN(accuracy) ? at("training_accuracy", step) : accuracy;
    const x = against === "gap" ? training - at("test_accuracy", step) : at(against, step);
    return Number.isFinite(x) && Number.isFinite(y) ? [{ item, step, x, y, learned }] : [];
  });
}
