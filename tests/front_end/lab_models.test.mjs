import assert from "node:assert/strict";
import { test } from "node:test";

import { chosenModels, namesOf, partnerOf } from "../../tb_plugin/static/views/lab/lab_models.js";

const facts = (corruption, more = {}) => ({ "label corruption": corruption, network: "mlp", ...more });
const one = (id, known) => ({ id, name: id, run: id, facts: { ...known, model: id }, description: "" });
const named = [
  one("half", facts("0.5", { epochs: "30" })),
  one("true", facts("0", { epochs: "16", "test accuracy": "0.9" })),
  one("other", facts("1", { network: "convnet" })),
  one("shuffled", facts("1", { epochs: "55" })),
  one("bare", {}),
];
const models = named.map(({ id, name }) => ({ id, name, bytes: 1 }));
const shown = models.map(({ id }) => id);
const choose = (state, list = shown, open = []) =>
  chosenModels({ model: "", other: "", ...state }, models, named, list, open);

test("the pair of a network differs from it only in that its labels were shuffled", () => {
  assert.equal(partnerOf("true", named), "shuffled");
  for (const id of ["half", "other", "shuffled", "bare"]) assert.equal(partnerOf(id, named), "");
});

test("a page on which nothing is open shows the first pair, else the first network of the list", () => {
  assert.deepEqual(choose({}), { first: "true", second: "shuffled", missing: "" });
  assert.deepEqual(choose({}, ["bare", "half"]), { first: "bare", second: "", missing: "" });
  assert.deepEqual(choose({ other: "none" }), { first: "half", second: "", missing: "" });
});

test("the address decides, and then what is open, never the list", () => {
  assert.deepEqual(choose({ model: "half", other: "bare" }, ["true"]), { first: "half", second: "bare", missing: "" });
  assert.deepEqual(choose({}, ["bare"], ["half"]), { first: "half", second: "", missing: "" });
  assert.deepEqual(choose({}, ["bare"], ["true", "shuffled"]), { first: "true", second: "shuffled", missing: "" });
  assert.deepEqual(choose({ model: "true" }), { first: "true", second: "shuffled", missing: "" });
  assert.deepEqual(choose({ model: "true", other: "none" }), { first: "true", second: "", missing: "" });
  assert.equal(choose({ model: "gone" }).missing, "gone");
  assert.equal(choose({ model: "true", other: "gone" }).missing, "gone");
});

test("two networks are called by what they differ in", () => {
  assert.deepEqual(namesOf(["true", "shuffled"], named), ["true labels", "shuffled labels"]);
  assert.deepEqual(namesOf(["true", "half"], named), ["label corruption 0", "label corruption 0.5"]);
  assert.deepEqual(namesOf(["bare"], named), ["bare"]);
});
