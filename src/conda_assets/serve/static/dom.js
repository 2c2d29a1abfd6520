// Making elements. Nothing here is ever given markup: text stays text.

const SVG = "http://www.w3.org/2000/svg";

/** An element. Keys: `on…` listeners, `class`, `data-…`/`aria-…` and other attributes, `value`/`checked`/`disabled` properties. */
export function h(tag, keys = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(keys)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (["value", "checked", "disabled", "required", "multiple", "draggable", "hidden"].includes(key)) made[key] = value;
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.flat().filter((each) => each !== null && each !== undefined && each !== false));
  return made;
}

/** Put other children into an element. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat().filter((each) => each !== null && each !== undefined && each !== false));
  return element;
}

/** Change a text only where it differs, so that nothing flickers and screen readers stay calm. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const PATHS = {
  pause: "M8 5v14M16 5v14",
  play: "M7 4.500v15l12-7.500z",
  close: "M6 6l12 12M18 6L6 18",
  retry: "M20 11a8 8 0 1 0-2.300 6.500M20 5v6h-6",
  up: "M12 19V5M6 11l6-6 6 6",
  down: "M12 5v14M6 13l6 6 6-6",
  top: "M12 20V9M6 14l6-6 6 6M5 4h14",
  more: "M6 9.500l6 6 6-6",
  add: "M12 5v14M5 12h14",
  file: "M13 3H7a2 2 0 0 0-2 2v14a2 2 0 0 0 2 2h10a2 2 0 0 0 2-2V9zM13 3v6h6",
  copy: "M9 9h10v11H9zM5 15V4h10",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.400 1.400M17.600 17.600L19 19M5 19l1.400-1.400M17.600 6.400L19 5",
  moon: "M20 14.500A8.500 8.500 0 0 1 9.500 4a8.500 8.500 0 1 0 10.500 10.500z",
  auto: "M12 3a9 9 0 1 0 0 18zM12 3a9 9 0 0 1 0 18",
  grip: "M9 6h.01M15 6h.01M9 12h.01M15 12h.01M9 18h.01M15 18h.01",
  search: "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14zM20 20l-4-4",
  done: "M5 12.500l4.500 4.500L19 7.500",
  warn: "M12 8v5M12 16.500h.01M12 3L2.500 20h19z",
  trash: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  clock: "M12 7v5l3.500 2M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z",
  people: "M9 11a3.500 3.500 0 1 0 0-7 3.500 3.500 0 0 0 0 7zM2.500 20a6.500 6.500 0 0 1 13 0M16 4.500a3.500 3.500 0 0 1 0 6.500M18 14.500a6.500 6.500 0 0 1 3.500 5.500",
  box: "M12 3l8 4.500v9L12 21l-8-4.500v-9zM4 7.500l8 4.500 8-4.500M12 12v9",
};

/** A picture beside a word, or in a button that has a label. */
export function icon(name) {
  const made = document.createElementNS(SVG, "svg");
  made.setAttribute("viewBox", "0 0 24 24");
  made.setAttribute("aria-hidden", "true");
  made.setAttribute("class", `icon icon-${name}`);
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name]);
  made.append(path);
  return made;
}

/** A button with a picture; the label is for the pointer and for screen readers. */
export function iconButton(name, label, onclick, more = {}) {
  return h("button", { type: "button", class: "icon-button", title: label, "aria-label": label, onclick, ...more }, icon(name));
}

/** A text that can be copied, with the button that does it. */
export function copyable(text, label, copied) {
  const button = h("button", { type: "button", class: "small", onclick: copy }, icon("copy"), label);
  const shown = h("pre", { tabindex: "0" }, text);
  async function copy() {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Without TLS on another address than loopback a page has no clipboard: select, so that Ctrl-C does it.
      const range = document.createRange();
      range.selectNodeContents(shown);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
    }
    toast(copied);
  }
  return h("div", { class: "copyable" }, shown, button);
}

/** A sentence; what stands in backticks is a command or a name, and looks like one. */
export function commands(text) {
  return text.split("`").map((part, index) => (index % 2 ? h("code", {}, part) : part));
}

/** Lines that are read out, and go by themselves; old ones go earlier when there are many. */
export function toast(text, kind = "") {
  const line = h("div", { class: `toast ${kind}`, onclick: () => line.remove() }, commands(text));
  const all = document.getElementById("toasts");
  all.append(line);
  while (all.children.length > 4) all.firstElementChild.remove();
  setTimeout(() => line.remove(), kind === "bad" ? 9000 : 5000);
}
