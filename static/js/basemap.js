// The ground of every map, a ladder: street tiles of our own server where it has them; below and beside them India, its
// states and places; and around Bengaluru, where the demo drives, a city of hand-placed roads. No outside request.
import { HIGHWAYS, LAKES, METRO, PARKS, PLACES, ROADS } from "fc/basemap-data";
import { Credits } from "fc/credits";
import { Ground } from "fc/ground";
import { StreetTiles } from "fc/street-tiles";
import { mercatorX, mercatorY } from "fc/table";
import { colour } from "fc/theme";

const REFERENCE_ZOOM = 12.05; // sizes below are pixels at this zoom
const CITY_ZOOM = 10;
const LOCALITIES_ZOOM = 10.6;
const CITY = { west: 77.34, south: 12.76, east: 77.86, north: 13.22 }; // what is hand-placed
const STREETS_ZOOM = 11.2;
const unit = ([latitude, longitude]) => [mercatorX(longitude), mercatorY(latitude)];
const lines = (set) => set.map((line) => line.map(unit));
const shapes = { highways: lines(HIGHWAYS), roads: lines(ROADS), metro: lines(METRO) };

function randomFrom(seed) {
  let state = seed;
  return () => (state = (state * 1664525 + 1013904223) >>> 0) / 4294967296;
}

/** Built-up cells with their minor streets, the same on every machine. */
function buildBlocks() {
  const random = randomFrom(7);
  const blocks = [];
  for (let latitude = 12.83; latitude < 13.13; latitude += 0.017) {
    for (let longitude = 77.43; longitude < 77.83; longitude += 0.018) {
      const far = Math.hypot(latitude - 12.965, (longitude - 77.6) * 0.97);
      if (far >= 0.15 + random() * 0.05) continue;
      const place = unit([latitude + (random() - 0.5) * 0.008, longitude + (random() - 0.5) * 0.008]);
      blocks.push({ place, angle: (random() * Math.PI) / 2, streets: buildStreets(random, far < 0.07 ? 9 : 12) });
    }
  }
  return blocks;
}

function buildStreets(random, gap) {
  const streets = [];
  for (let at = -26; at <= 26; at += gap) {
    const before = 24 + random() * 7;
    const after = 24 + random() * 7;
    if (random() < 0.88) streets.push([-before, at, after, at]);
    if (random() < 0.88) streets.push([at, -before, at, after]);
  }
  return streets;
}
const blocks = buildBlocks();

export class Basemap {
  /** `onChange` is called when there is more to draw. */
  constructor(onChange) {
    this.show = { streets: true, labels: true };
    this.boxes = () => []; // what names must not cover, in canvas pixels
    this.ground = new Ground(onChange);
    this.tiles = new StreetTiles(onChange);
    this.credits = new Credits();
    document.fonts?.addEventListener("loadingdone", () => onChange()); // names were written in another font until now
  }

  draw(context, view) {
    context.lineJoin = context.lineCap = "round";
    const isOutlined = this.ground.draw(context, view, colour);
    const tiled = this.tiles.box(view);
    const city = !tiled && view.zoom > CITY_ZOOM ? cityBox(view) : null;
    const streets = tiled ? this.tiles.draw(context, view, { colour, areStreetsShown: this.show.streets }) : [];
    if (city) this.#drawCity(context, view);
    const local = city && view.zoom > LOCALITIES_ZOOM ? localities(view) : streets.map(asName);
    const places = this.show.labels ? this.ground.names(view).filter((place) => !local.length || !holds(tiled ?? city, place)) : [];
    if (this.show.labels) this.#names(context, view, [...local, ...places]);
    this.credits.tell({ tiles: tiled && this.tiles.about.attribution, city, outline: isOutlined, places: places.length > 0 });
  }

