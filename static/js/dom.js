// Elements from data; text is always text, so a vehicle named <script> stays a name.
const SVG = "http://www.w3.org/2000/svg";

export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (name === "style") element.style.cssText = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function icon(name, tone = "") {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", `i ${tone}`);
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

export const badge = (name, tone) => h("span", { class: `g b-${tone}` }, icon(name));
export const byId = (id) => document.getElementById(id);

/** Replace the children; who had the focus among them keeps it, or gets it `elsewhere` when its place has gone. */
export function redraw(parent, elsewhere, ...children) {
  const held = parent.contains(document.activeElement) ? document.activeElement : null;
  parent.replaceChildren(...children.flat());
  if (held && !focusAgain(held)) elsewhere.focus({ preventScroll: true });
}

/** Give the focus to an element, or to the one that took its place (`data-focus`); false when there is neither. */
export function focusAgain(element) {
  const name = element?.dataset?.focus;
  const same = element?.isConnected ? element : name && document.querySelector(`[data-focus="${CSS.escape(name)}"]`);
  same?.focus?.({ preventScroll: true });
  return document.activeElement === same && same !== document.body;
}
