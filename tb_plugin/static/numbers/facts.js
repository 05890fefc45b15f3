// What is known of runs. Pure.

/** @typedef {import("./types.js").Series} Series */

/** Series that say nothing of their run, with what the other series of the run agree on: a program may
 * describe a network where it writes its curve, and not where it writes its units.
 * @param {Series[]} series @returns {Series[]} */
export function described(series) {
  const known = /** @type {Map<string, Record<string, string>[]>} */ (new Map());
  for (const { run, meta } of series)
    if (Object.keys(meta.facts).length) known.set(run, [...(known.get(run) ?? []), meta.facts]);
  return series.map((one) => {
    const others = known.get(one.run);
    if (Object.keys(one.meta.facts).length || !others) return one;
    return { ...one, meta: { ...one.meta, facts: agreed(others) } };
  });
}

/** Facts on which none contradicts another. @param {Record<string, string>[]} all */
function agreed(all) {
  const together = Object.assign({}, ...all);
  const same = (/** @type {string} */ name) =>
    all.every((facts) => facts[name] === undefined || facts[name] === together[name]);
  return Object.fromEntries(Object.entries(together).filter(([name]) => same(name)));
}
