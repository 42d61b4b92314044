// The live page: wires store, socket, map, list, queue, drawer, palette and keys together.
import { Actions } from "fc/actions";
import { Queue, drawTip } from "fc/alerts";
import { boot, t } from "fc/boot";
import { Deeds } from "fc/deeds";
import { byId, focusAgain } from "fc/dom";
import { Drawer } from "fc/drawer";
import { handLinks } from "fc/driver-link";
import { startFeed } from "fc/feed";
import { listenToKeys } from "fc/keys";
import { drawKpis } from "fc/kpi";
import { FleetList } from "fc/list";
import { tellLate } from "fc/late";
import { LiveMap } from "fc/map";
import { Overlays } from "fc/overlays";
import { Palette } from "fc/palette";
import { Replay } from "fc/replay";
import { Reserver } from "fc/reserve";
import { store } from "fc/store";
import { startTabs } from "fc/tabs";
import { switchTheme } from "fc/theme";
import { say, undoLast } from "fc/toast";
import { Views } from "fc/views";

const MARKS_MS = 1000;
const actions = new Actions({ onLate: tellLate });
const map = new LiveMap({ store, hasTiles: boot.hasTiles, onView: () => feed.lookSoon(), onVehicle: pickVehicle, onStation: pickStation });
const list = new FleetList({ store, onPick: (id) => { pickVehicle(id); tabs.show("map"); } });
const queue = new Queue({ store, actions, onOpen: openAlert, onChoose: chose });
const reserver = new Reserver({ store, actions, pickFromPalette: (done) => palette.open(done), currentVehicle, onChange: () => drawer.refresh() });
const deeds = new Deeds({ actions, reserver, store, onDone: (focus, isChanged) => (isChanged ? drawer.refresh(focus) : drawer.focusOn(focus)) });
const drawer = new Drawer({ store, onReserve: (connector, bay, way) => reserver.reserve(connector, bay, way), onDeed: (button) => deeds.begin(button), onFollow: follow, onClose: closed, onFocusBack: focusBack });
const palette = new Palette({ store, commands: commands(), onVehicle: pickVehicle, onStation: pickStation, onReserve: (wish) => reserver.byWish(wish) });
const tabs = startTabs();
const views = new Views({ map, list });
const overlays = new Overlays({ map, store });
const replay = new Replay({ map, store, onShow: () => { redrawMarks(); overlays.redraw(); } });
handLinks(actions);
const feed = startFeed({ store, queue, map, actions, watched });
let chosenAlert = null;
let redrawTimer = null;
let sought = null;

store.on("kpi", () => drawKpis(store.kpi));
store.on("selection alerts names", redrawSelection);
store.on("vehicles", redrawSoon);
store.on("vehicles", goToSought);
for (const alert of boot.alerts) store.applyAlert(alert);
wireButtons();
for (const text of boot.said) say(text);
actions.takeUp();

function wireButtons() {
  byId("zoom-in").addEventListener("click", () => map.map.zoomIn());
  byId("zoom-out").addEventListener("click", () => map.map.zoomOut());
  byId("zoom-all").addEventListener("click", () => map.fitAll());
  byId("layers-button").addEventListener("click", toggleLayers);
  byId("grab").addEventListener("click", () => tabs.show(tabs.current() === "alerts" ? "map" : "alerts"));
  for (const box of document.querySelectorAll("[data-layer]")) box.addEventListener("change", () => (box.dataset.layer in overlays.show ? overlays : map).setLayer(box.dataset.layer, box.checked));
  for (const kpi of document.querySelectorAll("[data-list]")) kpi.addEventListener("click", () => { list.setFilter(kpi.dataset.list); tabs.show("fleet"); });
  document.addEventListener("click", (event) => {
    const wish = event.target.closest("[data-open]")?.dataset.open;
    if (wish === "palette") palette.open();
    else if (wish === "keys") byId("keys").showModal();
    else if (wish === "fleet") tabs.show(tabs.current() === "fleet" ? "map" : "fleet");
  });
}

