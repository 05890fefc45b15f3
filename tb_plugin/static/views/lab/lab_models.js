// The models of the lab for the list at the side, named by the runs that they belong to. Pure.

import { namedFact, naturalOrder, tellingFacts } from "../../numbers/labels.js";

/** Pairs of a model and a run that names it, and each model without such a run.
 * @param {import("../../numbers/types.js").LabListing["models"]} models
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
 * @param {import("../../numbers/types.js").LabListing["models"]} models
 * @param {ReturnType<typeof namedModels>} named */
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
