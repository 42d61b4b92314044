// What can be done at one plug of the drawer: hold, book, start, stop, limit, unlock... Money and vehicles are asked about.
import { ask } from "fc/ask";
import { boot, t } from "fc/boot";
import { serverNow } from "fc/clock";
import { byId } from "fc/dom";
import { fromWallTime, hourMinute, rupees, wallTime } from "fc/format";
import { say, sayWithUndo } from "fc/toast";

const LOOK_EVERY_MS = 1500;
const LOOKS = 120; // three minutes; the server gives up before that
const UNDO_MS = 10_000;
const HALF_HOUR_MS = 30 * 60_000;
const STEPS = { book: "deed-from deed-long", extend: "deed-long", limit: "deed-power", prefer: "deed-from deed-need deed-how", word: "deed-word" };
const FIELDS = ["deed-from", "deed-long", "deed-power", "deed-need", "deed-how", "deed-word"];
const FIRST = { book: "deed-at", prefer: "deed-at", limit: "deed-kw", word: "deed-soc" };
const COMMANDS = ["start", "stop", "limit", "outlook", "prefer", "unlock"];

export class Deeds {
  constructor({ actions, reserver, store, onDone }) {
    Object.assign(this, { actions, reserver, store, onDone });
    this.dialog = byId("deed");
    this.reserver.onElsewhere = (wish, vehicle) => this.#ask({ ...wish, deed: "replace" }, vehicle);
    this.form = this.dialog.querySelector("form");
    this.form.addEventListener("submit", (event) => this.#submit(event));
    for (const id of ["deed-at", "deed-minutes"]) byId(id).addEventListener("input", () => this.#askAnew());
    this.dialog.addEventListener("close", () => this.onDone(this.wish?.focus, false));
    this.dialog.addEventListener("click", (event) => { if (event.target === this.dialog) this.dialog.close(); });
  }

  /** A button of the drawer was pressed; its data says what for. */
  begin(button) {
    const wish = { ...button.dataset };
    if (wish.deed === "hold") this.reserver.reserve(Number(wish.connector), wish.bay, wish.way);
    else if (wish.deed === "start" && wish.vehicle) this.#ask(wish, Number(wish.vehicle));
    else if (wish.deed === "tick") this.#tick(wish);
    else if (wish.deed === "start" || wish.deed === "book") this.reserver.forVehicle((vehicle) => this.#ask(wish, vehicle));
    else this.#ask(wish, null);
  }

  #ask(wish, vehicleId) {
    this.wish = { ...wish, vehicleId, plate: wish.plate || this.reserver.plate(vehicleId) };
    byId("deed-title").textContent = t(`deed.${wish.deed}.title`, this.wish);
    byId("deed-text").textContent = this.#explain();
    byId("deed-yes").textContent = t(`deed.${wish.deed}.yes`);
    byId("deed-error").textContent = "";
    byId("deed-yes").disabled = false;
    for (const id of FIELDS) byId(id).hidden = !(STEPS[wish.deed] ?? "").includes(id);
    byId("deed-at").required = wish.deed === "book";
    byId("deed-minutes").value = "30";
    byId("deed-soc").required = wish.deed === "word";
    byId("deed-soc").value = byId("deed-kw").value = byId("deed-kwh").value = byId("deed-at").value = "";
    byId("deed-at").min = wallTime(new Date(serverNow()));
    if (wish.deed === "book") this.#offerTime();
    this.dialog.showModal();
    byId(FIRST[wish.deed] ?? "deed-yes").focus();
  }

  /** A stop was visited. Nothing is lost by it, so it is done at once and can be taken back. */
  async #tick(wish) {
    const path = `vehicles/${wish.vehicle}/stops/${wish.stop}/done/`;
    const send = async (method) => {
      try {
        await this.actions.postNow(path, {}, method);
        if (method === "POST") sayWithUndo(t("tick.done", wish), serverNow() + UNDO_MS, () => send("DELETE"));
        else say(t("tick.undone", wish));
      } catch (error) {
        say(reasonOf(error));
      }
      this.onDone(wish.focus, true);
    };
    await send("POST");
  }

  #explain() {
    const { deed, way, price, until } = this.wish;
    if (deed === "book") return t(`deed.book.${way}`, this.wish);
    if (deed === "start") return t(price ? "deed.start.text" : "deed.start.noPrice", { ...this.wish, price: rupees(Number(price)) });
    if (deed === "extend") return t("deed.extend.text", { ...this.wish, time: hourMinute(until) });
    return t(`deed.${deed}.text`, this.wish);
  }

