// Ctrl K: finds vehicles and stations in milliseconds, locally, and acts on them.
import { boot, t } from "fc/boot";
import { badge, byId, h } from "fc/dom";
import { integer } from "fc/format";
import { LOOKS, describe } from "fc/notes";
import { toneOf } from "fc/sprites";

const PER_SECTION = 6;
const NEAR_SOC = 30;
const fold = (text) => (text ?? "").toLowerCase().normalize("NFD").replace(/[\u0300-\u036f\s]/g, "");

export class Palette {
  constructor({ store, commands, onVehicle, onStation, onReserve }) {
    Object.assign(this, { store, commands, onVehicle, onStation, onReserve });
    this.dialog = byId("palette");
    this.input = byId("palette-query");
    this.hits = [];
    this.selected = 0;
    this.pick = null;
    this.input.addEventListener("input", () => this.#search());
    this.input.addEventListener("keydown", (event) => this.#key(event));
    this.dialog.addEventListener("click", (event) => { if (event.target === this.dialog) this.dialog.close(); });
    this.dialog.addEventListener("close", () => { this.pick = null; });
    store.on("names", () => this.#refresh());
  }

  /** With `pick`, only vehicles are listed and the chosen one goes to it. */
  open(pick = null) {
    this.pick = pick;
    this.input.value = "";
    this.input.placeholder = pick ? t("pickVehicle") : t("find");
    if (!this.dialog.open) this.dialog.showModal();
    this.input.focus();
    this.#search();
  }

  /** Whoever opened it before the fleet had come finds it as soon as it has. */
  #refresh() {
    if (!this.dialog.open) return;
    const { selected } = this;
    this.#search();
    this.selected = Math.max(0, Math.min(selected, this.hits.length - 1));
    this.#mark();
  }

  #search() {
    const started = performance.now();
    const query = fold(this.input.value);
    const sections = this.pick ? [[t("vehicles"), this.#vehicles(query)]] : [
      [t("stations"), this.#stations(query)], [t("vehicles"), this.#vehicles(query)], [t("actions"), this.#actions(query)],
    ];
    this.hits = sections.flatMap(([, hits]) => hits);
    this.selected = 0;
    this.#draw(sections);
    const count = this.store.vehicleNames.size + this.store.stationNames.size;
    byId("palette-count").textContent = t("found", { count: integer(count), ms: Math.max(1, Math.round(performance.now() - started)) });
  }

  #stations(query) {
    const found = query ? best(this.store.stationNames.values(), query, (one) => [one.name, one.network, one.address, one.city, one.public_id]) : [];
    return found.map((name) => {
      const station = this.store.station(name.id);
      const free = station?.free === null ? (this.store.isPart ? "" : t("noFree")) : t("freeOf", { free: station.free, total: station.total });
      return { icon: "plug", tone: toneOf(station?.worst ?? 4), title: name.name, detail: [name.network, free].filter(Boolean).join(" · "), hint: t("open"), station: name.id, run: () => this.onStation(name.id) };
    });
  }

  #vehicles(query) {
    const all = this.store.vehicleNames.values();
    const found = query ? best(all, query, (one) => [one.registration, one.driver, one.model])
      : [...all].map((name) => this.store.known(name.id)).filter((vehicle) => vehicle?.isLow).slice(0, PER_SECTION).map((vehicle) => vehicle.name);
    return found.map((name) => {
      const vehicle = this.store.known(name.id);
      const [icon, tone] = LOOKS[vehicle?.group ?? "offline"];
      const { soc } = describe(this.store, vehicle);
      return { icon, tone, title: name.registration, detail: [name.driver, soc].filter(Boolean).join(" · "), hint: this.pick ? "" : t("follow"),
        run: () => (this.pick ? this.pick(name.id) : this.onVehicle(name.id)) };
    });
  }

  #actions(query) {
    const station = query ? this.#firstStation(query) : null;
    const isFar = this.store.cells.size > 0; // who is near is not known then
    const about = station && boot.canDispatch ? [
      ...(isFar ? [] : [{ icon: "route", tone: "off", title: t("sendNearest", { percent: NEAR_SOC, name: station.name }), run: () => this.onReserve({ station: station.id, nearestBelow: NEAR_SOC }) }]),
      { icon: "clock", tone: "off", title: t("reserveAt", { name: station.name }), key: "R", run: () => this.onReserve({ station: station.id }) },
    ] : [];
    const general = this.commands.filter((command) => !query || fold(command.title).includes(query)).map((command) => ({ icon: "more", tone: "off", ...command }));
    return [...about, ...general].slice(0, PER_SECTION);
  }

  #firstStation(query) { return best(this.store.stationNames.values(), query, (one) => [one.name])[0]; }

  #draw(sections) {
    const rows = [];
    let n = 0;
    for (const [title, hits] of sections) {
      if (!hits.length) continue;
      rows.push(h("div", { role: "group", "aria-label": title }, h("div", { class: "sec", "aria-hidden": "true" }, title), hits.map((hit) => this.#option(hit, n++))));
    }
    if (!n) rows.push(h("div", { class: "empty" }, h("b", {}, t("nothing", { query: this.input.value }))));
    byId("palette-hits").replaceChildren(...rows);
    this.#mark();
  }

  #option(hit, n) {
    return h("div", { class: "po", role: "option", id: `hit-${n}`, "aria-selected": "false", onclick: () => this.#run(n), onmousemove: () => { this.selected = n; this.#mark(); } },
      badge(hit.icon, hit.tone), h("span", { class: "cut num" }, h("b", {}, ...this.#lit(hit.title)), hit.detail ? ` ${hit.detail}` : ""),
      h("em", {}, hit.hint ?? "", hit.key ? h("kbd", {}, hit.key) : null));
  }

  /** The title with what was typed in colour. */
  #lit(title) {
    const query = this.input.value.trim();
    const at = query ? title.toLowerCase().indexOf(query.toLowerCase()) : -1;
    return at < 0 ? [title] : [title.slice(0, at), h("mark", {}, title.slice(at, at + query.length)), title.slice(at + query.length)];
  }

  #mark() {
    for (const option of this.dialog.querySelectorAll("[role=option]")) option.setAttribute("aria-selected", String(option.id === `hit-${this.selected}`));
    const chosen = byId(`hit-${this.selected}`);
    chosen?.scrollIntoView({ block: "nearest" });
    if (chosen) this.input.setAttribute("aria-activedescendant", chosen.id);
    else this.input.removeAttribute("aria-activedescendant");
  }

  #key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && this.hits.length) {
      event.preventDefault();
      this.selected = (this.selected + step + this.hits.length) % this.hits.length;
      this.#mark();
    } else if (event.key === "Enter") {
      event.preventDefault();
      this.#run(this.selected);
    }
  }

  #run(n) {
    const hit = this.hits[n];
    if (!hit) return;
    const run = hit.run; // closing forgets `pick`, which run may need
    const pick = this.pick;
    this.dialog.close();
    this.pick = pick;
    run();
    this.pick = null;
  }
}

/** Names that start with the query before names that contain it. */
function best(all, query, texts) {
  const starts = [];
  const contains = [];
  for (const one of all) {
    const folded = texts(one).map(fold);
    if (folded.some((text) => text.startsWith(query))) starts.push(one);
    else if (folded.some((text) => text.includes(query))) contains.push(one);
    if (starts.length >= PER_SECTION) break;
  }
  return [...starts, ...contains].slice(0, PER_SECTION);
}
