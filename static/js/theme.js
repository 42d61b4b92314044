// Light and dark: the switch, its memory, and resolved token colours for canvases.
const root = document.documentElement;
const listeners = new Set();
const system = matchMedia("(prefers-color-scheme: dark)");
let cache = null;

function remembered() {
  try { return localStorage.getItem("fleetcharge.theme"); } catch { return null; }
}

function apply(theme) {
  root.dataset.theme = theme;
  cache = null;
  for (const listener of listeners) listener(theme);
}

export const currentTheme = () => root.dataset.theme;
export const onTheme = (listener) => listeners.add(listener);
/** For a page whose theme is switched by others, such as the finance admin. */
export const forgetColours = () => { cache = null; };

export function switchTheme() {
  const theme = currentTheme() === "dark" ? "light" : "dark";
  try { localStorage.setItem("fleetcharge.theme", theme); } catch { /* private mode: for this page only */ }
  apply(theme);
}

system.addEventListener("change", () => { if (!remembered()) apply(system.matches ? "dark" : "light"); });

/** The token as a canvas understands it; light-dark() is resolved by the browser itself. */
export function colour(token) {
  cache ??= new Map();
  if (!cache.has(token)) {
    const probe = document.createElement("i");
    probe.style.cssText = `position:absolute;display:none;color:var(${token})`;
    document.body.append(probe);
    cache.set(token, getComputedStyle(probe).color);
    probe.remove();
  }
  return cache.get(token);
}
