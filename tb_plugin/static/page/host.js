// Access to TensorBoard's page around this frame: messages, the address, the theme. Each may be
// missing (in a notebook, or if this page is opened alone) and has a fallback.

const PLUGIN = "single_directions";
const ANSWER_WITHIN_MS = 2000;

/** TensorBoard's messages to and from frames (its experimental plugin library).
 * A message is JSON {type, id, payload, error, isReply} over a MessageChannel. */
export class Host {
  constructor() {
    this.listeners = new Map();
    this.waiting = new Map();
    this.nextId = 0;
    const channel = new MessageChannel();
    this.port = channel.port1;
    this.port.onmessage = (event) => this.receive(JSON.parse(event.data));
    window.parent.postMessage("experimental.bootstrap", window.location.origin, [channel.port2]);
  }

  /** @param {string} type @param {() => void} listener */
  on(type, listener) {
    this.listeners.set(type, listener);
  }

  /** All runs in the order in which TensorBoard colours them; null if nobody answers.
   * @returns {Promise<string[] | null>} */
  async runs() {
    const answer = await this.ask("experimental.GetRuns");
    return Array.isArray(answer) ? answer.map(String) : null;
  }

  /** @param {string} type @returns {Promise<any>} */
  ask(type) {
    const id = this.nextId++;
    this.send({ type, id, payload: null, error: null, isReply: false });
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.settle(id, null), ANSWER_WITHIN_MS);
      this.waiting.set(id, { resolve, timer });
    });
  }

  /** @param {number} id @param {any} payload */
  settle(id, payload) {
    const waiting = this.waiting.get(id);
    if (!waiting) return;
    clearTimeout(waiting.timer);
    this.waiting.delete(id);
    waiting.resolve(payload);
  }

  /** @param {any} message */
  receive(message) {
    if (message.isReply) {
      this.settle(message.id, message.error ? null : message.payload);
      return;
    }
    // TensorBoard waits for a reply to each of its messages.
    this.send({ type: message.type, id: message.id, payload: null, error: null, isReply: true });
    this.listeners.get(message.type)?.();
  }

  /** @param {object} message */
  send(message) {
    this.port.postMessage(JSON.stringify(message));
  }
}

/** TensorBoard's store for the part of the address after "#". Its message for this,
 * GetURLPluginData, answers {} on a page just opened, so the store is asked directly.
 * @returns {any} */
function addressStore() {
  try {
    return /** @type {any} */ (window.parent).tensorboard?.tf_storage ?? null;
  } catch {
    return null;
  }
}

/** @param {string} key @returns {string | null} */
export function readAddress(key) {
  try {
    return addressStore()?.getString(`p.${PLUGIN}.${key}`) ?? null;
  } catch {
    return null;
  }
}

/** @param {string} key @param {string} value
 * @param {boolean} [comesBack]  whether the browser's Back leads to the former value */
export function writeAddress(key, value, comesBack = false) {
  try {
    addressStore()?.setString(`p.${PLUGIN}.${key}`, value, {
      defaultValue: "",
      useLocationReplace: !comesBack,
    });
  } catch {
    // Without an address, the choice lasts as long as the page.
  }
}

/** @param {() => void} listener  called when the user edits the address or goes back */
export function onAddressChange(listener) {
  try {
    const { parent } = window;
    parent.addEventListener("hashchange", listener);
    whenGone(() => parent.removeEventListener("hashchange", listener));
  } catch {
    // Another origin: no address to follow.
  }
}

/** The page around this frame outlives it, and must not call into a frame that was reloaded.
 * @param {() => void} tidy */
function whenGone(tidy) {
  window.addEventListener("pagehide", tidy, { once: true });
}

/** @returns {boolean} */
export function isDark() {
  try {
    return window.parent.document.body.classList.contains("dark-mode");
  } catch {
    return window.matchMedia("(prefers-color-scheme: dark)").matches;
  }
}

/** @param {() => void} listener  called when the theme may have changed */
export function onThemeChange(listener) {
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", listener);
  try {
    const body = window.parent.document.body;
    const observer = new MutationObserver(listener);
    observer.observe(body, { attributes: true, attributeFilter: ["class"] });
    whenGone(() => observer.disconnect());
  } catch {
    // Another origin: the system's theme applies.
  }
}

/** The storage that lasts until this window is closed. @returns {Storage | null} */
export function windowStorage() {
  try {
    return window.sessionStorage;
  } catch {
    return null; // storage is not allowed here
  }
}
