// India, its states, the land around it and names of places, bundled: the ground wherever no street tiles are.
import { Patience } from "fc/patience";
import { mercatorX, mercatorY } from "fc/table";

const COAST_ZOOM = 10.75; // nearer, a coast thinned to a kilometre would put streets into the sea
const NAMED_FROM = [0, 4.75, 6, 7.25, 8.25]; // by rank: the zoom from which its places are named
const MOST_NAMES = 90;
const SIDE = 2 ** 20; // of the square that paths are kept on: lines as thin as a millionth would be lost
const isHindi = document.documentElement.lang.startsWith("hi");

export class Ground {
  /** `onChange` is called when there is more to draw. */
  constructor(onChange) {
    this.onChange = onChange;
    this.shapes = null;
    this.places = [];
    this.hasBegun = false;
    this.patience = new Patience();
  }

  /** Paints sea, land and India; true when a boundary can be seen. */
  draw(context, view, colour) {
    if (!this.hasBegun) this.#begin();
    if (!this.shapes || view.zoom > COAST_ZOOM) return false;
    context.fillStyle = colour("--m-water");
    context.fillRect(0, 0, view.width, view.height);
    context.save();
    context.translate(-view.left, -view.top);
    context.scale(view.scale / SIDE, view.scale / SIDE);
    this.#paint(context, SIDE / view.scale, colour);
    context.restore();
    return true;
  }

  #paint(context, pixel, colour) {
    const { land, india, states } = this.shapes;
    context.fillStyle = colour("--m-abroad");
    context.fill(land);
    context.fillStyle = colour("--m-land");
    context.fill(india, "evenodd");
    context.lineWidth = pixel;
    context.strokeStyle = colour("--m-state");
    context.stroke(states);
    context.lineWidth = 1.5 * pixel;
    context.strokeStyle = colour("--m-border");
    context.stroke(india);
  }

  /** What may be written, the greatest first: `{x, y, name, isMain}` on the canvas. */
  names(view) {
    const seen = [];
    for (const place of this.places) {
      if (view.zoom < NAMED_FROM[place.rank] || seen.length === MOST_NAMES) break;
      const x = place.x * view.scale - view.left;
      const y = place.y * view.scale - view.top;
      if (x > 0 && y > 0 && x < view.width && y < view.height) seen.push({ x, y, name: place.name, isMain: place.rank < 2 });
    }
    return seen;
  }

  /** Once, when a map first needs it; until it has come, the map is plain land. */
  async #begin() {
    this.hasBegun = true;
    const { failures } = this.patience;
    try {
      const [ground, places] = await Promise.all(failures ? [again("india", failures), again("places", failures)] : [import("fc/india"), import("fc/places")]);
      this.shapes = readGround(ground.default);
      this.places = places.default.map(readPlace);
    } catch { return this.patience.rest(() => this.#begin()); }
    return this.onChange?.();
  }
}

/** By another address: some browsers keep in mind that a module did not come, and never ask for it again. */
const again = (name, time) => import(`${import.meta.resolve(`fc/${name}`)}?again=${time}`);

function readPlace([english, hindi, latitude, longitude, rank]) {
  return { x: mercatorX(longitude), y: mercatorY(latitude), name: (isHindi && hindi) || english, rank };
}

/** `{land, india, states}` as paths. */
function readGround({ steps, india, states, land_steps: landSteps, land }) {
  return { land: trace(land, landSteps, true), india: trace(india, steps, true), states: trace(states, steps, false) };
}

/** Each line is its first point, then the ways from point to point, in whole steps. */
function trace(lines, steps, isClosed) {
  const path = new Path2D();
  for (const line of lines) {
    let x = 0;
    let y = 0;
    for (let at = 0; at < line.length; at += 2) {
      x += line[at];
      y += line[at + 1];
      const point = [mercatorX(x / steps) * SIDE, mercatorY(y / steps) * SIDE];
      if (at === 0) path.moveTo(...point);
      else path.lineTo(...point);
    }
    if (isClosed) path.closePath();
  }
  return path;
}
