// The map of the geofences: what is drawn, what the form says, and a circle by a click.
/* global L */
import { Basemap } from "fc/basemap";
import { boot } from "fc/boot";
import { canvasLayer } from "fc/canvas-layer";
import { colour, onTheme } from "fc/theme";

const MOST_NAMES = 40;
let map = null;
window.fenceMapReady = (made) => { map = made; };
window.dispatchEvent(new Event("fleetcharge:fences"));
Object.assign(map.options, { minZoom: 4, maxZoom: 18, fadeAnimation: false });
map.setView([12.955, 77.644], 11, { animate: false });
const base = new Basemap(() => ground?.redraw());
const pane = map.createPane("schematic");
Object.assign(pane.style, { zIndex: 150, pointerEvents: "none" });
const ground = boot.hasTiles ? null : canvasLayer({ pane: "schematic", draw: base.draw.bind(base) }).addTo(map);
if (ground) base.tiles.begin();
const drawn = JSON.parse(document.getElementById("drawn").textContent);
const fences = L.featureGroup().addTo(map);
const sketch = L.featureGroup().addTo(map);
const form = document.getElementById("fence-form");

function shape({ geometry, radius_m: radius }, token) {
  const style = { color: colour(token), weight: 2, fillOpacity: 0.15, interactive: false };
  if (geometry.type !== "Point") return L.geoJSON(geometry, { style, interactive: false });
  const [longitude, latitude] = geometry.coordinates;
  return L.circle([latitude, longitude], { ...style, radius });
}

function paint() {
  fences.clearLayers();
  for (const one of drawn) {
    const layer = shape(one, "--accent").addTo(fences);
    if (drawn.length <= MOST_NAMES) layer.bindTooltip(named(one.name), { permanent: true, direction: "center" });
  }
}

function named(text) {
  const label = document.createElement("span");
  label.textContent = text;
  return label;
}

/** What the form would draw; nothing while it is half typed. */
function preview() {
  sketch.clearLayers();
  const wanted = form && fromForm(form.elements);
  if (!wanted) return;
  try { shape(wanted, "--warn").addTo(sketch); } catch { /* the server says what is wrong with it */ }
}

function fromForm({ latitude, longitude, radius_m: radius, geojson }) {
  if (latitude.value && longitude.value && Number(radius.value) > 0) {
    return { geometry: { type: "Point", coordinates: [Number(longitude.value), Number(latitude.value)] }, radius_m: Number(radius.value) };
  }
  try {
    const sent = JSON.parse(geojson.value);
    return { geometry: sent.geometry ?? sent };
  } catch { return null; }
}

/** A circle or GeoJSON: what was typed last empties the other. */
function input({ target: { name, value } }) {
  const { latitude, longitude, geojson } = form.elements;
  if (value && name === "geojson") latitude.value = longitude.value = "";
  if (value && (name === "latitude" || name === "longitude")) geojson.value = "";
  preview();
}

function click({ latlng }) {
  const { latitude, longitude, radius_m: radius, geojson } = form.elements;
  latitude.value = latlng.lat.toFixed(6);
  longitude.value = latlng.lng.toFixed(6);
  radius.value ||= "200";
  geojson.value = "";
  preview();
}

paint();
preview();
const shown = sketch.getLayers().length ? sketch : fences;
if (shown.getLayers().length) map.fitBounds(shown.getBounds().pad(0.3), { maxZoom: 15, animate: false });
if (form) {
  map.on("click", click);
  form.addEventListener("input", input);
}
map.on("moveend zoomend", () => ground?.redraw());
onTheme(() => { paint(); preview(); ground?.redraw(); });
new ResizeObserver(() => { map.invalidateSize(false); ground?.redraw(); }).observe(map.getContainer());
