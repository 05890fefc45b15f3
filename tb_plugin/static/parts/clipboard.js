// Copies the link of the page or a picture, as far as the browser lets a page do so, and says what was
// done.

import { el } from "./dom.js";
import { pageAddress } from "./picture.js";

const TOLD_MS = 2500; // so long the word stays

export class Copier {
  constructor() {
    this.element = el("span", { class: "told", role: "status" });
    this.timer = /** @type {ReturnType<typeof setTimeout> | undefined} */ (undefined);
  }

  /** The address, which holds all that was chosen. */
  link() {
    const address = pageAddress();
    return this.tell("Link copied", address ? copyText(address) : refused("the page around may not be read"));
  }

  /** @param {Promise<Blob>} png */
  picture(png) {
    return this.tell("Picture copied", copyPicture(png));
  }

  /** @param {string} done @param {Promise<void>} work */
  async tell(done, work) {
    try {
      await work;
      this.say(done);
    } catch (error) {
      this.say(`Not copied: ${/** @type {Error} */ (error).message}`);
    }
  }

  /** @param {string} text */
  say(text) {
    clearTimeout(this.timer);
    this.element.textContent = text;
    this.timer = setTimeout(() => (this.element.textContent = ""), TOLD_MS);
  }
}

/** @param {string} text */
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // A page that is not served securely has no clipboard, but may copy what is selected.
    const box = el("textarea", { class: "unseen", value: text });
    const focused = /** @type {HTMLElement | null} */ (document.activeElement);
    document.body.append(box);
    box.select();
    const done = document.execCommand("copy");
    box.remove();
    focused?.focus();
    if (!done) return refused("the browser does not let this page copy");
  }
}

/** @param {Promise<Blob>} png */
async function copyPicture(png) {
  const blob = await png;
  if (typeof ClipboardItem === "undefined" || !navigator.clipboard?.write)
    return refused("the browser does not let this page copy pictures; save it as PNG");
  await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]);
}

/** @param {string} why @returns {Promise<void>} */
async function refused(why) {
  throw new Error(why);
}
