// A small map of the way to the plug, on the same ground as the dispatcher's.
/* global L */
import { Basemap } from "fc/basemap";
import { boot } from "fc/boot";
import { canvasLayer } from "fc/canvas-layer";
import { colour, onTheme } from "fc/theme";

let map = null;
window.driveMapReady = (made) => { map = made; };
window.dispatchEvent(new Event("fleetcharge:drive"));
Object.assign(map.options, { minZoom: 4, maxZoom: 18, fadeAnimation: false, scrollWheelZoom: false });
map.setView([12.955, 77.644], 12, { animate: false });
const box = document.getElementById("map-box");
const base = new Basemap(() => ground?.redraw());
const pane = map.createPane("schematic");
Object.assign(pane.style, { zIndex: 150, pointerEvents: "none" });
const ground = boot.hasTiles ? null : canvasLayer({ pane: "schematic", draw: base.draw.bind(base) }).addTo(map);
if (ground) base.tiles.begin();
const marks = L.layerGroup().addTo(map);
let data = null;
let fitted = "";

/** `null` hides the map: there is nowhere to go. */
export function draw(given) {
  data = given;
  box.hidden = !data;
  if (!data) return;
  map.invalidateSize(false);
  paint();
  fit();
}

function paint() {
  marks.clearLayers();
  if (!data) return;
  if (data.route.length) L.polyline(data.route, { color: colour("--accent"), weight: 5, opacity: 0.9, interactive: false }).addTo(marks);
  dot(data.plug, "--ok", 8);
  if (data.vehicle) dot(data.vehicle, "--chg", 7);
}

function dot(place, token, radius) {
  L.circleMarker(place, { radius, color: colour("--surface"), weight: 3, fillColor: colour(token), fillOpacity: 1, interactive: false }).addTo(marks);
}

/** Once for each way: the driver may have moved it since. */
function fit() {
  const key = data.plug.join();
  if (key === fitted) return;
  fitted = key;
  map.fitBounds(L.latLngBounds([data.plug, data.vehicle ?? data.plug, ...data.route]).pad(0.2), { maxZoom: 15, animate: false });
  ground?.redraw();
}

map.on("moveend zoomend", () => ground?.redraw());
onTheme(() => { paint(); ground?.redraw(); });
new ResizeObserver(() => { map.invalidateSize(false); ground?.redraw(); }).observe(map.getContainer());
