/** Rows of a table as CSV (RFC 4180). Pure.
 *
 * A text that a spreadsheet would run as a formula gets an apostrophe in front: names come from log
 * files.
 * @param {import("./types.js").Column[]} columns @param {any[]} rows
 */
export function toCsv(columns, rows) {
  const kept = columns.filter((c) => !c.action);
  const lines = [
    kept.map((c) => cell(c.label)),
    ...rows.map((row) => kept.map((c) => cell(c.value(row)))),
  ];
  return lines.map((line) => line.join(",")).join("\r\n") + "\r\n";
}

/** @param {string | number | null} value */
function cell(value) {
  if (value === null || (typeof value === "number" && !Number.isFinite(value))) return "";
  if (typeof value === "number") return String(value);
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