  /** The next half hour that is an hour away, in the fleet's own time. */
  #offerTime() {
    byId("deed-at").value = wallTime(new Date(Math.ceil(serverNow() / HALF_HOUR_MS + 1) * HALF_HOUR_MS));
  }

  async #submit(event) {
    if (event.submitter?.value !== "yes") return;
    event.preventDefault();
    if (byId("deed-yes").disabled) return;
    byId("deed-yes").disabled = true;
    byId("deed-error").textContent = "";
    const slot = slotOf();
    try {
      const made = await this.#send();
      this.dialog.close();
      this.onDone(this.wish.focus, true);
      this.#follow(made, this.wish);
    } catch (error) {
      if (error.code === "vehicle_has_place" && this.wish.deed === "book") this.#offerToReplace(slot);
      else byId("deed-error").textContent = reasonOf(error);
      byId("deed-yes").disabled = false;
    }
  }

  /** One vehicle has one place at a time: pressed once more for the same time, the other one is given up. */
  #offerToReplace(slot) {
    this.wish.replaces = slot;
    if (slot !== slotOf()) return this.#askAnew(); // changed while the answer was under way
    byId("deed-error").textContent = t("deed.replace.text", this.wish);
    byId("deed-yes").textContent = t("deed.replace.yes");
  }

  /** At another time the vehicle may hold another place, or none: nobody has agreed to lose that one. */
  #askAnew() {
    if (!this.wish?.replaces) return;
    this.wish.replaces = null;
    byId("deed-error").textContent = "";
    byId("deed-yes").textContent = t(`deed.${this.wish.deed}.yes`);
  }

  #send() {
    const { deed, number, connector, session, vehicleId } = this.wish;
    const minutes = Number(byId("deed-minutes").value);
    const place = { vehicle_id: vehicleId, connector_id: Number(connector) };
    const calls = {
      book: () => ["reservations/", { ...place, minutes, starts_at: fromWallTime(byId("deed-at").value).toISOString(), replaces_others: Boolean(this.wish.replaces) }],
      replace: () => ["reservations/", { ...place, replaces_others: true }],
      extend: () => [`reservations/${number}/extend/`, { minutes }],
      cancel: () => [`reservations/${number}/cancel/`, { reason: "cancelled by the dispatcher" }],
      start: () => ["session-commands/start/", place],
      stop: () => ["session-commands/stop/", { session_id: Number(session) }],
      unlock: () => ["session-commands/unlock/", { connector_id: Number(connector), reason: "asked for by the dispatcher" }],
      limit: () => ["session-commands/limit/", { session_id: Number(session), max_power_w: numberOf("deed-kw") }],
      outlook: () => ["session-commands/outlook/", { session_id: Number(session) }],
      word: () => [`vehicles/${this.wish.vehicle}/charge/`, { soc_percent: Number(byId("deed-soc").value) }],
      prefer: () => ["session-commands/prefer/", { session_id: Number(session), style: byId("deed-style").value, ...preference() }],
    };
    return this.actions.postNow(...calls[deed]());
  }

  /** Say what became of it, once its network has spoken; the drawer shows it meanwhile. */
  #follow(made, wish) {
    const isCommand = COMMANDS.includes(wish.deed);
    if (wish.deed === "word") say(t("deed.word.done", { ...wish, percent: byId("deed-soc").value }));
    else if (wish.deed === "cancel") say(t("deed.cancel.done", wish));
    else if (isCommand) this.#look(`session-commands/${made.key}/`, (row) => commandOutcome(row, wish));
    else this.#look(`reservations/${made.number}/`, (row) => promiseOutcome(row, wish, made.expires_at));
  }

  async #look(path, outcome) {
    for (let look = 0; look < LOOKS; look++) {
      const row = await read(path);
      const text = row && outcome(row);
      if (text) {
        say(text);
        this.onDone(null, true);
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
    }
  }
}

/** In thousandths, null where nothing was written. */
const numberOf = (id) => (byId(id).value === "" ? null : Math.round(Number(byId(id).value) * 1000));

/** When the vehicle leaves and what it needs, as far as somebody said. */
function preference() {
  const at = byId("deed-at").value;
  const energy = numberOf("deed-kwh");
  return { ...(at && { departure_at: fromWallTime(at).toISOString() }), ...(energy && { energy_wh: energy }) };
}

/** Which time the dialog asks for. */
const slotOf = () => `${byId("deed-at").value} ${byId("deed-minutes").value}`;

/** Follow a reservation that was asked for elsewhere (R, the palette, the drawer's first button). */
export async function followHold(made, wish, onDone) {
  for (let look = 0; look < LOOKS; look++) {
    const row = await read(`reservations/${made.number}/`);
    if (row?.state === "cancelled") return;
    const text = row && promiseOutcome(row, wish, made.expires_at);
    if (text) {
      say(text);
      onDone();
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}

/** What the API refused, in the reader's language where we know the code. */
export function reasonOf(error) {
  const key = `refused.${error.code}`;
  return boot.texts[key] ? t(key) : t("failed", { detail: error.message });
}

async function read(path) {
  try {
    const answer = await ask(`${boot.urls.api}${path}`, { headers: { Accept: "application/json" } });
    return answer.ok ? await answer.json() : null;
  } catch {
    return null;
  }
}

function promiseOutcome(row, wish, wishedUntil) {
  const words = { ...wish, network: row.station.network, from: hourMinute(row.starts_at), time: hourMinute(row.expires_at) };
  if (row.state === "rejected" || row.state === "failed") return t("deed.hold.refused", words);
  if (row.state !== "confirmed" || row.agreed_until) return row.state === "requested" || row.agreed_until ? "" : t("gone");
  if (wish.deed === "extend") return t(new Date(row.expires_at) < new Date(wishedUntil) ? "deed.extend.refused" : "deed.extend.done", words);
  if (wish.deed === "book") return t("deed.book.done", words);
  return t(row.way === "soft" ? "deed.hold.soft" : "deed.hold.done", words);
}

function commandOutcome(row, wish) {
  const words = { ...wish, network: row.station.network };
  if (row.state === "done") return t(`deed.${row.kind}.done`, { ...words, power: (row.parameters.max_power_w ?? 0) / 1000 });
  if (row.state === "timed_out") return t("deed.command.silent", words);
  if (row.state === "no_session") return t("deed.start.nothing", words);
  return row.state === "rejected" || row.state === "failed" ? t(`deed.${row.kind}.refused`, words) : "";
}
