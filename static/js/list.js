// The fleet by urgency as a virtual list: fixed heights, some thirty nodes, however many vehicles.
import { boot, t } from "fc/boot";
import { badge, byId, focusAgain, h, icon } from "fc/dom";
import { integer } from "fc/format";
import { LOOKS, describe } from "fc/notes";
import { byPlate, inOrder } from "fc/order";

const GROUP_HEIGHT = 28;
const SPARE_ROWS = 4;
const CALM_MS = 400; // the list re-sorts at most this often
const LEISURE = 12;
const SOURCES = { measured: "gauge", charger: "plug", driver: "person", estimated: "about" };

export class FleetList {
  constructor({ store, onPick }) {
    Object.assign(this, { store, onPick });
    this.box = byId("rows");
    this.filter = null;
    this.query = "";
    this.sort = "urgency";
    this.items = [];
    this.slots = [];
    this.isReady = false;
    this.calm = CALM_MS;
    this.box.addEventListener("scroll", () => this.#paint(), { passive: true });
    new ResizeObserver(() => this.#paint()).observe(this.box);
    store.on("vehicles names alerts sessions", () => this.#soon());
    store.on("selection", () => this.#paint());
    this.#controls();
  }

  #controls() {
    byId("sort").addEventListener("change", (event) => { this.sort = event.target.value; this.#build(); });
    byId("find").addEventListener("input", (event) => { this.query = event.target.value; this.box.scrollTop = 0; this.#build(); });
    byId("find-button").addEventListener("click", () => this.openFind(byId("find-box").hidden));
    for (const chip of document.querySelectorAll("[data-filter]")) {
      chip.addEventListener("click", () => this.setFilter(this.filter === chip.dataset.filter ? null : chip.dataset.filter));
    }
  }

  openFind(isOpen) {
    byId("find-box").hidden = !isOpen;
    byId("find-button").setAttribute("aria-expanded", String(isOpen));
    if (isOpen) byId("find").focus();
    else { byId("find").value = ""; this.query = ""; this.#build(); byId("find-button").focus(); }
  }

  setFilter(name) {
    this.filter = name;
    for (const chip of document.querySelectorAll("[data-filter]")) chip.setAttribute("aria-pressed", String(chip.dataset.filter === name));
    this.box.scrollTop = 0;
    this.#build();
  }

  #soon() {
    if (this.timer) return;
    this.timer = setTimeout(() => { this.timer = null; this.#buildAtLeisure(); }, this.isReady ? this.calm : 0);
  }

  /** The larger the fleet, the seldomer: sorting it takes a small part of the time. */
  #buildAtLeisure() {
    const begun = performance.now();
    this.#build();
    this.calm = Math.max(CALM_MS, LEISURE * (performance.now() - begun));
  }

  /** Sort, group, count; then draw what is in sight. Waits for names: plates are what people read. */
  #build() {
    if (!this.store.vehicleNames.size && !this.store.vehicles.count) return;
    if (!this.store.knowsFleet()) return; // until then the server's rows stand
    const ids = this.#everyId();
    const { order, counts } = inOrder(this.store, ids, this.sort, (id, group) => this.#matches(id, group));
    this.#counts(ids.length, counts);
    this.items = this.sort === "urgency" ? grouped(order) : numbered(order);
    if (!this.isReady) this.#takeOver();
    this.#paint();
  }

  /** Those with a name by their plates, and before them those on the stream that have none yet. */
  #everyId() {
    const names = this.store.vehicleNames;
    if (names !== this.namesInOrder) [this.namesInOrder, this.ids] = [names, byPlate(names)];
    const { count, id } = this.store.vehicles;
    const nameless = [];
    for (let n = 0; n < count; n++) if (!names.has(id[n])) nameless.push(id[n]);
    return nameless.length ? [...nameless, ...this.ids] : this.ids;
  }

  #vehicle(id) { return this.store.known(id) ?? this.#silent(id); }

  #silent(id) {
    const [state, group] = this.store.isInSession(id) ? [2, "charging"] : [3, "offline"];
    return { id, soc: null, state, group, isLow: false, isRerouted: false, name: this.store.vehicleNames.get(id) };
  }

  #matches(id, group) {
    if (this.filter && group !== this.filter) return false;
    if (!this.query) return true;
    const { registration = "", driver = "", model = "" } = this.store.vehicleNames.get(id) ?? {};
    const squeeze = (text) => text.toLowerCase().replaceAll(" ", "");
    return squeeze(`${registration} ${driver} ${model}`).includes(squeeze(this.query));
  }

  #counts(all, counts) {
    byId("fleet-count").textContent = integer(all);
    for (const chip of document.querySelectorAll("[data-filter]")) chip.querySelector("b").textContent = integer(counts[chip.dataset.filter]);
  }

  #takeOver() {
    this.isReady = true;
    this.spacer = h("div", { style: "width:1px" });
    this.box.classList.add("virtual");
    this.box.replaceChildren(this.spacer);
  }

  get rowHeight() { return innerWidth <= 640 ? 60 : 54; }

  #paint() {
    if (!this.isReady) return;
    this.#measure();
    this.spacer.style.height = `${this.total}px`;
    const top = this.box.scrollTop;
    const first = this.tops.findLastIndex((at) => at <= top);
    const visible = [];
    for (let n = Math.max(0, first - SPARE_ROWS); n < this.items.length && this.tops[n] < top + this.box.clientHeight + SPARE_ROWS * 54; n++) visible.push(n);
    const held = this.slots.find((slot) => !slot.isGroup && slot.node.contains(document.activeElement));
    const heldAt = held ? this.items.findIndex((item) => !item.label && item.id === held.id) : -1;
    if (heldAt >= 0 && !visible.includes(heldAt)) visible.push(heldAt); // it may be out of sight, but not gone
    this.#recycle(visible);
    this.#nothing();
    if (held && heldAt < 0) this.box.focus({ preventScroll: true });
  }

  #measure() {
    let at = 0;
    const { rowHeight } = this; // asked once: the browser has to look at its window
    this.tops = this.items.map((item) => { const here = at; at += item.label ? GROUP_HEIGHT : rowHeight; return here; });
    this.total = at;
  }

  /** Keep nodes of rows still in sight, reuse the others. Focus stays where it is. */
  #recycle(visible) {
    const wanted = new Map(visible.map((n) => [keyOf(this.items[n]), n]));
    const free = [];
    for (const slot of this.slots) if (!wanted.has(slot.key)) free.push(slot);
    const held = new Map(this.slots.filter((slot) => wanted.has(slot.key)).map((slot) => [slot.key, slot]));
    for (const [key, n] of wanted) {
      const slot = held.get(key) ?? this.#slot(free, key);
      this.#fill(slot, this.items[n], n);
    }
    for (const slot of free) slot.node.remove();
    this.slots = this.slots.filter((slot) => !free.includes(slot));
    this.#order();
  }

