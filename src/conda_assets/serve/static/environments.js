// Which environment needs which files, and who needs the environment.

import { ask } from "./api.js";
import { fill, h, icon } from "./dom.js";
import { t } from "./words.js";

export class Environments {
  constructor() {
    this.element = h("section", { "aria-label": t("environments"), class: "cards" });
  }

  /** Also called when something has changed while it is shown. */
  async show() {
    const { environments } = await ask("GET", "/environments");
    const look = JSON.stringify(environments);
    if (look === this.look) return;
    this.look = look;
    if (!environments.length) {
      fill(this.element, h("div", { class: "empty" }, icon("box"), h("p", {}, t("noEnvironments")), h("p", { class: "hint" }, t("noEnvironmentsHint"))));
      return;
    }
    fill(this.element, environments.map((each) => this.card(each)));
  }

  card({ name, people, files }) {
    const done = files.filter((file) => file.state === "done").length;
    const bar = h("span", { class: "bar-fill" });
    bar.style.width = `${(done / files.length) * 100}%`;
    const label = t("filesReady", done, files.length);
    return h(
      "article",
      { class: "card environment" },
      h("h3", {}, icon("box"), name),
      h("p", { class: "hint inline" }, icon("people"), people.join(", ")),
      h("div", { class: "bar", role: "progressbar", "aria-valuemin": "0", "aria-valuemax": String(files.length), "aria-valuenow": String(done), "aria-label": `${name}: ${label}` }, bar),
      h("p", { class: "hint" }, label),
      h(
        "ul",
        {},
        files.map((file) => h("li", {}, h("span", { class: `dot dot-${file.state}`, title: t(file.state) }), h("span", { class: "visually-hidden" }, t(file.state)), h("span", {}, file.name), file.path === file.name ? null : h("code", {}, file.path))),
      ),
    );
  }
}