listenToKeys({
  a: () => queue.accept(), x: () => queue.dismiss(), z: () => undoLast(), r: () => drawer.reserve(),
  j: () => step(1), k: () => step(-1), "/": () => { tabs.show("fleet"); list.openFind(true); }, "?": () => byId("keys").showModal(),
  f: () => { if (store.selection.vehicle) follow(store.selection.vehicle); }, l: toggleLayers,
  m: () => { tabs.show("map"); byId("map").focus(); }, g: () => { tabs.show("fleet"); byId("rows").querySelector("button")?.focus(); },
  "[": () => replay.step(-1), "]": () => replay.step(1), p: () => replay.toggle(),
  escape: back, ...Object.fromEntries([1, 2, 3, 4, 5].map((n) => [String(n), () => queue.choose(queue.queue()[n - 1])])),
}, () => palette.open());

function commands() {
  return [
    { title: t("showAll"), icon: "frame", run: () => map.fitAll() },
    { title: t("replay.open"), icon: "rewind", key: "[", run: () => { tabs.show("map"); replay.open(); } },
    { title: t("switchTheme"), icon: "moon", run: switchTheme },
    { title: t("openStations"), icon: "plug", run: () => { location.href = "/stations/"; } },
    ...(boot.urls.wallet ? [
      { title: t("openWallet"), icon: "rupee", run: () => { location.href = boot.urls.wallet; } },
      { title: t("topUp"), icon: "plus", run: () => { location.href = boot.urls.topUp; } },
    ] : []),
    { title: t("keys"), icon: "list", key: "?", run: () => byId("keys").showModal() },
  ];
}

// --- selection ---------------------------------------------------------------------------------------------------
function pickVehicle(id) {
  store.select({ vehicle: id, station: null });
  list.reveal(id);
  const vehicle = store.vehicle(id);
  sought = vehicle ? null : id;
  if (vehicle && !map.map.getBounds().pad(-0.1).contains([vehicle.latitude, vehicle.longitude])) map.goTo(vehicle, 12);
  drawer.show("vehicle", id);
  feed.watch();
}

/** One that was picked out of view: its place came with the focus. */
function goToSought() {
  const vehicle = sought && store.vehicle(sought);
  if (!vehicle) return;
  sought = null;
  map.goTo(vehicle, 12);
}

function pickStation(id) {
  store.select({ station: id });
  const station = store.station(id);
  if (station && !map.map.getBounds().pad(-0.1).contains([station.latitude, station.longitude])) map.goTo(station, 13);
  drawer.show("station", id);
  feed.watch();
}

function follow(id) {
  store.select({ vehicle: id });
  map.follow(id);
  feed.watch();
}

function step(by) {
  const id = list.next(by);
  if (id === null) return;
  pickVehicle(id);
  list.focusRow(id);
}

function openAlert(alert) {
  queue.choose(alert);
  const stationId = alert.plan?.station?.id ?? alert.location_id;
  if (alert.kind === "money" && alert.session_id) location.href = boot.isStaff && boot.urls.session ? boot.urls.session.replace("/0/", `/${alert.session_id}/`) : boot.urls.sessions;
  else if (alert.kind === "webhook_off" && boot.isStaff) location.href = boot.urls.webhooks;
  else if (stationId) pickStation(stationId);
  else if (alert.vehicle_id) pickVehicle(alert.vehicle_id);
}

