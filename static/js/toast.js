// Short messages at the foot of the screen; one of them may be taken back.
import { t } from "fc/boot";
import { serverNow } from "fc/clock";
import { byId, focusAgain, h } from "fc/dom";

const PLAIN_MS = 6000;
let undoable = null;
const before = new WeakMap(); // what had the focus before one of its buttons

function show(...children) {
  const toast = h("div", { class: "toast", role: "status" }, ...children);
  toast.addEventListener("focusin", ({ relatedTarget }) => { if (!toast.contains(relatedTarget)) before.set(toast, relatedTarget); });
  byId("toasts").append(toast);
  const passing = byId("toasts").querySelectorAll(".toast:not(.stays)");
  if (passing.length > 3) away(passing[0]);
  return toast;
}

/** Whoever pressed its button goes on from where they came. */
function away(toast) {
  const isHeld = toast.contains(document.activeElement);
  toast.remove();
  if (isHeld && !focusAgain(before.get(toast))) byId("map")?.focus();
}

export function say(text) {
  const toast = show(h("span", {}, text));
  setTimeout(() => away(toast), PLAIN_MS);
}

/** For what somebody has to know: it stays until it is put away. */
export function sayUntilRead(text) {
  const toast = show(h("span", {}, text), h("button", { type: "button", onclick: () => away(toast) }, t("understood")));
  toast.classList.add("stays");
}

/** A message with Undo until `until` (epoch ms, by the server). `undo` is called once, by the button or by Z. */
export function sayWithUndo(text, until, undo) {
  const label = h("span", { class: "num" });
  const toast = show(h("span", {}, text), h("button", { type: "button", onclick: () => take() }, label, " ", h("kbd", {}, "Z")));
  const mine = { take };
  const timer = setInterval(tick, 250);
  undoable = mine;
  tick();

  function tick() {
    const left = Math.ceil((until - serverNow()) / 1000);
    label.textContent = t("undoSeconds", { seconds: Math.max(0, left) });
    if (left <= 0) close();
  }
  function close() {
    clearInterval(timer);
    away(toast);
    if (undoable === mine) undoable = null;
  }
  function take() { close(); undo(); }
}

export function undoLast() {
  if (undoable) undoable.take();
  else say(t("nothingToUndo"));
}
