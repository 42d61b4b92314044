// Street tiles of our own server (docs/ui.md): fetched for what is in view, decoded once, drawn as paths.
import { Patience } from "fc/patience";
import { mercatorX, mercatorY } from "fc/table";
import { readTile } from "fc/vector-tile";

const KEPT_TILES = 160;
const AT_ONCE = 6;
const ROADS = [ // by class: widths in pixels at zoom 14, and tokens
  { wide: 8, token: "--m-highway", edge: "--m-highway-case" },
  { wide: 6.4, token: "--m-highway", edge: "--m-highway-case" },
  { wide: 5, token: "--m-road", edge: "--m-case" },
  { wide: 4, token: "--m-road", edge: "--m-case" },
  { wide: 2.6, token: "--m-minor", edge: "--m-case" },
  { wide: 1.6, token: "--m-minor", edge: "--m-case" },
];
const CASED_FROM_ZOOM = 11;
const BUILDINGS_ZOOM = 13.5;
const isHindi = document.documentElement.lang.startsWith("hi");

export class StreetTiles {
  /** `onChange` is called when there is more to draw. */
  constructor(onChange) {
    this.onChange = onChange;
    this.about = null; // null until the server has said, and where it has no tiles
    this.tiles = new Map(); // by "z/x/y", the longest unused first; null while on its way
    this.waiting = new Set();
    this.onItsWay = 0;
    this.patience = new Patience();
  }

  async begin() {
    try {
      const answer = await fetch("/basemap/");
      if (!answer.ok) throw new Error(answer.status);
      const about = await answer.json();
      this.patience.forget();
      if (!about.version) return;
      this.about = about;
      this.onChange();
    } catch { this.patience.rest(() => this.begin()); }
  }

  /** Where on the canvas tiles are, if they can be seen at all: `[left, top, right, bottom]`. */
  box({ scale, left, top, width, height, zoom }) {
    if (!this.about || zoom < this.about.first_zoom - 0.5) return null;
    const [west, south, east, north] = this.about.bounds;
    const box = [mercatorX(west) * scale - left, mercatorY(north) * scale - top, mercatorX(east) * scale - left, mercatorY(south) * scale - top];
    return box[0] < width && box[1] < height && box[2] > 0 && box[3] > 0 ? box : null;
  }

  /** Paints what is there, and gives back the names to be written, the greatest first. */
  draw(context, view, { colour, areStreetsShown }) {
    const placed = this.#inView(view);
    for (const token of ["green", "water"]) {
      for (const { tile, left, top, unit } of placed) fillIn(context, tile[token], left, top, unit, colour(`--m-${token === "green" ? "park" : "water"}`));
    }
    if (areStreetsShown && view.zoom >= BUILDINGS_ZOOM) this.#buildings(context, placed, colour);
    if (areStreetsShown) this.#roads(context, view, placed, colour);
    return placed.flatMap((each) => each.tile.places.map((place) => written(place, each))).sort((one, two) => one.rank - two.rank);
  }

  #buildings(context, placed, colour) {
    for (const each of placed) {
      fillIn(context, each.tile.buildings, each.left, each.top, each.unit, colour("--m-block"));
      strokeIn(context, each, each.tile.buildings, 0.7, colour("--m-case"));
    }
  }

  /** Small roads first, each class with its casing below it: crossings stay open. */
  #roads(context, view, placed, colour) {
    const grow = Math.min(3, Math.max(0.22, 2 ** ((view.zoom - 14) * 0.55)));
    for (let n = ROADS.length - 1; n >= 0; n--) {
      const { wide, token, edge } = ROADS[n];
      const width = Math.max(0.7, wide * grow);
      if (view.zoom >= CASED_FROM_ZOOM) for (const each of placed) strokeIn(context, each, each.tile.roads[n], width + 1.6, colour(edge));
      for (const each of placed) strokeIn(context, each, each.tile.roads[n], width, colour(view.zoom < CASED_FROM_ZOOM && n > 1 ? edge : token));
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
      if (this.onItsWay >= AT_ONCE || this.patience.isResting) return;
      this.waiting.delete(key);
      this.tiles.set(key, null);
      this.#fetch(key);
    }
  }

  async #fetch(key) {
    this.onItsWay++;
    try {
      const answer = await fetch(`/basemap/${this.about.version}/${key}.mvt`);
      if (!answer.ok && answer.status !== 404) throw new Error(answer.status);
      this.tiles.set(key, decoded(answer.status === 200 ? await answer.arrayBuffer() : new ArrayBuffer(0)));
      this.patience.forget();
    } catch {
      this.tiles.delete(key); // it is asked for again when the map is drawn after the rest
      this.patience.rest(this.onChange);
    }
    this.onItsWay--;
    for (const old of this.tiles.keys()) { if (this.tiles.size <= KEPT_TILES) break; this.tiles.delete(old); }
    this.#fetchMore();
    this.onChange();
  }
}

/** A tile that cannot be read stays empty: asking again brings the same bytes. */
function decoded(bytes) {
  try { return readTile(bytes); } catch { return readTile(new ArrayBuffer(0)); }
}

function written({ x, y, name, hindi, rank }, { left, top, unit }) {
  return { x: left + x * unit, y: top + y * unit, name: (isHindi && hindi) || name, rank };
}

function fillIn(context, path, left, top, unit, colour) {
  context.save();
  context.translate(left, top);
  context.scale(unit, unit);
  context.fillStyle = colour;
  context.fill(path, "evenodd");
  context.restore();
}

function strokeIn(context, { left, top, unit }, path, width, colour) {
  if (!path) return;
  context.save();
  context.translate(left, top);
  context.scale(unit, unit);
  context.strokeStyle = colour;
  context.lineWidth = width / unit;
  context.stroke(path);
  context.restore();
}
