// The queue: what moves, what waits, what has lately ended; found, filtered, put into another order.

import { fill, h, icon, say } from "./dom.js";
import { ENDED, JobRow, act, change } from "./job.js";
import { t } from "./words.js";

const FILTERS = ["all", "active", "queued", "paused", "done", "failed"];
const STEP = 100;

export class Queue {
  constructor(me) {
    this.me = me;
    this.jobs = new Map();
    this.rows = new Map();
    this.filter = "all";
    this.words = "";
    this.most = STEP;
    this.list = h("ul", { class: "jobs", "aria-label": t("queue") });
    this.empty = h("div", { class: "empty", hidden: true });
    this.more = h("button", { type: "button", class: "small more", hidden: true, onclick: () => this.showMore() });
    this.filters = FILTERS.map((name) => {
      const count = h("span", { class: "count" });
      const button = h("button", { type: "button", class: "filter", "aria-pressed": String(name === "all"), onclick: () => this.choose(name) }, t(name), count);
      return { name, button, count };
    });
    this.search = h("input", { type: "search", placeholder: t("search"), "aria-label": t("search"), oninput: () => this.find(this.search.value) });
    const all = (action, states, key, picture) => {
      const button = h("button", { type: "button", class: "small quiet", hidden: true, onclick: () => this.all(action, states) }, icon(picture), t(key));
      return { button, states };
    };
    this.manyButtons = me.role === "reader" ? [] : [all("pause", ["queued", "active"], "pauseAll", "pause"), all("resume", ["paused"], "resumeAll", "play")];
    this.allButtons = this.manyButtons.map((each) => each.button);
    this.element = h(
      "section",
      { "aria-label": t("queue") },
      h(
        "div",
        { class: "toolbar" },
        h("div", { class: "filters", role: "group", "aria-label": t("queue") }, this.filters.map((each) => each.button)),
        h("div", { class: "row" }, this.allButtons, h("label", { class: "search" }, icon("search"), this.search)),
      ),
      this.list,
      this.empty,
      this.more,
    );
    this.dragging();
  }

  /** Take in what is new; gives the jobs that have ended since. */
  news({ anew, jobs, gone }) {
    const ended = [];
    if (anew) this.jobs.clear();
    for (const job of jobs) {
      const before = this.jobs.get(job.id);
      if (before && !ENDED.has(before.state) && (job.state === "done" || job.state === "failed")) ended.push(job);
      this.jobs.set(job.id, job);
    }
    for (const id of gone) this.jobs.delete(id);
    this.draw();
    return ended;
  }

  /** Those that have not ended, in the order of their turns. */
  get waiting() {
    const turn = (job) => [job.state === "active" ? 0 : 1, -job.priority, job.rank];
    return [...this.jobs.values()]
      .filter((job) => !ENDED.has(job.state))
      .sort((a, b) => {
        const [x, y] = [turn(a), turn(b)];
        return x[0] - y[0] || x[1] - y[1] || x[2] - y[2];
      });
  }

  get ordered() {
    const ended = [...this.jobs.values()].filter((job) => ENDED.has(job.state)).sort((a, b) => (b.ended_at ?? 0) - (a.ended_at ?? 0));
    return [...this.waiting, ...ended];
  }

  draw() {
    const words = this.words.toLowerCase();
    const found = this.ordered.filter(
      (job) =>
        !words ||
        [job.name, job.url, job.sha256, job.by, ...job.environments].some((text) => text && text.toLowerCase().includes(words)),
    );
    for (const { name, count } of this.filters) {
      const number = name === "all" ? found.length : found.filter((job) => job.state === name).length;
      say(count, number ? String(number) : "");
    }
    for (const { button, states } of this.manyButtons) button.hidden = ![...this.jobs.values()].some((job) => states.includes(job.state) && this.mine(job));
    const shown = found.filter((job) => this.filter === "all" || job.state === this.filter);
    const rows = shown.slice(0, this.most).map((job) => this.row(job));
    for (const [id, row] of this.rows) {
      if (!this.jobs.has(id)) this.rows.delete(id);
      if (!rows.includes(row)) row.element.remove();
    }
    this.place(rows.map((row) => row.element));
    this.more.hidden = shown.length <= this.most;
    say(this.more, t("showMore", Math.min(STEP, shown.length - this.most)));
    this.empty.hidden = shown.length > 0;
    if (!shown.length) {
      const any = this.jobs.size > 0;
      fill(this.empty, icon(any ? "search" : "down"), h("p", {}, t(any ? "noMatch" : "noJobs")), any ? null : h("p", { class: "hint" }, t("noJobsHint")));
    }
  }

  /** Put the elements into this order and move only those that stand elsewhere, so that what has the focus keeps it. */
  place(elements) {
    let at = this.list.firstElementChild;
    for (const element of elements) {
      if (element === at) at = at.nextElementSibling;
      else {
        const focused = element.contains(document.activeElement) ? document.activeElement : null;
        this.list.insertBefore(element, at);
        focused?.focus();
      }
    }
  }

  row(job) {
    let row = this.rows.get(job.id);
    if (!row) {
      row = new JobRow(job, this.mine(job) ? (each, places) => this.move(each, places) : null);
      this.rows.set(job.id, row);
    } else if (row.job !== job) row.update(job);
    return row;
  }

  move(job, places) {
    const waiting = this.waiting.filter((each) => each.state !== "active" || job.state === "active");
    const all = this.waiting;
    const at = all.indexOf(job);
    const first = all.length - waiting.length;
    return change(job, { position: Math.max(places === -Infinity ? 0 : Math.min(first, at), places === -Infinity ? first : at + places) });
  }

  all(action, states) {
    return Promise.all([...this.jobs.values()].filter((job) => states.includes(job.state) && this.mine(job)).map((job) => act(job, action)));
  }

  mine(job) {
    return this.me.role === "admin" || (this.me.role === "member" && job.by === this.me.name);
  }

  choose(name) {
    this.filter = name;
    for (const each of this.filters) each.button.setAttribute("aria-pressed", String(each.name === name));
    this.most = STEP;
    this.draw();
  }

  find(words) {
    this.words = words;
    this.draw();
  }

  showMore() {
    this.most += STEP;
    this.draw();
  }

  dragging() {
    let dragged = null;
    const rowOf = (event) => event.target.closest?.("li.job");
    this.list.addEventListener("dragstart", (event) => {
      dragged = rowOf(event);
      event.dataTransfer.effectAllowed = "move";
      event.dataTransfer.setData("application/x-job", dragged.dataset.id);
      dragged.classList.add("dragged");
    });
    this.list.addEventListener("dragover", (event) => {
      const over = rowOf(event);
      if (!dragged || !over || ENDED.has(this.jobs.get(over.dataset.id)?.state)) return;
      event.preventDefault();
      for (const each of this.list.querySelectorAll(".over")) each.classList.remove("over");
      if (over !== dragged) over.classList.add("over");
    });
    this.list.addEventListener("drop", (event) => {
      const over = rowOf(event);
      if (!dragged || !over) return;
      event.preventDefault();
      event.stopPropagation();
      const waiting = this.waiting;
      const position = waiting.findIndex((job) => job.id === over.dataset.id);
      if (position >= 0 && over !== dragged) change(this.jobs.get(dragged.dataset.id), { position });
    });
    this.list.addEventListener("dragend", () => {
      for (const each of this.list.querySelectorAll(".over, .dragged")) each.classList.remove("over", "dragged");
      dragged = null;
    });
  }
}
