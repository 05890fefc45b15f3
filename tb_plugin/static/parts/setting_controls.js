// A drop-down for each setting in which the curves of a log differ.

import { COMPARE } from "../numbers/settings.js";
import { dropDown } from "./controls.js";

export class SettingControls {
  /** @param {string[]} names  of the settings
   * @param {(changes: Record<string, string>) => void} set  of the state */
  constructor(names, set) {
    this.controls = names.map((name) => dropDown("", (value) => set({ [name]: value })));
    this.elements = this.controls.map((control) => control.element);
  }

  /** @param {import("../numbers/settings.js").Choice[]} choices  one per setting, in order
   * @param {boolean} [comparing]  whether several values can be compared */
  show(choices, comparing = true) {
    for (const [i, control] of this.controls.entries()) {
      const { title, values, chosen } = choices[i];
      const texts = values.map((v) => /** @type {[string, string]} */ ([v, v || "not said"]));
      control.label(title);
      control.set(comparing ? [...texts, [COMPARE, "compare all"]] : texts, chosen);
      control.element.hidden = values.length < 2;
    }
  }
}
