// The answers of a fully connected network with units deleted. Pure.
//
// A lesion leaves the activations before the first layer's mask alone, and those of the intact
// network in every layer are kept: so one lesion costs two small products, and a single unit less.

/**
 * @typedef {object} DenseLayer
 * @property {string} name
 * @property {number} units
 * @property {Float32Array} kernel  (inputs, units), row by row, as Keras has it
 * @property {Float32Array} bias  (units,)
 * @property {boolean} relu  else linear
 *
 * @typedef {boolean[][]} Deleted  per hidden layer, per unit; [] or a missing layer: none
 *
 * @typedef {object} Answer  on one image
 * @property {Float64Array[]} activations  of each hidden layer, deleted units at 0
 * @property {Float64Array} outputs  before the softmax
 */

export class DenseNetwork {
  /** @param {DenseLayer[]} layers  the hidden ones, then the output; every hidden unit can be deleted
   * @param {Float32Array} images  (images, inputs), row by row */
  constructor(layers, images) {
    this.layers = layers;
    this.hidden = layers.slice(0, -1);
    const inputs = layers[0].kernel.length / layers[0].units;
    this.n = images.length / inputs;
    this.intact = Array.from({ length: this.n }, (_, i) => {
      const first = this.layer(0, images.subarray(i * inputs, (i + 1) * inputs));
      return this.onwards(0, first, []);
    });
  }

  /** The network's answer on one image. @param {number} image @param {Deleted} deleted
   * @returns {Answer} */
  answer(image, deleted) {
    const from = deleted.findIndex((units) => units.includes(true));
    const intact = this.intact[image];
    if (from < 0) return intact;
    const before = intact.activations.slice(0, from);
    const { activations, outputs } = this.onwards(from, Float64Array.from(intact.activations[from]), deleted);
    return { activations: [...before, ...activations], outputs };
  }

  /** The outputs on one image with a single unit deleted; cheaper than `answer`.
   * @param {number} image @param {number} layer @param {number} unit */
  without(image, layer, unit) {
    const { activations, outputs } = this.intact[image];
    const activation = activations[layer][unit];
    if (activation === 0) return outputs;
    const kept = Float64Array.from(activations[layer]);
    kept[unit] = 0;
    return this.onwards(layer, kept, []).outputs;
  }

  /** What follows from a layer's activation: its mask, and all later layers.
   * @param {number} from @param {Float64Array} activation  before the mask; is changed
   * @param {Deleted} deleted @returns {Answer} */
  onwards(from, activation, deleted) {
    const activations = [];
    let now = activation;
    for (let l = from; l < this.hidden.length; l++) {
      const gone = deleted[l];
      if (gone) for (let u = 0; u < now.length; u++) if (gone[u]) now[u] = 0;
      activations.push(now);
      now = this.layer(l + 1, now);
    }
    return { activations, outputs: now };
  }

  /** One layer before its mask. @param {number} place
   * @param {Float32Array | Float64Array} inputs */
  layer(place, inputs) {
    const { units, kernel, bias, relu } = this.layers[place];
    const sums = Float64Array.from(bias);
    for (let i = 0; i < inputs.length; i++) {
      const input = inputs[i];
      if (input === 0) continue; // dark pixels and silent units are many
      const row = i * units;
      for (let u = 0; u < units; u++) sums[u] += input * kernel[row + u];
    }
    if (relu) for (let u = 0; u < units; u++) if (sums[u] < 0) sums[u] = 0;
    return sums;
  }
}

/** @param {ArrayLike<number>} outputs @returns {number[]} */
export function softmax(outputs) {
  const highest = Math.max(...Array.from(outputs));
  const powers = Array.from(outputs, (value) => Math.exp(value - highest));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

/** Cross-entropy of one answer, in nats. @param {ArrayLike<number>} outputs @param {number} label */
export function crossEntropy(outputs, label) {
  const highest = Math.max(...Array.from(outputs));
  let sum = 0;
  for (let c = 0; c < outputs.length; c++) sum += Math.exp(outputs[c] - highest);
  return highest + Math.log(sum) - outputs[label];
}

/** Place of the largest value, the first of equals. @param {ArrayLike<number>} values */
export function largest(values) {
  let place = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[place]) place = i;
  return place;
}

/** Numbers in half precision (IEEE 754 binary16, little-endian) as float32.
 * @param {Uint8Array} bytes */
export function fromHalf(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Float32Array.from({ length: bytes.byteLength / 2 }, (_, i) => {
    const bits = view.getUint16(2 * i, true);
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >> 10) & 0x1f;
    const fraction = bits & 0x3ff;
    if (exponent === 0) return sign * fraction * 2 ** -24;
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  });
}
