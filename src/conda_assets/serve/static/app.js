// The page: sign in, then a summary above and one of five views below.

import { Account } from "./account.js";
import { Add } from "./add.js";
import { ask, listen, signIn, whoAmI } from "./api.js";
import { fill, h, icon, iconButton, say, toast } from "./dom.js";
import { Environments } from "./environments.js";
import { History } from "./history.js";
import { Pace } from "./pace.js";
import { SpeedPlot } from "./plot.js";
import { Queue } from "./queue.js";
import { learn } from "./messages.js";
import { language, rate, size, switchLanguage, t } from "./words.js";

const THEMES = ["auto", "light", "dark"];
const THEME_ICONS = { auto: "auto", light: "sun", dark: "moon" };
const app = document.getElementById("app");
let news = null;

function theme(name) {
  document.documentElement.dataset.theme = name;
  localStorage.setItem("theme", name);
}

function controls() {
  const now = document.documentElement.dataset.theme;
  const next = THEMES[(THEMES.indexOf(now) + 1) % THEMES.length];
  return [
    h("button", { type: "button", class: "small quiet", lang: language === "en" ? "zh" : "en", onclick: () => { switchLanguage(); start(); } }, t("language")),
    iconButton(THEME_ICONS[now], `${t("theme")}: ${t("themes")[now]}`, (event) => {
      theme(next);
      event.currentTarget.replaceWith(controls()[1]);
    }),
  ];
}

function logo() {
  return h("span", { class: "logo" }, h("img", { src: "/static/icon.svg", alt: "", width: "28", height: "28" }), h("h1", {}, t("title")));
}

// Signing in

function showSignIn() {
  news?.close();
  let byName = false;
  const token = h("input", { type: "password", id: "token", autocomplete: "current-password", required: true });
  const name = h("input", { id: "name", autocomplete: "username", required: true });
  const password = h("input", { type: "password", id: "password", autocomplete: "current-password", required: true });
  const fault = h("p", { class: "faults", role: "alert" });
  const fields = h("div", { class: "stack" });
  const other = h("button", { type: "button", class: "link", onclick: () => { byName = !byName; draw(); } });
  const field = (input, key) => h("div", { class: "field" }, h("label", { for: input.id }, t(key)), input);
  function draw() {
    fill(fields, byName ? [field(name, "name"), field(password, "password")] : [field(token, "token"), h("p", { class: "hint" }, t("tokenHint"))]);
    say(other, t(byName ? "withToken" : "withPassword"));
    (byName ? name : token).focus();
  }
  async function submit(event) {
    event.preventDefault();
    try {
      await signIn(byName ? { name: name.value, password: password.value } : { token: token.value.trim() });
      await start();
    } catch (error) {
      say(fault, error.lines.join("\n"));
    }
  }
  fill(app, h("header", { class: "top" }, logo(), h("div", { class: "top-right" }, controls())), h("main", { id: "main", class: "narrow" }, h("form", { class: "card stack", onsubmit: submit }, h("h2", {}, t("signIn")), fields, fault, h("button", { type: "submit", class: "primary wide" }, t("signIn")), other)));
  // A link may bring a token (#token=…): it is put where it is to be typed, and signs nobody in by itself.
  if (location.hash.startsWith("#token=")) {
    token.value = location.hash.slice(7);
    history.replaceState(null, "", "/");
  }
  draw();
}

// The summary

class Summary {
  constructor(me) {
    this.plot = new SpeedPlot(t("lastMinutes"));
    this.speed = h("strong", { class: "big" });
    this.speedNote = h("span", { class: "hint" });
    this.disk = h("strong");
    this.diskNote = h("span", { class: "hint" });
    this.diskFill = h("span", { class: "bar-fill" });
    this.quota = h("strong");
    this.quotaFill = h("span", { class: "bar-fill" });
    this.quotaNote = h("span", { class: "hint" });
    this.quotaCard = h("div", { class: "card figure", hidden: me.quota_bytes === null }, h("span", { class: "hint" }, t("quota")), this.quota, h("div", { class: "bar" }, this.quotaFill), this.quotaNote);
    this.element = h(
      "div",
      { class: "summary" },
      h("div", { class: "card figure speed" }, h("div", {}, h("span", { class: "hint" }, t("now")), this.speed, this.speedNote), this.plot.element),
      h("div", { class: "card figure" }, h("span", { class: "hint" }, t("disk")), this.disk, h("div", { class: "bar" }, this.diskFill), this.diskNote),
      this.quotaCard,
    );
    this.showMe(me);
    ask("GET", "/speeds").then(({ bytes_per_s: values }) => this.plot.set(values));
    this.at = 0;
  }

