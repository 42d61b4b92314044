// The live map: basemap, routes, vehicles and pins as canvas layers over Leaflet; hit-testing, hover, follow.
/* global L */
import { t } from "fc/boot";
import { Basemap, trace } from "fc/basemap";
import { canvasLayer } from "fc/canvas-layer";
import { byId, h } from "fc/dom";
import { integer } from "fc/format";
import { describe } from "fc/notes";
import { Overview } from "fc/overview";
import { Pace } from "fc/pace";
import { drawDot, drawPin, drawVehicles, pinBox, toneOf } from "fc/sprites";
import { mercatorX, mercatorY } from "fc/table";
import { colour, onTheme } from "fc/theme";
import { KIND } from "fc/wire";

const HOME = { center: [12.955, 77.644], zoom: 12.05 };
const PIN_ZOOM = 10.4;
const isStill = matchMedia("(prefers-reduced-motion: reduce)").matches;
const NEAR_PX = 14;
const NAMES_MS = 120;
const unit = ([latitude, longitude]) => [mercatorX(longitude), mercatorY(latitude)];

export class LiveMap {
  constructor({ store, hasTiles, onView, onVehicle, onStation }) {
    Object.assign(this, { store, onView, onVehicle, onStation });
    this.layers = { vehicles: true, stations: true, freeOnly: false };
    this.pinned = [];
    this.marks = new Map();
    this.following = null;
    this.plan = null;
    this.past = null; // a replay: drawn in place of what is
    this.map = djangoLeaflet();
    this.map.setView(HOME.center, HOME.zoom, { animate: false });
    this.base = new Basemap(() => this.baseLayer?.redraw());
    this.base.boxes = (view) => [...boxesOn(view, this.pinned), ...boxesOn(view, this.overview.drawn), ...this.#routeBoxes(view)];
    this.#addLayers(hasTiles);
    if (!hasTiles) this.base.tiles.begin();
    this.#listen();
  }

  get isStill() { return isStill; }

  /** What is drawn: the live store, or the past while it is replayed. */
  get fleet() { return this.past ?? this.store; }

  #addLayers(hasTiles) {
    const draw = { vehicles: this.#drawVehicles, stations: this.#drawStations, routes: this.#drawRoutes };
    const layer = (name, zIndex, paint) => {
      const pane = this.map.createPane(name);
      pane.style.zIndex = zIndex;
      pane.style.pointerEvents = "none";
      return canvasLayer({ pane: name, draw: paint }).addTo(this.map);
    };
    this.stationLayer = layer("stations", 430, draw.stations.bind(this));
    this.routeLayer = layer("routes", 410, draw.routes.bind(this));
    this.vehicleLayer = layer("vehicles", 420, draw.vehicles.bind(this));
    this.pace = new Pace(() => this.vehicleLayer.redraw());
    this.overview = new Overview(this);
    this.baseLayer = hasTiles ? null : layer("schematic", 150, this.base.draw.bind(this.base));
    const marks = this.map.createPane("marks");
    marks.style.zIndex = 440;
    marks.style.pointerEvents = "none";
  }

  #listen() {
    this.map.on("moveend zoomend", () => this.onView?.(this.box()));
    this.map.on("click", (event) => this.#click(event));
    this.map.on("mousemove", (event) => { if (!this.map.dragging.moving()) this.#hover(event); });
    this.map.on("mouseout movestart", () => { byId("hover").hidden = true; });
    this.map.on("dragstart", () => { this.following = null; });
    this.store.on("vehicles", () => { this.findFleet(); this.pace.soon(); this.#moveMarks(); });
    this.store.on("cells kpi", () => this.findFleet());
    this.store.on("stations names", () => this.redrawStations());
    this.store.on("names", () => this.vehicleLayer.redraw());
    onTheme(() => this.redraw());
    document.fonts?.ready.then(() => this.redraw());
  }

  redraw() {
    this.baseLayer?.redraw();
    this.stationLayer.redraw();
    this.routeLayer.redraw();
    this.vehicleLayer.redraw();
    this.overview.redraw();
  }

  redrawStations() { this.stationLayer.redraw(); }

  /** Names give way to pins where those stand otherwise than before; on another piece of ground they are written anew by themselves. */
  #giveWay({ left, top, scale }) {
    const before = this.stood;
    this.stood = { ground: `${left} ${top} ${scale}`, pins: this.pinned.map(({ box }) => box.join()).join(" ") };
    if (before?.ground !== this.stood.ground || before.pins === this.stood.pins) return;
    clearTimeout(this.nameTimer);
    this.nameTimer = setTimeout(() => this.baseLayer?.redraw(), NAMES_MS); // they need not hurry
  }

  /** West, south, east, north in degrees, and the zoom. */
  box() {
    const bounds = this.map.getBounds();
    return { bbox: [bounds.getWest(), bounds.getSouth(), bounds.getEast(), bounds.getNorth()], z: this.map.getZoom() };
  }

  setLayer(name, isOn) {
    if (name === "labels" || name === "streets") this.base.show[name] = isOn;
    else this.layers[name] = isOn;
    this.redraw();
  }

  // --- drawing -------------------------------------------------------------------------------------------------
  #drawVehicles(context, view) {
    return this.layers.vehicles && drawVehicles(context, this.fleet.vehicles, view);
  }

  #drawStations(context, view) {
    this.pinned = [];
    if (this.layers.stations) this.#drawPins(context, view);
    this.#giveWay(view);
    return this.pinned.length > 0;
  }

  #drawPins(context, view) {
    const chosen = this.store.selection.station;
    const spots = this.#stationSpots(view, chosen);
    const taken = new Set();
    for (const spot of spots) spot.isPin = spot.id === chosen || (view.zoom >= PIN_ZOOM && claim(taken, spot));
    for (const spot of spots.toReversed()) this.#drawStation(context, spot, view, spot.id === chosen);
  }

  #drawStation(context, spot, view, isChosen) {
    const tone = toneOf(spot.worst);
    if (spot.isPin) {
      const { width, height } = pinBox(isChosen);
      spot.box = [spot.px - width / 2 - 3, spot.py - height - 9, spot.px + width / 2 + 3, spot.py + 3];
      drawPin(context, spot.px, spot.py, tone, spot.worst === 4 ? "–" : `${spot.free}/${spot.total}`, isChosen, view.ratio, spot.fresh);
    } else {
      spot.box = [spot.px - 7, spot.py - 7, spot.px + 7, spot.py + 7];
      drawDot(context, spot.px, spot.py, tone, view.ratio);
    }
    this.pinned.push({ id: spot.id, isPin: spot.isPin, box: spot.box, left: view.left, top: view.top });
  }