/** The open card changed: its plan is drawn, its vehicle ringed, its station in the drawer unless the user chose another. */
function chose(alert) {
  if (alert?.id === chosenAlert?.id && alert?.revision === chosenAlert?.revision) return;
  const isNew = alert?.id !== chosenAlert?.id;
  chosenAlert = alert;
  map.showPlan(alert?.plan ?? null);
  drawTip(byId("tip"), alert);
  if (isNew && boot.urls.station && alert?.plan?.station && (!drawer.shown || drawer.isAuto) && innerWidth > 640) {
    drawer.isAuto = true;
    store.select({ station: alert.plan.station.id, vehicle: alert.vehicle_id });
    drawer.show("station", alert.plan.station.id, { isAsked: false });
  }
  if (isNew) {
    map.fitPlan(alert?.plan, innerWidth > 640 ? { padding: [70, 70] } : { paddingTopLeft: [40, 60], paddingBottomRight: [40, byId("map").clientHeight * 0.55] });
    feed.watch();
  }
  redrawSelection();
}

function redrawSelection() {
  map.redrawStations();
  redrawMarks();
}

function redrawMarks() {
  const alerted = queue.queue().filter((alert) => alert.vehicle_id && alert.severity === "bad").slice(0, 40);
  const marks = new Map(alerted.map((alert) => [alert.vehicle_id, { id: alert.vehicle_id, isAlert: true, text: "" }]));
  for (const id of [store.selection.vehicle, chosenAlert?.vehicle_id]) {
    const vehicle = id && map.fleet.vehicle(id);
    if (vehicle) marks.set(id, { id, isAlert: marks.has(id), text: tagOf(vehicle) });
  }
  map.setMarks([...marks.values()]);
}

/** Charge changes slowly: the tags follow once a second. */
function redrawSoon() {
  redrawTimer ??= setTimeout(() => { redrawTimer = null; redrawMarks(); }, MARKS_MS);
}

function tagOf(vehicle) {
  const plate = (vehicle.name?.registration ?? "").split(" ").slice(-2).join(" ");
  return vehicle.soc === null ? plate : `${plate} · ${vehicle.soc} %`;
}

function closed() {
  drawer.isAuto = false;
  store.select({ station: null });
}

/** From a drawer that was closed to the alert it was opened from, to its vehicle's row, or to what had it; else to the map. */
function focusBack({ kind, id }, opener) {
  const toRow = () => kind === "vehicle" && list.focusRow(id);
  if (!opener?.dataset?.focus && toRow()) return;
  if (!focusAgain(opener) && !toRow()) byId("map").focus();
}

function back() {
  if (!byId("layers").hidden) toggleLayers();
  else if (!byId("find-box").hidden) list.openFind(false);
  else if (replay.isOn) replay.close();
  else if (drawer.shown) drawer.close();
  else if (tabs.current() !== "map") tabs.show("map");
  else store.select({ vehicle: null, station: null });
}

function toggleLayers() {
  const box = byId("layers");
  box.hidden = !box.hidden;
  byId("layers-button").setAttribute("aria-expanded", String(!box.hidden));
  if (box.hidden) byId("layers-button").focus();
  else box.querySelector("input").focus();
}

function watched() {
  const veh = [store.selection.vehicle, chosenAlert?.vehicle_id].filter(Boolean);
  return { veh: [...new Set(veh)], stn: [store.selection.station].filter(Boolean) };
}

function currentVehicle() { return store.selection.vehicle ?? chosenAlert?.vehicle_id ?? null; }

/** Links may name what to show: /dispatch/#station=FC-IN-7K3M9QZX, #vehicle=12, #replay=2026-11-22T09:01:20Z, #fleet. */
function followHash() {
  const wish = new URLSearchParams(location.hash.slice(1));
  const open = () => {
    if (wish.get("station")) pickStation(store.stationIdByPublicId.get(wish.get("station")));
    if (wish.get("vehicle")) pickVehicle(Number(wish.get("vehicle")));
  };
  if (wish.get("view")) views.show(wish);
  if (wish.get("replay")) replay.open(Date.parse(wish.get("replay")) || undefined);
  if (!wish.get("station") && !wish.get("vehicle")) return;
  if (store.stationNames.size || store.vehicleNames.size) open();
  else store.on("names", function once() { store.listeners.get("names").delete(once); open(); });
}

// Last of all: whatever the line does, the page can be used.
followHash();
addEventListener("hashchange", followHash);
feed.open();
