// The models of the lab for the list at the side, named by the runs that they belong to, and which
// two of them are shown beside each other. Pure.

import { compareFacts, namedFact, naturalOrder, tellingFacts } from "../../numbers/labels.js";

/** The fact by which two networks are a pair: one learned true labels, the other shuffled ones. */
const CORRUPTION = "label corruption";
// Facts that differ between the two of a pair, and say nothing of how they were made.
const BESIDES = new Set([CORRUPTION, "model", "figure", "epochs", "training accuracy", "test accuracy"]);
/** In the address: no second network is wanted. */
export const ALONE = "none";

/** @typedef {import("../../numbers/types.js").LabListing["models"]} Models
 * @typedef {ReturnType<typeof namedModels>} Named */

/** Pairs of a model and a run that names it, and each model without such a run.
 * @param {Models} models
 * @param {import("../../numbers/types.js").Series[]} series */
export function namedModels(models, series) {
  const runsOf = /** @type {Map<string, Map<string, import("../../numbers/types.js").Series>>} */ (new Map());
  for (const one of series) {
    const runs = runsOf.get(one.meta.facts.model) ?? new Map();
    runsOf.set(one.meta.facts.model, runs.set(one.run, one));
  }
  return models.flatMap(({ id, name }) => {
    const found = [...(runsOf.get(name) ?? runsOf.get(id) ?? new Map()).values()];
    if (!found.length) return [{ id, name, run: name.replaceAll("/", " "), facts: {}, description: "" }];
    return found.map(({ run, meta: { facts }, description }) => ({ id, name, run, facts, description }));
  });
}

/** Models for the list at the side, named by the facts that tell their runs apart.
 * @param {Models} models @param {Named} named */
export function modelEntries(models, named) {
  const first = models.map(({ id }) => named.find((one) => one.id === id));
  const facts = first.map((one) => ({ ...one?.facts, figure: "" })); // figures may share a network
  const telling = tellingFacts(facts);
  const entries = models.map(({ id, name }, i) => {
    const words = telling.filter((fact) => facts[i][fact]).map((fact) => namedFact(fact, facts[i][fact]));
    const also = named.filter((one) => one.id === id).map(({ run }) => run);
    return { run: id, label: words.join(", ") || name, colour: "", also };
  });
  return entries.sort((a, b) => naturalOrder(a.label, b.label));
}

/** Which networks the lab opens.
 *
 * The address decides, then what is open already: the list and its filter choose only for a page on
 * which nothing is open yet. Then it is a pair of true and shuffled labels, if there is one.
 * @param {{model: string, other: string}} state @param {Models} models @param {Named} named
 * @param {string[]} shown  ids in the list, as narrowed by folder and filter
 * @param {string[]} open  ids of the open ones
 * @returns {{first: string, second: string, missing: string}}  ids, "" for none; `missing`: an id
 *     of the address that no model has */
export function chosenModels(state, models, named, shown, open) {
  const there = (/** @type {string} */ id) => models.some((one) => one.id === id);
  const asked = [state.model, state.other === ALONE ? "" : state.other].filter(Boolean);
  const missing = asked.find((id) => !there(id)) ?? "";
  if (missing) return { first: "", second: "", missing };
  if (!state.model && open.length && open.every(there)) {
    const second = state.other === ALONE ? "" : state.other || (open[1] ?? "");
    return { first: open[0], second, missing: "" };
  }
  const pair = state.model || state.other ? null : shown.map((id) => [id, partnerOf(id, named)]).find(([, other]) => other);
  const first = state.model || pair?.[0] || shown[0] || models[0]?.id || "";
  if (state.other) return { first, second: state.other === ALONE ? "" : state.other, missing: "" };
  return { first, second: partnerOf(first, named), missing: "" };
}

/** The network that differs from this one only in that its labels were shuffled, if this one
 * learned true labels; "" if there is none. @param {string} id @param {Named} named */
export function partnerOf(id, named) {
  for (const one of named.filter((other) => other.id === id)) {
    if (Number(one.facts[CORRUPTION] ?? NaN) !== 0) continue;
    const found = named.find(
      (other) => Number(other.facts[CORRUPTION] ?? NaN) === 1 && alike(one.facts, other.facts),
    );
    if (found) return found.id;
  }
  return "";
}

/** @param {Record<string, string>} a @param {Record<string, string>} b */
function alike(a, b) {
  const names = [...Object.keys(a), ...Object.keys(b)].filter((name) => !BESIDES.has(name));
  return names.every((name) => a[name] === b[name]);
}

/** Short names of the open networks: by what they differ in.
 * @param {string[]} ids @param {Named} named @returns {string[]} */
export function namesOf(ids, named) {
  const found = ids.map((id) => named.find((one) => one.id === id));
  if (ids.length < 2) return found.map((one) => one?.name ?? "");
  const facts = found.map((one) => one?.facts ?? {});
  const { differing } = compareFacts(facts);
  const corruption = facts.map((one) => Number(one[CORRUPTION] ?? NaN));
  if (differing.includes(CORRUPTION) && corruption.every((share) => share === 0 || share === 1))
    return corruption.map((share) => (share ? "shuffled labels" : "true labels"));
  const telling = tellingFacts(facts.map((one) => ({ ...one, figure: "" })));
  const names = facts.map((one) =>
    telling.filter((fact) => one[fact]).map((fact) => namedFact(fact, one[fact])).join(", "),
  );
  return names.map((name, i) => (name && name !== names[1 - i] ? name : (found[i]?.name ?? ids[i])));
}
