// How a lesion compares with random ones of as many units, on the same images. Pure.

/** The band of random orders: at each number of units, the least, the mean and the most accuracy.
 * @param {number[]} counts  of units, rising @param {number[][]} accuracies  one row an order
 * @returns {{k: number, low: number, mean: number, high: number}[]} */
export function bandOf(counts, accuracies) {
  if (!accuracies.length) return [];
  return counts.map((k, i) => {
    const values = accuracies.map((row) => row[i]);
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    return { k, low: Math.min(...values), mean, high: Math.max(...values) };
  });
}

/** Numbers of units at which the band is read: none, all, and the same distance between.
 * @param {number} nUnits @param {number} steps @returns {number[]} */
export function bandCounts(nUnits, steps) {
  const n = Math.min(nUnits, steps);
  return Array.from({ length: n + 1 }, (_, i) => Math.round((i * nUnits) / n));
}

/** How many random lesions leave less, as much, and more than this one.
 * @param {number} nCorrect  images with the lesion @param {number[]} random  images with each
 * random lesion of as many units */
export function amongRandom(nCorrect, random) {
  return {
    less: random.filter((n) => n < nCorrect).length,
    same: random.filter((n) => n === nCorrect).length,
    more: random.filter((n) => n > nCorrect).length,
  };
}

/** That comparison in a sentence. A lesion is told apart from chance only if it lies outside of all
 * random ones, which a random lesion does once in (number + 1) times on either side.
 * @param {number} nCorrect @param {number[]} random @returns {{verdict: "more" | "less" | "alike", text: string}} */
export function chanceWords(nCorrect, random) {
  const { less, same, more } = amongRandom(nCorrect, random);
  const all = `all ${random.length} random deletions of as many units`;
  const luck = `by luck, 1 time in ${random.length + 1}`;
  if (more === random.length)
    return { verdict: "more", text: `Hurts more than chance does: below ${all} (${luck})` };
  if (less === random.length)
    return { verdict: "less", text: `Hurts less than chance does: above ${all} (${luck})` };
  return {
    verdict: "alike",
    text: `Hurts as chance may: ${less + same} of ${random.length} random deletions of as many units hurt as much`,
  };
}
