// The admin port's routes, as functions. A 401 asks for the token once, and then the call is made again.

import { byId } from "./dom.js";

/** What the port refused, in its own words. */
export class Refused extends Error {
  constructor(status, message, body) {
    super(message);
    Object.assign(this, { status, body });
  }
}

export const get = (path, signal) => call("GET", path, undefined, signal);
export const post = (path, body) => call("POST", path, body);

async function call(method, path, body, signal) {
  const response = await send(method, path, body, signal);
  const answer = await response.json().catch(() => null);
  if (!response.ok && response.status !== 207) throw refusal(response, answer);
  return answer;
}

/** Send a request; returns the response whatever its status, but for 401. */
export async function send(method, path, body, signal) {
  for (;;) {
    const headers = body === undefined ? {} : { "Content-Type": "application/json" };
    const response = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), signal });
    if (response.status !== 401) return response;
    await login();
  }
}

export function refusal(response, answer) {
  const error = answer?.error;
  const message = (typeof error === "string" ? error : error?.message) ?? answer?.summary ?? `status ${response.status}`;
  return new Refused(response.status, message, answer);
}

let pending = null;

// A second Escape closes a dialog whatever anybody says to it: it comes back until the token is right.
byId("login").addEventListener("cancel", (event) => event.preventDefault());
byId("login").addEventListener("close", () => pending && byId("login").showModal());

/** Show the token prompt until a token is right; everyone who waits goes on together. */
export function login() {
  pending ??= new Promise((resolve) => {
    const dialog = byId("login"), form = byId("login-form"), token = byId("token"), problem = byId("login-problem");
    const submit = async (event) => {
      event.preventDefault();
      problem.textContent = "";
      const response = await fetch("/admin/login", {
        method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ token: token.value }),
      }).catch(() => null);
      if (response?.ok) {
        token.value = "";
        form.removeEventListener("submit", submit);
        pending = null;
        dialog.close();
        resolve();
        return;
      }
      problem.textContent = response?.status === 401 ? "This is not the token." : "The gateway did not answer; try again.";
      token.select();
    };
    form.addEventListener("submit", submit);
    if (!dialog.open) dialog.showModal();
    token.focus();
  });
  return pending;
}

/** Read a response's server-sent events; `heard(event, data)` gets each as its name and its text. */
export async function readEvents(response, heard) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "", name = "message", data = [];
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split(/\r?\n/);
    rest = lines.pop();
    for (const line of lines) {
      if (line.startsWith("event:")) name = line.slice(6).trim();
      else if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
      else if (line === "" && data.length) {
        heard(name, data.join("\n"));
        name = "message";
        data = [];
      }
    }
  }
}
