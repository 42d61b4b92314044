// "Needs you": the queue by what it costs to wait; accept, options, snooze, dismiss, undo.
import { boot, t } from "fc/boot";
import { serverNow } from "fc/clock";
import { badge, byId, h, icon, redraw } from "fc/dom";
import { hourMinute, integer, percent, rupees, since, tenth, wholeRupees } from "fc/format";
import { tellRefusal } from "fc/late";
import { say, sayWithUndo } from "fc/toast";

const UNDO_MS = 10_000;
const SNOOZE_MINUTES = 15;
const STOPS_TOLD = 3;
const SPOKEN_EVERY_MS = 5000;
const ICONS = { will_not_reach: "warn", rerouted: "route", no_charger: "warn", reservation_lost: "plug", charger_silent: "slash", money: "rupee", network_down: "slash", charger_matter: "warn", vehicle_silent: "slash", webhook_off: "out", vehicle_alarm: "warn", no_show: "clock", overstay: "bolt" };
const DRIVEN = new Set(["accepted", "reserved", "charging"]);
const TONES = { bad: "bad", warn: "warn", info: "chg" };

export class Queue {
  constructor({ store, actions, onOpen, onChoose }) {
    Object.assign(this, { store, actions, onOpen, onChoose });
    this.box = byId("queue");
    this.withOptions = null;
    this.decided = new Map(); // plan id -> what we asked for; hides the offer until the server says so too
    this.spokenAt = -Infinity; // performance clock
    store.on("alerts selection", () => this.draw());
    actions.onChange = () => this.draw();
    setInterval(() => this.#tick(), 1000);
    this.#swipe();
  }

  /** The alert whose card is open: the chosen one while it lasts, else the first. */
  current() {
    const queue = this.queue();
    return queue.find((alert) => alert.id === this.store.selection.alert) ?? queue[0] ?? null;
  }

  queue() { return this.store.queue().filter((alert) => !this.#isDecided(alert)); }

  /** Hidden from the press of the button until the server's word arrives; an undo elsewhere brings it back. */
  #isDecided(alert) {
    const asked = alert.plan && this.decided.get(alert.plan.id);
    if (!asked || this.#isQueued(alert)) return false;
    if (alert.plan.state !== asked.from) asked.hasMoved = true;
    else if (asked.hasMoved) this.decided.delete(alert.plan.id);
    return alert.plan.state === asked.from && !asked.hasMoved;
  }

  /** Decided, and not with the server yet. */
  #isQueued(alert) { return this.actions.queued().some((path) => path.startsWith(`plans/${alert.plan?.id}/`)); }

  draw() {
    const queue = this.queue();
    const current = this.current();
    byId("queue-count").textContent = integer(queue.length);
    const counter = byId("badge");
    if (counter) { counter.hidden = !queue.length; counter.textContent = queue.length; }
    const cards = queue.map((alert, n) => (alert === current ? this.#card(alert) : this.#row(alert, n)));
    cards[0]?.classList?.contains("min") || queue.length < 2 || cards.find((card) => card.classList.contains("min"))?.classList.add("next");
    redraw(this.box, byId("queue-title"), cards.length ? cards : [this.#nothing()]);
    this.#tick();
    this.onChoose(current);
  }

  #nothing() {
    return h("div", { class: "empty" }, h("span", { class: "g b-ok" }, icon("check")), h("b", {}, t("queueEmpty")), h("span", {}, t("queueEmptyBody")));
  }

  #card(alert) {
    const tone = TONES[alert.severity] ?? "warn";
    const plan = alert.plan;
    const isOffer = plan?.state === "proposed";
    return h("article", { class: `al ${alert.severity === "bad" || isOffer ? "hot" : ""} ${alert.severity}`, "data-alert": alert.id },
      h("div", { class: "t" }, badge(ICONS[alert.kind] ?? "bell", tone), h("h3", {}, alert.title), this.#time(alert)),
      alert.body ? h("p", {}, ...strongStation(alert)) : null,
      plan?.station ? figures(plan) : null,
      this.#buttons(alert, isOffer),
      this.withOptions === alert.id ? this.#options(alert) : null);
  }

  #time(alert) {
    return h("time", { class: "num", datetime: alert.opened_at, "data-since": alert.opened_at }, t("ago", { age: since(alert.opened_at) }));
  }

  #buttons(alert, isOffer) {
    if (this.#isQueued(alert)) return h("p", { class: "queued" }, icon("clock"), t("queued"));
    if (!boot.canDispatch) return h("p", { class: "look" }, t("readOnly"));
    return h("div", { class: "act" },
      isOffer ? h("button", { class: "btn p", type: "button", "data-focus": `accept-${alert.id}`, "aria-keyshortcuts": "A", onclick: () => this.accept(alert) },
        icon("route"), h("span", { class: "cut" }, t("accept")), h("kbd", { "aria-hidden": "true" }, "A")) : this.#openButton(alert, "btn p"),
      isOffer ? h("button", { class: "btn", type: "button", "data-focus": `options-${alert.id}`, "aria-expanded": String(this.withOptions === alert.id), onclick: () => this.#toggleOptions(alert) }, t("options")) : null,
      DRIVEN.has(alert.plan?.state) ? h("button", { class: "btn", type: "button", "data-focus": `link-${alert.id}`, "data-driver-link": alert.plan.id, "data-plate": alert.plan.vehicle.registration }, icon("out"), t("driverLink")) : null,
      h("button", { class: "btn q", type: "button", "data-focus": `snooze-${alert.id}`, "aria-label": t("snooze"), title: t("snooze"), onclick: () => this.snooze(alert) }, icon("clock")));
  }

  #options(alert) {
    const dismiss = h("button", { class: "btn", type: "button", "data-focus": `dismiss-${alert.id}`, "aria-keyshortcuts": "X", onclick: () => this.dismiss(alert) },
      t("dismiss"), h("kbd", { "aria-hidden": "true" }, "X"));
    return h("div", {}, options(alert.plan), h("div", { class: "act" }, dismiss));
  }

  #openButton(alert, look) {
    const label = alert.kind === "money" ? t("review") : alert.kind === "rerouted" ? t("show") : t("open");
    return h("button", { class: look, type: "button", "data-focus": `open-${alert.id}`, onclick: () => this.onOpen(alert) }, label);
  }

  #row(alert, n) {
    const isOffer = alert.plan?.state === "proposed";
    const button = isOffer ? h("button", { class: "btn", type: "button", "data-focus": `open-${alert.id}`, onclick: () => this.choose(alert) }, t("review")) : this.#openButton(alert, "btn");
    button.setAttribute("aria-label", `${button.textContent}: ${alert.title}`);
    if (n < 5) button.setAttribute("aria-keyshortcuts", String(n + 1));
    return h("article", { class: "min", "data-alert": alert.id }, badge(ICONS[alert.kind] ?? "bell", TONES[alert.severity] ?? "warn"),
      h("h3", { class: "cut" }, alert.title), h("small", { class: "cut" }, alert.body || t("ago", { age: since(alert.opened_at) })), button);
  }

  choose(alert) {
    if (!alert) return;
    this.store.select({ alert: alert.id });
    this.draw();
    this.box.scrollTop = 0;
  }

  #toggleOptions(alert) {
    this.withOptions = this.withOptions === alert.id ? null : alert.id;
    this.draw();
  }

  // --- decisions -------------------------------------------------------------------------------------------------
  accept(alert = this.current()) { return this.#decide(alert, "accept", t("accepted", { plate: alert?.plan?.vehicle.registration })); }

  dismiss(alert = this.current()) { return this.#decide(alert, "dismiss", t("dismissed", { plate: alert?.plan?.vehicle.registration })); }

  async #decide(alert, verb, text) {
    const plan = alert?.plan;
    if (!plan || plan.state !== "proposed" || !boot.canDispatch || this.decided.has(plan.id) || this.#isQueued(alert)) return;
    const what = t(`late.${verb}`, { plate: plan.vehicle.registration });
    this.decided.set(plan.id, { from: plan.state });
    this.withOptions = null;
    this.store.select({ alert: null });
    this.draw();
    sayWithUndo(text, serverNow() + UNDO_MS, () => this.#undo(plan));
    try {
      await this.actions.post(`plans/${plan.id}/${verb}/`, {}, what);
    } catch (error) {
      this.decided.delete(plan.id);
      this.draw();
      if (error.status === 409) say(t("gone"));
      else tellRefusal(what, error);
    }
  }

  async #undo(plan) {
    const what = t("late.undo", { plate: plan.vehicle.registration });
    try {
      const { places_lost: lost = [] } = await this.actions.post(`plans/${plan.id}/undo/`, {}, what);
      this.decided.delete(plan.id);
      const places = lost.map(({ station, bay }) => t("bay", { station: station.name, bay })).join("; ");
      say(places ? t("undoneLost", { places }) : t("undone"));
    } catch (error) {
      tellRefusal(what, error);
    }
    this.draw();
  }

  async snooze(alert = this.current()) {
    if (!alert) return;
    const held = alert.snoozed_until;
    this.#hide(alert, new Date(serverNow() + SNOOZE_MINUTES * 60_000).toISOString());
    sayWithUndo(t("snoozed"), serverNow() + UNDO_MS, () => this.#wake(alert));
    const what = t("late.snooze", { title: alert.title });
    try {
      await this.actions.post(`alerts/${alert.id}/snooze/`, { minutes: SNOOZE_MINUTES }, what);
    } catch (error) {
      this.#hide(alert, held);
      tellRefusal(what, error);
    }
  }

  /** Back in sight at once; the server hears of it after it heard of the snooze. */
  async #wake(alert) {
    this.#hide(alert, null);
    const what = t("late.wake", { title: alert.title });
    try {
      await this.actions.post(`alerts/${alert.id}/wake/`, {}, what);
      say(t("undone"));
    } catch (error) {
      tellRefusal(what, error);
    }
  }

  /** The alert itself, or the newer word about it that came meanwhile. */
  #hide(alert, until) {
    (this.store.alerts.get(alert.id) ?? alert).snoozed_until = until;
    this.draw();
  }

  // --- calm ------------------------------------------------------------------------------------------------------
  #tick() {
    const now = serverNow();
    for (const element of this.box.querySelectorAll("[data-since]")) element.textContent = t("ago", { age: since(element.dataset.since, now) });
    const oldest = Math.min(...this.queue().map((alert) => new Date(alert.opened_at).getTime()));
    byId("queue-age").textContent = Number.isFinite(oldest) ? t("oldest", { age: age(now - oldest) }) : "";
    const count = this.store.queue().length;
    if (count !== this.counted) { this.counted = count; this.draw(); } // a snooze ran out
  }

  /** Say a new alert aloud, politely, and never more than one in five seconds. */
  announce(alert) {
    clearTimeout(this.speaking);
    const wait = Math.max(0, this.spokenAt + SPOKEN_EVERY_MS - performance.now());
    this.speaking = setTimeout(() => {
      this.spokenAt = performance.now();
      byId("spoken").textContent = t("announce", { title: alert.title });
    }, wait);
  }

  #swipe() {
    let from = null;
    this.box.addEventListener("pointerdown", (event) => { if (event.pointerType === "touch") from = event.clientX; });
    this.box.addEventListener("pointerup", (event) => {
      if (from !== null && Math.abs(event.clientX - from) > 60) this.#step(event.clientX < from ? 1 : -1);
      from = null;
    });
  }

  #step(by) {
    const queue = this.queue();
    const at = queue.indexOf(this.current());
    this.choose(queue[(at + by + queue.length) % queue.length]);
  }
}

function age(milliseconds) {
  const minutes = Math.max(0, Math.floor(milliseconds / 60_000));
  return minutes < 60 ? t("agoMinutes", { minutes }) : t("agoHours", { hours: Math.floor(minutes / 60) });
}

/** The body with the station's name in strong type. */
function strongStation(alert) {
  const name = alert.plan?.station?.name;
  const at = name ? alert.body.indexOf(name) : -1;
  return at < 0 ? [alert.body] : [alert.body.slice(0, at), h("b", {}, name), alert.body.slice(at + name.length)];
}

function figures(plan) {
  const cell = (value, label) => h("span", {}, h("b", {}, value), label);
  return h("div", { class: "cmp num" },
    cell(t("minutes", { minutes: Math.round(plan.delay_seconds / 60) }), t("delay")),
    cell(t("detourKm", { km: tenth(plan.detour_m / 1000) }), t("detour")),
    cell(hourMinute(plan.plug_in_at), t("plugIn")),
    cell(wholeRupees(plan.cost_paise), plan.target_soc_percent ? t("toSoc", { percent: Math.round(plan.target_soc_percent) }) : t("price")));
}

/** The runners-up, as the plan's explanation gives them. */
function options(plan) {
  const candidates = (plan?.explanation?.candidates ?? []).filter((one) => one.connector_id !== plan.connector?.id).slice(0, 4);
  const items = candidates.map((one) => h("li", { class: "num" },
    h("b", { class: "cut" }, one.station ?? one.name ?? ""),
    h("span", {}, one.cost_paise === undefined ? rupees(one.total_paise) : wholeRupees(one.cost_paise)),
    h("small", {}, [one.delay_seconds !== undefined && t("minutes", { minutes: Math.round(one.delay_seconds / 60) }),
      one.detour_m !== undefined && t("detourKm", { km: tenth(one.detour_m / 1000) }),
      one.arrival_soc_percent !== undefined && t("arrivesWith", { percent: Math.round(one.arrival_soc_percent) })].filter(Boolean).join(" · "))));
  return h("ul", { class: "options" }, items.length ? items : h("li", {}, t("noOptions")));
}

/** A plan's charges and its next stops in the order in which they come; one from before routes has its one charge. */
function timeline(plan, goal) {
  const { visits, arrivals } = plan.explanation ?? {};
  const charges = visits ?? [{ station: plan.station.name, starts_at: plan.plug_in_at, leaves_at: plan.done_at, departure_soc_percent: plan.target_soc_percent }];
  const stops = visits ? (arrivals ?? []).slice(0, STOPS_TOLD) : goal ? [{ name: goal.name ?? goal, arrives_at: goal.at }] : [];
  return [
    ...charges.flatMap((one) => [["plug", "ok", one.station, one.starts_at], ["bolt", "chg", percent(one.departure_soc_percent), one.leaves_at]]),
    ...stops.map((one) => ["pin", one.late_seconds >= 60 ? "bad" : "off", one.name, one.arrives_at]),
  ].sort((a, b) => (a[3] ? new Date(a[3]).getTime() : Infinity) - (b[3] ? new Date(b[3]).getTime() : Infinity));
}

function planB(plan) {
  const known = plan.explanation?.plan_b;
  if (!known) return "";
  return known.connector_id ? t("planB", { station: known.station }) : t("noPlanB");
}

/** The card over the map that tells the suggested reroute leg by leg. */
export function drawTip(box, alert) {
  const plan = alert?.plan;
  box.hidden = !plan?.station;
  if (box.hidden) return;
  const leg = (name, tone, text, time) => [h("span", { class: tone }, icon(name)), h("b", { class: "cut" }, text), h("span", { class: "muted" }, time)];
  const goal = plan.route?.onward?.length ? alert.data?.next_stop ?? null : null;
  box.replaceChildren(
    h("h2", {}, h("span", {}, t("suggested")), h("span", { class: "ok num" }, t("minutes", { minutes: Math.round(plan.delay_seconds / 60) }))),
    h("p", { class: "num" }, t("arrivesWith", { percent: plan.arrival_soc_percent === null ? "–" : Math.round(plan.arrival_soc_percent) })),
    h("div", { class: "leg num" },
      leg("truck", "bad", t("now", { percent: Math.round(plan.soc_percent) }), hourMinute(plan.created_at)),
      ...timeline(plan, goal).map(([name, tone, text, at]) => leg(name, tone, text, at ? hourMinute(at) : ""))),
    ...(planB(plan) ? [h("p", { class: "cut" }, planB(plan))] : []));
}