  /** Sites on the canvas; the chosen one first, then those that are of most use to somebody who must charge. */
  #stationSpots(view, chosen) {
    const { count, id, x, y, a, b, c, d } = this.fleet.stations;
    const spots = [];
    for (let n = 0; n < count; n++) {
      const px = x[n] * view.scale - view.left;
      const py = y[n] * view.scale - view.top;
      if (px < -30 || py < -5 || px > view.width + 30 || py > view.height + 40) continue;
      if (this.layers.freeOnly && !a[n] && id[n] !== chosen) continue;
      const worth = (id[n] === chosen ? 1e6 : 0) + (a[n] ? 1000 : 0) + d[n] * 10 + b[n];
      spots.push({ id: id[n], px, py, free: a[n], total: b[n], worst: c[n] & 15, fresh: c[n] >> 4, worth });
    }
    return spots.sort((one, two) => two.worth - one.worth || one.id - two.id);
  }

  #drawRoutes(context, view) {
    const route = this.plan?.route;
    if (!route) return false;
    const at = ([x, y]) => [x * view.scale - view.left, y * view.scale - view.top];
    const line = (points, token, width, alpha = 1, dash = []) => {
      if (!points || points.length < 2) return;
      context.save();
      context.lineJoin = context.lineCap = "round";
      context.setLineDash(dash);
      context.globalAlpha = alpha;
      context.strokeStyle = colour(token);
      context.lineWidth = width;
      trace(context, points.map(unit), at);
      context.stroke();
      context.restore();
    };
    line(route.old, "--off", 3, 0.9, [1, 7]);
    line(route.new, "--surface", 9, 0.9);
    line(route.onward, "--surface", 9, 0.9);
    line(route.onward, "--accent", 5, 0.45);
    line(route.new, "--accent", 5);
    const goal = route.onward?.at(-1) ?? route.old?.at(-1);
    if (goal) house(context, at(unit(goal)));
    return true;
  }

  /** Places along the drawn plan that a name must not cover. */
  #routeBoxes(view) {
    const boxes = [];
    for (const line of [this.plan?.route?.new, this.plan?.route?.onward]) {
      (line ?? []).map(unit).forEach((point, n, all) => {
        const next = all[n + 1] ?? point;
        for (let part = 0; part < 1; part += 0.1) {
          const px = (point[0] + (next[0] - point[0]) * part) * view.scale - view.left;
          const py = (point[1] + (next[1] - point[1]) * part) * view.scale - view.top;
          boxes.push([px - 8, py - 8, px + 8, py + 8]);
        }
      });
    }
    const [first] = boxes;
    if (first) boxes.push([first[0] - 46, first[1] - 12, first[2] + 46, first[3] + 38]);
    return boxes;
  }

  // --- alerted and selected vehicles carry a ring and a name -----------------------------------------------------
  /** `marks`: [{id, text, isAlert}], few. */
  setMarks(marks) {
    const wanted = new Map(marks.map((mark) => [mark.id, mark]));
    for (const [id, held] of this.marks) if (!wanted.has(id)) { held.marker.remove(); this.marks.delete(id); }
    for (const [id, mark] of wanted) this.#mark(id, mark);
    this.#moveMarks();
  }

  #mark(id, mark) {
    let held = this.marks.get(id);
    if (!held) {
      const element = h("div", { class: "mark", "aria-hidden": "true" }, h("span", { class: "ring" }), h("span", { class: "tag num" }));
      const glyph = L.divIcon({ html: element, className: "", iconSize: [0, 0] });
      const marker = L.marker([0, 0], { icon: glyph, pane: "marks", interactive: false, keyboard: false });
      held = { marker, element };
      this.marks.set(id, held);
    }
    held.element.className = mark.isAlert ? "mark alert" : "mark";
    held.element.lastChild.textContent = mark.text;
    held.element.lastChild.hidden = !mark.text;
  }

  #moveMarks() {
    for (const [id, { marker }] of this.marks) {
      const vehicle = this.fleet.vehicle(id);
      if (!vehicle) { marker.remove(); continue; }
      marker.setLatLng([vehicle.latitude, vehicle.longitude]);
      if (!marker._map) marker.addTo(this.map);
      if (this.following === id) this.map.panTo([vehicle.latitude, vehicle.longitude], { animate: !isStill });
    }
  }

  /** Draw the past as it stands, or (null) what is again; pins only when one of them looks different. */
  showPast(past, hasMovedPins = true) {
    this.past = past;
    this.vehicleLayer.redraw();
    this.overview.redraw();
    this.#moveMarks();
    if (hasMovedPins) this.redrawStations();
  }

  // --- moving the view -------------------------------------------------------------------------------------------
  showPlan(plan) {
    this.plan = plan;
    this.routeLayer.redraw();
    this.baseLayer?.redraw();
  }

  /** Bring the plan into view; a view that shows it already is left alone. */
  fitPlan(plan, padding) {
    const points = [...(plan?.route?.new ?? []), ...(plan?.route?.onward ?? [])];
    const isSeen = innerWidth > 640 && points.length && this.map.getBounds().pad(-0.06).contains(L.latLngBounds(points));
    if (points.length > 1 && !isSeen) this.map.fitBounds(L.latLngBounds(points), { maxZoom: 12.75, animate: !isStill, ...padding });
  }

  fitAll() {
    const corners = this.#fleetCorners();
    if (corners) this.map.fitBounds(L.latLngBounds(corners), { padding: [40, 40], maxZoom: 14, animate: !isStill });
  }

  /** Of the whole fleet, by the server's word where the page holds a part of it. */
  #fleetCorners() {
    const box = this.store.kpi?.fleet_box;
    if (this.store.isPart && box) return [[box[1], box[0]], [box[3], box[2]]];
    const { count, latitude, longitude } = this.store.vehicles;
    return count ? Array.from({ length: count }, (_, n) => [latitude[n], longitude[n]]) : null;
  }

  /** At the first positions: when the view holds none of the fleet, go where the fleet is. */
  findFleet() {
    const { count, latitude, longitude } = this.store.vehicles;
    if (this.hasFound || !this.#knowsWhere()) return;
    this.hasFound = true;
    const bounds = this.map.getBounds();
    if (this.overview.hasFleetIn(bounds)) return;
    for (let n = 0; n < count; n++) if (bounds.contains([latitude[n], longitude[n]])) return;
    this.fitAll();
  }

  /** Has enough been told to say that nobody is in view? */
  #knowsWhere() {
    const { vehicles, kpi, isPart, heardOf } = this.store;
    return isPart ? Boolean(kpi?.fleet_box) && heardOf.has(KIND.SNAPSHOT) && heardOf.has(KIND.GRID) : vehicles.count > 0;
  }

  goTo(place, zoom = 13.5) {
    if (place) this.map.setView([place.latitude, place.longitude], Math.max(this.map.getZoom(), zoom), { animate: !isStill });
  }

  follow(id) {
    this.following = id;
    this.goTo(this.fleet.vehicle(id));
  }

  // --- pointing --------------------------------------------------------------------------------------------------
  #at(event) {
    const point = event.layerPoint.add(this.map.getPixelOrigin());
    const pin = this.pinned.findLast(({ box, left, top }) => point.x - left >= box[0] && point.x - left <= box[2]
      && point.y - top >= box[1] && point.y - top <= box[3]);
    if (pin) return { station: pin.id };
    const vehicle = this.#nearestVehicle(point);
    if (vehicle !== null) return { vehicle };
    const cell = this.overview.at(point);
    return cell && { cell };
  }

  #nearestVehicle(point) {
    if (!this.layers.vehicles) return null;
    const { count, x, y, id } = this.fleet.vehicles;
    const scale = 256 * 2 ** this.map.getZoom();
    let best = null;
    let nearest = NEAR_PX ** 2;
    for (let n = 0; n < count; n++) {
      const far = (x[n] * scale - point.x) ** 2 + (y[n] * scale - point.y) ** 2;
      if (far < nearest) { nearest = far; best = id[n]; }
    }
    return best;
  }

  #click(event) {
    const hit = this.#at(event);
    if (hit?.station) this.onStation(hit.station);
    else if (hit?.vehicle) this.onVehicle(hit.vehicle);
    else if (hit?.cell) this.overview.enter(hit.cell);
  }

  #hover(event) {
    const hit = this.#at(event);
    const box = byId("hover");
    this.map.getContainer().style.cursor = hit ? "pointer" : "";
    box.hidden = !hit;
    if (!hit) return;
    const [title, text] = this.#tip(hit);
    box.replaceChildren(h("b", { class: "cut" }, title), h("span", { class: "muted num" }, text));
    const { x, y } = event.containerPoint;
    const isRight = x > this.map.getSize().x - 260;
    box.style.transform = `translate(${isRight ? x - 14 - box.offsetWidth : x + 14}px, ${Math.max(4, y - 46)}px)`;
  }

  #tip({ station, vehicle, cell }) {
    if (cell) return this.overview.tip(cell);
    return station ? this.#stationTip(station) : this.#vehicleTip(vehicle);
  }

  #stationTip(id) {
    const station = this.fleet.station(id);
    return [station?.name?.name ?? "", t("stationTip", {
      network: station?.name?.network ?? "", free: station?.free ?? "–", total: station?.total ?? "–", kw: integer(station?.powerKw ?? 0),
    })];
  }

  #vehicleTip(id) {
    const { title, soc, note } = describe(this.fleet, this.fleet.vehicle(id));
    return [title, t("vehicleTip", { soc, note })];
  }
}

