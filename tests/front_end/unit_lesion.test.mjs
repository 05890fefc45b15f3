import assert from "node:assert/strict";
import { test } from "node:test";

import { deletedToo } from "../../tb_plugin/static/views/unit/unit_lesion.js";

const SIZES = [12, 6];
const at = (model, other, lesions) => deletedToo({ model, other, lesions }, "tiny", SIZES, [0, 4]);

test("a unit joins those that are deleted in its network", () => {
  const { changes, words } = at("tiny", "none", "0:2-3;1:0");
  assert.deepEqual(changes, { model: "tiny", other: "none", lesions: "0:2-4;1:0" });
  assert.equal(words, "It joins the 3 units deleted there.");
});

test("the network may be the second of the two that are open, which both stay open", () => {
  const { changes } = at("clean", "tiny", "0:2");
  assert.deepEqual(changes, { model: "clean", other: "tiny", lesions: "0:2,4" });
});

test("the lesion of another network is replaced, and that is said", () => {
  const { changes, words } = at("conv", "none", "0:2-3");
  assert.deepEqual(changes, { model: "tiny", other: "", lesions: "0:4" });
  assert.match(words, /another network's lesion/);
});

test("nothing is said where nothing was deleted, and a deleted unit stays deleted", () => {
  assert.deepEqual(at("", "", ""), { changes: { model: "tiny", other: "", lesions: "0:4" }, words: "" });
  assert.equal(at("conv", "none", "").words, "");
  const { changes, words } = at("tiny", "", "0:4");
  assert.deepEqual([changes.lesions, words], ["0:4", "It is deleted there already."]);
});
