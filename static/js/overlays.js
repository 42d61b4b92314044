// Over pins and vehicles: who holds which bay until when, what is wrong at a site, how far off a vehicle was, its trail.
import { ask } from "fc/ask";
import { boot, t } from "fc/boot";
import { canvasLayer } from "fc/canvas-layer";
import { serverNow } from "fc/clock";
import { hourMinute, tenth } from "fc/format";
import { mercatorX, mercatorY } from "fc/table";
import { colour, onTheme } from "fc/theme";

const TRAIL_MS = 30 * 60_000;
const TRAIL_POINTS = 2000;
const READ_AFTER_MS = 1500; // changes come in bursts
const READ_EVERY_MS = 60_000;
const TAG_ZOOM = 11;
const MOST_TAGS = 80;
const WORTH_SAYING_M = 100;
const unit = (latitude, longitude) => [mercatorX(longitude), mercatorY(latitude)];

export class Overlays {
  constructor({ map, store }) {
    Object.assign(this, { map, store });
    this.show = { reservations: true, exceptions: true };
    this.held = [];
    this.gaps = [];
    this.trail = { id: null, points: [] };
    const pane = map.map.createPane("overlays");
    Object.assign(pane.style, { zIndex: 435, pointerEvents: "none" });
    this.layer = canvasLayer({ pane: "overlays", draw: (context, view) => this.#draw(context, view) }).addTo(map.map);
    store.on("alerts stations", () => this.#readSoon());
    store.on("names alerts", () => this.redraw());
    store.on("vehicles", () => this.#follow());
    store.on("selection", () => this.#focus());
    setInterval(() => { if (!document.hidden) this.#readSoon(); }, READ_EVERY_MS);
    onTheme(() => this.redraw());
    this.#readSoon();
  }

  redraw() { this.layer.redraw(); }

  setLayer(name, isOn) {
    this.show[name] = isOn;
    this.redraw();
  }

  // --- reading -----------------------------------------------------------------------------------------------------
  #readSoon() { this.timer ??= setTimeout(() => this.#read(), READ_AFTER_MS); }

  async #read() {
    try {
      const { reservations, gaps } = await get("live/overlays/");
      Object.assign(this, { held: reservations, gaps });
      this.redraw();
    } catch { /* what was known stays; the next change, or minute, asks again */ }
    this.timer = null;
  }

  /** Another vehicle was chosen: half an hour of its way. */
  async #focus() {
    const id = this.store.selection.vehicle;
    if (id === this.trail.id) return;
    this.trail = { id, points: [] };
    this.redraw();
    if (id === null) return;
    try {
      const track = await get(`vehicles/${id}/track/?${new URLSearchParams({ from: new Date(serverNow() - TRAIL_MS).toISOString() })}`);
      if (this.trail.id !== id) return;
      const read = track.points.filter((point) => !point.is_suspect).map((point) => unit(point.latitude, point.longitude));
      this.trail.points = [...read, ...this.trail.points].slice(-TRAIL_POINTS);
      this.redraw();
    } catch { /* the trail grows from here on */ }
  }

  /** Vehicles moved: their ways to what is kept for them begin elsewhere, and the trail grows. */
  #follow() {
    this.#lengthen();
    if (this.trail.id !== null || this.held.length) this.redraw();
  }

  #lengthen() {
    const vehicle = this.trail.id !== null && this.store.vehicle(this.trail.id);
    if (!vehicle) return;
    const [x, y] = unit(vehicle.latitude, vehicle.longitude);
    const last = this.trail.points.at(-1);
    if (last && last[0] === x && last[1] === y) return;
    this.trail.points.push([x, y]);
    if (this.trail.points.length > TRAIL_POINTS) this.trail.points.shift();
  }

  // --- drawing -----------------------------------------------------------------------------------------------------
  #draw(context, view) {
    if (this.map.past || this.#isEmpty()) return false; // they tell of now
    const at = ([x, y]) => [x * view.scale - view.left, y * view.scale - view.top];
    this.#drawTrail(context, at);
    if (this.show.exceptions) this.#drawExceptions(context, at, view);
    if (this.show.reservations) this.#drawReservations(context, at, view);
    return true;
  }

  #isEmpty() {
    const { held, gaps, show, trail } = this;
    return trail.points.length < 2 && !(show.exceptions && (gaps.length || this.store.alerts.size)) && !(show.reservations && held.length);
  }

  #drawTrail(context, at) {
    if (this.trail.points.length < 2) return;
    stroke(context, this.trail.points, at, { token: "--surface", width: 5, alpha: 0.8 });
    stroke(context, this.trail.points, at, { token: "--text", width: 2.5, alpha: 0.75 });
  }

  #drawReservations(context, at, view) {
    const bySite = new Map();
    for (const row of this.#holding()) bySite.set(row.station_id, [...(bySite.get(row.station_id) ?? []), row]);
    let tags = 0;
    for (const [id, rows] of bySite) {
      const place = this.#site(id);
      if (!place || !isSeen(at(place), view)) continue;
      for (const row of rows) this.#drawWay(context, at, row, place);
      if (view.zoom >= TAG_ZOOM && tags++ < MOST_TAGS) tag(context, at(place), this.#words(rows), "--warn");
    }
  }

  /** What holds now, or begins; what has run out meanwhile no longer does. */
  #holding() { return this.held.filter((row) => Date.parse(row.expires_at) > serverNow()); }

  #words(rows) {
    if (rows.length > 1) return t("overlay.more", { count: rows.length });
    const [row] = rows;
    const plate = (this.store.vehicleNames.get(row.vehicle_id)?.registration ?? "").split(" ").slice(-2).join(" ");
    const isBooked = Date.parse(row.starts_at) > serverNow();
    return t(isBooked ? "overlay.booked" : "overlay.held", { plate, bay: row.bay, time: hourMinute(isBooked ? row.starts_at : row.expires_at) });
  }

  /** From the vehicle to the place that is kept for it; the drawn plan tells the way better. */
  #drawWay(context, at, row, place) {
    const vehicle = this.store.vehicle(row.vehicle_id);
    if (!vehicle || this.map.plan?.vehicle?.id === row.vehicle_id || Date.parse(row.starts_at) > serverNow()) return;
    stroke(context, [unit(vehicle.latitude, vehicle.longitude), place], at, { token: "--warn", width: 1.6, alpha: 0.85, dash: [5, 5] });
  }

