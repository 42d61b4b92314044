// The drawer under the queue: one station or one vehicle, rendered by the server, refreshed when its figures move.
import { boot, t } from "fc/boot";
import { byId, h } from "fc/dom";

const REFRESH_MS = 1500;

export class Drawer {
  constructor({ store, onReserve, onDeed, onFollow, onClose }) {
    Object.assign(this, { store, onReserve, onDeed, onFollow, onClose });
    this.box = byId("drawer");
    this.shown = null;
    this.print = "";
    this.box.addEventListener("click", (event) => this.#click(event));
    store.on("stations vehicles sessions alerts", () => this.#refreshSoon());
  }

  async show(kind, id, { isAsked = true } = {}) {
    const key = `${kind}:${id}`;
    const from = isAsked ? document.activeElement : null;
    if (this.shown?.key !== key) this.opener = from;
    this.shown = { kind, id, key };
    await this.#load(key, isAsked);
  }

  close() {
    this.shown = null;
    this.box.replaceChildren();
    if (this.opener?.isConnected) this.opener.focus();
    this.onClose();
  }

  #url() {
    const { kind, id } = this.shown;
    if (kind === "vehicle") return boot.urls.vehicle.replace("/0/", `/${id}/`);
    return boot.urls.station.replace("ID", encodeURIComponent(this.store.stationNames.get(id)?.public_id ?? ""));
  }

  async #load(key, isAsked) {
    if (this.shown.kind === "station" && !this.store.stationNames.has(this.shown.id)) return;
    try {
      const answer = await fetch(this.#url(), { headers: { "X-Requested-With": "drawer" } });
      if (!answer.ok) throw new Error(answer.status);
      const html = await answer.text();
      if (this.shown?.key === key) this.#place(html, isAsked);
    } catch {
      if (this.shown?.key === key && !this.box.childElementCount) this.#failed(key);
    }
  }

  #place(html, isAsked) {
    const scrolled = this.box.querySelector(".body")?.scrollTop ?? 0;
    const held = this.box.contains(document.activeElement) ? document.activeElement : null;
    const wanted = this.wanted ?? held?.dataset.focus;
    this.wanted = null;
    this.box.innerHTML = html; // our own template, escaped by Django
    this.print = this.#figures();
    const body = this.box.querySelector(".body");
    if (body) body.scrollTop = scrolled;
    const same = wanted ? this.box.querySelector(`[data-focus="${CSS.escape(wanted)}"]:not([disabled])`)
      : held && this.box.querySelector(`[class="${CSS.escape(held.className)}"]`);
    if (same) same.focus({ preventScroll: true });
    else if (isAsked || held || wanted) this.box.querySelector("h2")?.focus({ preventScroll: true });
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
    this.box.replaceChildren(h("div", { class: "empty" }, h("b", {}, t("loadFailed")),
      h("button", { class: "btn", type: "button", onclick: () => this.#load(key, true) }, t("retry"))));
  }

  #figures() {
    if (!this.shown) return "";
    const { kind, id } = this.shown;
    const row = kind === "station" ? this.store.station(id) : this.store.vehicle(id);
    if (!row) return "";
    return kind === "station" ? [row.free, row.total, row.worst, row.fresh].join() : [row.soc, row.state, row.isRerouted].join();
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
    const button = this.box.querySelector("[data-reserve]");
    if (button) this.onReserve(Number(button.dataset.reserve), button.dataset.bay, button.dataset.way);
  }
}
