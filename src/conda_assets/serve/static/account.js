// One's own tokens; for administrators also people and what was done.

import { ask } from "./api.js";
import { copyable, fill, h, icon, toast } from "./dom.js";
import { moment, size, t } from "./words.js";

const ROLES = ["reader", "member", "admin"];

export class Account {
  constructor(me) {
    this.me = me;
    this.tokens = h("ul", { class: "lines" });
    this.fresh = h("div");
    const label = h("input", { required: true, maxlength: "80", placeholder: t("label"), "aria-label": t("label") });
    this.people = h("tbody");
    this.audit = h("tbody");
    this.element = h(
      "section",
      { "aria-label": t("account"), class: "stack" },
      h(
        "div",
        { class: "card stack" },
        h("h3", {}, t("tokens")),
        h("p", { class: "hint" }, t("tokensHint")),
        this.tokens,
        this.fresh,
        h("form", { class: "row", onsubmit: (event) => this.addToken(event, label) }, label, h("button", { type: "submit", class: "small" }, icon("add"), t("create"))),
      ),
      me.role === "admin" ? this.peopleCard() : null,
      me.role === "admin" ? this.card("audit", ["when", "who", "name", "details"], this.audit) : null,
    );
  }

  card(title, heads, body, ...more) {
    const head = heads.map((key) => h("th", { scope: "col" }, key ? t(key) : h("span", { class: "visually-hidden" }, t("details"))));
    const table = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": t(title) }, h("table", {}, h("thead", {}, h("tr", {}, head)), body));
    return h("div", { class: "card stack" }, h("h3", {}, t(title)), table, more);
  }

  peopleCard() {
    const name = h("input", { required: true, maxlength: "64", placeholder: t("name"), "aria-label": t("name") });
    const role = this.roles("member");
    const quota = h("input", { type: "number", min: "0", step: "any", placeholder: t("quotaGb"), "aria-label": t("quotaGb"), class: "short" });
    this.newcomer = h("div");
    const form = h("form", { class: "row", onsubmit: (event) => this.addPerson(event, name, role, quota) }, name, role, quota, h("button", { type: "submit", class: "small" }, icon("add"), t("addPerson")));
    return this.card("people", ["name", "role", "quotaHead", ""], this.people, this.newcomer, form);
  }

  roles(now, onchange) {
    return h("select", { "aria-label": t("role"), onchange }, ROLES.map((role) => h("option", { value: role, selected: role === now }, t(role))));
  }

  async show() {
    const { tokens } = await ask("GET", "/tokens");
    fill(
      this.tokens,
      tokens.map((each) =>
        h(
          "li",
          {},
          h("span", {}, h("strong", {}, each.label), h("span", { class: "hint" }, " ", each.used_at ? `${t("lastUsed")} ${moment(each.used_at)}` : t("never"))),
          h("button", { type: "button", class: "small quiet", "aria-label": `${t("remove")}: ${each.label}`, onclick: () => this.run("DELETE", `/tokens/${each.id}`) }, t("remove")),
        ),
      ),
    );
    if (this.me.role !== "admin") return;
    const { users } = await ask("GET", "/users");
    fill(this.people, users.map((user) => this.person(user)));
    const { lines } = await ask("GET", "/audit?limit=100");
    fill(this.audit, lines.map((line) => h("tr", {}, h("td", {}, moment(line.at)), h("td", {}, line.user), h("td", {}, line.action), h("td", { class: "hint" }, line.detail))));
  }

  person(user) {
    const change = (changes) => this.run("PATCH", `/users/${user.id}`, changes);
    const quota = user.quota_bytes === null ? `${size(user.used_bytes)} ${t("used")}, ${t("noQuota")}` : t("quotaOf", size(user.used_bytes), size(user.quota_bytes));
    return h(
      "tr",
      { class: user.disabled ? "off" : "" },
      h("td", {}, h("strong", {}, user.name)),
      h("td", {}, this.roles(user.role, (event) => change({ role: event.target.value }))),
      h("td", {}, quota),
      h("td", {}, user.id === this.me.id ? null : h("button", { type: "button", class: "small quiet", onclick: () => change({ disabled: !user.disabled }) }, `${t(user.disabled ? "enable" : "disable")}`, h("span", { class: "visually-hidden" }, ` ${user.name}`))),
    );
  }

  async run(method, path, body) {
    try {
      return await ask(method, path, body);
    } catch (error) {
      toast([error.message, ...(error.hints ?? [])].join(". "), "bad");
      return null;
    } finally {
      await this.show();
    }
  }

  async addToken(event, label) {
    event.preventDefault();
    const said = await this.run("POST", "/tokens", { label: label.value });
    if (said) fill(this.fresh, h("p", { class: "hint" }, t("shownOnce")), copyable(said.token, t("copy"), t("copied")));
    label.value = "";
  }

  async addPerson(event, name, role, quota) {
    event.preventDefault();
    const quotaBytes = quota.value === "" ? null : Math.round(Number(quota.value) * 1e9);
    const said = await this.run("POST", "/users", { name: name.value, role: role.value, quota_bytes: quotaBytes });
    if (said) {
      fill(this.newcomer, h("p", { class: "hint" }, `${said.user.name}: ${t("shownOnce")}`), copyable(said.token, t("copy"), t("copied")));
      name.value = quota.value = "";
    }
  }
}
