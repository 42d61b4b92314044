// The evidence of one verdict on our own offline base: station, radius, track, and the gap to the nearest position.
/* global L */
import { Basemap } from "fc/basemap";
import { canvasLayer } from "fc/canvas-layer";
import { colour, forgetColours } from "fc/theme";

const data = JSON.parse(document.getElementById("verdict-data").textContent);
let map = null;
window.verdictMapReady = (made) => { map = made; };
window.dispatchEvent(new Event("fleetcharge:verdict"));
Object.assign(map.options, { minZoom: 4, maxZoom: 18, fadeAnimation: false });
const fit = () => map.fitBounds(L.latLngBounds([data.station, ...data.focus]).pad(0.25), { maxZoom: 17, animate: false });
map.invalidateSize(false);
fit();

const base = new Basemap(() => ground.redraw());
const pane = map.createPane("schematic");
Object.assign(pane.style, { zIndex: 150, pointerEvents: "none" });
const ground = canvasLayer({ pane: "schematic", draw: base.draw.bind(base) }).addTo(map);
base.tiles.begin();
const marks = L.layerGroup().addTo(map);

function draw() {
  marks.clearLayers();
  const line = (points, token, options) => L.polyline(points, { color: colour(token), interactive: false, ...options }).addTo(marks);
  line(data.track, "--muted", { weight: 2, opacity: 0.8 });
  for (const part of data.during) line(part, "--chg", { weight: 4 });
  L.circle(data.station, { radius: data.radius, color: colour("--ok"), weight: 2, dashArray: "6 4", fillOpacity: 0.06, interactive: false }).addTo(marks);
  L.circleMarker(data.station, { radius: 6, color: colour("--surface"), weight: 2, fillColor: colour("--text"), fillOpacity: 1, interactive: false }).addTo(marks);
  if (!data.nearest) return;
  line([data.station, data.nearest], "--bad", { weight: 3, dashArray: "1 7" });
  L.circleMarker(data.nearest, { radius: 6, color: colour("--surface"), weight: 2, fillColor: colour("--bad"), fillOpacity: 1, interactive: false }).addTo(marks);
}

draw();
map.on("moveend zoomend", () => ground.redraw());
new MutationObserver(() => { forgetColours(); ground.redraw(); draw(); }).observe(document.documentElement, { attributes: true, attributeFilter: ["class"] });
// the page's styles may come after the map was made
new ResizeObserver(() => { map.invalidateSize(false); fit(); ground.redraw(); }).observe(map.getContainer());
