import assert from "node:assert/strict";
import { test } from "node:test";

import { toCsv } from "../../tb_plugin/static/numbers/csv.js";

test("CSV quotes what needs it and disarms formulas", () => {
  const columns = [
    { label: "run", value: (r) => r.run },
    { label: 'a "b"', value: (r) => r.n },
  ];
  const rows = [
    { run: "=1+1", n: 0.1 },
    { run: "x,y\nz", n: NaN },
    { run: "-1", n: null },
  ];
  assert.equal(toCsv(columns, rows), 'run,"a ""b"""\r\n\'=1+1,0.1\r\n"x,y\nz",\r\n\'-1,\r\n');
});

test("a column of buttons is not exported", () => {
  const columns = [
    { label: "unit", value: (row) => row },
    { label: "", action: true, value: () => null },
  ];
  assert.equal(toCsv(columns, [3]), "unit\r\n3\r\n");
});
