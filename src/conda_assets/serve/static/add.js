// Asking for files: paste, drop anywhere on the page, or pick.

import { ask } from "./api.js";
import { commands, fill, h, icon, toast } from "./dom.js";
import { told } from "./messages.js";
import { t } from "./words.js";

export class Add {
  constructor() {
    this.text = h("textarea", { id: "add-text", rows: "2", placeholder: t("addPlaceholder"), "aria-label": t("addTitle"), spellcheck: "false", oninput: () => this.grow() });
    this.paused = h("input", { type: "checkbox" });
    this.picker = h("input", { type: "file", multiple: true, class: "visually-hidden", tabindex: "-1", "aria-hidden": "true", onchange: () => this.take(this.picker.files) });
    this.button = h("button", { type: "submit", class: "primary" }, icon("add"), t("add"));
    this.faults = h("div", { class: "faults", role: "alert" });
    this.veil = h("div", { class: "veil", hidden: true }, h("div", {}, icon("down"), t("drop")));
    this.element = h(
      "form",
      { class: "card add", "aria-label": t("addTitle"), onsubmit: (event) => this.submit(event) },
      this.text,
      h(
        "div",
        { class: "add-foot" },
        h("span", { class: "hint" }, t("addHint"), " ", h("button", { type: "button", class: "link", onclick: () => this.picker.click() }, t("choose"))),
        this.picker,
        h("label", { class: "check" }, this.paused, t("startPaused")),
        this.button,
      ),
      this.faults,
      this.veil,
    );
    this.text.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey || !event.shiftKey) && !this.text.value.includes("\n") && this.text.value.includes("://")) {
        event.preventDefault();
        this.element.requestSubmit();
      }
    });
    this.dropping();
  }

  grow() {
    this.text.rows = Math.min(12, Math.max(2, this.text.value.split("\n").length));
  }

  async submit(event) {
    event.preventDefault();
    if (this.text.value.trim() && (await this.send(this.text.value, ""))) {
      this.text.value = "";
      this.grow();
    }
  }

  async send(text, name) {
    return this.post({ text, name });
  }

  async post(body) {
    this.button.disabled = true;
    fill(this.faults);
    try {
      const said = await ask("POST", "/jobs", { ...body, paused: this.paused.checked });
      toast([t("added", said.jobs.length), said.refused.length ? t("refused", said.refused.length) : ""].filter(Boolean).join(", "));
      fill(this.faults, said.refused.map((each) => h("p", {}, told(`${each.name}: ${each.message}`))));
      return true;
    } catch (error) {
      fill(this.faults, error.lines.map((line, index) => h("p", { class: index ? "hint" : "" }, commands(line))));
      return false;
    } finally {
      this.button.disabled = false;
    }
  }

  async take(files) {
    for (const file of files) {
      if (file.name.toLowerCase().endsWith(".torrent")) await this.post({ torrent: await base64(file), name: file.name });
      else await this.send(await file.text(), file.name);
    }
    this.picker.value = "";
  }

  dropping() {
    const ours = (event) => [...event.dataTransfer.types].some((type) => type === "Files" || type === "text/uri-list" || type === "text/plain") && ![...event.dataTransfer.types].includes("application/x-job");
    document.addEventListener("dragover", (event) => {
      if (!this.element.isConnected || this.element.hidden || !ours(event)) return;
      event.preventDefault();
      this.veil.hidden = false;
    });
    document.addEventListener("dragleave", (event) => {
      if (!event.relatedTarget) this.veil.hidden = true;
    });
    document.addEventListener("drop", (event) => {
      if (!this.element.isConnected || this.element.hidden || !ours(event)) return;
      event.preventDefault();
      this.veil.hidden = true;
      if (event.dataTransfer.files.length) this.take(event.dataTransfer.files);
      else this.send(event.dataTransfer.getData("text/uri-list") || event.dataTransfer.getData("text/plain"), "");
    });
  }
}

/** A file that is no text, as a text. */
async function base64(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}
