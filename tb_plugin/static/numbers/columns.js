// Columns of tables and of CSV files. Pure.

/** A column of numbers. @param {string} label @param {(row: any) => number | null} value
 * @param {(value: any) => string} [format]  in the table; a file has all digits
 * @returns {import("./types.js").Column} */
export function numeric(label, value, format) {
  return { label, numeric: true, value, ...(format && { show: (row) => format(value(row)) }) };
}
