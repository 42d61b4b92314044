// The feed and how fresh it is: socket, names, the age pill, the banner, the clock.
import { ask } from "fc/ask";
import { boot, t } from "fc/boot";
import { serverNow } from "fc/clock";
import { byId } from "fc/dom";
import { hourMinute, hourMinuteSecond, since, tenth } from "fc/format";
import { LiveSocket, liveUrl } from "fc/socket";
import { OVERVIEW_ZOOM } from "fc/wire";

const BANNER_AFTER_MS = 2000;
const FROZEN_AFTER_MS = 60_000;
const WHOLE_FLEET = 5000; // vehicles and stations: up to here everything; above, only what is in view, and the status of all for the list
const VIEW_DELAY_MS = 150;
const NAMES_RETRY_MS = 4000;
const OLD_POSITION_MS = 30_000; // the line may be well while nobody's position comes through
const LOST = new Set(["reconnecting", "refused"]);

/** How large cells are; from a zoom on there are none where everything is told. */
const detail = (zoom) => Math.min(OVERVIEW_ZOOM, Math.floor(zoom));

export function startFeed({ store, queue, map, actions, watched }) {
  let etag = null;
  let isLoading = false;
  let viewTimer = null;
  const loadedAt = serverNow();
  const socket = new LiveSocket({
    store, url: liveUrl(boot.realtimePort, location, boot.urls.live), language: boot.language,
    onState: (state) => { if (state === "live") { actions.flush(); } drawAge(); },
    onSignedOut: () => { location.href = boot.urls.login; },
    onRev: () => loadNames(),
  });
  socket.onAlert = (alert, isNew) => { if (isNew && alert.op === "add") queue.announce(alert); };

  async function loadNames() {
    if (isLoading) return;
    isLoading = true;
    try {
      const answer = await ask(`${boot.urls.api}live/static/`, { headers: etag ? { "If-None-Match": etag } : {} });
      if (answer.status === 401 || answer.status === 410) { socket.onSignedOut(); return; }
      if (answer.status === 200) { etag = answer.headers.get("ETag"); store.applyStatic(await answer.json()); look(); socket.askDetails(); }
      isLoading = false;
    } catch {
      setTimeout(() => { isLoading = false; loadNames(); }, NAMES_RETRY_MS);
    }
  }

  /** Before the names are there, nobody knows how large the fleet is. From afar it may be told as cells. */
  function look() {
    const isWhole = store.vehicleNames.size + store.stationNames.size <= WHOLE_FLEET;
    const { bbox, z } = map.box();
    store.isPart = !isWhole || !store.rev || z < OVERVIEW_ZOOM;
    socket.look({ bbox: isWhole ? null : bbox, z, layers: ["vehicles", "stations", "grid", ...(store.isPart ? ["status"] : [])] });
  }

  /** The map moved; tell the hub when it rests, if it needs to know at all. */
  function lookSoon() {
    clearTimeout(viewTimer);
    if (socket.view?.bbox === null && detail(socket.view.z) === detail(map.box().z)) return;
    viewTimer = setTimeout(look, VIEW_DELAY_MS);
  }

  function drawAge() {
    const pill = byId("live");
    const now = performance.now();
    const down = socket.downSince === null ? 0 : now - socket.downSince;
    const isDown = LOST.has(socket.state);
    pill.dataset.state = socket.state;
    const text = socket.state === "live" ? liveText() : t(socket.state, { seconds: Math.round(down / 1000) });
    if (pill.lastChild.textContent !== text) pill.lastElementChild.textContent = text;
    drawBanner(isDown && down > BANNER_AFTER_MS, down);
  }

  /** Of the line, or of the newest position when that is what is old. */
  function liveText() {
    const old = socket.newestPositionAt === null ? 0 : serverNow() - socket.newestPositionAt;
    return old > OLD_POSITION_MS ? t("livePositions", { age: since(socket.newestPositionAt) }) : t("live", { age: tenth(Math.max(0.1, socket.age())) });
  }

  function bannerText(down) {
    const time = socket.lastGoodAt ?? loadedAt;
    if (socket.state !== "reconnecting") return t(`banner.${socket.state}`, { time: hourMinuteSecond(time) });
    if (down < FROZEN_AFTER_MS) return t("banner", { time: hourMinuteSecond(time) });
    return t("bannerStill", { time: hourMinuteSecond(time), minutes: Math.floor(down / 60_000) });
  }

  function drawBanner(isShown, down) {
    const banner = byId("banner");
    byId("main").dataset.state = isShown ? "reconnecting" : "live";
    if (isShown) {
      const text = bannerText(down);
      if (banner.lastElementChild.textContent !== text) banner.lastElementChild.textContent = text;
    }
    if (banner.hidden === isShown) {
      banner.hidden = !isShown;
      byId("spoken").textContent = isShown ? banner.lastElementChild.textContent : t("resynced");
    }
  }

  function drawClock() {
    byId("clock").textContent = hourMinute(new Date(serverNow()));
  }

  setInterval(drawAge, 500);
  setInterval(drawClock, 5000);
  drawClock();
  return {
    open: () => { socket.open(); look(); loadNames(); },
    lookSoon, look, socket,
    watch: () => socket.watch(watched()),
  };
}
