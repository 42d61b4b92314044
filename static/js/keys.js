// Single keys, off in inputs and dialogs, and off altogether for people who use speech input (WCAG 2.1.4).
import { byId } from "fc/dom";

const MEMORY = "fleetcharge.single-keys";

function remembered() {
  try { return localStorage.getItem(MEMORY) !== "off"; } catch { return true; }
}

/** `bindings`: key (lower case) -> what to do. `onPalette` answers Ctrl K everywhere. */
export function listenToKeys(bindings, onPalette) {
  let areOn = remembered();
  const box = byId("single-keys");
  box.checked = areOn;
  box.addEventListener("change", () => {
    areOn = box.checked;
    try { localStorage.setItem(MEMORY, areOn ? "on" : "off"); } catch { /* for this page only */ }
  });
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      onPalette();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const isTyping = event.target.closest("input:not([type=checkbox],[type=range]),select,textarea,[contenteditable]");
    const isEscape = event.key === "Escape";
    if (document.querySelector("dialog[open]") || (isTyping && !isEscape) || (!areOn && !isEscape)) return;
    const action = bindings[event.key.toLowerCase()];
    if (!action) return;
    event.preventDefault();
    action(event);
  });
}
