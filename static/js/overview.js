// From afar: cells in place of vehicles and stations, each a count, who needs a person, and the free plugs below.
import { t } from "fc/boot";
import { canvasLayer } from "fc/canvas-layer";
import { WORST } from "fc/cells";
import { integer } from "fc/format";
import { cellBox, drawCell, toneOf } from "fc/sprites";

const NEARER = 2; // zoom levels with each click
const SPREAD = [0.34, 0.14]; // of the way from the middle of a cell to where its vehicles are: neighbours keep apart
const WHOLE = [1, 1];
const FADE_MS = 160;
const NAMES_MS = 120;

export class Overview {
  /** `map`: the live map it lies on. */
  constructor(map) {
    Object.assign(this, { map, store: map.store, drawn: [], pictures: 0, isOn: false });
    const pane = map.map.createPane("overview");
    Object.assign(pane.style, { zIndex: 415, pointerEvents: "none" });
    this.layer = canvasLayer({ pane: "overview", draw: (context, view) => this.#draw(context, view) }).addTo(map.map);
    this.store.on("cells", () => this.#changed());
  }

  redraw() { this.layer.redraw(); }

  #changed() {
    this.layer.redraw();
    if (this.pictures === this.store.cells.pictures) return;
    this.pictures = this.store.cells.pictures;
    clearTimeout(this.names); // they give way to cells, but need not hurry
    this.names = setTimeout(() => this.map.baseLayer?.redraw(), NAMES_MS);
    this.#turn(this.store.cells.size > 0);
  }

  /** What comes in place of the other appears softly. */
  #turn(isOn) {
    if (isOn === this.isOn) return;
    this.isOn = isOn;
    if (this.map.isStill) return;
    for (const name of isOn ? ["overview"] : ["vehicles", "stations"]) {
      this.map.map.getPane(name).animate([{ opacity: 0 }, { opacity: 1 }], { duration: FADE_MS, easing: "ease-out" });
    }
  }

  // --- drawing -----------------------------------------------------------------------------------------------------
  #draw(context, view) {
    this.drawn = [];
    if (this.map.past) return false; // cells tell of now
    const cells = [...this.store.cells.values()].filter((cell) => this.#parts(cell));
    cells.sort((one, two) => one.worst - two.worst || one.vehicles - two.vehicles); // who needs somebody lies on top
    for (const cell of cells) this.#drawCell(context, cell, view);
    return this.drawn.length > 0;
  }

  /** What of a cell is shown, by the layers that are switched on; null: nothing. */
  #parts({ vehicles, sites, free }) {
    const { layers } = this.map;
    const hasFleet = layers.vehicles && vehicles > 0;
    const hasSites = layers.stations && sites > 0 && !(layers.freeOnly && !free);
    return hasFleet || hasSites ? { hasFleet, hasSites } : null;
  }

  #drawCell(context, cell, view) {
    const [x, y] = placeOf(cell).map((part) => part * view.scale);
    const look = this.#look(cell);
    const box = cellBox(look).map((edge, side) => edge + (side % 2 ? y - view.top : x - view.left));
    if (box[2] < 0 || box[3] < 0 || box[0] > view.width || box[1] > view.height) return;
    drawCell(context, x - view.left, y - view.top, look, view.ratio);
    this.drawn.push({ cell, box, left: view.left, top: view.top });
  }

  /** Words and shapes of a cell; everything that decides how its sprite looks. */
  #look(cell) {
    const { hasFleet, hasSites } = this.#parts(cell);
    const isKnown = cell.worstSite !== 4;
    return {
      count: hasFleet ? integer(cell.vehicles) : "", needing: hasFleet && cell.needing ? short(cell.needing) : "",
      worst: hasFleet ? cell.worst : WORST.NOBODY, plugs: hasSites ? (isKnown ? `${short(cell.free)}/${short(cell.plugs)}` : `–/${short(cell.plugs)}`) : "",
      tone: toneOf(cell.worstSite), isLive: cell.isLive,
    };
  }

  // --- pointing ----------------------------------------------------------------------------------------------------
  /** The cell at a point of the world in pixels. */
  at({ x, y }) {
    const found = this.drawn.findLast(({ box, left, top }) => x - left >= box[0] && x - left <= box[2] && y - top >= box[1] && y - top <= box[3]);
    return found?.cell ?? null;
  }

  tip(cell) {
    const { hasFleet, hasSites } = this.#parts(cell);
    const fleet = t(cell.needing ? "cell.needing" : "cell.fleet", { count: integer(cell.vehicles), needing: integer(cell.needing) });
    const sites = t("cell.sites", { sites: integer(cell.sites), free: integer(cell.free), plugs: integer(cell.plugs) });
    return hasFleet ? [fleet, hasSites ? sites : t("cell.closer")] : [sites, t("cell.closer")];
  }

  /** Closer, until it is told what the cell is made of. */
  enter(cell) {
    const [x, y] = placeOf(cell, WHOLE);
    this.map.goTo(geographic(x, y), Math.min(18, Math.floor(this.map.map.getZoom()) + NEARER));
  }

  /** Does a cell with vehicles lie there? */
  hasFleetIn(bounds) {
    return [...this.store.cells.values()].some((cell) => {
      const { latitude, longitude } = geographic(...placeOf(cell, WHOLE));
      return cell.vehicles > 0 && bounds.contains([latitude, longitude]);
    });
  }
}

/** On the unit Mercator square. */
function placeOf({ x, y, size, at }, spread = SPREAD) {
  return [x + (0.5 + (at[0] - 0.5) * spread[0]) * size, y + (0.5 + (at[1] - 0.5) * spread[1]) * size];
}

const geographic = (x, y) => ({ longitude: x * 360 - 180, latitude: (Math.atan(Math.sinh(Math.PI * (1 - 2 * y))) * 180) / Math.PI });

/** At most four characters; the exact figure is in the tip. */
function short(count) {
  if (count < 1000) return String(count);
  return count < 9950 ? `${(count / 1000).toFixed(1)}k` : `${Math.round(count / 1000)}k`;
}