  #slot(free, key) {
    const isGroup = key.startsWith("group");
    const place = free.findIndex((slot) => slot.isGroup === isGroup && !slot.node.contains(document.activeElement));
    const slot = place >= 0 ? free.splice(place, 1)[0] : this.#newSlot(isGroup);
    slot.key = key;
    slot.print = "";
    return slot;
  }

  #newSlot(isGroup) {
    const node = h("div", { class: "slot", role: isGroup ? null : "listitem" });
    const slot = { node, isGroup, key: "", print: "" };
    if (!isGroup) {
      slot.button = h("button", { class: "row", type: "button", onclick: () => this.onPick(slot.id) });
      node.append(slot.button);
    }
    this.box.append(node);
    this.slots.push(slot);
    return slot;
  }

  #fill(slot, item, n) {
    slot.node.style.transform = `translateY(${this.tops[n]}px)`;
    slot.top = this.tops[n];
    if (item.label) return this.#fillGroup(slot, item);
    slot.id = item.id;
    slot.node.setAttribute("aria-posinset", item.place);
    slot.node.setAttribute("aria-setsize", this.items.rows);
    slot.button.setAttribute("aria-pressed", String(this.store.selection.vehicle === item.id));
    return this.#fillRow(slot, this.#vehicle(item.id));
  }

  #fillGroup(slot, item) {
    const print = `${item.label}${item.count}`;
    if (slot.print === print) return;
    slot.print = print;
    slot.node.replaceChildren(h("div", { class: "grp" }, h("span", {}, item.label), h("span", { class: "num" }, integer(item.count))));
  }

  #fillRow(slot, vehicle) {
    const { title, soc, note } = describe(this.store, vehicle);
    const km = this.store.rangeKm(vehicle);
    const print = [title, soc, note, km, vehicle.group, vehicle.name?.soc_source].join("|");
    if (slot.print === print) return;
    slot.print = print;
    const [icon, tone] = LOOKS[vehicle.group];
    slot.button.replaceChildren(
      badge(icon, tone),
      h("span", { class: "n num cut" }, title),
      h("span", { class: "s cut" }, note),
      h("span", { class: `soc num ${tone === "bad" ? "bad" : ""}` }, source(vehicle), soc, km === null ? null : h("small", {}, t("km", { km: integer(km) }))),
      h("span", { class: `bar ${tone}`, style: `--tick:${boot.socLowPercent}%` }, h("i", { style: `width:${vehicle.soc ?? 0}%` })),
    );
  }

  /** Tab order follows the eye. */
  #order() {
    const sortedSlots = [...this.slots].sort((one, two) => one.top - two.top);
    let before = this.spacer;
    for (const { node } of sortedSlots) {
      if (before.nextSibling !== node && !node.contains(document.activeElement)) before.after(node);
      before = node;
    }
  }

  #nothing() {
    this.empty?.remove();
    if (this.items.length) return;
    this.empty = h("div", { class: "empty", role: "listitem" }, h("b", {}, t("emptyFilter")),
      h("button", { class: "btn", type: "button", onclick: () => { this.query = ""; byId("find").value = ""; this.setFilter(null); } }, t("clearFilter")));
    this.box.append(this.empty);
  }

  /** The vehicle `step` rows further; the selection when there is none is the first. */
  next(step) {
    const rows = this.items.filter((item) => !item.label);
    if (!rows.length) return null;
    const at = rows.findIndex((row) => row.id === this.store.selection.vehicle);
    return rows[Math.max(0, Math.min(rows.length - 1, at < 0 ? 0 : at + step))].id;
  }

  reveal(id) {
    const n = this.items.findIndex((item) => !item.label && item.id === id);
    if (n < 0 || !this.isReady) return;
    const top = this.tops[n] - GROUP_HEIGHT;
    const bottom = this.tops[n] + this.rowHeight;
    if (top < this.box.scrollTop) this.box.scrollTop = top;
    else if (bottom > this.box.scrollTop + this.box.clientHeight) this.box.scrollTop = bottom - this.box.clientHeight;
    this.#paint();
  }

  /** False when it is not in the list, or the list is not shown. */
  focusRow(id) {
    this.reveal(id);
    return focusAgain(this.slots.find((slot) => slot.id === id && !slot.isGroup)?.button);
  }
}

/** Who says so: the vehicle, a charger, the driver, or an estimate. */
function source(vehicle) {
  const name = vehicle.soc !== null && vehicle.name?.soc_source;
  return SOURCES[name] && h("span", { class: "src", title: t(`source.${name}`) }, icon(SOURCES[name]), h("span", { class: "vh" }, t(`source.${name}`)));
}

const keyOf = (item) => (item.label ? `group:${item.key}` : `row:${item.id}`);

/** Rows under the headings of their groups; what is in a row is looked up when it is in sight. */
function grouped(order) {
  const items = [];
  let heading = null;
  order.forEach(([id, group], n) => {
    if (group !== heading?.key) items.push(heading = { key: group, label: t(`group.${group}`, { percent: boot.socLowPercent }), count: 0 });
    heading.count++;
    items.push({ id, place: n + 1 });
  });
  items.rows = order.length;
  return items;
}

function numbered(order) {
  const items = order.map(([id], n) => ({ id, place: n + 1 }));
  items.rows = items.length;
  return items;
}
