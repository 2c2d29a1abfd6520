// One's own tokens; for administrators also people and what was done.

import { ask } from "./api.js";
import { copyable, fill, h, icon, toast } from "./dom.js";
import { told } from "./messages.js";
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
      me.role === "admin" ? this.card("audit", ["when", "who", "action", "details"], this.audit) : null,
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
          h("span", {}, h("strong", {}, told(each.label)), h("span", { class: "hint" }, " ", each.used_at ? `${t("lastUsed")} ${moment(each.used_at)}` : t("never"))),
          h("button", { type: "button", class: "small quiet", "aria-label": `${t("remove")}: ${each.label}`, onclick: () => this.run("DELETE", `/tokens/${each.id}`) }, t("remove")),
        ),
      ),
    );
    if (this.me.role !== "admin") return;
    const { users } = await ask("GET", "/users");
    fill(this.people, users.map((user) => this.person(user)));
    const { lines } = await ask("GET", "/audit?limit=100");
    fill(this.audit, lines.map((line) => h("tr", {}, h("td", {}, moment(line.at)), h("td", {}, line.user), h("td", {}, told(line.action)), h("td", { class: "hint" }, line.detail))));
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
      h(
        "td",
        { class: "person-buttons" },
        this.button("edit", user, () => this.edit(user)),
        user.id === this.me.id ? null : this.button(user.disabled ? "enable" : "disable", user, () => change({ disabled: !user.disabled })),
      ),
    );
  }

  button(key, user, onclick) {
    return h("button", { type: "button", class: "small quiet", onclick }, t(key), h("span", { class: "visually-hidden" }, ` ${user.name}`));
  }

  /** What a person may have, below the table: quota and password, another token, an end. */
  edit(user) {
    const quota = h("input", { type: "number", min: "0", step: "any", placeholder: t("noQuota"), class: "short", value: user.quota_bytes === null ? "" : String(user.quota_bytes / 1e9) });
    const password = h("input", { type: "password", minlength: "10", maxlength: "200", autocomplete: "new-password", placeholder: t("passwordHint") });
    const field = (key, input) => h("label", { class: "field" }, t(key), input);
    const remove = this.button("remove", user, () => {
      if (remove.dataset.sure) this.run("DELETE", `/users/${user.id}`).then(() => fill(this.newcomer));
      else fill(remove, t("really"));
      remove.dataset.sure = "1";
    });
    const token = async () => {
      const said = await this.run("POST", `/users/${user.id}/tokens`, { label: t("newToken") });
      if (said) this.showToken(user.name, said.token);
    };
    const save = async (event) => {
      event.preventDefault();
      const changes = { quota_bytes: quota.value === "" ? null : Math.round(Number(quota.value) * 1e9) };
      if (password.value) changes.password = password.value;
      if (await this.run("PATCH", `/users/${user.id}`, changes)) {
        fill(this.newcomer);
        toast(t("saved"));
      }
    };
    fill(
      this.newcomer,
      h(
        "form",
        { class: "person-form stack", "aria-label": `${t("edit")} ${user.name}`, onsubmit: save },
        h("h4", {}, user.name),
        h("div", { class: "row" }, field("quotaGb", quota), field("newPassword", password)),
        h("div", { class: "row" }, h("button", { type: "submit", class: "small primary" }, t("save")), this.button("newToken", user, token), user.id === this.me.id ? null : remove),
      ),
    );
    quota.focus();
  }

  showToken(name, token) {
    fill(this.newcomer, h("p", { class: "hint" }, `${name}: ${t("shownOnce")}`), copyable(token, t("copy"), t("copied")));
  }

  async run(method, path, body) {
    try {
      return await ask(method, path, body);
    } catch (error) {
      toast(error.lines.join("\n"), "bad");
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
      this.showToken(said.user.name, said.token);
      name.value = quota.value = "";
    }
  }
}
