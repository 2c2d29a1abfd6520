// What the server says, in the viewer's language. The server speaks English; `zh.json` has each of its sentences with the places of
// the values left open, so that programs, logs and pages of any language are told the same, and a listener's news is made once for all.
//
//   "{} has no such file (404)": "{0} 没有此文件（404）"     {}: any text, itself put into the other language where that is known
//   "{} is {word}": "{0} {1}"                               {word}: one that stands in the file by itself

import { language, t } from "./words.js";

let exact = new Map();
let open = [];

/** Learn the viewer's language; before this, and in English, everything is told as it comes. */
export async function learn() {
  if (language === "en" || exact.size) return;
  const answer = await fetch(`/static/${language}.json`);
  if (!answer.ok) return;
  const known = Object.entries(await answer.json());
  exact = new Map(known.filter(([key]) => !key.includes("{")));
  open = known
    .filter(([key]) => key.includes("{"))
    .map(([key, text]) => {
      const holes = key.match(/\{(?:word)?\}/g);
      const literals = key.split(/\{(?:word)?\}/).map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
      return { text, words: holes.map((hole) => hole === "{word}"), weight: literals.join("").length, pattern: new RegExp(`^${literals.join("(.+?)")}$`) };
    })
    .sort((a, b) => b.weight - a.weight);
}

/** A sentence of the server in the viewer's language; as it is where that is not known. */
export function told(text) {
  return language === "en" || !text ? text ?? "" : (inWords(text) ?? text);
}

/** An error's lines: the message, then what to do next. */
export function lines(error) {
  if (!error) return [];
  const message = language === "en" ? error.message : (inWords(error.message) ?? `${t(`code_${error.code}`, "")}${error.message}`);
  return [message, ...(error.hints ?? []).map(told)];
}

function inWords(text, depth = 0) {
  if (exact.has(text)) return exact.get(text);
  if (depth > 6 || text.length > 4000) return null;
  const deeper = (part) => inWords(part, depth + 1);
  if (text.includes("\n")) return several(text, "\n", "\n", deeper);
  for (const { text: made, words, pattern } of open) {
    const found = pattern.exec(text)?.slice(1);
    if (found && found.every((value, index) => !words[index] || exact.has(value))) {
      return made.replace(/\{(\d)\}/g, (_, index) => deeper(found[index]) ?? found[index]);
    }
  }
  return several(text, "; ", "；", deeper) ?? after(text, deeper) ?? beside(text, deeper);
}

/** Parts of which at least one is known. */
function several(text, sign, joined, deeper) {
  const parts = text.split(sign);
  if (parts.length < 2) return null;
  const made = parts.map((part) => {
    const [, space, rest] = /^(\s*)([^]*)$/.exec(part);
    return space + (deeper(rest) ?? rest);
  });
  return made.join("") === parts.join("") ? null : made.join(joined);
}

/** `name: what is wrong with it`. */
function after(text, deeper) {
  for (let at = text.indexOf(": "); at >= 0; at = text.indexOf(": ", at + 1)) {
    const rest = deeper(text.slice(at + 2));
    if (rest !== null) return `${text.slice(0, at)}：${rest}`;
  }
  return null;
}

/** `what is wrong (what to do)`. */
function beside(text, deeper) {
  const found = /^(.+?) \((.+)\)$/.exec(text);
  if (!found) return null;
  const [what, next] = [deeper(found[1]), deeper(found[2])];
  return what === null && next === null ? null : `${what ?? found[1]}（${next ?? found[2]}）`;
}
