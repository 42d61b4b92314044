// The driver's page: keeps itself current, says how old it is, sends buttons, scans codes, survives without a line.
import { ask } from "fc/ask";
import { boot, t } from "fc/boot";
import { serverNow } from "fc/clock";
import { byId } from "fc/dom";

const EVERY_MS = 10_000;
const WHILE_ASKED_MS = 2_000;
const LONGEST_MS = 8_000;
const KEPT = "fleetcharge-drive-1"; // as in templates/driver/worker.js
const SEEN = `fleetcharge.seen:${boot.path}`;
const now = byId("now");
const isDriver = boot.path.startsWith("/go/");
let etag = "";
let timer = null;
let isOver = false;
let drawMap = () => {};

const remember = (key, value) => { try { localStorage.setItem(key, value); } catch { /* private mode */ } };
const recall = (key) => { try { return localStorage.getItem(key); } catch { return null; } };
const clock = (at) => new Date(at).toLocaleTimeString("en-IN", { hour: "2-digit", minute: "2-digit", hour12: false });

// --- staying current -------------------------------------------------------------------------------------------
async function look() {
  clearTimeout(timer);
  if (isOver) return;
  try {
    const answer = await askHere(`${boot.path}now/`, { headers: etag ? { "If-None-Match": etag } : {}, cache: "no-store" });
    if (answer.status === 404 || answer.status === 410) return end();
    if (answer.status === 200) place(await answer.text(), answer.headers.get("ETag") ?? "");
    if (isOver) return; // an answer from before the end came after it
    if (answer.status === 200 || answer.status === 304) seen(answer);
  } catch { lost(); }
  timer = setTimeout(look, now.querySelector("[data-pending]") ? WHILE_ASKED_MS : EVERY_MS);
}

function askHere(url, options) {
  return ask(url, { ...options, referrerPolicy: "no-referrer" }, LONGEST_MS);
}

/** What the form says, and which of its buttons said it: older phones take no button into FormData. */
function said(form, button) {
  const body = new FormData(form);
  if (button?.name) body.append(button.name, button.value);
  return body;
}

let pressed = null; // where a submit event does not tell its button
document.addEventListener("click", (event) => { pressed = event.target.closest("form[data-deed] button"); }, true);

/** Draw the server's word, unless the driver is just typing something that it would wipe out. */
function place(html, tag) {
  if (isOver) return;
  const typed = new Map([...now.querySelectorAll("input:not([type=hidden],[readonly])")].map((input) => [input.id, input.value]));
  const focused = now.contains(document.activeElement) ? document.activeElement.id : "";
  const isOpen = now.querySelector("details.report")?.open;
  const before = now.querySelector("[data-headline]")?.dataset.headline;
  now.innerHTML = html; // our own template, escaped by Django
  etag = tag;
  for (const [id, value] of typed) if (value && byId(id)) byId(id).value = value;
  if (focused) byId(focused)?.focus({ preventScroll: true });
  if (isOpen && now.querySelector("details.report")) now.querySelector("details.report").open = true;
  dress();
  const after = now.querySelector("[data-headline]")?.dataset.headline;
  if (after !== before && byId("spoken")) byId("spoken").textContent = after ?? "";
  if (after !== before && navigator.serviceWorker?.controller) fetch(boot.path, { cache: "no-store" }).then((answer) => answer.ok && keepPage(answer)).catch(() => {});
}

const pageUrl = new URL(boot.path, location.origin).href;

async function keepPage(answer) {
  const kept = await caches.open(KEPT);
  if (!isOver) await kept.put(pageUrl, answer);
}

function seen(answer) {
  const at = new Date(answer.headers.get("Date") ?? serverNow()).toISOString();
  remember(SEEN, at);
  byId("line").hidden = true;
  byId("age").textContent = t("asOf", { time: clock(at) });
}

function lost() {
  const at = recall(SEEN) ?? byId("age").dataset.at;
  byId("line").textContent = t("offline", { time: clock(at) });
  byId("line").hidden = false;
}

