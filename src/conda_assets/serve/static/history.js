// Everything that has ended, however long ago.

import { ask } from "./api.js";
import { fill, h, icon } from "./dom.js";
import { cause } from "./job.js";
import { moment, size, span, t } from "./words.js";

const STEP = 50;

export class History {
  constructor() {
    this.words = "";
    this.search = h("input", { type: "search", placeholder: t("search"), "aria-label": t("search"), oninput: () => this.find() });
    this.rows = h("tbody");
    this.count = h("span", { class: "hint" });
    this.more = h("button", { type: "button", class: "small more", hidden: true, onclick: () => this.load() });
    const head = ["file", "size", "when", "took", "who"].map((key) => h("th", { scope: "col" }, t(key)));
    this.table = h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": t("history") }, h("table", {}, h("thead", {}, h("tr", {}, head)), this.rows));
    this.empty = h("div", { class: "empty", hidden: true }, icon("clock"), h("p", {}, t("noJobs")));
    this.element = h(
      "section",
      { "aria-label": t("history") },
      h("div", { class: "toolbar" }, this.count, h("label", { class: "search" }, icon("search"), this.search)),
      h("div", { class: "card" }, this.table, this.empty),
      this.more,
    );
  }

  show() {
    this.find();
  }

  find() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.offset = 0;
      this.load();
    }, 150);
  }

  async load() {
    const words = this.search.value;
    const said = await ask("GET", `/history?limit=${STEP}&offset=${this.offset}&search=${encodeURIComponent(words)}`);
    if (words !== this.search.value) return;
    const rows = said.jobs.map((job) =>
      h(
        "tr",
        {},
        h("td", {}, h("span", { class: `dot dot-${job.state}`, title: t(job.state) }), h("span", { class: "visually-hidden" }, t(job.state)), " ", h("strong", {}, job.name), h("div", { class: "hint" }, job.error ? cause(job) : job.url)),
        h("td", { class: "number" }, size(job.size_bytes)),
        h("td", {}, moment(job.ended_at)),
        h("td", { class: "number" }, job.seconds ? span(job.seconds) : ""),
        h("td", {}, job.people.join(", ")),
      ),
    );
    if (this.offset) this.rows.append(...rows);
    else fill(this.rows, rows);
    this.offset += said.jobs.length;
    const left = said.count - this.offset;
    this.more.hidden = left <= 0;
    this.more.textContent = t("showMore", Math.min(STEP, left));
    this.count.textContent = t("files", said.count);
    this.empty.hidden = said.count > 0;
    this.table.hidden = said.count === 0;
  }
}
