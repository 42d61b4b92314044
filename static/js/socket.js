// The one live socket: hello, view, ack; gaps heal by a new snapshot, a lost line by backing off with jitter.
import { serverNow, tellTime } from "fc/clock";
import { EventLine, PollLine } from "fc/one-way";
import { BadFrame } from "fc/wire";

const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 15_000;
const WATCHED_DELAY_MS = 2500; // somebody looks at a page that was live a moment ago: a restart is over soon
const WATCHED_FOR_MS = 60_000;
const SILENT_MS = 10_000; // figures come every second: ten without a word is a dead line
const OPEN = 1; // WebSocket.OPEN, where there is one
const UNAUTHENTICATED = 4401;
const FORBIDDEN = 4403;
const TRIES = 2; // of each kind of line, until one of them was heard
const OTHER_FLEET = 4409;
const TOO_MANY = 4429;

export function liveUrl(port, place = location, path = "/ws/live/") {
  const scheme = place.protocol === "https:" ? "wss" : "ws";
  const chosen = port || place.port;
  return `${scheme}://${place.hostname}${chosen ? `:${chosen}` : ""}${path}`;
}

export class LiveSocket {
  constructor({ store, url, language, onState, onSignedOut, onRev, random = Math.random }) {
    Object.assign(this, { store, url, language, onState, onSignedOut, onRev, random });
    this.state = "connecting";
    this.attempt = 0;
    this.heardAt = 0; // performance clock
    this.lastGoodAt = null; // server clock of the last word, for "as of"
    this.downSince = null;
    this.view = null;
    this.focus = { veh: [], stn: [] };
    this.seq = 0;
    this.epoch = null;
    this.newestPositionAt = null; // of all vehicles, by the server's clock
    this.timer = null;
    this.kind = null; // of the line in use
    this.works = null; // the kind that was heard
    this.failures = 0; // before any was
    addEventListener("online", () => this.#atOnce());
    document.addEventListener("visibilitychange", () => this.#visibility());
    setInterval(() => this.#everySecond(), 1000);
  }

  open() {
    clearTimeout(this.timer);
    this.socket?.close();
    const socket = this.#begin();
    this.socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.#send({ type: "hello", v: 1, proto: 1, last_alert: this.store.lastAlert, language: this.language });
    socket.onmessage = (message) => { if (socket === this.socket) this.#heard(message.data); };
    socket.onclose = (event) => { if (socket === this.socket) this.#closed(event.code); };
  }

  /** Some browsers have no WebSocket, or forbid it, and some networks let none through: then the next kind of line. */
  #begin() {
    const [[name, line], ...others] = this.#kinds();
    this.kind = name;
    try {
      return line(this.url);
    } catch {
      [[this.kind]] = others;
      return others[0][1](this.url);
    }
  }

  /** Those there are, the one that is due first. Only a socket may be forbidden where there is one. */
  #kinds() {
    const kinds = [
      ...(globalThis.WebSocket ? [["socket", (url) => new WebSocket(url)]] : []),
      ...(globalThis.EventSource ? [["events", (url) => new EventLine(url)]] : []),
      ["poll", (url) => new PollLine(url)],
    ];
    const known = kinds.findIndex(([name]) => name === this.works);
    const due = known >= 0 ? known : Math.floor(this.failures / TRIES) % kinds.length;
    return [...kinds.slice(due), ...kinds.slice(0, due)];
  }

  /** What we look at: `{bbox, z, layers}`; sent again after every reconnect. */
  look(view) {
    this.view = { ...view, pad: 0.25 };
    this.store.lookAt(view.layers);
    this.#sendView();
  }

  watch(focus) {
    this.focus = focus;
    this.#send({ type: "focus", ...focus });
  }

  /** Tell which details came with the names; what is newer follows. */
  askDetails() {
    if (this.epoch && this.store.detailsRev) this.#send({ type: "details", rev: this.store.detailsRev });
  }

  /** Seconds since the server last said anything. */
  age() { return (performance.now() - this.heardAt) / 1000; }

  #sendView() { if (this.view && this.epoch) this.#send({ type: "view", ...this.view }); }

  #send(message) {
    if (this.socket?.readyState === OPEN) this.socket.send(JSON.stringify(message));
  }

  #heard(data) {
    this.heardAt = performance.now();
    if (typeof data === "string") this.#text(JSON.parse(data));
    else this.#binary(data);
    this.lastGoodAt = serverNow(); // afterwards: it may have told the time to a machine that slept
  }

  #binary(data) {
    try {
      const frame = this.store.applyFrame(data);
      const isGap = frame.seq !== this.seq + 1;
      this.seq = frame.seq;
      if (isGap) this.#sendView(); // state was lost: a snapshot is cheap and certain
      if (frame.rev && frame.rev !== this.store.rev) this.onRev(frame.rev);
    } catch (error) {
      if (!(error instanceof BadFrame)) throw error;
      this.#sendView();
    }
  }