  showMe(me) {
    this.quotaCard.hidden = me.quota_bytes === null;
    if (me.quota_bytes === null) return;
    const full = me.used_bytes >= me.quota_bytes;
    this.quotaCard.classList.toggle("full", full);
    say(this.quotaNote, full ? t("quotaFull") : t("free", size(me.quota_bytes - me.used_bytes)));
    say(this.quota, t("quotaOf", size(me.used_bytes), size(me.quota_bytes)));
    this.quotaFill.style.width = `${Math.min(100, (me.used_bytes / Math.max(1, me.quota_bytes)) * 100)}%`;
  }

  show(totals) {
    say(this.speed, rate(totals.bytes_per_s));
    const notes = [];
    if (totals.limit_rate === 0) notes.push(t("stopped"));
    else if (totals.limit_rate !== null) notes.push(t("limitedTo", rate(totals.limit_rate)));
    if (totals.connections) notes.push(t("connections", totals.connections));
    say(this.speedNote, notes.join(" · "));
    if (performance.now() - this.at > 900) {
      this.at = performance.now();
      this.plot.push(totals.bytes_per_s);
    }
    const { files, size_bytes: used, free_bytes: free } = totals.store;
    say(this.disk, size(used));
    say(this.diskNote, `${t("files", files)} · ${t("free", size(free))}`);
    this.diskFill.style.width = `${used + free ? (used / (used + free)) * 100 : 0}%`;
  }
}

// Everything

async function start() {
  await learn();
  document.documentElement.lang = language;
  document.title = t("title");
  say(document.querySelector(".skip"), t("skip"));
  const me = await whoAmI();
  if (!me) return showSignIn();
  news?.close();
  const summary = new Summary(me);
  const queue = new Queue(me);
  const views = { queue, history: new History(), environments: new Environments(), speed: new Pace(me), account: new Account(me) };
  const add = me.role === "reader" ? null : new Add();
  const panel = h("div", { class: "panel" });
  const tabs = Object.keys(views).map((name) => h("a", { href: `#${name}`, class: "tab" }, t(name)));
  const lost = h("p", { class: "lost", role: "status", hidden: true }, t("lost"));
  let shown = "";
  let lookAgain = 0;

  /** What is used of the quota changes with every size that becomes known. */
  function quota(jobs) {
    if (lookAgain || !jobs.some((job) => job.people.includes(me.name))) return;
    lookAgain = setTimeout(async () => {
      lookAgain = 0;
      const now = await whoAmI().catch(() => null);
      if (now) summary.showMe(now);
    }, 1500);
  }

  function finished(jobs) {
    const done = jobs.filter((job) => job.state === "done");
    if (done.length > 2) toast(t("justFinishedMany", done.length));
    else for (const job of done) toast(t("justFinished", job.name));
    // Why stands in its row: here it would cover half of a phone.
    const failed = jobs.filter((job) => job.state === "failed");
    if (failed.length > 2) toast(t("justFailedMany", failed.length), "bad");
    else for (const job of failed) toast(t("justFailed", job.name), "bad");
  }

  function show() {
    shown = location.hash.slice(1) in views ? location.hash.slice(1) : "queue";
    for (const tab of tabs) {
      if (tab.hash === `#${shown}`) tab.setAttribute("aria-current", "page");
      else tab.removeAttribute("aria-current");
    }
    if (add) add.element.hidden = shown !== "queue" && shown !== "environments";
    fill(panel, views[shown].element);
    views[shown].show?.();
  }

  async function leave() {
    await ask("DELETE", "/session").catch(() => null);
    showSignIn();
  }

  fill(
    app,
    h("header", { class: "top" }, logo(), h("div", { class: "top-right" }, h("span", { class: "who" }, me.name), controls(), h("button", { type: "button", class: "small quiet", onclick: leave }, t("signOut")))),
    h("main", { id: "main", tabindex: "-1" }, lost, summary.element, add?.element, h("nav", { class: "tabs", "aria-label": t("title") }, tabs), panel),
  );
  window.onhashchange = show;
  show();
  document.onkeydown = (event) => {
    if (event.target.matches("input, textarea, select") || event.ctrlKey || event.metaKey || event.altKey) return;
    const to = { "/": queue.search, a: add?.text }[event.key];
    if (to?.isConnected) {
      event.preventDefault();
      to.focus();
    }
  };
  news = listen({
    jobs: (said) => {
      finished(queue.news(said));
      if (me.quota_bytes !== null && !said.anew) quota(said.jobs);
      if (shown === "environments") views.environments.show();
    },
    totals: (totals) => summary.show(totals),
    lost: () => { lost.hidden = false; },
    back: () => { lost.hidden = true; toast(t("back")); },
    out: showSignIn,
  });
  return undefined;
}

theme(localStorage.getItem("theme") ?? "auto");
start();
