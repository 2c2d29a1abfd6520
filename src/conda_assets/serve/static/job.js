// One file of the queue: a row that changes while it is looked at.

import { ask } from "./api.js";
import { commands, copyable, fill, h, icon, iconButton, say, toast } from "./dom.js";
import { lines, told } from "./messages.js";
import { PieceMap, drawPieces } from "./plot.js";
import { language, moment, rate, size, span, t } from "./words.js";

export const ENDED = new Set(["done", "failed", "cancelled"]);
const STATE_ICONS = { active: "down", queued: "clock", paused: "pause", done: "done", failed: "warn", cancelled: "close" };

/** Why a job failed, in a line: without its name, which stands before it, and with digests cut to what eyes compare. */
export function cause(job) {
  const message = (lines(job.error)[0] ?? "").split("\n")[0];
  const short = message.startsWith(job.name) ? message.slice(job.name.length).replace(/^[:：]\s*/, "") : message;
  return short.replace(/\b([0-9a-f]{10})[0-9a-f]{22,}\b/g, "$1…");
}

/** Do something to a job; a refusal is said, and nothing else happens. */
export async function act(job, action) {
  try {
    if (action === "forget") await ask("DELETE", `/jobs/${job.id}`);
    else await ask("POST", `/jobs/${job.id}/${action}`);
  } catch (error) {
    toast(error.lines.join("\n"), "bad");
  }
}

export async function change(job, changes) {
  try {
    await ask("PATCH", `/jobs/${job.id}`, changes);
  } catch (error) {
    toast(error.lines.join("\n"), "bad");
  }
}

export class JobRow {
  /** `mover`: moves a job by so many places, or to a place; null for who may not. */
  constructor(job, mover) {
    this.job = job;
    this.mover = mover;
    this.open = false;
    this.stateIcon = h("span", { class: "state-icon" });
    this.name = h("span", { class: "job-name" });
    this.chips = h("span", { class: "chips" });
    this.state = h("span", { class: "state" });
    this.figures = h("span", { class: "figures" });
    this.percent = h("span", { class: "percent" });
    this.canvas = h("canvas", { class: "pieces", width: "1", height: "1" });
    this.fill = h("span", { class: "bar-fill" });
    this.bar = h("div", { class: "bar", role: "progressbar", "aria-valuemin": "0", "aria-valuemax": "100" }, this.fill, this.canvas);
    this.buttons = h("div", { class: "buttons" });
    this.opener = iconButton("more", t("details"), () => this.toggle(), { "aria-expanded": "false", class: "icon-button opener" });
    this.detail = h("div", { class: "detail", hidden: true });
    this.map = new PieceMap();
    this.grip = h("span", { class: "grip", title: t("sortHint") }, icon("grip"));
    this.element = h(
      "li",
      { class: "job", tabindex: "0", "data-id": job.id, onkeydown: (event) => this.key(event) },
      h(
        "div",
        { class: "job-line" },
        this.grip,
        this.stateIcon,
        h("div", { class: "job-text" }, h("div", { class: "job-head" }, this.name, this.chips), h("div", { class: "job-foot" }, this.state, this.figures)),
        this.percent,
        this.buttons,
        this.opener,
      ),
      this.bar,
      this.detail,
    );
    this.update(job);
  }

  update(job) {
    const before = this.job;
    this.job = job;
    this.element.dataset.state = job.state;
    say(this.name, job.name);
    this.name.title = job.name;
    this.showState(job);
    const share = job.state === "done" ? 1 : job.size_bytes ? job.done_bytes / job.size_bytes : 0;
    const percent = Math.floor(share * 100);
    say(this.percent, job.size_bytes || job.state === "done" ? `${percent}%` : "");
    this.bar.setAttribute("aria-valuenow", String(percent));
    this.bar.setAttribute("aria-label", job.name);
    this.bar.hidden = job.state === "done" || job.state === "cancelled";
    this.fill.style.width = `${share * 100}%`;
    // Pieces that are not complete count in the share, and are not in the picture: it lies on top.
    this.fill.classList.toggle("faint", Boolean(job.pieces));
    this.canvas.hidden = !job.pieces;
    if (job.pieces) drawPieces(this.canvas, job.pieces, getComputedStyle(this.element).getPropertyValue("--bar").trim());
    this.showChips(job, before);
    const look = `${job.state} ${job.priority}`;
    if (this.look !== look) this.showButtons(job);
    this.look = look;
    this.element.draggable = Boolean(this.mover) && !ENDED.has(job.state);
    this.grip.hidden = !this.element.draggable;
    if (this.open) this.showDetail();
    if (this.open) this.map.show(job);
  }

  showState(job) {
    if (this.shown !== job.state) fill(this.stateIcon, icon(STATE_ICONS[job.state]));
    this.shown = job.state;
    say(this.state, t(job.state));
    const figures = [job.host];
    const total = size(job.size_bytes);
    if (job.state === "active") {
      figures.push(`${size(job.done_bytes)} ${t("of")} ${total}`);
      if (job.note) figures.push(told(job.note));
      else {
        figures.push(rate(job.bytes_per_s));
        if (job.left_s !== null) figures.push(t("left", span(job.left_s)));
        if (job.connections) figures.push(t("connections", job.connections));
      }
    } else if (job.state === "failed") figures.push(cause(job));
    else if (job.state === "done") figures.push(total, job.seconds ? span(job.seconds) : "");
    else figures.push(job.done_bytes ? `${size(job.done_bytes)} ${t("of")} ${total}` : job.size_bytes ? total : "");
    say(this.figures, figures.filter(Boolean).join(" · "));
  }

