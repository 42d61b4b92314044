// What this page knows: vehicles, stations, names, alerts, figures, what is selected. Knows nothing of the screen.
import { Cells } from "fc/cells";
import { serverNow } from "fc/clock";
import { Table } from "fc/table";
import { FLAG, KIND, MARK, SOC_UNKNOWN, STATE, eachRecord, eachStatus, readFrame, removedIds } from "fc/wire";

export const GROUPS = ["low", "charging", "driving", "parked", "offline"];
const GROUP_OF_STATE = { [STATE.IDLE]: "parked", [STATE.DRIVING]: "driving", [STATE.CHARGING]: "charging", [STATE.OFFLINE]: "offline" };
/** The group of a vehicle by the last byte of its record. */
export const groupOf = (d) => (d & MARK.LOW ? "low" : GROUP_OF_STATE[d & 0x0f] ?? "offline");
const SESSION_HEARD_MS = 120_000;
const SEVERITY = { bad: 0, warn: 1, info: 2 };

export class Store {
  constructor() {
    this.vehicles = new Table(); // a heading, b speed, c state of charge, d state and marks
    this.stations = new Table(); // a free, b total, c worst | freshness << 4, d power / 10 kW
    this.cells = new Cells(); // counts in place of vehicles and stations, where too many are in view
    this.areCellsAsked = true; // does the page look at the layer `grid`?
    this.statuses = new Map(); // by vehicle id, c << 8 | d: of the whole fleet when the map holds a part of it
    this.isPart = false; // does the table hold only what is in view?
    this.heardOf = new Set(); // kinds of frames that tell of the fleet and were heard to their end
    this.vehicleNames = new Map();
    this.stationNames = new Map();
    this.stationIdByPublicId = new Map();
    this.rev = 0;
    this.detailsRev = 0;
    this.organisation = null;
    this.alerts = new Map();
    this.lastAlert = 0;
    this.plans = null; // by vehicle, made from the alerts when asked for
    this.sessions = new Map();
    this.kpi = null;
    this.selection = { vehicle: null, station: null, alert: null };
    this.listeners = new Map();
    this.due = new Set();
  }

  on(topics, listener) {
    for (const topic of topics.split(" ")) {
      if (!this.listeners.has(topic)) this.listeners.set(topic, new Set());
      this.listeners.get(topic).add(listener);
    }
  }

  /** Tell listeners once per turn, however often it is touched. */
  touch(topic) {
    if (!this.due.size) queueMicrotask(() => {
      const due = [...this.due];
      this.due.clear();
      const called = new Set(due.flatMap((name) => [...(this.listeners.get(name) ?? [])]));
      for (const listener of called) listener();
    });
    this.due.add(topic);
  }

  /** Apply one binary frame; returns its header. */
  applyFrame(buffer) {
    const frame = readFrame(buffer);
    if (frame.kind === KIND.SNAPSHOT || frame.kind === KIND.DELTA) this.#records(this.vehicles, frame);
    else if (frame.kind === KIND.STATUS) eachStatus(frame, (id, c, d) => this.statuses.set(id, (c << 8) | d));
    else if (frame.kind === KIND.STATIONS) this.#records(this.stations, frame);
    else if (frame.kind === KIND.GRID) this.#counts(frame);
    else if (frame.kind === KIND.REMOVE) {
      const table = frame.flags & FLAG.STATION_IDS ? this.stations : this.vehicles;
      for (const id of removedIds(frame)) table.remove(id);
    }
    if (frame.flags & FLAG.LAST_PART) this.heardOf.add(frame.kind);
    this.touch(topicOf(frame));
    return frame;
  }

  /** The parts of a snapshot whose socket died: the rest never comes. */
  forgetParts() {
    this.vehicles.staging = this.stations.staging = null;
    this.cells.forgetParts();
  }

  /** Those on their way when the page went on to layers without them are told to nobody. */
  #counts(frame) { if (this.areCellsAsked) this.cells.take(frame); }

  /** The page looks at other layers: nothing comes to take away the cells of one that it dropped. */
  lookAt(layers) {
    this.areCellsAsked = layers.includes("grid");
    if (this.areCellsAsked || !this.cells.size) return;
    this.cells.clear();
    this.touch("cells");
  }