function end() {
  isOver = true;
  byId("line").textContent = t("over");
  byId("line").hidden = false;
  now.replaceChildren();
  if (byId("map-box")) byId("map-box").hidden = true;
  globalThis.caches?.open(KEPT).then((kept) => kept.delete(pageUrl));
  try { localStorage.removeItem(SEEN); localStorage.removeItem("fleetcharge.drive"); } catch { /* private mode */ }
}

/** What works only with a script, and the map's new figures. */
function dress() {
  const data = document.getElementById("drive-map-data");
  drawMap(data ? JSON.parse(data.textContent) : null);
  for (const button of now.querySelectorAll("[data-share]")) button.hidden = false;
  for (const button of now.querySelectorAll("[data-camera]")) button.hidden = !("BarcodeDetector" in window && navigator.mediaDevices);
}

// --- buttons ---------------------------------------------------------------------------------------------------
document.addEventListener("submit", async (event) => {
  const form = event.target.closest("form[data-deed]");
  if (!form) return;
  event.preventDefault();
  const body = said(form, event.submitter ?? (form.contains(pressed) ? pressed : null));
  pressed = null;
  for (const button of form.querySelectorAll("button")) button.disabled = true;
  try {
    const answer = await askHere(form.action, { method: "POST", body, headers: { "X-Requested-With": "drive" } });
    if (answer.status === 404 || answer.status === 410) return end();
    if (!answer.ok) throw new Error(String(answer.status));
    for (const input of form.querySelectorAll("input.input")) input.value = "";
    place(await answer.text(), "");
    now.querySelector(".note")?.scrollIntoView({ block: "nearest" });
    clearTimeout(timer);
    timer = setTimeout(look, now.querySelector("[data-pending]") ? WHILE_ASKED_MS : EVERY_MS);
  } catch {
    for (const button of form.querySelectorAll("button")) button.disabled = false;
    byId("line").textContent = t("notSent");
    byId("line").hidden = false;
  }
});

document.addEventListener("click", async (event) => {
  const share = event.target.closest("[data-share]");
  if (share) await hand(share);
  if (event.target.closest("[data-camera]")) await scan();
  if (event.target.closest("[data-close-camera]")) byId("camera").close();
});

async function hand(button) {
  const url = button.dataset.share;
  try {
    if (navigator.share) await navigator.share({ url });
    else { await navigator.clipboard.writeText(url); button.textContent = t("copied"); }
  } catch { byId("eta-url").select(); }
}

// --- the camera ------------------------------------------------------------------------------------------------
async function scan() {
  const dialog = byId("camera");
  const view = byId("camera-view");
  let stream = null;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    view.srcObject = stream;
    dialog.showModal();
    await view.play();
    const code = await read(view, dialog);
    if (code && byId("code")) byId("code").value = code;
  } catch {
    byId("line").textContent = t("noCamera");
    byId("line").hidden = false;
  } finally {
    for (const track of stream?.getTracks() ?? []) track.stop();
    if (dialog.open) dialog.close();
  }
}

/** The first code that comes into view; null when the dialog is closed before. */
async function read(view, dialog) {
  const detector = new window.BarcodeDetector({ formats: ["qr_code"] });
  while (dialog.open) {
    const [found] = await detector.detect(view);
    if (found) return found.rawValue;
    await new Promise((done) => { requestAnimationFrame(done); });
  }
  return null;
}

// --- from here on ----------------------------------------------------------------------------------------------
if (isDriver) {
  remember("fleetcharge.drive", boot.path);
  import("fc/drive-map").then((map) => { drawMap = map.draw; dress(); }).catch(() => {}); // no map is no harm
  navigator.serviceWorker?.register("/go/worker.js", { scope: "/go/" }).then(keepFiles).catch(() => {});
}
dress();
if (location.search) history.replaceState(null, "", boot.path);
addEventListener("online", look);
document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
look();

async function keepFiles() {
  const { active } = await navigator.serviceWorker.ready;
  const files = performance.getEntriesByType("resource").map((entry) => entry.name).filter((name) => name.includes("/static/"));
  active.postMessage({ urls: [pageUrl, ...files] });
}