  #drawExceptions(context, at, view) {
    for (const gap of this.gaps) this.#drawGap(context, at, gap);
    const sites = new Map();
    for (const alert of this.store.queue()) if (alert.location_id && !alert.plan && !sites.has(alert.location_id)) sites.set(alert.location_id, alert);
    for (const [id, alert] of sites) {
      const place = this.#site(id);
      if (place && isSeen(at(place), view)) triangle(context, at(place), alert.severity === "bad" ? "--bad" : "--warn");
    }
  }

  #drawGap(context, at, gap) {
    const place = this.#site(gap.station_id);
    if (!place || !this.store.alerts.has(gap.alert_id)) return;
    const fix = unit(gap.latitude, gap.longitude);
    stroke(context, [place, fix], at, { token: "--bad", width: 2, alpha: 0.9, dash: [1, 6] });
    const [x, y] = at(fix);
    context.beginPath();
    context.arc(x, y, 4, 0, 7);
    context.fillStyle = colour("--bad");
    context.fill();
    if (gap.distance_m >= WORTH_SAYING_M) tag(context, [x, y], t("overlay.gap", { km: tenth(gap.distance_m / 1000) }), "--bad");
  }

  #site(id) {
    const site = this.store.station(id);
    return site ? unit(site.latitude, site.longitude) : null;
  }
}

async function get(path) {
  const answer = await ask(`${boot.urls.api}${path}`, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

const isSeen = ([x, y], view) => x > -80 && y > -40 && x < view.width + 80 && y < view.height + 40;

function stroke(context, points, at, { token, width, alpha, dash = [] }) {
  context.save();
  context.lineJoin = context.lineCap = "round";
  context.setLineDash(dash);
  context.globalAlpha = alpha;
  context.strokeStyle = colour(token);
  context.lineWidth = width;
  context.beginPath();
  for (const point of points) context.lineTo(...at(point));
  context.stroke();
  context.restore();
}

/** A small label under a place, on a ground of its own so that it can be read over anything. */
function tag(context, [x, y], text, token) {
  context.save();
  context.font = '600 10.5px Inter, "Noto Sans Devanagari", system-ui, sans-serif';
  const width = context.measureText(text).width + 12;
  context.beginPath();
  context.roundRect(x - width / 2, y + 5, width, 17, 5);
  context.fillStyle = colour("--raised");
  context.fill();
  context.strokeStyle = colour(token);
  context.lineWidth = 1.2;
  context.stroke();
  context.fillStyle = colour("--text");
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText(text, x, y + 14);
  context.restore();
}

/** Something is wrong at this site: beside its pin, where no label is. */
function triangle(context, [x, y], token) {
  context.save();
  context.translate(x + 22, y - 30);
  context.beginPath();
  context.moveTo(0, -8);
  context.lineTo(8.5, 6.5);
  context.lineTo(-8.5, 6.5);
  context.closePath();
  context.fillStyle = colour(token);
  context.strokeStyle = colour("--surface");
  context.lineWidth = 1.6;
  context.lineJoin = "round";
  context.fill();
  context.stroke();
  context.fillStyle = colour("--surface");
  context.fillRect(-0.9, -3, 1.8, 5);
  context.fillRect(-0.9, 3.2, 1.8, 1.8);
  context.restore();
}
