// The entry point: TensorBoard imports this module into the plugin's frame and calls render().

import { isDark } from "./page/host.js";
import { el, fill } from "./parts/dom.js";

export async function render() {
  document.documentElement.lang = "en";
  document.documentElement.dataset.theme = isDark() ? "dark" : "light";
  await addStyle();
  const root = el("div", { id: "single-directions" });
  document.body.append(root);
  const echarts = await chartLibrary(root);
  if (!echarts) return;
  const { App } = await import("./app.js");
  const app = new App(root, echarts);
  app.showLoading();
  await app.refresh();
}

function addStyle() {
  // Relative to this module: a link in the document would be relative to the frame's <base>.
  const link = el("link", {
    rel: "stylesheet",
    href: new URL("./style.css", import.meta.url).href,
  });
  const settled = new Promise((resolve) => {
    link.addEventListener("load", resolve);
    link.addEventListener("error", resolve);
  });
  document.head.append(link);
  return settled;
}

/** Loads ECharts, which is built at install and not in the source tree.
 * @param {HTMLElement} root @returns {Promise<any>} */
async function chartLibrary(root) {
  try {
    return await import("./vendor/echarts.js");
  } catch {
    fill(
      root,
      el(
        "div",
        { class: "blank", role: "alert" },
        el(
          "div",
          { class: "blank-box" },
          el("h2", {}, "The chart library of this plugin has not been built"),
          el(
            "p",
            {},
            "It is made once, at install, from npm packages. In the folder of the project, run:",
          ),
          el("pre", {}, "python tb_plugin/frontend/bundle.py"),
          el("p", {}, "Then reload this page."),
        ),
      ),
    );
    return null;
  }
}
