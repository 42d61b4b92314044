// One charger's page: its header stays fresh, new frames come in at the top, a cut frame can be shown whole.
import { byId, h } from "fc/dom";

const HEAD_MS = 5000;
const TAIL_MS = 2000;
const KEPT_ROWS = 300;
const FILTERS = ["action", "direction", "text", "tag", "message_id", "only_errors", "since"];

const head = byId("head");
const list = byId("frames");
const clock = new Intl.DateTimeFormat("en-GB", { day: "2-digit", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" });

/** Run `work` again and again while the page is seen; the next time begins when the last one has ended. */
function every(milliseconds, work) {
  const again = async () => {
    if (!document.hidden) await work().catch(() => {});
    setTimeout(again, milliseconds);
  };
  setTimeout(again, milliseconds);
}

async function refreshHead() {
  const answer = await fetch(head.dataset.refresh, { headers: { "X-Requested-With": "head" } });
  if (!answer.ok || answer.redirected) return;
  if (!head.contains(document.activeElement)) head.innerHTML = await answer.text(); // our own template, escaped by Django
}

function pretty(text) {
  try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return text; }
}

function row(frame) {
  const isIn = frame.direction === "in";
  const isWrong = frame.error_code || frame.kind === "Malformed";
  return h("li", { "data-id": frame.id, class: isWrong ? "wrong" : null }, h("details", {},
    h("summary", {},
      h("time", { datetime: frame.at }, clock.format(new Date(frame.at)).replace(",", "")),
      h("span", { class: `dir ${frame.direction}` }, h("span", { "aria-hidden": "true" }, isIn ? "→" : "←"),
        h("span", { class: "vh" }, isIn ? list.dataset.in : list.dataset.out)),
      h("b", { class: "cut" }, frame.action || frame.kind),
      h("span", { class: "kind" }, frame.error_code || frame.kind),
      h("span", { class: "ms" }, frame.latency_ms === null ? "" : `${frame.latency_ms.toFixed(1)} ms`),
      h("span", { class: "size" }, `${frame.size_bytes} B`)),
    h("pre", { tabindex: "0", role: "region", "aria-label": frame.message_id || frame.kind }, pretty(frame.frame))));
}

async function followTail() {
  if (!byId("follow").checked) return;
  const query = new URLSearchParams({ charger: list.dataset.charger, after: list.dataset.newest, limit: "100" });
  const asked = new URLSearchParams(location.search);
  for (const name of FILTERS) if (asked.get(name)) query.set(name, asked.get(name));
  const state = byId("tail-state");
  try {
    const answer = await fetch(`${list.dataset.url}?${query}`, { headers: { Accept: "application/json" } });
    if (!answer.ok) throw new Error(answer.status);
    const page = await answer.json();
    state.textContent = "";
    if (!page.results.length) return;
    list.dataset.newest = page.newest;
    list.prepend(...page.results.map(row));
    byId("no-frames").hidden = true;
    while (list.childElementCount > KEPT_ROWS) list.lastElementChild.remove();
  } catch {
    state.textContent = list.dataset.failed;
  }
}

/** A long frame is cut in the list; once opened, all of it can be fetched. */
async function offerWhole(event) {
  const item = event.target.closest?.("li[data-id]");
  if (!item || !event.target.open || item.dataset.isOffered) return;
  const box = item.querySelector("pre");
  if (box.textContent.length < 1900) return;
  item.dataset.isOffered = "yes";
  const button = h("button", { class: "btn more", type: "button" }, list.dataset.whole);
  button.addEventListener("click", async () => {
    const answer = await fetch(`${list.dataset.url}${item.dataset.id}/`);
    if (!answer.ok) return;
    box.textContent = pretty((await answer.json()).frame);
    button.remove();
    box.focus();
  });
  box.after(button);
}

every(HEAD_MS, refreshHead);
if (list) {
  every(TAIL_MS, followTail);
  list.addEventListener("toggle", offerWhole, true);
}
