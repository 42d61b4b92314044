// Street tiles of our own server (docs/ui.md): fetched for what is in view, decoded once, drawn as paths.
import { t } from "fc/boot";
import { readTile } from "fc/vector-tile";

const KEPT_TILES = 160;
const AT_ONCE = 6;
const RETRY_MS = 5000;
const ROADS = [ // by class: widths in pixels at zoom 14, and tokens
  { wide: 8, token: "--m-highway", edge: "--m-highway-case" },
  { wide: 6.4, token: "--m-highway", edge: "--m-highway-case" },
  { wide: 5, token: "--m-road", edge: "--m-case" },
  { wide: 4, token: "--m-road", edge: "--m-case" },
  { wide: 2.6, token: "--m-minor", edge: "--m-case" },
  { wide: 1.6, token: "--m-minor", edge: "--m-case" },
];
const CASED_FROM_ZOOM = 11;

export class StreetTiles {
  /** `onChange` is called when there is more to draw. */
  constructor(onChange) {
    this.onChange = onChange;
    this.about = null; // null until the server has said, and where it has no tiles
    this.tiles = new Map(); // by "z/x/y", the longest unused first; null while on its way
    this.waiting = new Set();
    this.isTold = false;
    this.onItsWay = 0;
  }

  async begin() {
    try {
      const about = await (await fetch("/basemap/")).json();
      if (!about.version) return;
      this.about = about;
      this.onChange();
    } catch { /* without it the page draws its own ground */ }
  }

  /** Are there tiles for the middle of what is in view? */
  covers({ scale, left, top, width, height, zoom }) {
    if (!this.about || zoom < this.about.first_zoom - 0.5) return false;
    const [west, south, east, north] = this.about.bounds;
    const longitude = ((left + width / 2) / scale) * 360 - 180;
    const latitude = (Math.atan(Math.sinh(Math.PI * (1 - (2 * (top + height / 2)) / scale))) * 180) / Math.PI;
    return longitude >= west && longitude <= east && latitude >= south && latitude <= north;
  }

  /** Names what is drawn; whose data it is, also where room is short. */
  tell(isShown) {
    if (isShown === this.isTold) return;
    this.isTold = isShown;
    const line = document.querySelector(".attr");
    const pill = document.querySelector("#basemap-name > span");
    line.dataset.schematic ??= line.textContent;
    line.textContent = isShown ? this.about.attribution : line.dataset.schematic;
    line.toggleAttribute("data-owed", isShown);
    if (pill) pill.textContent = t(isShown ? "baseTiles" : "baseSchematic");
  }

  /** Paints what is there, and gives back the names to be written, the greatest first. */
  draw(context, view, { colour, areStreetsShown }) {
    const placed = this.#inView(view);
    for (const token of ["green", "water"]) {
      for (const { tile, left, top, unit } of placed) fillIn(context, tile[token], left, top, unit, colour(`--m-${token === "green" ? "park" : "water"}`));
    }
    if (areStreetsShown) this.#roads(context, view, placed, colour);
    return placed.flatMap(({ tile, left, top, unit }) => tile.places.map(({ x, y, name, rank }) => ({ x: left + x * unit, y: top + y * unit, name, rank })))
      .sort((one, two) => one.rank - two.rank);
  }

  /** Small roads first, each class with its casing below it: crossings stay open. */
  #roads(context, view, placed, colour) {
    const grow = Math.min(3, Math.max(0.22, 2 ** ((view.zoom - 14) * 0.55)));
    for (let n = ROADS.length - 1; n >= 0; n--) {
      const { wide, token, edge } = ROADS[n];
      const width = Math.max(0.7, wide * grow);
      if (view.zoom >= CASED_FROM_ZOOM) for (const each of placed) strokeIn(context, each, n, width + 1.6, colour(edge));
      for (const each of placed) strokeIn(context, each, n, width, colour(view.zoom < CASED_FROM_ZOOM && n > 1 ? edge : token));
    }
  }

  /** The tiles that are there, and where; what is missing is asked for. */
  #inView(view) {
    const zoom = Math.max(this.about.first_zoom, Math.min(this.about.last_zoom, Math.round(view.zoom)));
    const size = view.scale / 2 ** zoom;
    const last = 2 ** zoom - 1;
    const span = (start, length) => [Math.max(0, Math.floor(start / size)), Math.min(last, Math.floor((start + length) / size))];
    const [x1, x2] = span(view.left, view.width);
    const [y1, y2] = span(view.top, view.height);
    const placed = [];
    this.waiting.clear();
    for (let x = x1; x <= x2; x++) {
      for (let y = y1; y <= y2; y++) {
        const tile = this.#tile(`${zoom}/${x}/${y}`);
        if (tile) placed.push({ tile, left: x * size - view.left, top: y * size - view.top, unit: size / tile.extent });
      }
    }
    this.#fetchMore();
    return placed;
  }

  #tile(key) {
    const tile = this.tiles.get(key);
    if (tile === undefined) this.waiting.add(key);
    else { this.tiles.delete(key); this.tiles.set(key, tile); }
    return tile;
  }

  #fetchMore() {
    for (const key of this.waiting) {
      if (this.onItsWay >= AT_ONCE) return;
      this.waiting.delete(key);
      this.tiles.set(key, null);
      this.#fetch(key);
    }
  }

  async #fetch(key) {
    this.onItsWay++;
    try {
      const answer = await fetch(`/basemap/${this.about.version}/${key}.mvt`);
      if (answer.status === 200 || answer.status === 204) this.tiles.set(key, readTile(answer.status === 204 ? new ArrayBuffer(0) : await answer.arrayBuffer()));
    } catch {
      setTimeout(() => { this.tiles.delete(key); this.onChange(); }, RETRY_MS);
    }
    this.onItsWay--;
    for (const old of this.tiles.keys()) { if (this.tiles.size <= KEPT_TILES) break; this.tiles.delete(old); }
    this.#fetchMore();
    this.onChange();
  }
}

function fillIn(context, path, left, top, unit, colour) {
  context.save();
  context.translate(left, top);
  context.scale(unit, unit);
  context.fillStyle = colour;
  context.fill(path, "evenodd");
  context.restore();
}

function strokeIn(context, { tile, left, top, unit }, roadClass, width, colour) {
  const path = tile.roads[roadClass];
  if (!path) return;
  context.save();
  context.translate(left, top);
  context.scale(unit, unit);
  context.strokeStyle = colour;
  context.lineWidth = width / unit;
  context.stroke(path);
  context.restore();
}