  showChips(job, before) {
    const look = `${job.environments.join()} ${job.priority}`;
    if (this.chipLook === look && before.id === job.id) return;
    this.chipLook = look;
    const chips = job.environments.map((name) => h("span", { class: "chip" }, icon("box"), name));
    if (job.priority) chips.unshift(h("span", { class: "chip chip-priority" }, `${t("priority")}: ${t(job.priority > 0 ? "high" : "low")}`));
    fill(this.chips, chips);
  }

  showButtons(job) {
    const focused = this.buttons.contains(document.activeElement);
    const made = [];
    const button = (name, key, action) => made.push(iconButton(name, `${t(key)}: ${job.name}`, () => act(this.job, action)));
    if (job.state === "queued" || job.state === "active") button("pause", "pause", "pause");
    if (job.state === "paused") button("play", "resume", "resume");
    if (job.state === "failed" || job.state === "cancelled") button("retry", "retry", "retry");
    if (ENDED.has(job.state)) button("trash", "forget", "forget");
    else button("close", "cancel", "cancel");
    fill(this.buttons, made);
    if (focused) made[0].focus();
  }

  toggle() {
    this.open = !this.open;
    this.opener.setAttribute("aria-expanded", String(this.open));
    this.element.classList.toggle("open", this.open);
    this.detail.hidden = !this.open;
    this.detailLook = "";
    if (!this.open) return;
    this.showDetail();
    this.map.show(this.job);
  }

  showDetail() {
    const job = this.job;
    const look = [job.state, job.priority, job.sha256, job.people.join(), job.environments.join(), job.size_bytes, job.error?.message].join(" ");
    if (look === this.detailLook) return;
    this.detailLook = look;
    const row = (key, value) => (value ? [h("dt", {}, t(key)), h("dd", {}, value)] : []);
    const facts = h(
      "dl",
      {},
      row("source", job.url),
      row("sha256", job.sha256 ?? job.digest),
      row("size", job.size_bytes ? job.size_bytes < 1000 ? size(job.size_bytes) : `${size(job.size_bytes)} (${job.size_bytes.toLocaleString(language === "zh" ? "zh-CN" : "en-GB")} B)` : ""),
      row("askedBy", job.people.join(", ")),
      row("environmentsOf", job.environments.join(", ")),
      row("started", moment(job.started_at)),
      row("ended", moment(job.ended_at)),
      row("average", job.seconds && job.bytes_fetched ? rate(job.bytes_fetched / job.seconds) : ""),
    );
    const [what, ...next] = lines(job.error);
    const failure = what ? h("div", { class: "failure" }, h("p", {}, commands(what)), next.map((hint) => h("p", {}, h("strong", {}, t("next")), " ", commands(hint)))) : null;
    const url = job.url_is_whole ? "" : `\n    ${t("hiddenQuery")}`;
    const yaml = `assets:\n  - name: ${job.name}\n    url: ${job.url}${url}${job.sha256 ? `\n    sha256: ${job.sha256}` : ""}\n`;
    const focused = [...this.detail.querySelectorAll("select, button, pre")].indexOf(document.activeElement);
    fill(
      this.detail,
      failure,
      ENDED.has(job.state) ? null : this.map.element,
      facts,
      this.steering(job),
      h("h4", {}, t("snippet")),
      copyable(yaml, t("copy"), t("copied")),
      h("h4", {}, t("command")),
      copyable(`conda assets sync${job.environments.length === 1 ? ` -n ${job.environments[0]}` : ""} -f environment.yml`, t("copy"), t("copied")),
    );
    if (focused >= 0) this.detail.querySelectorAll("select, button, pre")[focused]?.focus();
  }

  steering(job) {
    if (ENDED.has(job.state)) return null;
    const pick = h(
      "select",
      { onchange: (event) => change(this.job, { priority: Number(event.target.value) }) },
      ...[[1, "high"], [0, "normal"], [-1, "low"]].map(([value, word]) => h("option", { value: String(value), selected: job.priority === value }, t(word))),
    );
    const move = (name, key, places) =>
      this.mover && h("button", { type: "button", class: "small", onclick: () => this.mover(this.job, places) }, icon(name), t(key));
    return h("div", { class: "steering" }, h("label", {}, t("priority"), " ", pick), move("top", "moveTop", -Infinity), move("up", "moveUp", -1), move("down", "moveDown", 1));
  }

  key(event) {
    if (event.target !== this.element) return;
    if (event.altKey && this.mover && !ENDED.has(this.job.state) && (event.key === "ArrowUp" || event.key === "ArrowDown")) {
      event.preventDefault();
      this.mover(this.job, event.key === "ArrowUp" ? -1 : 1);
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const next = event.key === "ArrowDown" ? this.element.nextElementSibling : this.element.previousElementSibling;
      next?.focus();
    } else if (event.key === "Enter") this.toggle();
    else if (event.key === " ") {
      event.preventDefault();
      const action = { queued: "pause", active: "pause", paused: "resume", failed: "retry" }[this.job.state];
      if (action) act(this.job, action);
    }
  }
}
