// A view that is kept: which part of the map, which layers, which part of the list. All of it is in the address.
import { byId } from "fc/dom";

export class Views {
  constructor({ map, list }) {
    Object.assign(this, { map, list });
    byId("keep").addEventListener("submit", () => { byId("keep").elements.query.value = this.address(); });
  }

  /** What stands behind `#`. */
  address() {
    const { lat, lng } = this.map.map.getCenter();
    const off = [...boxes()].filter((box) => !box.checked).map((box) => box.dataset.layer);
    return new URLSearchParams({ view: [lat.toFixed(5), lng.toFixed(5), this.map.map.getZoom()].join(), list: this.list.filter ?? "", sort: this.list.sort, off: off.join() }).toString();
  }

  show(wish) {
    const [latitude, longitude, zoom] = wish.get("view").split(",").map(Number);
    if ([latitude, longitude, zoom].every(Number.isFinite)) this.map.map.setView([latitude, longitude], zoom, { animate: false });
    this.map.hasFound = true; // the fleet is not looked for any more
    const off = (wish.get("off") ?? "").split(",");
    for (const box of boxes()) if (box.checked === off.includes(box.dataset.layer)) box.click();
    const sort = byId("sort");
    if ([...sort.options].some((option) => option.value === wish.get("sort"))) { sort.value = wish.get("sort"); sort.dispatchEvent(new Event("change")); }
    const isGroup = document.querySelector(`[data-filter="${CSS.escape(wish.get("list") || "-")}"]`);
    this.list.setFilter(isGroup ? wish.get("list") : null);
  }
}

const boxes = () => document.querySelectorAll("[data-layer]");