  #text(message) {
    if (message.type === "welcome") this.#welcome(message);
    else if (message.type === "kpi") this.#figures(message);
    else if (message.type === "alert") this.onAlert?.(message, this.store.applyAlert(message));
    else if (message.type === "session") this.store.applySession(message);
    else if (message.type === "details") this.store.applyDetails(message);
    else if (message.type === "resync") this.#sendView();
    else if (message.type === "bye") this.retryMs = message.retry_ms;
  }

  #figures(message) {
    tellTime(message.server_time);
    this.newestPositionAt = message.newest_position_at ? Date.parse(message.newest_position_at) : null;
    this.store.applyKpi(message);
  }

  #welcome(message) {
    this.epoch = message.epoch;
    this.works = this.kind;
    this.store.forgetParts();
    this.seq = 0;
    this.attempt = 0;
    this.downSince = null;
    tellTime(message.server_time);
    this.#sendView();
    this.watch(this.focus);
    this.askDetails();
    if (document.hidden) this.#send({ type: "pause" });
    this.#become("live");
    if (message.rev && message.rev !== this.store.rev) this.onRev(message.rev);
  }

  #closed(code) {
    this.epoch = null;
    this.failures += this.works ? 0 : 1;
    this.downSince ??= performance.now();
    if (code === UNAUTHENTICATED) return this.onSignedOut();
    if (code === OTHER_FLEET) return location.reload(); // chosen in another tab: this page must not go on with the last one
    if (code === FORBIDDEN) return this.#become("refused");
    this.#become("reconnecting");
    const longest = Math.min(this.#longestDelay(), FIRST_DELAY_MS * 2 ** this.attempt++);
    const wait = code === TOO_MANY ? LONGEST_DELAY_MS : this.retryMs || Math.max(100, this.random() * longest);
    this.retryMs = 0;
    this.timer = setTimeout(() => this.open(), wait);
    return undefined;
  }

  #longestDelay() {
    const isWatched = !document.hidden && performance.now() - this.downSince < WATCHED_FOR_MS;
    return isWatched ? WATCHED_DELAY_MS : LONGEST_DELAY_MS;
  }

  #become(state) {
    if (state === this.state) return;
    this.state = state;
    this.onState(state);
  }

  #atOnce() { if (this.state !== "live") { this.attempt = 0; this.open(); } }

  #visibility() {
    this.#send({ type: document.hidden ? "pause" : "resume" });
    if (!document.hidden) this.#atOnce();
  }

  #everySecond() {
    if (this.state !== "live") return;
    if (this.seq) this.#send({ type: "ack", seq: this.seq });
    if (!document.hidden && performance.now() - this.heardAt > SILENT_MS) {
      const silent = this.socket;
      this.socket = null; // its close may take a minute to be noticed
      silent.close();
      this.#closed(0);
    }
  }
}
