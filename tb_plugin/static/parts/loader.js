// Loads data so that late answers are dropped.

/** Loads the data for a key once; only the answer to the last question is delivered. */
export class Loader {
  constructor() {
    this.key = "";
    this.turn = 0;
  }

  /**
   * @template T
   * @param {string} key  what is asked; the same key is not asked twice in a row
   * @param {() => Promise<T>} load
   * @param {(answer: T) => void} onAnswer
   * @param {(error: Error) => void} onError
   * @returns {boolean} whether a load was started
   */
  load(key, load, onAnswer, onError) {
    if (key === this.key) return false;
    this.key = key;
    const turn = ++this.turn;
    load().then(
      (answer) => turn === this.turn && onAnswer(answer),
      (error) => {
        if (turn !== this.turn) return;
        this.key = ""; // the next update may ask again
        onError(error);
      },
    );
    return true;
  }

  /** The next question is asked even if it is the same as before. */
  forget() {
    this.key = "";
  }
}
