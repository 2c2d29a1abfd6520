// How fast the centre may be, and when.

import { ask } from "./api.js";
import { fill, h, icon, toast } from "./dom.js";
import { t } from "./words.js";

const MB = 1e6;

export class Pace {
  constructor(me) {
    this.mayChange = me.role === "admin";
    this.limit = this.number("limit");
    this.limit.placeholder = t("unlimited");
    this.windows = h("div", { class: "windows" });
    this.element = h(
      "section",
      { "aria-label": t("speed") },
      h(
        "form",
        { class: "card stack", onsubmit: (event) => this.save(event) },
        h("h3", {}, t("limit")),
        h("p", { class: "hint" }, t("limitHint")),
        h("label", { class: "inline" }, this.limit, t("mbs")),
        h("h3", {}, t("windows")),
        h("p", { class: "hint" }, t("windowsHint")),
        this.windows,
        this.mayChange
          ? h("div", { class: "row" }, h("button", { type: "button", class: "small", onclick: () => this.windows.append(this.window()) }, icon("add"), t("addWindow")), h("button", { type: "submit", class: "primary" }, t("save")))
          : h("p", { class: "hint" }, t("adminOnly")),
      ),
    );
  }

  number(key) {
    return h("input", { type: "number", min: "0", step: "any", "aria-label": `${t(key)} (${t("mbs")})`, disabled: !this.mayChange, class: "short" });
  }

  window(each = { from: "20:00", to: "06:00", limit_rate: null }) {
    const clock = (key, value) => h("input", { type: "time", value, "aria-label": t(key), required: true, disabled: !this.mayChange });
    const limit = this.number("limit");
    limit.placeholder = t("unlimited");
    limit.value = each.limit_rate === null ? "" : String(each.limit_rate / MB);
    const row = h("fieldset", { class: "window" }, h("label", {}, t("from"), clock("from", each.from)), h("label", {}, t("to"), clock("to", each.to)), h("label", { class: "inline" }, limit, t("mbs")));
    if (this.mayChange) row.append(h("button", { type: "button", class: "small quiet", onclick: () => row.remove() }, t("remove")));
    return row;
  }

  async show() {
    const pace = await ask("GET", "/pace");
    this.limit.value = pace.limit_rate === null ? "" : String(pace.limit_rate / MB);
    fill(this.windows, pace.windows.map((each) => this.window(each)));
  }

  async save(event) {
    event.preventDefault();
    const bytes = (field) => (field.value === "" ? null : Math.round(Number(field.value) * MB));
    const windows = [...this.windows.children].map((row) => {
      const [from, to, limit] = row.querySelectorAll("input");
      return { from: from.value, to: to.value, limit_rate: bytes(limit) };
    });
    try {
      await ask("PUT", "/pace", { limit_rate: bytes(this.limit), windows });
      toast(t("saved"));
    } catch (error) {
      toast(error.lines.join("\n"), "bad");
    }
  }
}
