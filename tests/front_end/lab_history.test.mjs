import assert from "node:assert/strict";
import { test } from "node:test";

import { LabHistory } from "../../tb_plugin/static/views/lab/lab_history.js";

const moment = (lesions, model = "a") => ({ model, other: "none", lesions });

test("undo goes back over lesions and networks, whoever changed them", () => {
  const history = new LabHistory();
  for (const one of [moment(""), moment("0:1"), moment("0:1"), moment("", "b"), moment("1:2", "b")])
    history.note(one);
  const undone = [];
  while (!history.empty) {
    undone.push(history.undo());
    history.note(undone.at(-1)); // the page shows it, which is no new change
  }
  assert.deepEqual(undone, [moment("", "b"), moment("0:1"), moment("")]);
  assert.equal(history.undo(), null);
});

test("before a lesion that the page opens with, nothing was deleted", () => {
  const history = new LabHistory();
  history.note(moment("0:4"));
  assert.deepEqual(history.undo(), moment(""));
});

test("what is put right is not undone, and only the last steps are kept", () => {
  const history = new LabHistory(3);
  history.note(moment(""));
  history.note(moment("9:9"));
  history.correct(moment("0:1"));
  history.note(moment("0:1"));
  assert.deepEqual(history.undo(), moment(""));
  for (let i = 0; i < 10; i++) history.note(moment(`0:${i}`));
  assert.equal(history.before.length, 3);
});