/** The map as django-leaflet makes it from LEAFLET_CONFIG; its inline script waits for our event. */
function djangoLeaflet() {
  let made = null;
  window.fleetMapReady = (map) => { made = map; };
  window.dispatchEvent(new Event("fleetcharge:map"));
  Object.assign(made.options, { zoomSnap: 0.25, zoomDelta: 0.75, wheelPxPerZoomLevel: 90, minZoom: 4, maxZoom: 18,
    zoomAnimation: !isStill, fadeAnimation: false, inertia: !isStill });
  made._zoomAnimated = made._zoomAnimated && !isStill;
  return made;
}

/** What was drawn on another canvas, on this one. */
function boxesOn(view, drawn) {
  return drawn.map(({ box, left, top }) => {
    const [dx, dy] = [left - view.left, top - view.top];
    return [box[0] + dx, box[1] + dy, box[2] + dx, box[3] + dy];
  });
}

/** True, and the place is taken, when no pin stands there yet. */
function claim(taken, { px, py }) {
  const left = Math.floor((px - 27) / 18);
  const right = Math.floor((px + 27) / 18);
  const top = Math.floor((py - 27) / 12);
  const bottom = Math.floor(py / 12);
  const cells = [];
  for (let x = left; x <= right; x++) for (let y = top; y <= bottom; y++) cells.push(`${x}:${y}`);
  if (cells.some((cell) => taken.has(cell))) return false;
  for (const cell of cells) taken.add(cell);
  return true;
}

function house(context, [x, y]) {
  context.save();
  context.translate(x, y);
  context.beginPath();
  context.roundRect(-9, -9, 18, 18, 5);
  context.fillStyle = colour("--text");
  context.fill();
  context.strokeStyle = colour("--surface");
  context.lineWidth = 2;
  context.stroke();
  context.fillStyle = colour("--surface");
  context.fill(new Path2D("M-4 0 0-4 4 0V4.5H-4z"));
  context.restore();
}
