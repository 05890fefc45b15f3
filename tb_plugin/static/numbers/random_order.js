// One fixed random order of all units of a network, from a seed: the first units of it are what the
// slider of the lab deletes. Networks of the same layers have the same order. Pure.

// Park and Miller's generator, a Lehmer generator: x becomes MULTIPLIER x modulo MODULUS.
const MULTIPLIER = 48271;
const MODULUS = 2147483647;

/** The numbers 0 to n - 1 in a random order (Fisher and Yates). @param {number} n
 * @param {number} seed  a whole number from 0 @returns {number[]} */
export function randomOrder(n, seed) {
  let x = (seed % (MODULUS - 1)) + 1;
  // The first numbers of small seeds resemble each other.
  for (let i = 0; i < 8; i++) x = (x * MULTIPLIER) % MODULUS;
  const order = Array.from({ length: n }, (_, i) => i);
  for (let i = n - 1; i > 0; i--) {
    x = (x * MULTIPLIER) % MODULUS;
    const other = Math.floor((x / MODULUS) * (i + 1));
    [order[i], order[other]] = [order[other], order[i]];
  }
  return order;
}

/** The lesion that deletes the first k units of an order.
 * @param {number[]} sizes  units of each layer @param {number[]} order  of all units
 * @param {number} k @returns {boolean[][]} */
export function firstOf(sizes, order, k) {
  const gone = new Set(order.slice(0, k));
  let start = 0;
  return sizes.map((size) => {
    const units = Array.from({ length: size }, (_, unit) => gone.has(start + unit));
    start += size;
    return units;
  });
}

/** Whether a lesion deletes exactly the first units of an order.
 * @param {boolean[][]} lesion @param {number[]} order */
export function isFirstOf(lesion, order) {
  const gone = lesion.flat();
  const k = gone.filter(Boolean).length;
  return order.slice(0, k).every((unit) => gone[unit]);
}
