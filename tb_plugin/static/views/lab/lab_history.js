// What Undo of the lab goes back through: which networks had which units deleted. Every change
// counts, whoever made it: a click here, "Delete it in the lesion lab" in the inspector, another
// network, a link. Pure.

/** @typedef {{model: string, other: string, lesions: string}} Moment */

export class LabHistory {
  /** @param {number} [most]  steps kept */
  constructor(most = 100) {
    this.most = most;
    this.before = /** @type {Moment[]} */ ([]);
    this.now = /** @type {Moment | null} */ (null);
  }

  /** Notes what is shown now; what was shown before can be gone back to.
   * @param {Moment} moment */
  note({ model, other, lesions }) {
    const moment = { model, other, lesions };
    if (this.now && alike(this.now, moment)) return;
    // The page may open with a lesion that another view or a link made: before it, nothing was.
    const before = this.now ?? (lesions ? { model, other, lesions: "" } : null);
    if (before) this.before = [...this.before.slice(1 - this.most), before];
    this.now = moment;
  }

  /** What is shown now is put right, which nobody wants to undo. @param {Moment} moment */
  correct({ model, other, lesions }) {
    this.now = { model, other, lesions };
  }

  get empty() {
    return this.before.length === 0;
  }

  /** The moment before this one, which is now the present one; null if there is none.
   * @returns {Moment | null} */
  undo() {
    const moment = this.before.pop() ?? null;
    if (moment) this.now = moment;
    return moment;
  }
}

/** @param {Moment} a @param {Moment} b */
function alike(a, b) {
  return a.model === b.model && a.other === b.other && a.lesions === b.lesions;
}
