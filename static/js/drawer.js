// The drawer under the queue: one station or one vehicle, rendered by the server, refreshed when its figures move.
import { boot, t } from "fc/boot";
import { byId, h, icon } from "fc/dom";
import { fragment } from "fc/fragment";

const REFRESH_MS = 1500;

export class Drawer {
  constructor({ store, onReserve, onDeed, onFollow, onClose, onFocusBack }) {
    Object.assign(this, { store, onReserve, onDeed, onFollow, onClose, onFocusBack });
    this.box = byId("drawer");
    this.shown = null; // what was asked for
    this.placed = null; // the key of what is in the box; another one's buttons must never be pressed
    this.print = "";
    this.box.addEventListener("click", (event) => this.#click(event));
    store.on("stations vehicles sessions alerts names", () => this.#refreshSoon());
    store.on("names", () => { if (this.shown?.kind === "station" && this.placed !== this.shown.key) this.refresh(); });
  }

  async show(kind, id, { isAsked = true } = {}) {
    const key = `${kind}:${id}`;
    const isHeld = this.box.contains(document.activeElement);
    if (this.shown?.key !== key) this.opener = isAsked ? document.activeElement : null;
    this.shown = { kind, id, key };
    if (this.placed !== key) this.#wait(isHeld);
    await this.#load(key, isAsked || isHeld);
  }

  /** Nothing of the one shown before may be read, or reserved, while this one is on its way. */
  #wait(isHeld) {
    const name = this.#name();
    this.box.style.minHeight = `${this.box.offsetHeight}px`; // the queue above stays where it is
    this.placed = this.print = this.wanted = null;
    this.box.replaceChildren(this.#head(name), h("div", { class: "empty", "aria-busy": "true" }, h("span", {}, t("loading"))));
    if (isHeld) this.#focusHead();
  }

  /** Of a drawer that has nothing to show yet, or could not get it: on a phone it covers everything else. */
  #head(name) {
    const close = h("button", { class: "icon", type: "button", "data-close": true, "data-focus": "close", "aria-label": t("closed") }, icon("close"));
    return h("div", { class: "hd" }, h("h2", { tabindex: "-1" }, name ?? t("loading")), h("span", { class: "r" }, close));
  }

  #name() {
    const { kind, id } = this.shown;
    return kind === "vehicle" ? this.store.vehicleNames.get(id)?.registration : this.store.stationNames.get(id)?.name;
  }

  close() {
    const { shown, opener } = this;
    const isHeld = this.box.contains(document.activeElement) || document.activeElement === document.body;
    this.shown = this.placed = null;
    this.box.style.minHeight = "";
    this.box.replaceChildren();
    this.onClose();
    if (isHeld) this.onFocusBack(shown, opener);
  }

  #focusHead() { this.box.querySelector("h2")?.focus({ preventScroll: true }); }

  #url() {
    const { kind, id } = this.shown;
    if (kind === "vehicle") return boot.urls.vehicle.replace("/0/", `/${id}/`);
    return boot.urls.station.replace("ID", encodeURIComponent(this.store.stationNames.get(id)?.public_id ?? ""));
  }

  async #load(key, isAsked) {
    if (this.shown.kind === "station" && !this.store.stationNames.has(this.shown.id)) {
      if (this.store.stationNames.size) this.#failed(key);
      return; // or its address comes with the names
    }
    try {
      const html = await fragment(this.#url());
      if (this.shown?.key === key) this.#place(html, isAsked);
    } catch {
      if (this.shown?.key === key && this.placed !== key) this.#failed(key);
    }
  }

  #place(html, isAsked) {
    const scrolled = this.box.querySelector(".body")?.scrollTop ?? 0;
    const held = this.box.contains(document.activeElement) ? document.activeElement : null;
    const wanted = this.wanted ?? held?.dataset.focus;
    this.wanted = null;
    this.box.innerHTML = html; // our own template, escaped by Django
    this.placed = this.shown.key;
    this.box.style.minHeight = "";
    this.print = this.#figures();
    const body = this.box.querySelector(".body");
    if (body) body.scrollTop = scrolled;
    const same = wanted ? this.box.querySelector(`[data-focus="${CSS.escape(wanted)}"]:not([disabled])`)
      : held && this.box.querySelector(`[class="${CSS.escape(held.className)}"]`);
    if (same) same.focus({ preventScroll: true });
    else if (isAsked || held || wanted) this.#focusHead();
    this.#lookAgain();
  }

  /** While a network has not answered, nothing on the map tells that it has. */
  #lookAgain() {
    clearTimeout(this.pending);
    if (this.box.querySelector("[data-pending]")) this.pending = setTimeout(() => this.refresh(), REFRESH_MS);
  }

  /** Read it anew; with `focus`, the button of that name has the focus afterwards, or the heading when it is gone. */
  refresh(focus = null) {
    if (!this.shown) return;
    this.wanted = focus ?? this.wanted;
    this.#load(this.shown.key, false);
  }

  focusOn(name) {
    const button = name && this.box.querySelector(`[data-focus="${CSS.escape(name)}"]`);
    (button ?? this.box.querySelector("h2"))?.focus({ preventScroll: true });
  }

  #failed(key) {
    const isHeld = this.box.contains(document.activeElement);
    this.box.replaceChildren(this.#head(this.#name()), h("div", { class: "empty" }, h("b", {}, t("loadFailed")),
      h("button", { class: "btn", type: "button", onclick: () => this.#load(key, true) }, t("retry"))));
    if (isHeld) this.#focusHead();
  }

  #figures() {
    if (!this.shown) return "";
    const { kind, id } = this.shown;
    const row = kind === "station" ? this.store.station(id) : this.store.known(id);
    if (!row) return "";
    return kind === "station" ? [row.free, row.total, row.worst, row.fresh].join() : [row.soc, row.state, row.isRerouted, row.name?.soc_source, row.name?.next_stop?.name].join();
  }

  #refreshSoon() {
    if (!this.shown || this.timer || this.#figures() === this.print) return;
    this.timer = setTimeout(() => {
      this.timer = null;
      if (this.shown) this.#load(this.shown.key, false);
    }, REFRESH_MS);
  }

  #click(event) {
    const target = event.target.closest("[data-close],[data-reserve],[data-deed],[data-follow]");
    if (!target) return;
    if (target.matches("[data-close]")) this.close();
    else if (target.matches("[data-reserve]")) this.reserve();
    else if (target.matches("[data-deed]")) this.onDeed(target);
    else this.onFollow(Number(target.dataset.follow));
  }

  /** Reserve the bay the drawer offers. */
  reserve() {
    const button = this.shown && this.placed === this.shown.key && this.box.querySelector("[data-reserve]");
    if (button) this.onReserve(Number(button.dataset.reserve), button.dataset.bay, button.dataset.way);
  }
}
