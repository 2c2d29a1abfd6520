// Talking to the centre: requests, and its news.

import { lines } from "./messages.js";
import { t } from "./words.js";

/** A refusal. `lines`: what, and what to do next, in the viewer's language. */
export class Refused extends Error {
  constructor(status, error) {
    super(error?.message ?? `HTTP ${status}`);
    this.status = status;
    this.lines = error ? lines(error) : [this.message];
  }
}

let csrf = "";

/** Ask; the answer's value, or Refused. */
export async function ask(method, path, body) {
  const headers = { "X-CSRF-Token": csrf || "1" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const answer = await fetch(`/api/v1${path}`, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) }).catch(() => {
    throw new Refused(0, { code: "unreachable", message: t("lost") });
  });
  const value = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refused(answer.status, value.error);
  return value;
}

/** Who we are, or null when nobody has signed in. */
export async function whoAmI() {
  try {
    const me = await ask("GET", "/me");
    csrf = me.csrf;
    return me;
  } catch (error) {
    if (error.status === 401) return null;
    throw error;
  }
}

export async function signIn(words) {
  const me = await ask("POST", "/session", words);
  csrf = me.csrf;
  return me;
}

/** Listen for news until `close` is called. The browser itself comes back, and says what it has seen. */
export function listen({ jobs, totals, lost, back, out }) {
  const source = new EventSource("/api/v1/events");
  let away = false;
  source.addEventListener("jobs", (event) => jobs(JSON.parse(event.data)));
  source.addEventListener("totals", (event) => totals(JSON.parse(event.data)));
  source.onopen = () => {
    if (away) back();
    away = false;
  };
  source.onerror = async () => {
    if (!away) lost();
    away = true;
    if (source.readyState === EventSource.CLOSED && (await whoAmI().catch(() => undefined)) === null) out();
  };
  return source;
}
