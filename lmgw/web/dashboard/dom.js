// Elements and the words in them. Text becomes text nodes and nothing else: what comes from outside is never HTML.

export const byId = (id) => document.getElementById(id);

/** Make an element. Attributes that are null, undefined or false are left out; functions are listeners (`onclick`). */
export function el(tag, attributes = {}, ...children) {
  return dress(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function svg(tag, attributes = {}, ...children) {
  return dress(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function dress(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, each] of Object.entries(value)) element.style.setProperty(key, each);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Set an element's text, touching the page only where it differs. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Put new children in; who has the focus keeps it, by `data-key`. */
export function replace(parent, children) {
  const key = parent.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  parent.replaceChildren(...children);
  if (key !== undefined) parent.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
}

/** A group of buttons of which one is chosen; returns a function that chooses without telling. */
export function choice(parent, options, chosen, changed) {
  const buttons = options.map(([value, label]) =>
    el("button", { type: "button", "data-value": value, onclick: () => (show(value), changed(value)) }, label));
  const show = (value) => {
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.value === String(value)));
  };
  parent.replaceChildren(...buttons);
  show(chosen);
  return show;
}

let toastTimer = 0;

/** Say something for a few seconds. */
export function toast(text) {
  const element = byId("toast");
  element.textContent = text;
  element.classList.add("shown");
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => element.classList.remove("shown"), 4000);
}

/** Put text on the clipboard; where the browser forbids that (plain HTTP), select it in a field for Ctrl+C. */
export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    toast(`${what} copied`);
  } catch {
    const field = el("textarea", { class: "clip", "aria-label": what });
    field.value = text;
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    toast(done ? `${what} copied` : `${what} could not be copied`);
  }
}