  #records(table, frame) {
    if (frame.flags & FLAG.FIRST_PART) table.beginSnapshot();
    eachRecord(frame, (id, latitude, longitude, a, b, c, d) => table.put(id, latitude, longitude, a, b, c, d)); // no array for each
    if (frame.flags & FLAG.LAST_PART) table.endSnapshot();
  }

  /** Has every vehicle been told of that ever reported? Before, who is missing is not silent. */
  knowsFleet() { return this.heardOf.has(this.isPart ? KIND.STATUS : KIND.SNAPSHOT); }

  applyStatic(data) {
    this.rev = data.rev;
    this.detailsRev = data.details_rev;
    this.organisation = data.organisation;
    this.vehicleNames = new Map(data.vehicles.map((vehicle) => [vehicle.id, vehicle]));
    this.stationNames = new Map(data.stations.map((station) => [station.id, station]));
    this.stationIdByPublicId = new Map(data.stations.map((station) => [station.public_id, station.id]));
    this.touch("names");
  }

  /** Driver, next stop, source of the charge: of the vehicles where one of them changed. */
  applyDetails({ rev, vehicles }) {
    this.detailsRev = rev;
    for (const { id, ...detail } of vehicles) Object.assign(this.vehicleNames.get(id) ?? {}, detail);
    this.touch("names");
  }

  /** An alert as the server sent it; an older revision of one we hold changes nothing. */
  applyAlert(alert) {
    const held = this.alerts.get(alert.id);
    this.lastAlert = Math.max(this.lastAlert, alert.revision || 0);
    if (held && held.revision >= alert.revision) return false;
    const isGone = alert.op === "del" || alert.closed_at;
    this.plans = null;
    if (isGone) this.alerts.delete(alert.id);
    else {
      this.alerts.set(alert.id, alert);
      for (const other of this.alerts.values()) if (alert.plan && other.plan?.id === alert.plan.id) other.plan = alert.plan;
    }
    this.touch("alerts");
    return !isGone && !held;
  }

  applyKpi(kpi) { this.kpi = kpi; this.touch("kpi"); }

  applySession(session) {
    if (session.vehicle_id) this.sessions.set(session.vehicle_id, { ...session, heardAt: performance.now() });
    this.touch("sessions");
  }

  /** Does a charger say so? It tells more often than this. */
  isInSession(vehicleId) { return performance.now() - (this.sessions.get(vehicleId)?.heardAt ?? -Infinity) < SESSION_HEARD_MS; }

  select(part) { Object.assign(this.selection, part); this.touch("selection"); }

  vehicle(id) {
    const at = this.vehicles.index.get(id);
    if (at === undefined) return null;
    const { latitude, longitude, a, b, c, d } = this.vehicles;
    return { ...this.#status(id, c[at], d[at]), latitude: latitude[at], longitude: longitude[at], heading: (a[at] * 360) / 256, speed: b[at] };
  }

  /** A vehicle wherever it is: without a place when it is out of view. */
  known(id) {
    const told = this.statuses.get(id);
    return this.vehicle(id) ?? (told === undefined ? null : this.#status(id, told >> 8, told & 0xff));
  }

  /** Charge and state of a vehicle wherever it is, c << 8 | d; -1 when it never reported. */
  code(id) {
    const at = this.vehicles.index.get(id);
    return at === undefined ? this.statuses.get(id) ?? -1 : (this.vehicles.c[at] << 8) | this.vehicles.d[at];
  }

  #status(id, c, d) {
    const state = d & 0x0f;
    const isLow = Boolean(d & MARK.LOW);
    return {
      id, soc: c === SOC_UNKNOWN ? null : c, state, isLow, isStale: Boolean(d & MARK.STALE),
      isException: Boolean(d & MARK.EXCEPTION), isRerouted: Boolean(d & MARK.REROUTED),
      group: groupOf(d), name: this.vehicleNames.get(id) ?? null,
    };
  }

  station(id) {
    const at = this.stations.index.get(id);
    const name = this.stationNames.get(id) ?? null;
    if (at === undefined) return name && { id, latitude: name.latitude, longitude: name.longitude, free: null, total: name.total, worst: 4, fresh: 3, name };
    const { latitude, longitude, a, b, c, d } = this.stations;
    return { id, latitude: latitude[at], longitude: longitude[at], free: a[at], total: b[at], worst: c[at] & 15, fresh: c[at] >> 4, powerKw: d[at] * 10, name };
  }

  /** Kilometres the charge is good for, by the model's consumption. */
  rangeKm(vehicle) {
    const model = vehicle.name;
    if (!model || vehicle.soc === null || !model.range_wh_per_km) return null;
    return Math.floor((model.battery_wh * vehicle.soc) / 100 / model.range_wh_per_km);
  }

  /** Open, unsnoozed alerts: the worst first, then what costs the most minutes and rupees, then the oldest. */
  queue(now = serverNow()) {
    const risk = (alert) => (alert.plan?.state === "proposed" ? 1e6 : 0) + (alert.plan?.delay_seconds ?? 0) / 60
      + (alert.data?.amount_paise ?? 0) / 10_000;
    return [...this.alerts.values()]
      .filter((alert) => !alert.snoozed_until || new Date(alert.snoozed_until).getTime() <= now)
      .sort((one, two) => (SEVERITY[one.severity] ?? 1) - (SEVERITY[two.severity] ?? 1) || risk(two) - risk(one)
        || new Date(one.opened_at) - new Date(two.opened_at) || one.id - two.id);
  }

  planOf(vehicleId) {
    this.plans ??= new Map([...this.alerts.values()].reverse().filter((alert) => alert.plan).map((alert) => [alert.vehicle_id, alert.plan]));
    return this.plans.get(vehicleId) ?? null;
  }
}

function topicOf({ kind, flags }) {
  if (kind === KIND.GRID) return "cells";
  return kind === KIND.STATIONS || (kind === KIND.REMOVE && flags & FLAG.STATION_IDS) ? "stations" : "vehicles";
}

export const store = new Store();