  #drawCity(context, view) {
    const at = ([x, y]) => [x * view.scale - view.left, y * view.scale - view.top];
    const grow = 2 ** (view.zoom - REFERENCE_ZOOM);
    const sees = ([x, y], margin) => x > -margin && y > -margin && x < view.width + margin && y < view.height + margin;
    if (this.show.streets) this.#blocks(context, at, grow, sees);
    this.#blobs(context, at, PARKS, grow, "--m-park");
    if (this.show.streets && view.zoom > STREETS_ZOOM) this.#streets(context, at, grow, sees);
    this.#blobs(context, at, LAKES, grow, "--m-water");
    const wide = Math.min(2.2, Math.max(0.35, grow ** 0.6));
    stroke(context, at, shapes.roads, "--m-case", 5 * wide, "--m-road", 3.4 * wide);
    stroke(context, at, shapes.highways, "--m-highway-case", 7.2 * wide, "--m-highway", 5 * wide);
    metro(context, at, wide);
  }

  #names(context, view, names) {
    const taken = this.boxes(view);
    context.textAlign = "center";
    for (const { x, y, name, isMain } of names) write(context, [x, y], name, isMain, taken);
  }

  #blocks(context, at, grow, sees) {
    context.fillStyle = colour("--m-block");
    for (const { place, angle } of blocks) {
      const spot = at(place);
      if (sees(spot, 40 * grow)) turned(context, spot, angle, grow, () => context.fillRect(-26, -26, 52, 52));
    }
  }

  #streets(context, at, grow, sees) {
    context.strokeStyle = colour("--m-minor");
    context.lineWidth = 1.1 / Math.max(0.5, grow ** 0.5);
    for (const { place, angle, streets } of blocks) {
      const spot = at(place);
      if (!sees(spot, 48 * grow)) continue;
      turned(context, spot, angle, grow, () => {
        context.beginPath();
        for (const [x1, y1, x2, y2] of streets) { context.moveTo(x1, y1); context.lineTo(x2, y2); }
        context.stroke();
      });
    }
  }

  #blobs(context, at, set, grow, token) {
    context.fillStyle = colour(token);
    for (const [latitude, longitude, width, height, angle] of set) {
      turned(context, at(unit([latitude, longitude])), -angle, grow, () => {
        context.beginPath();
        for (let step = 0; step <= 24; step++) {
          const turn = (step / 24) * 2 * Math.PI;
          const wave = 1 + 0.16 * Math.sin(3 * turn + height * 99) + 0.09 * Math.sin(5 * turn + width * 77);
          context.lineTo(Math.cos(turn) * width * wave * 30, Math.sin(turn) * height * wave * 30);
        }
        context.fill();
      });
    }
  }
}

const asName = ({ x, y, name, rank }) => ({ x, y, name, isMain: rank < 2 });
const holds = (box, { x, y }) => x > box[0] && y > box[1] && x < box[2] && y < box[3];

/** Where on the canvas the hand-placed city is; null when it is out of view. */
function cityBox({ scale, left, top, width, height }) {
  const [x1, y1] = unit([CITY.north, CITY.west]);
  const [x2, y2] = unit([CITY.south, CITY.east]);
  const box = [x1 * scale - left, y1 * scale - top, x2 * scale - left, y2 * scale - top];
  return box[0] < width && box[1] < height && box[2] > 0 && box[3] > 0 ? box : null;
}

function localities(view) {
  return PLACES.map(([name, latitude, longitude, isMain]) => {
    const [x, y] = unit([latitude, longitude]);
    return { x: x * view.scale - view.left, y: y * view.scale - view.top, name, isMain: Boolean(isMain) };
  });
}

function turned(context, [x, y], angle, grow, paint) {
  context.save();
  context.translate(x, y);
  context.rotate(angle);
  context.scale(grow, grow);
  paint();
  context.restore();
}

/** A line through the points, rounded at its bends. */
export function trace(context, points, at) {
  context.beginPath();
  points.forEach((point, place) => {
    const [x, y] = at(point);
    if (place === 0) context.moveTo(x, y);
    else if (place < points.length - 1) {
      const [nextX, nextY] = at(points[place + 1]);
      context.quadraticCurveTo(x, y, (x + nextX) / 2, (y + nextY) / 2);
    } else context.lineTo(x, y);
  });
}

function stroke(context, at, set, caseToken, caseWidth, token, width) {
  for (const [name, size] of [[caseToken, caseWidth], [token, width]]) {
    context.strokeStyle = colour(name);
    context.lineWidth = size;
    for (const line of set) { trace(context, line, at); context.stroke(); }
  }
}

function metro(context, at, wide) {
  context.save();
  context.setLineDash([7, 5]);
  context.strokeStyle = colour("--m-metro");
  context.lineWidth = 1.6 * wide;
  context.globalAlpha = 0.7;
  for (const line of shapes.metro) { trace(context, line, at); context.stroke(); }
  context.restore();
}

const SHIFTS = [[0, 0], [0, 15], [0, -18], [0, 28], [0, -30], [0, 42]];

/** The name at the first spot that covers nothing; else nowhere. */
function write(context, [x, y], name, isMain, taken) {
  context.font = `${isMain ? 600 : 500} ${isMain ? 12.5 : 11.5}px Inter, "Noto Sans Devanagari", system-ui, sans-serif`;
  const half = context.measureText(name).width / 2 + 4;
  for (const [dx, dy] of [...SHIFTS, [half + 12, 4], [-half - 12, 4]]) {
    const box = [x + dx - half, y + dy - 12, x + dx + half, y + dy + 4];
    if (taken.some((other) => other[0] < box[2] && other[2] > box[0] && other[1] < box[3] && other[3] > box[1])) continue;
    taken.push(box);
    context.lineWidth = 3.4;
    context.strokeStyle = colour("--m-halo");
    context.strokeText(name, x + dx, y + dy);
    context.fillStyle = colour("--m-label");
    context.fillText(name, x + dx, y + dy);
    return;
  }
}
