// Networks that differ only in their seed, taken together. Pure.

// Facts in which two trainings of the same settings may differ.
const BY_CHANCE = new Set(["seed", "epochs", "training accuracy", "test accuracy", "model"]);

/** Places of series that differ only in what chance decides, in groups, in their order.
 * @param {{meta: Record<string, any> & {facts: Record<string, string>}}[]} series
 * @returns {number[][]} */
export function seedGroups(series) {
  const groups = /** @type {Map<string, number[]>} */ (new Map());
  series.forEach(({ meta: { facts, ...settings } }, i) => {
    const key = JSON.stringify([Object.entries(settings).sort(), Object.entries(settled(facts)).sort()]);
    groups.set(key, [...(groups.get(key) ?? []), i]);
  });
  return [...groups.values()];
}

/** The facts that chance does not decide. @param {Record<string, string>} facts */
export function settled(facts) {
  return Object.fromEntries(Object.entries(facts).filter(([name]) => !BY_CHANCE.has(name)));
}

/** One curve of the orderings of several, which must have the same points.
 * @template {{x: number[], rows: (number | null)[][]}} C
 * @param {C[]} curves  one or more @returns {C | null} null if their points differ */
export function joined(curves) {
  const [first, ...others] = curves;
  const same = others.every(({ x }) => x.length === first.x.length && x.every((v, i) => v === first.x[i]));
  return same ? { ...first, rows: curves.flatMap(({ rows }) => rows) } : null;
}
