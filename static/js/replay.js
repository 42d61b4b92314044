// Rewind: the last hours played again on the same map, while the queue stays live.
import { ask } from "fc/ask";
import { boot, t } from "fc/boot";
import { serverNow } from "fc/clock";
import { byId, h, icon } from "fc/dom";
import { pastTime } from "fc/format";
import { Past } from "fc/past";
import { say } from "fc/toast";

const SPAN_MS = 2 * 3_600_000;
const STEP_SECONDS = 30;
const FRAME_MS = 100; // ten pictures a second are smooth at 60 times the speed
const AGAIN_MS = 400;
const PAD = 0.25;

export class Replay {
  constructor({ map, store, onShow }) {
    Object.assign(this, { map, store, onShow });
    this.past = null;
    this.speed = 10;
    this.isPlaying = false;
    this.asked = 0;
    byId("replay-button").addEventListener("click", () => (this.isOn ? this.close() : this.open()));
    byId("replay-live").addEventListener("click", () => this.close());
    byId("replay-play").addEventListener("click", () => this.toggle());
    byId("replay-at").addEventListener("input", (event) => { this.pause(); this.seek(Number(event.target.value)); });
    byId("replay-at").addEventListener("change", () => this.#remember());
    for (const button of this.#speeds()) button.addEventListener("click", () => this.#setSpeed(Number(button.dataset.speed)));
    map.map.on("moveend", () => this.#moved());
  }

  /** From the first press on: while the hours are on their way, too. */
  get isOn() { return !byId("replay").hidden; }

  /** Show that instant (epoch ms); without one, what is now, to go back from. */
  async open(at = serverNow()) {
    this.#showBar(true);
    await this.#load(at);
    if (this.past) byId("spoken").textContent = t("replay.begun");
  }

  close() {
    if (!this.isOn) return;
    this.pause();
    this.asked++;
    this.past = null;
    this.map.showPast(null);
    this.#showBar(false);
    history.replaceState(null, "", location.pathname + location.search);
    byId("spoken").textContent = t("replay.over");
    byId("replay-button").focus();
    this.onShow();
  }

  /** By half minutes; the first step back opens the replay. */
  async step(by) {
    if (!this.isOn && by < 0) await this.open();
    if (!this.past) return;
    this.pause();
    this.seek(this.second + by * STEP_SECONDS);
    this.#remember();
  }

  async #load(at) {
    const now = serverNow();
    const to = at > now - SPAN_MS ? now : at + SPAN_MS / 2;
    const mine = ++this.asked;
    byId("replay").setAttribute("aria-busy", "true");
    try {
      this.box = padded(this.map.box().bbox);
      const told = await read({ from: new Date(to - SPAN_MS).toISOString(), to: new Date(to).toISOString(), bbox: this.box.join() });
      if (mine === this.asked) this.#show(told, at);
    } catch {
      if (mine === this.asked) this.#failed();
    }
    if (mine === this.asked) byId("replay").removeAttribute("aria-busy");
  }

  #show(told, at) {
    this.past = new Past(this.store, told, boot.socLowPercent);
    byId("replay-at").max = this.past.seconds;
    byId("replay-note").hidden = this.past.isComplete;
    byId("replay-note").textContent = t("replay.part");
    this.#drawTicks();
    this.seek((at - this.past.start) / 1000, true);
  }

  #failed() {
    say(t("replay.failed"));
    if (!this.past) this.close();
  }

  seek(second, isNew = false) {
    const hasMovedPins = this.past.seek(second);
    this.second = this.past.second;
    this.map.showPast(this.past, hasMovedPins || isNew);
    const slider = byId("replay-at");
    const time = pastTime(this.past.start + this.second * 1000);
    slider.value = this.second;
    slider.setAttribute("aria-valuetext", time);
    byId("replay-time").textContent = time;
    this.onShow();
  }

  // --- playing -----------------------------------------------------------------------------------------------------
  toggle() {
    if (!this.past) return;
    if (this.isPlaying) { this.pause(); this.#remember(); } else this.#play();
  }

  #play() {
    if (this.second >= this.past.seconds) this.seek(0);
    this.isPlaying = true;
    this.shownAt = performance.now();
    this.#drawPlay();
    const tick = (now) => {
      if (!this.isPlaying) return;
      if (now - this.shownAt >= FRAME_MS) this.#advance(now);
      this.frame = requestAnimationFrame(tick);
    };
    this.frame = requestAnimationFrame(tick);
  }

  #advance(now) {
    const second = this.second + ((now - this.shownAt) / 1000) * this.speed;
    this.shownAt = now;
    this.seek(second);
    if (second >= this.past.seconds) this.pause();
  }

  pause() {
    this.isPlaying = false;
    cancelAnimationFrame(this.frame);
    this.#drawPlay();
  }

  #setSpeed(speed) {
    this.speed = speed;
    for (const button of this.#speeds()) button.setAttribute("aria-pressed", String(Number(button.dataset.speed) === speed));
  }

  #speeds() { return byId("replay").querySelectorAll("[data-speed]"); }

  // --- the bar -----------------------------------------------------------------------------------------------------
  #showBar(isOn) {
    byId("replay").hidden = !isOn;
    byId("replay-button").setAttribute("aria-expanded", String(isOn));
    byId("main").toggleAttribute("data-replay", isOn);
    if (isOn) { this.#drawPlay(); byId("replay-at").focus(); }
  }

  #drawPlay() {
    const button = byId("replay-play");
    button.setAttribute("aria-label", t(this.isPlaying ? "replay.pause" : "replay.play"));
    button.replaceChildren(icon(this.isPlaying ? "pause" : "play"));
  }

  /** Where alerts were opened; all of them are also in the table of alerts. */
  #drawTicks() {
    byId("replay-ticks").replaceChildren(...this.past.opened.map((alert) => h("i", {
      class: alert.severity === "bad" ? "bad" : "warn", title: alert.title, style: `left:${(100 * alert.second) / this.past.seconds}%`,
    })));
  }

  /** The address leads back to this instant. */
  #remember() {
    if (this.past) history.replaceState(null, "", `#replay=${new Date(this.past.start + Math.round(this.second) * 1000).toISOString()}`);
  }

  /** Out of the box that was told: the pins there, and in a large fleet the vehicles, are not known yet. */
  #moved() {
    clearTimeout(this.again);
    if (!this.past || holds(this.box, this.map.box().bbox)) return;
    this.again = setTimeout(() => { if (this.past) this.#load(this.past.start + this.second * 1000); }, AGAIN_MS);
  }
}

async function read(query) {
  const answer = await ask(`${boot.urls.api}live/past/?${new URLSearchParams(query)}`, { headers: { Accept: "application/json" } });
  if (answer.status === 401) location.href = boot.urls.login;
  if (!answer.ok) throw new Error(`no past: ${answer.status}`);
  return answer.json();
}

const within = (least, value, most) => Math.min(most, Math.max(least, value));

function padded([west, south, east, north]) {
  const [x, y] = [(east - west) * PAD, (north - south) * PAD];
  return [within(-360, west - x, 360), within(-90, south - y, 90), within(-360, east + x, 360), within(-90, north + y, 90)];
}

const holds = (box, [west, south, east, north]) => west >= box[0] && south >= box[1] && east <= box[2] && north <= box[3];
